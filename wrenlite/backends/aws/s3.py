"""``S3Store``: blobs in an S3 bucket, on AWS or on a server that speaks S3 (Ceph's radosgw, MinIO, moto)."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wrenlite.backends.aws.errors import access_denied, call_s3, code_and_message, is_access_denied
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backoff import Patience, retry
from wrenlite.errors import AccessDenied, StoreError
from wrenlite.storage.base import KEY_BYTES, Entry, Span, StoreRequests, check_blob, check_key

_DELETE_BATCH = 1000
"""The most objects that one DeleteObjects request takes."""
CLIENT_PATIENCE = Patience(total_s=60.0)
"""How long a client repeats a request that S3 does not serve for the moment."""
WORKER_PATIENCE = Patience(total_s=30.0)
"""The same in a function, whose waiting is paid for. What fails there is tried again by the client."""
_TRANSIENT_STATUSES = frozenset({409, 429, 500, 502, 503, 504})
"""409 is the answer to a conditional put while another put of the same key is under way."""
_TRANSIENT_CODES = frozenset({"RequestTimeout", "SlowDown", "Throttling", "InternalError"})
CONNECTIONS = 32
"""Requests to S3 at once; further ones wait for a connection."""


class S3Store:
    """A store under a prefix of a bucket. Many processes can use it at once.

    A pickled store holds no credentials: the process that unpickles it uses its own.
    """

    _conditions: Mapping[str, str] = {}
    """What each request that reads an object says beside its key."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        session: AwsSession | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        owner: str | None = None,
        profile: str | None = None,
        requester_pays: bool = False,
        patience: Patience = CLIENT_PATIENCE,
    ) -> None:
        """Create a store. It sends nothing yet, and does not create the bucket.

        Args:
            bucket: name of the bucket.
            prefix: how all keys begin, without a slash at either end.
            session: gives the credentials; None: the credentials that botocore's own chain finds.
            region: region of the bucket; None: the session's region.
            endpoint_url: URL of an S3 server other than AWS's.
            owner: the account that the bucket must belong to. A bucket of the same name that belongs to
                somebody else, who created it after ours was deleted, is refused.
            profile: the profile for credentials where there is no session, on machines that have it.
            requester_pays: say in each request that this account pays for it: some buckets require that.
            patience: how long a request is repeated while S3 fails, asks to slow down or cannot be reached.
        """
        self.bucket = bucket
        self.prefix = prefix
        self.patience = patience
        self._session = session
        self._region = region
        self._endpoint_url = endpoint_url
        self._owner = owner
        self._profile = profile
        self._requester_pays = requester_pays
        self.requests = StoreRequests()
        """The requests so far that S3 charges for; deleting is free."""
        self._lock = threading.RLock()  # a signal handler may interrupt the block that holds it
        self._client: Any = None
        self._client_session: Any = None

    def __repr__(self) -> str:
        return f"S3Store('s3://{self.bucket}/{self.prefix}')"

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._region, self._endpoint_url, self._owner, self._profile, self._requester_pays
        return _rebuild, (self.bucket, self.prefix, *settings, tuple(self.patience))

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a blob.

        Args:
            key: key of the blob.
            data: its content.
            if_absent: do not overwrite a blob that already has this key.

        Returns:
            Whether the blob was written.

        Raises:
            StoreError: S3 cannot be reached, or refuses the blob.
            AccessDenied: no policy allows it.
            CredentialsError: there are no credentials, or AWS does not accept them.
        """
        body = _body(key, data)
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        try:
            self._call("s3:PutObject", "put_object", key, Body=body, **condition)
        except StoreError as error:
            if if_absent and http_status(error) == 412:
                return False
            raise
        return True

    def repair(self, key: str, data: bytes) -> bool:
        """Write a blob, unless its ETag shows that it is there already.

        The ETag is the MD5 of most blobs, and any other text where a bucket encrypts with a key of AWS KMS.
        There the blob is always written, and nothing is known about the one before.

        Args:
            key: key of the blob.
            data: its content.

        Returns:
            Whether another blob was certainly there, and was replaced.

        Raises:
            StoreError: S3 cannot be reached, or refuses the blob.
            AccessDenied: no policy allows it.
            CredentialsError: there are no credentials, or AWS does not accept them.
        """
        body = _body(key, data)
        page = self._call("s3:ListBucket", "list_objects_v2", None, Prefix=self._full(key), MaxKeys=1)
        tags = [found["ETag"] for found in page.get("Contents", ()) if found["Key"] == self._full(key)]
        md5 = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if tags == [md5]:
            return False
        written = self._call("s3:PutObject", "put_object", key, Body=body)
        return bool(tags) and written["ETag"] == md5

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Read a blob, or a part of it.

        Args:
            key: key of the blob.
            span: the part; None: the whole blob.

        Raises:
            NotFound: there is no such blob.
            StoreError: S3 cannot be reached, or the connection broke several times.
            AccessDenied: no policy allows it.
            CredentialsError: there are no credentials, or AWS does not accept them.
        """
        part = {} if span is None else {"Range": f"bytes={span.start}-{span.start + span.length - 1}"}
        data: bytes = self._call("s3:GetObject", "get_object", key, **part, **self._conditions)["Body"]
        return data

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """List the blobs under a prefix, in the order of their keys.

        Args:
            prefix: how the keys begin.
            after: leave out keys up to this one.
        """
        position: dict[str, str] = {"StartAfter": self._full(after)} if after else {}
        skip = len(self._full(""))
        while True:
            page = self._call("s3:ListBucket", "list_objects_v2", None, Prefix=self._full(prefix), **position)
            for found in page.get("Contents", ()):
                yield Entry(found["Key"][skip:], found["Size"], found["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            position = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs, a thousand per request."""
        rest = iter(keys)
        while batch := [{"Key": self._checked(key)} for key in itertools.islice(rest, _DELETE_BATCH)]:
            response = self._call(
                "s3:DeleteObject", "delete_objects", None, Delete={"Objects": batch, "Quiet": True}
            )
            for error in response.get("Errors", ()):
                if is_access_denied(error["Code"]):
                    arn = f"arn:{self._connect().meta.partition}:s3:::{self.bucket}/{error['Key']}"
                    raise access_denied("s3:DeleteObject", arn)
                raise StoreError(f"cannot delete s3://{self.bucket}/{error['Key']}: {error['Code']}")

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _checked(self, key: str) -> str:
        """Return the whole key of a blob in the bucket.

        Raises:
            StoreError: it cannot be used.
        """
        check_key(key)
        full = self._full(key)
        if len(full.encode()) > KEY_BYTES:
            raise StoreError(
                f"{key!r:.80} is not a key: with the store's prefix {self.prefix!r:.80} it is longer than "
                f"{KEY_BYTES:,} bytes, the most that S3 takes"
            )
        return full

    def _call(self, action: str, method: str, key: str | None, **parameters: Any) -> Any:
        full = None
        if key is not None:
            full = self._checked(key)
            parameters["Key"] = full
        if self._owner is not None:
            parameters["ExpectedBucketOwner"] = self._owner
        if self._requester_pays:
            parameters["RequestPayer"] = "requester"

        def call() -> Any:
            self._count(method)
            response = call_s3(action, self.bucket, full, self._connect(), method, **parameters)
            return (
                {**response, "Body": self._read(full, response["Body"])} if "Body" in response else response
            )

        try:
            return retry(call, _is_transient, self.patience)
        except StoreError as error:
            if not _is_transient(error):
                raise
            raise StoreError(f"{error}. It was tried for {self.patience.total_s:g} s") from error.__cause__
        except AccessDenied as error:
            if self._owner is None:
                raise
            doubt = f"; or the bucket does not belong to the account {self._owner} (bucket_owner=)"
            raise AccessDenied(str(error) + doubt) from error.__cause__

    def _count(self, method: str) -> None:
        with self._lock:
            puts, gets = self.requests
            if method == "get_object":
                self.requests = StoreRequests(puts, gets + 1)
            elif method != "delete_objects":
                self.requests = StoreRequests(puts + 1, gets)

    def _read(self, full: str | None, body: Any) -> bytes:
        try:
            data: bytes = body.read()
            return data
        except MemoryError:
            raise
        except Exception as error:  # botocore has several for a connection that breaks
            raise StoreError(
                f"cannot read s3://{self.bucket}/{full}: the connection broke: {error}"
            ) from error

    def _connect(self) -> Any:
        """Return the client. It is created at the first use: that takes 0.1 s, after botocore's import."""
        with self._lock:
            renewed = self._session and self._session.botocore_session is not self._client_session
            if self._client is None or renewed:
                self._client_session = self._botocore_session()
                self._client = self._client_session.create_client(
                    "s3",
                    region_name=self._region,
                    endpoint_url=self._endpoint_url,
                    config=_client_config(self._endpoint_url),
                )
            return self._client

    def _botocore_session(self) -> Any:
        from botocore.session import Session

        if self._session is not None:
            return self._session.botocore_session
        session = Session()
        if self._profile in session.available_profiles:
            session.set_config_variable("profile", self._profile)
        return session


def _body(key: str, data: bytes) -> bytes | bytearray:
    """Return a blob as a type that botocore takes."""
    check_blob(key, data)
    return data if isinstance(data, bytes | bytearray) else bytes(data)


def _client_config(endpoint_url: str | None) -> Any:
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},  # the store itself repeats requests
        max_pool_connections=CONNECTIONS,
        connect_timeout=10,
        read_timeout=60,
    )
    other_server = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not other_server:
        return config
    # Servers other than AWS's know neither the newer checksums nor buckets as host names.
    return config.merge(
        Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
    )


