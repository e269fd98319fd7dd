"""The kept values of this user: the folder, and the bounds that it stays within."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from wrenlite.config import Config
from wrenlite.errors import ConfigError, WrenliteError
from wrenlite.memo.blobs import delete_files, delete_strays
from wrenlite.memo.index import Entry, Index, index_in

MOST_BYTES = 10 << 30
"""Bytes that are kept, unless a setting says more or fewer: what compilers' caches take, which people know. A
value of 10 MB then has room for 1,000 tasks, and one of 100 bytes for 70 million."""
DAYS = 90.0
"""Days for which a value is kept that nobody uses: a quarter, after which a function has often changed."""
DAY_S = 86_400.0
_ROOM = 0.9
"""The share of the bound that is left when it was reached, so that it is not reached again at once."""
_LOOKS = 16
"""So many times while as many bytes are written as are kept, the bound is looked at."""
_ASIDE_S = 7 * DAY_S
"""Seconds for which an index is left that was set aside."""
_STRAY_S = DAY_S
"""Seconds after which a file without an entry is deleted."""


OFF = "off"
"""The setting ``cache`` with which nothing is kept."""


def cache_folder(setting: str | None) -> Path:
    """Return the folder of kept values.

    Args:
        setting: the setting ``cache``.

    Raises:
        ConfigError: it says that nothing is kept.
    """
    if setting == OFF:
        raise ConfigError("cache=off: no values are kept. Set a folder, or take the setting back")
    if setting:
        return Path(setting).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("wrenlite") / "values"


class Cache:
    """The kept values in a folder. A program has one for each: see ``cache_of``."""

    def __init__(self, config: Config) -> None:
        """Read and make nothing yet.

        Args:
            config: says where they are, how many bytes they may be, and how old.
        """
        self.folder = cache_folder(config.cache)
        """Where the index and the files are."""
        self.most_bytes = config.cache_bytes or MOST_BYTES
        """The most bytes on this machine."""
        self.days = config.cache_days or DAYS
        """Days for which a value is kept that nobody uses."""
        self._written = self.most_bytes  # the first values of a program are a reason to look
        self._tidies = False

    @property
    def index(self) -> Index:
        """The index."""
        return index_in(self.folder)

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep values, whose files were written before. Where they become too many, a thread deletes some."""
        self.index.add(entries)
        self._written += sum(entry.size for entry in entries)
        if self._is_due and not self._tidies:
            self._tidies = True
            self._start(self._tidy_while_due)

    def use(self, keys: Iterable[bytes]) -> None:
        """Note in a thread that values are used: those that nobody uses are deleted first."""
        wanted = list(keys)
        self._start(lambda: self.index.use(wanted))

    def forget(self, keys: Sequence[bytes]) -> None:
        """Delete values.

        Raises:
            StoreError: the index cannot be used.
        """
        self.index.forget(keys)
        delete_files(self.folder, list(keys))

    def tidy(self) -> None:
        """Delete what is too old or too much, that which nobody has used for the longest time first.

        Raises:
            StoreError: the index cannot be used.
        """
        now = time.time()
        rows = self.index.oldest()
        self.forget(unwanted(rows, now, most_bytes=self.most_bytes, longest_s=self.days * DAY_S))
        delete_strays(self.folder, self.index.in_files(), now - _STRAY_S)
        self.index.delete_set_aside(now - _ASIDE_S)
        self.index.shrink()

    @property
    def _is_due(self) -> bool:
        return self._written > self.most_bytes / _LOOKS

    def _tidy_while_due(self) -> None:
        try:
            while self._is_due:
                self._written = 0
                self.tidy()
        finally:
            self._tidies = False

    def _start(self, work: Callable[[], object]) -> None:
        """Do something in a thread. Where that fails, or this program ends before, the next one does it."""

        def run() -> None:
            with contextlib.suppress(WrenliteError):
                work()

        with contextlib.suppress(RuntimeError):  # the interpreter is ending, or there are too many threads
            threading.Thread(target=run, name="wrenlite-cache", daemon=True).start()


_caches: dict[tuple[Path, int | None, float | None], Cache] = {}


def cache_of(config: Config) -> Cache:
    """Return the kept values of these settings, which know what this program has written.

    Raises:
        ConfigError: nothing is kept.
    """
    key = cache_folder(config.cache), config.cache_bytes, config.cache_days
    return _caches.get(key) or _caches.setdefault(key, Cache(config))


if hasattr(os, "register_at_fork"):  # a thread that deletes may run in the parent
    os.register_at_fork(after_in_child=_caches.clear)


def unwanted(
    rows: Sequence[tuple[bytes, int, int]], now: float, *, most_bytes: int, longest_s: float
) -> list[bytes]:
    """Return the keys of the values that are to be deleted.

    Args:
        rows: key, bytes and last use of all values, that of the longest unused first.
        now: seconds since the epoch.
        most_bytes: that may be kept. If there are more, a tenth of that is freed, too.
        longest_s: seconds for which a value is kept that nobody uses.
    """
    total = sum(size for _, size, _ in rows)
    bound = most_bytes * _ROOM if total > most_bytes else total
    found: list[bytes] = []
    for key, size, used in rows:
        if total <= bound and now - used <= longest_s:
            break
        total -= size
        found.append(key)
    return found
