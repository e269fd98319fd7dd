"""Imports from archives: a package that does not fit into a layer is fetched when it is first imported.

::

    import torch ── no other finder has it ──▶ ArchiveFinder: which archives have it, and what do these need?
                                                   │ pieces, several at a time: each digest is checked
                                                   ▼
                           /tmp/wrenlite-packages/part-<digest>    unpacked from the pieces in their order
                                                   │ renamed when it is complete
                                                   ▼
                                               unpacked-<digest>   moved into site/, then marked in done/

A worker that is killed meanwhile leaves nothing half: what is not complete is removed, and what is complete
is moved by the next worker of the sandbox. Packages are unpacked once in a sandbox, not once in a worker.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import importlib
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from wrenlite.errors import IntegrityError, NotFound, StoreError
from wrenlite.storage.archives import PIECE_BYTES, SITE, Archive, ArchivesPlace, archive_key, read_index

_THREADS = 8
"""Pieces that are fetched at a time. They take memory: 8 MB each."""
_SETUP = "Run wrenlite-setup again: it puts the packages there that the function needs"


def install(place: ArchivesPlace) -> ArchiveFinder:
    """Let this process import from archives.

    Args:
        place: where they are.
    """
    finder = ArchiveFinder(place, read_index(Path(place.index_file).read_bytes()))
    with contextlib.suppress(ValueError):
        # Before the layer, which has the metadata of these packages without their files.
        sys.path.insert(sys.path.index(os.path.dirname(place.index_file)), finder.site)
    sys.meta_path.append(finder)
    return finder


class ArchiveFinder:
    """Finds the modules that no other finder has found, by fetching their archives."""

    def __init__(self, place: ArchivesPlace, archives: Iterable[Archive]) -> None:
        """Create a finder. It fetches nothing yet.

        Args:
            place: where the archives are.
            archives: the archives.
        """
        self.site = os.path.join(place.folder, SITE)
        """The folder that Python imports from."""
        self.waited_s = 0.0
        """The seconds so far in which imports waited for archives."""
        self.report: Callable[[bool], None] = lambda goes_on: None
        """Called with True while an import waits, at least once per piece, and with False when it goes on."""
        self._place = place
        self._archives = {archive.name: archive for archive in archives}
        self._folder = Path(place.folder)
        (self._folder / "done").mkdir(parents=True, exist_ok=True)
        os.makedirs(self.site, exist_ok=True)
        with self._locked():
            for complete in self._folder.glob("unpacked-*"):
                self._move_into_site(complete)
            for incomplete in self._folder.glob("part-*"):
                shutil.rmtree(incomplete)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module that is in an archive, which is fetched and unpacked; else None.

        Raises:
            IntegrityError: the store holds something else than this archive.
            StoreError: the archive cannot be read, or does not fit on the disk.
        """
        top = name.partition(".")[0]
        owners = [archive for archive in self._archives.values() if top in archive.modules]
        if not owners or not self.unpack(owners):
            return None
        importlib.invalidate_caches()
        return PathFinder.find_spec(name, path)

    def unpack(self, wanted: Iterable[Archive]) -> bool:
        """Unpack archives and those that they need.

        Args:
            wanted: the archives.

        Returns:
            Whether one of them was not there before.
        """
        missing = [archive for archive in self._with_needs(wanted) if not self._is_done(archive)]
        if not missing:
            return False
        begun = time.perf_counter()
        try:
            with self._locked():
                # A child process may have unpacked some of them meanwhile.
                self._fetch_all([archive for archive in missing if not self._is_done(archive)])
        finally:
            self.waited_s += time.perf_counter() - begun
            self.report(False)
        return True

    def _with_needs(self, wanted: Iterable[Archive]) -> list[Archive]:
        """Return archives and those that they need."""
        found: dict[str, Archive] = {}
        unvisited = list(wanted)
        while unvisited:
            archive = unvisited.pop()
            if archive.name not in found:
                found[archive.name] = archive
                unvisited += (self._archives[name] for name in archive.needs)
        return list(found.values())

    def _is_done(self, archive: Archive) -> bool:
        return (self._folder / "done" / archive.digest).exists()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this sandbox from unpacking meanwhile. The lock ends with its process."""
        with open(self._folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _fetch_all(self, archives: list[Archive]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_THREADS, "wrenlite-archives") as threads:
            pieces = _Pieces(self._place, archives, threads.submit, lambda: self.report(True))
            try:
                for archive in archives:
                    self._unpack_one(archive, pieces)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _unpack_one(self, archive: Archive, pieces: _Pieces) -> None:
        import tarfile

        incomplete = self._folder / f"part-{archive.digest}"
        source: Any = _File(pieces.of(archive))
        try:
            with tarfile.open(fileobj=source, mode="r|gz", bufsize=2**20) as file:
                file.extractall(incomplete, filter="data")
            complete = incomplete.rename(self._folder / f"unpacked-{archive.digest}")
            self._move_into_site(complete)
        except OSError as error:
            shutil.rmtree(incomplete, ignore_errors=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreError(
                f"{self._folder.parent} has no room for the package {archive.name}, which has "
                f"{archive.unpacked_bytes / 2**20:,.0f} MB unpacked: tasks have filled it. They can delete "
                "their files when they end, and wrenlite-setup --ephemeral-storage MB gives them more room"
            ) from error

    def _move_into_site(self, complete: Path) -> None:
        """Move an unpacked archive to where Python finds it. Some of it may have been moved before."""
        for folder, folders, files in os.walk(complete):
            place = os.path.join(self.site, os.path.relpath(folder, complete))
            for name in list(folders):
                there = os.path.join(place, name)
                if not os.path.isdir(there):
                    os.rename(os.path.join(folder, name), there)
                    folders.remove(name)
            for name in files:
                os.replace(os.path.join(folder, name), os.path.join(place, name))
        (self._folder / "done" / complete.name.partition("-")[2]).touch()
        shutil.rmtree(complete)


class _Pieces:
    """The pieces of archives, of which some are fetched ahead."""

    def __init__(
        self,
        place: ArchivesPlace,
        archives: Iterable[Archive],
        submit: Callable[..., Any],
        report: Callable[[], None],
    ) -> None:
        self._place = place
        self._submit = submit
        self._report = report
        self._upcoming = iter(
            [(archive, number) for archive in archives for number in range(len(archive.pieces))]
        )
        self._ahead: deque[Any] = deque()
        self._is_connected = False

    def of(self, archive: Archive) -> Iterator[bytes]:
        """Yield the pieces of the next archive."""
        for _ in archive.pieces:
            self._report()
            if not self._is_connected:
                # In this thread: it may hold locks of modules that the store imports, too.
                self._is_connected = True
                yield self._fetch(*next(self._upcoming))
                continue
            while len(self._ahead) < _THREADS and (piece := next(self._upcoming, None)):
                self._ahead.append(self._submit(self._fetch, *piece))
            yield self._ahead.popleft().result()

    def _fetch(self, archive: Archive, number: int) -> bytes:
        store, key = self._place.store, archive_key(self._place.function, archive.digest)
        what = f"the archive of the package {archive.name} ({key} in {store!r})"
        try:
            piece = store.get(key, archive.spans[number])
        except NotFound as error:
            raise NotFound(f"{what} is gone. {_SETUP}") from error
        if hashlib.sha256(piece).hexdigest() != archive.pieces[number]:
            raise IntegrityError(
                f"{what} was changed or damaged: the digest of its part from byte {number * PIECE_BYTES} is "
                f"not the one in the function's index. Nothing of it was used. {_SETUP}"
            )
        return piece


class _File:
    """A file that is read from its beginning to its end, made of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)
