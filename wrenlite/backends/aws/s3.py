"""Uploads in an S3 bucket, on AWS or on a server that speaks its protocol (Ceph's radosgw, MinIO, moto)."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from wrenlite.backends.aws.errors import call_s3, denied
from wrenlite.backends.aws.session import AwsSession
from wrenlite.errors import AccessDenied, StoreError
from wrenlite.storage.base import (
    Entry,
    Span,
    check_key,
)

_DELETED_AT_ONCE = 1000
"""What one DeleteObjects takes."""
_RACES = 5
"""How often a conditional put is tried again that lost a race which nobody has won yet (409)."""
_READS = 3
"""How often a body is read that breaks off."""
CONNECTIONS = 32
"""Requests to S3 at once, beyond which they wait for each other."""


class S3Store:
    """A store under a prefix of a bucket, which many processes use at once.

    Travels without credentials: whoever unpickles it uses those it finds itself.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        login: AwsSession | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        owner: str | None = None,
        profile: str | None = None,
        requester_pays: bool = False,
    ) -> None:
        """Args:
        bucket: where.
        prefix: what all keys begin with, without a slash at its ends.
        login: whose credentials are used; default: those that botocore's own chain finds.
        region: of the bucket; default: the session's.
        endpoint_url: of another server than AWS's.
        owner: the account that the bucket must belong to: a name that somebody else took over is refused.
        profile: whose credentials are used where there is no login, on machines that know it.
        requester_pays: say that this account pays for requests, without which some buckets refuse them.
        """
        self.bucket = bucket
        self.prefix = prefix
        self._login = login
        self._region = region
        self._endpoint_url = endpoint_url
        self._owner = owner
        self._profile = profile
        self._requester_pays = requester_pays
        self._lock = threading.Lock()
        self._client: Any = None
        self._session: Any = None

    def __repr__(self) -> str:
        return f"S3Store('s3://{self.bucket}/{self.prefix}')"

    def __reduce__(self) -> tuple[Any, ...]:
        places = self._region, self._endpoint_url, self._owner, self._profile, self._requester_pays
        return _rebuild, (self.bucket, self.prefix, *places)

    def open(self) -> None:
        """Import botocore and make the client. What goes wrong, the first call will say."""
        with contextlib.suppress(Exception):
            self._connect()

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a blob. Raises StoreError, AccessDenied, CredentialsError."""
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if if_absent else {}
        for _ in range(_RACES):
            try:
                self._call("s3:PutObject", "put_object", key, Body=data, **condition)
            except StoreError as error:
                cause = error.__cause__
                status = (
                    cause.response["ResponseMetadata"]["HTTPStatusCode"]
                    if isinstance(cause, ClientError)
                    else 0
                )
                if if_absent and status == 412:
                    return False
                if if_absent and status == 409:
                    continue
                raise
            return True
        raise StoreError(f"s3://{self.bucket}/{self._full(key)} is written by others without end")

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Read a blob or a part of it. Raises NotFound, StoreError, AccessDenied, CredentialsError."""
        part = {} if span is None else {"Range": f"bytes={span.start}-{span.start + span.length - 1}"}
        for attempt in range(_READS):
            answer = self._call("s3:GetObject", "get_object", key, **part)
            try:
                data: bytes = answer["Body"].read()
                return data
            except MemoryError:
                raise
            except Exception as error:  # botocore has several for a body that breaks off
                if attempt == _READS - 1:
                    text = f"s3://{self.bucket}/{self._full(key)} broke off: {error}"
                    raise StoreError(text) from error
        raise AssertionError

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """The blobs under a prefix, in the order of their keys."""
        more: dict[str, str] = {"StartAfter": self._full(after)} if after else {}
        skip = len(self._full(""))
        while True:
            page = self._call("s3:ListBucket", "list_objects_v2", None, Prefix=self._full(prefix), **more)
            for found in page.get("Contents", ()):
                yield Entry(found["Key"][skip:], found["Size"], found["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, keys: Iterable[str]) -> None:
        """Remove blobs, a thousand at a time."""
        rest = iter(keys)
        while batch := [{"Key": self._full(key)} for key in itertools.islice(rest, _DELETED_AT_ONCE)]:
            answer = self._call(
                "s3:DeleteObject", "delete_objects", None, Delete={"Objects": batch, "Quiet": True}
            )
            for error in answer.get("Errors", ()):
                if error["Code"] == "AccessDenied":
                    raise denied("s3:DeleteObject", f"arn:aws:s3:::{self.bucket}/{error['Key']}")
                raise StoreError(f"cannot delete s3://{self.bucket}/{error['Key']}: {error['Code']}")

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _call(self, action: str, method: str, key: str | None, **parameters: Any) -> Any:
        full = None
        if key is not None:
            check_key(key)
            full = self._full(key)
            parameters["Key"] = full
        if self._owner is not None:
            parameters["ExpectedBucketOwner"] = self._owner
        if self._requester_pays:
            parameters["RequestPayer"] = "requester"
        try:
            return call_s3(action, self.bucket, full, getattr(self._connect(), method), **parameters)
        except AccessDenied as error:
            if self._owner is None:
                raise
            doubt = f"; or the bucket does not belong to the account {self._owner} (bucket_owner=)"
            raise AccessDenied(str(error) + doubt) from error.__cause__

    def _connect(self) -> Any:
        """The client, made when it is first needed: 0.1 s, and botocore's import before it."""
        with self._lock:
            if self._client is None or (self._login and self._login.session is not self._session):
                from botocore.config import Config
                from botocore.session import Session

                self._session = self._login.session if self._login else Session()
                if not self._login and self._profile in self._session.available_profiles:
                    self._session.set_config_variable("profile", self._profile)
                # Servers other than AWS's do not know the newer checksums, nor buckets as host names.
                elsewhere = {
                    "request_checksum_calculation": "when_required",
                    "response_checksum_validation": "when_required",
                    "s3": {"addressing_style": "path"},
                }
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": 5},
                    max_pool_connections=CONNECTIONS,
                    connect_timeout=10,
                    read_timeout=60,
                )
                if self._endpoint_url or _endpoint_in_environment():
                    config = config.merge(Config(**elsewhere))
                self._client = self._session.create_client(
                    "s3", region_name=self._region, endpoint_url=self._endpoint_url, config=config
                )
            return self._client


def _endpoint_in_environment() -> bool:
    return bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))


def _rebuild(
    bucket: str,
    prefix: str,
    region: str | None,
    endpoint_url: str | None,
    owner: str | None,
    profile: str | None,
    requester_pays: bool,
) -> S3Store:
    return S3Store(
        bucket,
        prefix,
        region=region,
        endpoint_url=endpoint_url,
        owner=owner,
        profile=profile,
        requester_pays=requester_pays,
    )
