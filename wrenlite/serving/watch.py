"""Files that come into a folder: which of them are complete, and the events that they are.

watchfiles tells of changes. A file counts as complete when its size and its time have not changed for two
seconds: no system tells when a program has finished writing. A look at the whole folder once a minute finds
what nobody told of, such as files on a disk of another machine.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wrenlite.serving.publication import Objects

SETTLE_S = 2.0
"""Seconds for which a file must stay as it is, before it counts as complete."""
_LOOK_MS = 250
"""Milliseconds between two looks at files that may not be complete."""
_LIST_S = 60.0
"""Seconds between two looks at the whole folder."""
_TEMPORARY = ("~", ".part", ".tmp", ".crdownload", ".swp")
"""How the names of files end that programs are writing, and move to their names then."""


class State(NamedTuple):
    """What shows that a file was changed."""

    size: int
    modified_ns: int
    number: int
    """Of its inode: another file that was moved to this name has another one."""


def state_of(path: str) -> State | None:
    """Return the state of a file; None where it is gone, or is a folder, a pipe or the like."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return State(found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


class Settling:
    """Which files are complete. Time is given, and nothing is read but the states of files."""

    def __init__(self, state: Callable[[str], State | None] = state_of, settle_s: float = SETTLE_S) -> None:
        """Begin with no files.

        Args:
            state: returns the state of the file at a path.
            settle_s: seconds for which it must stay the same.
        """
        self._state = state
        self._settle_s = settle_s
        self._waiting: dict[str, tuple[State, float]] = {}
        """Of files that may not be complete: their state, and since when it is that."""
        self._taken: dict[str, State] = {}

    def note(self, path: str, now: float) -> None:
        """Take note that a file may have changed.

        Args:
            path: its path.
            now: seconds of any clock that goes on steadily.
        """
        state = self._state(path)
        if state is None:
            self._waiting.pop(path, None)
            self._taken.pop(path, None)
        elif state != self._taken.get(path) and self._waiting.get(path, (None,))[0] != state:
            self._waiting[path] = state, now

    def complete(self, now: float) -> list[tuple[str, State]]:
        """Return the files that have become complete, each once for each of its states.

        Args:
            now: as for ``note``.
        """
        found = []
        for path in list(self._waiting):
            self.note(path, now)
            state, since = self._waiting.get(path, (None, now))
            if state is not None and now - since >= self._settle_s:
                del self._waiting[path]
                self._taken[path] = state
                found.append((path, state))
        return found

    def forget(self, path: str, now: float) -> None:
        """Take note that a file was changed after all, before it was read: it waits again."""
        self._taken.pop(path, None)
        self.note(path, now)


def is_temporary(key: str) -> bool:
    """Return whether a file is one that a program is writing, or hidden, by its name or that of a folder."""
    return key.endswith(_TEMPORARY) or any(part.startswith(".") for part in key.split("/"))


def files_of(on: Objects) -> Iterator[str]:
    """Yield the paths of the files in a folder whose names fit, folder by folder."""
    for folder, folders, names in os.walk(on.bucket):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if fits(on, path):
                yield path


def fits(on: Objects, path: str) -> bool:
    """Return whether a file is one of those that start something."""
    key = os.path.relpath(path, on.bucket)
    return on.fits(key) and not is_temporary(key)


def event_of(on: Objects, path: str, state: State) -> dict[str, Any] | None:
    """Return the event that a file is, with the digest of its content; None where it changes meanwhile.

    Args:
        on: the folder.
        path: the file.
        state: that in which it was found to be complete.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if state_of(path) != state:
        return None
    return {
        "bucket": on.bucket,
        "key": os.path.relpath(path, on.bucket),
        "version": None,
        "etag": digest,
        "size": state.size,
        "sequencer": f"{state.modified_ns:x}",
        "time": datetime.fromtimestamp(state.modified_ns / 1e9, UTC).isoformat(timespec="seconds"),
    }


def watch(
    on: Objects,
    begin: Callable[[Mapping[str, Any]], object],
    say: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Begin a start for each file, those that are there already too, until this is stopped.

    Args:
        on: the folder, and which files in it.
        begin: takes the event of each file that is complete.
        say: takes a line on a file that cannot be read.
        stop: is set to stop.
    """
    settling, listed = Settling(settle_s=SETTLE_S), -_LIST_S
    for paths in _changes(on, stop):
        now = time.monotonic()
        if paths is None or now - listed >= _LIST_S:
            paths, listed = [*files_of(on)], now
        for path in paths:
            settling.note(path, now)
        for path, state in settling.complete(now):
            try:
                event = event_of(on, path, state)
            except OSError as error:
                say(f"{path} cannot be read: {error.strerror}")
                continue
            if event is None:
                settling.forget(path, now)
            else:
                begin(event)


def _changes(on: Objects, stop: threading.Event) -> Iterator[list[str] | None]:
    """Yield the files that have changed, four times a second; None: any of them may have."""
    import watchfiles

    while not stop.is_set():
        try:
            for changed in watchfiles.watch(
                on.bucket,
                watch_filter=lambda _, path: fits(on, path),
                stop_event=stop,
                rust_timeout=_LOOK_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                yield [path for _, path in changed]
        except RuntimeError:  # watchfiles gives up where the name of a file is not UTF-8
            yield None
            stop.wait(_LOOK_MS / 1000)
