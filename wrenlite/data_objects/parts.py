"""``DataObject``: the small record that a task gets, and reads its data from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Protocol

from wrenlite.data_objects.cutting import whole_lines
from wrenlite.errors import ConfigError, PackageMissing
from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.base import Entry, Span

_BUFFER_BYTES = 8 << 20
"""Bytes that one request reads ahead."""


class Source(Protocol):
    """What objects are read from. It is sent to workers, without credentials."""

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return an object, or a part of it.

        Raises:
            NotFound: there is no such object. StoreError: it cannot be read.
        """

    def entries(self, pattern: str) -> Iterator[Entry]:
        """Yield the objects that match a pattern, as they are listed."""

    def url(self, key: str) -> str:
        """Return the address of an object, for messages."""

    def region(self) -> str | None:
        """Return the region of AWS that it is in; None where that is unknown."""


@public
@dataclass(frozen=True)
class DataObject:
    """An object of a store, or a file: a task of ``map`` over ``wrenlite.objects`` gets one, and reads it."""

    source: Source
    key: str
    """Its key in the bucket, or the path of the file."""
    size: int
    """Its bytes when it was listed."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}{self._part()}>"

    def _part(self) -> str:
        return ""

    @property
    def amount(self) -> float:
        """How much there is to read, by which ``Executor.estimate`` judges its task."""
        return float(self.size)

    @property
    def url(self) -> str:
        """Its address, such as ``s3://BUCKET/KEY``, or the path of the file."""
        return self.source.url(self.key)

    def read(self) -> Any:
        """Return its bytes.

        Raises:
            NotFound: it is not there any more. StoreError: it cannot be read.
            AccessDenied: these credentials, on Lambda those of the function's role, may not read it.
        """
        return self.source.get(self.key)

    def open(self, mode: str = "rb", encoding: str = "utf-8") -> IO[Any]:
        """Return a file to read from, which fetches 8 MB at a time.

        Args:
            mode: ``"rb"`` for bytes, ``"r"`` for text.
            encoding: of the text.

        Raises:
            ConfigError: it can only be read. What reading raises is as for ``read``.
        """
        if mode not in ("rb", "r", "rt"):
            raise ConfigError(f"mode={mode!r}: objects can only be read: 'rb' for bytes, 'r' for text")
        file = self._file()
        return file if mode == "rb" else io.TextIOWrapper(file, encoding)

    def _file(self) -> Any:
        return io.BufferedReader(RangeFile(self.source, self.key, self.size), _BUFFER_BYTES)


@public
@dataclass(frozen=True, repr=False)
class Lines(DataObject):
    """The lines of an object that begin in a part of it: all of them, each to its end."""

    span: Span
    """The part, in bytes. The one with ``span.start == 0`` has the first line: the names of columns."""

    def _part(self) -> str:
        return f", lines from byte {self.span.start:,}"

    @property
    def amount(self) -> float:
        """The bytes of the part."""
        return float(self.span.length)

    def read(self) -> bytes:
        """Return the lines as bytes, which may be none. Raises as ``DataObject.read``."""
        return whole_lines(partial(self.source.get, self.key), self.span, self.size)

    def _file(self) -> Any:
        return io.BytesIO(self.read())


@public
@dataclass(frozen=True, repr=False)
class RowGroup(DataObject):
    """A row group of a Parquet file."""

    number: int
    """Its number in the file, from 0."""
    rows: int
    """How many rows it has."""

    @property
    def amount(self) -> float:
        """The number of rows."""
        return float(self.rows)

    def _part(self) -> str:
        return f", row group {self.number} of {self.rows:,} rows"

    def read(self, columns: list[str] | None = None) -> Any:
        """Return it as a ``pyarrow.Table``. ``.to_pandas()`` makes a data frame of that.

        Args:
            columns: the names of those to read; None: all.

        Raises:
            PackageMissing: pyarrow is not installed where this runs. Others are as for ``DataObject.read``.
        """
        return parquet_file(self).read_row_group(self.number, columns)


def parquet_file(item: DataObject) -> Any:
    """Return a ``pyarrow.parquet.ParquetFile`` of an object, whose end has been read.

    Raises:
        PackageMissing: pyarrow is not installed. ConfigError: the object is no Parquet file.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise PackageMissing(
            "by='rows' needs pyarrow: pip install pyarrow; on Lambda: wrenlite-setup --package pyarrow"
        ) from error
    file = RangeFile(item.source, item.key, item.size)
    try:
        return parquet.ParquetFile(arrow.PythonFile(file, mode="r"), pre_buffer=True)
    except arrow.ArrowInvalid as error:
        raise ConfigError(f"{item.url} is no Parquet file: {error}") from error


class RangeFile(io.RawIOBase):
    """A file of which each read is a read of that part of an object."""

    def __init__(self, source: Source, key: str, size: int) -> None:
        """Open an object. Nothing is read.

        Args:
            source: has it.
            key: its key.
            size: its bytes.
        """
        self._source = source
        self._key = key
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as the buffer takes, and return how many there were."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._position)
        if wanted <= 0:
            return 0
        data = self._source.get(self._key, Span(self._position, wanted))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
