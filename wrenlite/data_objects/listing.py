"""``objects``: lists what there is, as it is needed, and cuts it into what tasks get."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from wrenlite.config import Config, is_bucket_name
from wrenlite.cost import STORE_GET_DOLLARS, STORE_PUT_DOLLARS
from wrenlite.data_objects.cutting import has_wildcard, spans
from wrenlite.data_objects.parts import DataObject, Lines, RowGroup, Source, parquet_file
from wrenlite.data_objects.sources import Bucket, Files, OtherStore
from wrenlite.errors import ConfigError, NotFound
from wrenlite.serialize.traceback_stubs import public, without_own_frames
from wrenlite.texts import counted, sized

_CHUNK_BYTES = 64 << 20
_PAGE = 1000
"""Objects that S3 lists in one request."""
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4", ".snappy", ".br")


class Summary(NamedTuple):
    """What there is to read, and what S3 charges for it."""

    objects: int
    tasks: int
    """What a ``map`` has: as many as objects, or as their parts."""
    size: int
    """Bytes of all objects."""
    region: str | None
    """Region of the bucket. Reading from a function in another region is charged by the GB, too."""
    lists: int
    """Requests that list."""
    gets: int
    """Requests that read, if each task reads once what it gets."""
    dollars: float | None
    """What S3 charges for these requests, at the prices of us-east-1; None outside of S3."""

    def __str__(self) -> str:
        text = f"{counted(self.objects, 'object')}, {sized(self.size)}, {counted(self.tasks, 'task')}"
        if self.dollars is None:
            return text
        requests = f"{self.lists:,} LIST and {self.gets:,} GET"
        return f"{text}, in {self.region or 'an unknown region'}: about ${self.dollars:.6f} for {requests}"


@public
class Objects:
    """Objects of a store as data for ``map``: see ``wrenlite.objects``. Each iteration lists them anew."""

    def __init__(self, address: str, source: Source, pattern: str, cut: _Cut) -> None:
        """Create data. Nothing is listed yet.

        Args:
            address: as the user gave it.
            source: has the objects.
            pattern: which of them.
            cut: how each is cut.
        """
        self._address = address
        self._source = source
        self._pattern = pattern
        self._cut = cut

    def __repr__(self) -> str:
        return f"wrenlite.objects({self._address!r}{self._cut.shown})"

    def __iter__(self) -> Iterator[DataObject]:
        for item in self._whole():
            yield from self._cut.parts(item)

    def _whole(self) -> Iterator[DataObject]:
        """Yield the objects as they are listed.

        Raises:
            NotFound: there is none.
        """
        entry = None
        for entry in self._source.entries(self._pattern):
            yield DataObject(self._source, entry.key, entry.size)
        if entry is None:
            hint = "" if has_wildcard(self._pattern) else ", and none below a folder of that name"
            raise NotFound(f"there is no object {self._address}{hint}")

    def summary(self) -> Summary:
        """List all objects, and return how many there are and what S3 charges for reading them.

        Raises:
            WrenliteError: as iterating.
        """
        objects = tasks = size = gets = 0
        for item in self._whole():
            parts = sum(1 for _ in self._cut.parts(item))
            objects, tasks, size = objects + 1, tasks + parts, size + item.size
            gets += self._cut.gets(parts)
        lists, region = -(-objects // _PAGE), self._source.region()
        dollars = None if region is None else lists * STORE_PUT_DOLLARS + gets * STORE_GET_DOLLARS
        return Summary(objects, tasks, size, region, lists, gets, dollars)


class _Cut(NamedTuple):
    """How objects are cut into what tasks get."""

    shown: str
    """As arguments of ``objects``."""
    parts: Callable[[DataObject], Iterator[DataObject]]
    gets: Callable[[int], int]
    """Returns about how many requests the parts of an object take, given their number."""


@without_own_frames
def objects(
    address: str | os.PathLike[str], by: str | None = None, *, chunk_bytes: int | None = None
) -> Objects:
    """Return the objects at an address, or parts of them, as data for ``map``.

    ::

        executor.map(count_words, wrenlite.objects("s3://my-bucket/texts/*.txt"))

    Each task gets a small record and reads the object itself: ``item.read()``, ``item.open()``, ``item.key``,
    ``item.size``. It uses the credentials that it finds: on Lambda those of the function's role, which may
    read the buckets that ``wrenlite-setup --read`` named. Objects are listed as they are needed, a thousand
    per request, so with ``buffersize=`` a ``map`` begins with the first ones.

    Args:
        address: ``s3://BUCKET/KEY``, a file or folder of this machine, or an address that fsspec knows, such
            as ``gs://`` or ``https://``. A folder stands for all that is below it. ``*`` is anything but
            ``/``, ``**`` anything, ``?`` one character, ``[ab]`` one of these.
        by: None: one task per object. ``"lines"``: parts of objects, cut at newlines. ``"rows"``: the row
            groups of Parquet files; ``item.read()`` returns a ``pyarrow.Table``.
        chunk_bytes: bytes of each part with ``by="lines"``; default: 64 MB.

    Raises:
        ConfigError: an argument cannot be used. PackageMissing: fsspec or pyarrow is needed, and not there.
        NotFound: while it is iterated over: nothing is there. AccessDenied: listing is not allowed.
    """
    text = os.fspath(address) if isinstance(address, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigError(
            f"{address!r:.80} is not the address of objects: give s3://BUCKET/PATTERN, or files"
        )
    source, pattern = _source(text)
    return Objects(text, source, pattern, _cut(by, chunk_bytes))


def _source(address: str) -> tuple[Source, str]:
    protocol, found, rest = address.partition("://")
    if not found:
        rest = os.path.expanduser(address)
    if not found and rest.startswith("s3:"):
        raise ConfigError(f"{address!r} is not the address of objects: give s3://BUCKET/PATTERN")
    if not found or protocol.lower() == "file":
        return Files(os.getcwd()), re.sub(r"^(\./)+|^\.$", "", re.sub("/+", "/", rest))
    if protocol.lower() not in ("s3", "s3a"):
        return OtherStore(protocol), rest
    bucket, _, pattern = rest.partition("/")
    if not is_bucket_name(bucket):
        raise ConfigError(
            f"{address!r} is not the address of objects: {bucket!r} is not the name of a bucket"
        )
    from wrenlite.backends.aws.connect import open_data_bucket

    return Bucket(open_data_bucket(Config.load(), bucket)), pattern


def _cut(by: str | None, chunk_bytes: int | None) -> _Cut:
    if chunk_bytes is not None and by != "lines":
        raise ConfigError("chunk_bytes= is for by='lines' only")
    if by is None:
        return _Cut("", lambda item: iter((item,)), lambda parts: parts)
    if by == "rows":
        # The end of a file is read by this process and by each task, in two requests or one.
        return _Cut(", by='rows'", _row_groups, lambda parts: 2 + 3 * parts)
    if by != "lines":
        raise ConfigError(f"by={by!r:.40}: must be 'lines', 'rows' or None")
    size = _CHUNK_BYTES if chunk_bytes is None else chunk_bytes
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"chunk_bytes={chunk_bytes!r:.40}: must be a whole number of bytes from 1")

    def lines(item: DataObject) -> Iterator[DataObject]:
        if item.key.lower().endswith(_COMPRESSED):
            raise ConfigError(
                f"{item.url} is compressed, and cannot be cut at newlines: leave out by='lines'"
            )
        for span in spans(item.size, size):
            yield Lines(item.source, item.key, item.size, span)

    shown = ", by='lines'" if chunk_bytes is None else f", by='lines', chunk_bytes={size}"
    # All parts but the last read on for the end of their last line.
    return _Cut(shown, lines, lambda parts: max(2 * parts - 1, 0))


def _row_groups(item: DataObject) -> Iterator[DataObject]:
    about = parquet_file(item).metadata
    for number in range(about.num_row_groups):
        yield RowGroup(item.source, item.key, item.size, number, about.row_group(number).num_rows)
