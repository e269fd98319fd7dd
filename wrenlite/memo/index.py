"""The index of kept values: which value belongs to which call, its digest, and where it is.

It is one SQLite file, which many processes of one user may use at once. SQLite keeps it whole when a program
is killed. A file that is damaged, or that a newer wrenlite has made, is set aside, and a new one begins: what
was kept is computed again.

Nothing is unpickled whose SHA-256 is not in the index, so whoever can write it can run code: its folder and
its files belong to the user alone.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wrenlite.errors import StoreError
from wrenlite.notices import warn

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

NAME = "index.sqlite"
"""The name of the file."""
IN_FILE = "file"
"""The place of a value that is in a file beside the index. Those in a bucket begin with ``s3:``."""
_VERSION = 1
"""The version of the tables below."""
_WAIT_S = 20.0
"""The longest time in seconds that another process is waited for."""
_TOGETHER = 500
"""Keys in one query: SQLite takes 999 at least."""
_USED_S = 3_600
"""Seconds within which a further use of a value is not written down."""
_MOST_RUNS = 1_000
"""The newest runs that are kept."""
_TABLES = """
CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY AUTOINCREMENT, hex TEXT UNIQUE, function TEXT,
    parts TEXT);
CREATE TABLE IF NOT EXISTS definitions (id BLOB PRIMARY KEY, text TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (job TEXT PRIMARY KEY, at REAL, call INTEGER, tasks INTEGER, cached INTEGER);
CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, call INTEGER, digest BLOB, size INTEGER, blob BLOB,
    place TEXT, definitions BLOB, expires REAL, written INTEGER,
    used INTEGER);
