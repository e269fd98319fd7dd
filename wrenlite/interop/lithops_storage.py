"""``Storage`` with Lithops' methods, on top of wrenlite's stores: a bucket of S3, or a folder."""

from __future__ import annotations

import io
import os
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from wrenlite.backends.factory import open_store
from wrenlite.errors import ConfigError, NotFound
from wrenlite.storage.base import Entry, Span, Store

LOCAL, S3 = "localhost", "aws_s3"
"""The names that Lithops has for the two kinds of storage."""
StorageNoSuchKeyError = NotFound
"""Lithops' name for the error of a key without an object."""


@dataclass(frozen=True)
class CloudObject:
    """Where an object is stored. ``Storage.get_cloudobject`` reads it."""

    backend: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"<CloudObject at {self.backend}://{self.bucket}/{self.key}>"


class Storage:
    """Objects by bucket and key. It is sent to tasks without credentials: each uses those that it finds.

    With ``localhost`` a bucket is a folder in the user's folder for data, which tasks on this machine reach.
    """

    def __init__(
        self,
        config: dict[str, Any] | None = None,
        backend: str | None = None,
        storage_config: dict[str, Any] | None = None,
        *,
        bucket: str = "",
        prefix: str = "",
    ) -> None:
        """Create a storage, which sends nothing yet.

        Args:
            config: a configuration of Lithops; only its choice of storage is used.
            backend: ``localhost`` or ``aws_s3``; default: as ``config`` or ``storage_config`` says.
            storage_config: Lithops' own form of both: ``{"backend": …, BACKEND: {"storage_bucket": …}}``.
            bucket: the default bucket.
            prefix: how the keys of ``put_cloudobject`` begin.

        Raises:
            ConfigError: it is another kind of storage.
        """
        given = dict(storage_config or {})
        if config:
            given = {"backend": (config.get("lithops") or {}).get("storage"), **config, **given}
        self.backend: str = backend or given.get("backend") or (S3 if bucket else LOCAL)
        if self.backend not in (LOCAL, S3):
            raise ConfigError(f"storage {self.backend!r}: must be {LOCAL!r} or {S3!r}")
        section = given.get(self.backend) or {}
        self.bucket: str = (
            bucket or section.get("storage_bucket") or ("storage" if self.backend == LOCAL else "")
        )
        self._prefix = prefix
        self._folder = _folder_of_buckets() if self.backend == LOCAL else Path()
        self._stores: dict[str, Store] = {}

    def __repr__(self) -> str:
        return f"Storage({self.backend}://{self.bucket})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stores": {}}

    def get_storage_config(self) -> dict[str, Any]:
        """Return what makes the same storage as ``storage_config=``."""
        return {"backend": self.backend, self.backend: {"storage_bucket": self.bucket}}

    def store(self, bucket: str | None) -> Store:
        """Return the store of a bucket; None: the default one.

        Raises:
            ConfigError: there is no default bucket, or a local one has a name that is no name of a folder.
        """
        name = bucket or self.bucket
        if self.backend == LOCAL and name and (name in (".", "..") or "/" in name or os.sep in name):
            raise ConfigError(f"{name!r:.80} is not the name of a bucket: it becomes a folder, and has no /")
        if not name:
            raise ConfigError("which bucket? Pass storage_config={'aws_s3': {'storage_bucket': NAME}}")
        if name not in self._stores:
            self._stores[name] = open_store(self._folder / name if self.backend == LOCAL else f"s3://{name}")
        return self._stores[name]

    # Objects by key

    def put_object(self, bucket: str, key: str, body: str | bytes | IO[Any]) -> None:
        """Write an object: bytes, a text, or what a file holds from its position on.

        Raises:
            ConfigError: the body is something else.
        """
        data: Any = body.read() if hasattr(body, "read") else body
        if not isinstance(data, str | bytes | bytearray | memoryview):
            raise ConfigError(f"body={body!r:.80}: must be bytes, a text or a file")
        self.store(bucket).put(key, data.encode() if isinstance(data, str) else bytes(data))

    def get_object(
        self, bucket: str, key: str, stream: bool = False, extra_get_args: dict[str, Any] | None = None
    ) -> Any:
        """Read an object.

        Args:
            bucket: its bucket.
            key: its key.
            stream: return a file that is read from, and not bytes.
            extra_get_args: ``{"Range": "bytes=FIRST-LAST"}`` reads a part.

        Raises:
            StorageNoSuchKeyError: there is no such object.
            ConfigError: another option is given.
        """
        data = self.store(bucket).get(key, _span(extra_get_args or {}))
        return io.BytesIO(data) if stream else data

    def upload_file(self, file_name: str, bucket: str, key: str | None = None, **_: Any) -> bool:
        """Write a file to an object, by default under the file's name."""
        self.store(bucket).put(key or os.path.basename(file_name), Path(file_name).read_bytes())
        return True

    def download_file(self, bucket: str, key: str, file_name: str | None = None, **_: Any) -> bool:
        """Read an object into a file, by default one of the key's last part in this folder."""
        Path(file_name or key.rpartition("/")[2]).write_bytes(self.store(bucket).get(key))
        return True

    def head_object(self, bucket: str, key: str) -> dict[str, str]:
        """Return the size of an object in bytes, as ``content-length``. Raises StorageNoSuchKeyError."""
        first = next(iter(self.store(bucket).list(key)), None)
        if first is None or first.key != key:
            raise StorageNoSuchKeyError(f"no object {key!r} in {self.backend}://{bucket}")
        return {"content-length": str(first.size)}

    def head_bucket(self, bucket: str) -> dict[str, Any]:
        """Check that a bucket can be listed."""
        next(iter(self.store(bucket).list("")), None)
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def delete_object(self, bucket: str, key: str) -> None:
        """Delete an object, if there is one."""
        self.store(bucket).delete([key])

    def delete_objects(self, bucket: str, key_list: Iterable[str]) -> None:
        """Delete objects; keys without one are ignored. Raises ConfigError for a text, which is one key."""
        if isinstance(key_list, str):
            raise ConfigError(f"key_list={key_list!r:.80}: must be a list of keys; delete_object deletes one")
        self.store(bucket).delete(key_list)

    def list_objects(
        self, bucket: str, prefix: str | None = None, match_pattern: str | None = None
    ) -> list[dict[str, Any]]:
        """Return key (``Key``) and size in bytes (``Size``) of the objects whose keys begin with a prefix.

        Args:
            bucket: the bucket.
            prefix: the prefix; None: all objects.
            match_pattern: a pattern with ``*`` that the whole key must match.
        """
        return [{"Key": each.key, "Size": each.size} for each in self._list(bucket, prefix, match_pattern)]

    def list_keys(self, bucket: str, prefix: str | None = None) -> list[str]:
        """Return the keys that begin with a prefix."""
        return [each.key for each in self._list(bucket, prefix)]

    def _list(self, bucket: str, prefix: str | None, pattern: str | None = None) -> Iterable[Entry]:
        for each in self.store(bucket).list(prefix or ""):
            if pattern is None or fnmatchcase(each.key, pattern):
                yield each

    # Objects whose keys nobody needs to know

    def put_cloudobject(
        self, body: str | bytes | IO[Any], bucket: str | None = None, key: str | None = None
    ) -> CloudObject:
        """Write an object under a new key, and return where it is."""
        key = key or "/".join(filter(None, (self._prefix, f"outputs/cloudobjects/{uuid.uuid4().hex}")))
        self.put_object(bucket or self.bucket, key, body)
        return CloudObject(self.backend, bucket or self.bucket, key)

    def get_cloudobject(self, cloudobject: CloudObject, stream: bool = False) -> Any:
        """Read an object."""
        return self.get_object(*self._place(cloudobject), stream=stream)

    def delete_cloudobject(self, cloudobject: CloudObject) -> None:
        """Delete an object."""
        self.delete_cloudobjects([cloudobject])

    def delete_cloudobjects(self, cloudobjects: Iterable[CloudObject]) -> None:
        """Delete objects, or none of them if one is of another kind of storage."""
        keys: dict[str, list[str]] = {}
        for bucket, key in [self._place(each) for each in cloudobjects]:
            keys.setdefault(bucket, []).append(key)
        for bucket, of_bucket in keys.items():
            self.delete_objects(bucket, of_bucket)

    def _place(self, cloudobject: CloudObject) -> tuple[str, str]:
        if cloudobject.backend != self.backend:
            raise ConfigError(f"{cloudobject} is not in this storage, which is {self!r}")
        return cloudobject.bucket, cloudobject.key


def _folder_of_buckets() -> Path:
    try:
        import platformdirs
    except ModuleNotFoundError:  # in a task on Lambda, whose zip is without it
        return Path(tempfile.gettempdir(), "wrenlite-storage")
    return Path(platformdirs.user_data_dir("wrenlite", appauthor=False), "storage")


def _span(options: dict[str, Any]) -> Span | None:
    """Return the part of an object that ``{"Range": "bytes=FIRST-LAST"}`` means; None: all of it."""
    if not options:
        return None
    first, dash, last = str(options.get("Range", "")).removeprefix("bytes=").partition("-")
    if (
        set(options) != {"Range"}
        or not dash
        or not (first.isdigit() and last.isdigit() and int(first) <= int(last))
    ):
        raise ConfigError(f"extra_get_args={options!r:.80}: must be {{'Range': 'bytes=FIRST-LAST'}}")
    return Span(int(first), int(last) - int(first) + 1)
