"""Objects as data of Lithops' ``map``: what an address stands for, and how an object is divided.

A part of an object has whole lines: those that begin in its range of bytes.
"""

from __future__ import annotations

import copy
import io
import os
import posixpath
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wrenlite.data_objects.cutting import spans, whole_lines
from wrenlite.errors import ArgumentError, NotFound, StoreError
from wrenlite.interop.lithops_storage import LOCAL, S3, CloudObject, Storage
from wrenlite.storage.base import Span


class DataObject:
    """What a parameter ``obj`` gets: an object of a storage, a file or a URL, or a part of one.

    ``data_stream`` is a file of its content. An object of a storage has ``bucket`` and ``key``, a file has
    ``path``, and what has an address on the web ``url``.
    """

    backend = bucket = key = path = url = ""

    def __init__(self, storage: Storage, size: int, **place: str) -> None:
        """Create a whole object.

        Args:
            storage: reads it, if it is an object of a storage.
            size: bytes.
            place: ``backend``, ``bucket`` and ``key``; or ``path``; or ``url``.
        """
        self.__dict__.update(place)
        self._storage, self._size = storage, size
        self.part = self.total_parts = 1
        self.chunk_size = size
        self.data_byte_range: tuple[int, int] | None = None
        """First and last byte of this part; None: it is the whole object."""
        self.newline: str | None = "\n"
        """Ends lines, which are not divided; None: parts are cut anywhere."""

    def __repr__(self) -> str:
        name = self.path or self.url or f"{self.backend}://{self.bucket}/{self.key}"
        return f"<DataObject {name}, part {self.part} of {self.total_parts}>"

    __str__ = __repr__

    @property
    def data_stream(self) -> io.BytesIO:
        """A file of the content. It is read when this is asked for."""
        if self.data_byte_range is None:
            return io.BytesIO(self._read(None))
        first, last = self.data_byte_range
        span = Span(first, last - first + 1)
        if self.newline is None:
            return io.BytesIO(self._read(span))
        return io.BytesIO(whole_lines(self._read, span, self._size, self.newline.encode()))

    def _read(self, span: Span | None) -> bytes:
        if self.path:
            with open(self.path, "rb") as file:
                file.seek(span.start if span else 0)
                return file.read(span.length if span else -1)
        if self.url:
            request = urllib.request.Request(self.url)
            if span:
                request.add_header("Range", f"bytes={span.start}-{span.start + span.length - 1}")
            with urllib.request.urlopen(request, timeout=60) as response:
                return bytes(response.read())
        return self._storage.store(self.bucket).get(self.key, span)

    def divided(self, chunk_size: int | None, parts: int | None, newline: str | None) -> list[DataObject]:
        """Return the object in parts.

        Args:
            chunk_size: bytes of each; None: the object stays whole.
            parts: how many; None: as ``chunk_size`` says.
            newline: ends lines, which are not divided; None: parts are cut anywhere.
        """
        size = -(-self._size // parts) if parts else chunk_size or self._size
        if not 0 < size < self._size:
            return [self]
        found = list(spans(self._size, size))
        divided = []
        for place, span in enumerate(found, start=1):
            part = copy.copy(self)
            part.part, part.total_parts, part.chunk_size = place, len(found), span.length
            part.data_byte_range, part.newline = (span.start, span.start + span.length - 1), newline
            divided.append(part)
        return divided


class Place(NamedTuple):
    """An address of Lithops' form, such as ``aws_s3://bucket/prefix/*.csv``."""

    backend: str
    bucket: str
    key: str


def parse(address: str, backend: str) -> Place:
    """Return the parts of an address. One without a scheme is of the given backend."""
    scheme, found, rest = address.partition("://")
    if not found:
        scheme, rest = backend, address
    bucket, _, key = rest.partition("/")
    return Place({"s3": S3, "": backend}.get(scheme, scheme), bucket, key)


def objects(source: Any, storage: Storage) -> list[DataObject]:
    """Return the objects that an address stands for.

    Args:
        source: ``BUCKET/KEY``, ``BUCKET/PREFIX/``, ``BUCKET``, a pattern with ``*``, each also with a scheme;
            an absolute path of a file or folder; ``http://…``; or a ``CloudObject``.
        storage: where addresses without a scheme are.

    Raises:
        ArgumentError: it is no address, or of another storage.
        NotFound: there is no such object.
    """
    if isinstance(source, CloudObject):
        source = f"{source.backend}://{source.bucket}/{source.key}"
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    if text.startswith(("http://", "https://")):
        found = [DataObject(storage, _size_on_web(text), url=text)]
    elif text.startswith("/"):
        files = sorted(Path(text).iterdir()) if Path(text).is_dir() else [Path(text)]
        found = [DataObject(storage, each.stat().st_size, path=str(each)) for each in files if each.is_file()]
    else:
        place = parse(text, storage.backend)
        if not text or place.backend not in (LOCAL, S3):
            raise ArgumentError(
                f"obj={source!r:.80}: must be an address such as 's3://bucket/key' or 'bucket/prefix/', the "
                "absolute path of a file, or an http address"
            )
        found = list(_in_storage(place, storage))
    if not found:
        raise NotFound(f"no objects at {source!r:.80}; storage.list_keys(bucket, prefix) lists keys")
    return found


def _in_storage(place: Place, storage: Storage) -> Iterator[DataObject]:
    if place.backend != storage.backend:
        storage = Storage(backend=place.backend, bucket=place.bucket)
    pattern = place.key if "*" in place.key else None
    prefix = place.key.partition("*")[0]
    is_key = bool(place.key) and pattern is None and not place.key.endswith("/")
    for each in storage.list_objects(place.bucket, prefix, pattern):
        key = posixpath.normpath(each["Key"])
        if not is_key or key == place.key:
            yield DataObject(storage, each["Size"], **place._replace(key=key)._asdict())


def _size_on_web(url: str) -> int:
    """Return the size of what an address on the web has, in bytes; 0: unknown, so that it stays whole.

    Raises:
        NotFound: there is nothing. StoreError: it cannot be asked for.
    """
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            ranges = response.headers.get("Accept-Ranges") == "bytes"
            return int(response.headers.get("Content-Length") or 0) if ranges else 0
    except OSError as error:  # such as URLError
        kind = NotFound if getattr(error, "code", 0) in (404, 410) else StoreError
        raise kind(f"cannot read {url}: {error}") from error