def http_status(error: StoreError) -> int:
    """Return the HTTP status of the response that an error came from; 0 where there was no response."""
    from botocore.exceptions import ClientError

    cause = error.__cause__
    return int(cause.response["ResponseMetadata"]["HTTPStatusCode"]) if isinstance(cause, ClientError) else 0


def _is_transient(error: Exception) -> bool:
    """Return whether an error of S3 may pass by itself: the service or the network fails for the moment."""
    from botocore import exceptions

    cause = error.__cause__
    if not isinstance(error, StoreError) or cause is None:
        return False
    if isinstance(cause, exceptions.ClientError):
        return http_status(error) in _TRANSIENT_STATUSES or code_and_message(cause)[0] in _TRANSIENT_CODES
    if isinstance(cause, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return False
    may_pass = exceptions.ConnectionError | exceptions.HTTPClientError | exceptions.IncompleteReadError
    return isinstance(cause, may_pass) or not isinstance(cause, exceptions.BotoCoreError)


def _rebuild(
    bucket: str,
    prefix: str,
    region: str | None,
    endpoint_url: str | None,
    owner: str | None,
    profile: str | None,
    requester_pays: bool,
    patience: tuple[float, float, int],
) -> S3Store:
    return S3Store(
        bucket,
        prefix,
        region=region,
        endpoint_url=endpoint_url,
        owner=owner,
        profile=profile,
        requester_pays=requester_pays,
        patience=Patience(*patience),
    )
