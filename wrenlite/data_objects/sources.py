"""Files of this machine, and stores that fsspec knows, as sources of objects."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wrenlite.data_objects.cutting import has_wildcard, literal_start, matcher
from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.storage.base import Entry, Span

if TYPE_CHECKING:
    from wrenlite.backends.aws.data_bucket import DataBucket


class Files:
    """Files of this machine. Workers find them from the folder in which this program listed them."""

    def __init__(self, root: str) -> None:
        """Create a source.

        Args:
            root: the folder that relative paths begin in.
        """
        self._root = root

    def url(self, key: str) -> str:
        """Return the path of a file."""
        return key

    def region(self) -> None:
        """Return None."""

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return a file, or a part of it.

        Raises:
            NotFound: there is no such file. StoreError: it cannot be read.
        """
        try:
            with open(os.path.join(self._root, key), "rb") as file:
                if span is None:
                    return file.read()
                file.seek(span.start)
                return file.read(span.length)
        except FileNotFoundError as error:
            text = "Only workers on the machine that listed it can read it: put it into a bucket for Lambda"
            raise NotFound(f"there is no file {os.path.join(self._root, key)} here. {text}") from error
        except OSError as error:
            raise StoreError(f"cannot read {os.path.join(self._root, key)}: {error.strerror}") from error

    def entries(self, pattern: str) -> Iterator[Entry]:
        """Yield the files that match a pattern, folder by folder, in the order of their names.

        Files and folders whose names begin with a dot only match a pattern in which a name does.
        """
        path = os.path.join(self._root, pattern)
        if os.path.isfile(path):  # also one with brackets in its name
            yield _entry(pattern, os.stat(path))
            return
        is_folder = os.path.isdir(path)  # also one with brackets
        head, slash, _ = literal_start(pattern).rpartition("/")
        folder = (head or slash) if has_wildcard(pattern) and not is_folder else pattern
        hidden = any(part.startswith(".") and part.strip(".") for part in pattern.split("/"))
        if os.path.isdir(os.path.join(self._root, folder)):
            matches = matcher("" if is_folder else pattern)
            yield from (each for each in self._below(folder, hidden) if matches(each.key))

    def _below(self, folder: str, hidden: bool, above: frozenset[str] = frozenset()) -> Iterator[Entry]:
        path = os.path.join(self._root, folder)
        real = os.path.realpath(path)
        if real in above:  # a link leads back
            return
        try:
            found = sorted(os.scandir(path), key=lambda each: each.name)
        except OSError as error:
            raise StoreError(f"cannot list {path}: {error.strerror}") from error
        for each in found:
            key = os.path.join(folder, each.name)
            if each.name.startswith(".") and not hidden:
                continue
            if each.is_dir():
                yield from self._below(key, hidden, above | {real})
            elif each.is_file():
                with contextlib.suppress(FileNotFoundError):  # it was deleted meanwhile
                    yield _entry(key, each.stat())


def _entry(key: str, state: os.stat_result) -> Entry:
    return Entry(key, state.st_size, state.st_mtime)


class Bucket:
    """A bucket of S3."""

    def __init__(self, bucket: DataBucket) -> None:
        """Create a source. Nothing is sent yet."""
        self._bucket = bucket

    def __reduce__(self) -> tuple[Any, ...]:
        return Bucket, (self._bucket,)

    def url(self, key: str) -> str:
        """Return the address of an object."""
        return f"s3://{self._bucket.bucket}/{key}"

    def region(self) -> str | None:
        """Return the region of the bucket."""
        return self._bucket.region()

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return an object, or a part of it. Raises as ``S3Store.get``."""
        return self._bucket.get(key, span)

    def entries(self, pattern: str) -> Iterator[Entry]:
        """Yield the objects that match a pattern, in the order of their keys, a thousand per request."""
        if has_wildcard(pattern):
            found = self._bucket.list(literal_start(pattern))
        else:
            name = pattern.rstrip("/")
            first = itertools.islice(self._bucket.list(name), 1) if name else iter(())
            alone = (each for each in first if each.key == name)
            found = itertools.chain(alone, self._bucket.list(f"{name}/" if name else ""))
        matches = matcher(pattern)
        # Consoles mark a folder by an empty object whose key ends with a slash.
        yield from (each for each in found if matches(each.key) and not each.key.endswith("/"))


class OtherStore:
    """A store that fsspec knows, such as ``gs://``. Each process uses its own credentials."""

    def __init__(self, protocol: str) -> None:
        """Create a source.

        Args:
            protocol: fsspec's name of it.

        Raises:
            PackageMissing: fsspec is not installed, or what it needs for this protocol.
            ConfigError: fsspec knows no such protocol.
        """
        self._protocol = protocol
        self._opened: Any = None
        self._files()

    def __reduce__(self) -> tuple[Any, ...]:
        return OtherStore, (self._protocol,)

    def _files(self) -> Any:
        if self._opened is None:
            try:
                import fsspec

                self._opened = fsspec.filesystem(self._protocol)
            except ImportError as error:
                needed = "fsspec" if error.name == "fsspec" else f"another package, too: {error}"
                text = f"{self._protocol}:// needs {needed}. pip install {error.name or 'what it names'}"
                raise PackageMissing(
                    f"{text}; for tasks on Lambda: wrenlite-setup --package NAME", name=error.name
                ) from error
            except ValueError as error:
                raise ConfigError(f"{self._protocol}:// is not a protocol of fsspec: {error}") from error
        return self._opened

    def url(self, key: str) -> str:
        """Return the address of an object."""
        return key if "://" in key else f"{self._protocol}://{key.lstrip('/')}"

    def region(self) -> None:
        """Return None."""

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return an object, or a part of it.

        Raises:
            NotFound: there is no such object. StoreError: it cannot be read.
        """
        start, end = (None, None) if span is None else (span.start, span.start + span.length)
        try:
            data: bytes = self._files().cat_file(key, start=start, end=end)
            return data
        except FileNotFoundError as error:
            raise NotFound(f"there is no object {self.url(key)}") from error
        except Exception as error:  # of any kind: each store has its own
            raise StoreError(f"cannot read {self.url(key)}: {type(error).__name__}: {error}") from error

    def entries(self, pattern: str) -> Iterator[Entry]:
        """Yield the objects that match a pattern. fsspec lists them all at once, by its own rules."""
        files = self._files()
        address = f"{self._protocol}://{pattern}"
        try:
            if has_wildcard(pattern) and not self._protocol.startswith("http"):
                found = files.glob(address, detail=True)
            elif files.isfile(address):
                found = {address: files.info(address)}
            else:
                found = files.find(address, detail=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreError(f"cannot list {address}: {type(error).__name__}: {error}") from error
        for key, about in sorted(found.items()):
            if about.get("type") == "file":
                if about.get("size") is None:
                    raise StoreError(f"{self.url(key)} does not say its size, which its readers need")
                yield Entry(key, about["size"], 0.0)