"""
_ENTRY = "key, call, digest, size, blob, place, definitions, expires, written"


class Entry(NamedTuple):
    """One kept value."""

    key: bytes
    """The digest of the call that it is the value of."""
    call: int
    """What the calls of its job have in common, as ``Index.call`` numbers it."""
    digest: bytes
    """The SHA-256 of its blob."""
    size: int
    """Bytes of its blob."""
    blob: bytes | None
    """Its blob; None: it is elsewhere."""
    place: str = ""
    """Where it is if it is not here: ``IN_FILE``, or the bucket and key, as ``values`` writes it."""
    definitions: bytes | None = None
    """The classes and functions that it refers to by number, as ``Index.definitions`` names them; None: it
    refers to none."""
    expires: float | None = None
    """When its place forgets it, in seconds since the epoch; None: never."""
    written: int = 0
    """When its file was written, in nanoseconds since the epoch. If that is another time, it was changed."""


class Run(NamedTuple):
    """One job whose values were looked up and kept."""

    job: str
    """Its id."""
    at: float
    """When it was submitted, in seconds since the epoch."""
    function: str
    parts: str
    """What its digest was made of, as JSON."""
    tasks: int
    cached: int
    """How many of the tasks had their values."""


class Total(NamedTuple):
    """What is kept of one function."""

    function: str
    entries: int
    local_bytes: int
    """Bytes on this machine: without values that are in a bucket."""
    used: float
    """When one of them was used last, in seconds since the epoch."""


class Index:
    """The index in a folder. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        """Open nothing yet.

        Args:
            folder: of the index, which is made when something is kept.
        """
        self.folder = folder
        """Where it is."""
        self._path = folder / NAME
        self._lock = threading.RLock()  # a signal handler may map while its thread holds it
        self._open: tuple[sqlite3.Connection, tuple[int, int]] | None = None
        self._seen: tuple[int, int] | None = None

    # Values

    def look_up(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """Return the entries that there are of these keys.

        Raises:
            StoreError: the index cannot be used. As all methods.
        """
        wanted = list(keys)

        def query(connection: sqlite3.Connection) -> dict[bytes, Entry]:
            found: dict[bytes, Entry] = {}
            for some in _in_groups(wanted):
                marks = ",".join("?" * len(some))
                for row in connection.execute(f"SELECT {_ENTRY} FROM entries WHERE key IN ({marks})", some):
                    found[row[0]] = Entry(*row)
            return found

        return self._do(query)

    def add(self, entries: Sequence[Entry]) -> None:
        """Add entries. Of two with one key, that which came first stays."""
        now = int(time.time())
        marks = ",".join("?" * (len(Entry._fields) + 1))
        rows = [(*entry, now) for entry in entries]
        text = f"INSERT OR IGNORE INTO entries ({_ENTRY}, used) VALUES ({marks})"
        self._do(lambda connection: connection.executemany(text, rows))

    def use(self, keys: Iterable[bytes]) -> None:
        """Write down that values are used now."""
        now, wanted = int(time.time()), list(keys)

        def update(connection: sqlite3.Connection) -> None:
            for some in _in_groups(wanted):
                marks = ",".join("?" * len(some))
                text = f"UPDATE entries SET used = ? WHERE used < ? AND key IN ({marks})"
                connection.execute(text, (now, now - _USED_S, *some))

        self._do(update)

    def forget(self, keys: Iterable[bytes]) -> None:
        """Delete entries."""
        rows = [(key,) for key in keys]
        self._do(lambda connection: connection.executemany("DELETE FROM entries WHERE key = ?", rows))

    # What values belong to

    def call(self, digest: str, function: str, parts: str) -> int:
        """Return the number of what the calls of a job have in common.

        Args:
            digest: its digest, hexadecimal.
            function: the name of the function.
            parts: what the digest was made of, as JSON.
        """

        def find(connection: sqlite3.Connection) -> int:
            row = digest, function, parts
            connection.execute("INSERT OR IGNORE INTO calls (hex, function, parts) VALUES (?, ?, ?)", row)
            [number] = connection.execute("SELECT id FROM calls WHERE hex = ?", (digest,)).fetchone()
            return int(number)

        return self._do(find)

    def add_definitions(self, text: str) -> bytes:
        """Keep what the numbers in values mean, and return its name, which is its digest."""
        name = _name_of(text)
        self._do(lambda each: each.execute("INSERT OR IGNORE INTO definitions VALUES (?, ?)", (name, text)))
        return name

    def definitions(self, name: bytes) -> str | None:
        """Return what was kept under a name; None where it is gone or damaged."""
        text = "SELECT text FROM definitions WHERE id = ?"
        row = self._do(lambda connection: connection.execute(text, (name,)).fetchone())
        return row[0] if row and isinstance(row[0], str) and _name_of(row[0]) == name else None

    # Runs

    def add_run(self, job: str, call: int, tasks: int, cached: int) -> None:
        """Write down that a job was submitted."""

        def insert(connection: sqlite3.Connection) -> None:
            row = job, time.time(), call, tasks, cached
            connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", row)

        self._do(insert)

    def runs(self) -> list[Run]:
        """Return the jobs whose values were looked up, the newest first."""
        text = (
            "SELECT job, at, function, parts, tasks, cached FROM runs JOIN calls ON call = calls.id"
            " ORDER BY at DESC"
        )
        rows = self._do(lambda connection: connection.execute(text).fetchall())
        return [Run(*row) for row in rows]

    # All of it

    def totals(self) -> list[Total]:
        """Return what is kept, by function; the function that was used last comes first."""
        text = (
            f"SELECT function, COUNT(*), {_LOCAL_BYTES}, MAX(used) FROM entries JOIN calls ON call = calls.id"
            " GROUP BY function ORDER BY MAX(used) DESC"
        )
        rows = self._do(lambda connection: connection.execute(text).fetchall())
        return [Total(*row) for row in rows]

    def local_bytes(self) -> int:
        """Return the bytes of all values on this machine."""
        row = self._do(lambda each: each.execute(f"SELECT {_LOCAL_BYTES} FROM entries").fetchone())
        return row[0] or 0

    def of_function(self, function: str | None) -> list[bytes]:
        """Return the keys of the values of a function; None: of all."""
        text = "SELECT key FROM entries JOIN calls ON call = calls.id WHERE ? IS NULL OR function = ?"
        rows = self._do(lambda each: each.execute(text, (function, function)).fetchall())
        return [key for (key,) in rows]

    def oldest(self) -> list[tuple[bytes, int, int]]:
        """Return key, bytes on this machine, and last use of each value, that of the longest unused first."""
        text = f"SELECT key, {_LOCAL_SIZE}, used FROM entries ORDER BY used"
        return self._do(lambda connection: connection.execute(text).fetchall())

    def in_files(self) -> set[bytes]:
        """Return the keys of the values that are in files."""
        text = "SELECT key FROM entries WHERE place = ?"
        rows = self._do(lambda connection: connection.execute(text, (IN_FILE,)).fetchall())
        return {key for (key,) in rows}

    def shrink(self) -> None:
        """Forget old runs and what no value needs any more, and give the room to the file system."""

        def clean(connection: sqlite3.Connection) -> None:
            newest = "SELECT job FROM runs ORDER BY at DESC LIMIT ?"
            connection.execute(f"DELETE FROM runs WHERE job NOT IN ({newest})", (_MOST_RUNS,))
            used = "SELECT call FROM entries UNION SELECT call FROM runs"
            connection.execute(f"DELETE FROM calls WHERE id NOT IN ({used})")
            named = "SELECT definitions FROM entries WHERE definitions IS NOT NULL"
            connection.execute(f"DELETE FROM definitions WHERE id NOT IN ({named})")
            connection.execute("PRAGMA incremental_vacuum")

        self._do(clean)

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        with self._lock:
            opened, self._open = self._open, None
            if opened is not None:
                opened[0].close()

    # The file

    def _do(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Do something as one transaction. Where the file turns out to be damaged, do it in a new one."""
        import sqlite3  # not at the import of wrenlite

        with self._lock:
            for is_last in (False, True):
                try:
                    connection = self._connection()
                    with connection:
                        return action(connection)
                except sqlite3.OperationalError as error:  # locked, read-only, or the disk is full
                    self.close()
                    raise StoreError(
                        f"the index of kept values, {self._path}, cannot be used: {error}"
                    ) from error
                except sqlite3.DatabaseError as error:
                    if is_last:
                        raise StoreError(f"the index of kept values, {self._path}, is damaged") from error
                    self._set_aside("damaged")
                except OSError as error:
                    raise StoreError(f"the folder of kept values cannot be used: {error}") from error
        raise AssertionError("the loop returns or raises")

    def _connection(self) -> sqlite3.Connection:
        """Return the open file. It is opened anew where another one has taken its place, or somebody has
        deleted it.
        """
        if self._open is not None:
            if _identity(self._path) == self._open[1]:
                return self._open[0]
            self.close()
        make_private(self.folder)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        self._seen = _identity(self._path)
        connection = self._connect()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            connection.close()
            self._set_aside("newer")
            return self._connection()
        connection.executescript(f"{_TABLES} PRAGMA user_version = {_VERSION};")
        identity = _identity(self._path)
        assert identity is not None
        self._open = connection, identity
        return connection

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        connection = sqlite3.connect(self._path, timeout=_WAIT_S, check_same_thread=False)
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            with contextlib.suppress(sqlite3.OperationalError):  # a file system without shared memory
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def delete_set_aside(self, before: float) -> None:
        """Delete files that were set aside before a time, in seconds since the epoch."""
        for path in self.folder.glob(f"{NAME}.*-*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def _set_aside(self, why: str) -> None:
        """Rename the file, and tell the user."""
        seen = self._open[1] if self._open is not None else self._seen
        self.close()
        if _identity(self._path) != seen:  # another process was faster
            return
        name = f"{NAME}.{why}-{time.strftime('%Y%m%dT%H%M%S')}"
        os.replace(self._path, self.folder / name)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._path}{suffix}")
        reason = "was made by a newer wrenlite" if why == "newer" else "is damaged"
        warn(
            f"the index of kept values, {self._path}, {reason}. It is now named {name}, and a new one "
            "begins: values are computed again"
        )


_LOCAL_SIZE = f"CASE WHEN place IN ('', '{IN_FILE}') THEN size ELSE 0 END"
_LOCAL_BYTES = f"SUM({_LOCAL_SIZE})"


def make_private(folder: Path) -> None:
    """Make a folder that only this user can read and write.

    Raises:
        StoreError: it belongs to another user, who could put things into it.
        OSError: it cannot be made.
    """
    folder.mkdir(0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"the folder of kept values, {folder}, belongs to another user, who could run code here by it. "
            "WRENLITE_CACHE names another folder"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _name_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _in_groups(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for first in range(0, len(keys), _TOGETHER):
        yield keys[first : first + _TOGETHER]


_indexes: dict[Path, Index] = {}
"""The indexes of this process, by folder."""


def index_in(folder: Path) -> Index:
    """Return the index in a folder. All threads of a process share one."""
    return _indexes.setdefault(folder, Index(folder))


@atexit.register
def _close_indexes() -> None:
    for index in _indexes.values():
        index.close()


def _forget_indexes() -> None:
    """After a fork, leave the open files to the parent: SQLite's connections do not survive it."""
    _left.update(_indexes)
    _indexes.clear()


_left: dict[Path, Index] = {}
"""The parent's indexes in a forked process. They are not even closed, which would release locks."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_indexes)
