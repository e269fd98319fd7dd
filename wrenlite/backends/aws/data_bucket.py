"""``DataBucket``: a bucket of the user's, whose objects tasks read, whatever their keys are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wrenlite.backends.aws.s3 import S3Store, http_status
from wrenlite.backoff import Patience
from wrenlite.errors import AccessDenied, NotFound, StoreError
from wrenlite.storage.base import Span


class DataBucket(S3Store):
    """A bucket to read from. A pickled one holds no credentials: each process uses its own."""

    def __init__(self, bucket: str, *, conditions: Mapping[str, str] | None = None, **settings: Any) -> None:
        """Create a bucket.

        Args:
            bucket: its name.
            conditions: what each request that reads says beside the key; see ``only``.
            **settings: of an ``S3Store``.
        """
        super().__init__(bucket, **settings)
        self._conditions = conditions or {}

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._region, self._endpoint_url, self._profile, tuple(self.patience)
        return _rebuild, (self.bucket, *settings, self._conditions)

    def _checked(self, key: str) -> str:
        return key  # others made it: it may have empty parts, or end with a slash

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return an object, or a part of it. Raises as ``S3Store.get``."""
        try:
            return super().get(key, span)
        except AccessDenied as error:
            advice = f"On Lambda, wrenlite-setup --read {self.bucket} adds it to the role of the function"
            raise AccessDenied(f"{error}. {advice}") from error.__cause__
        except StoreError as error:
            if http_status(error) != 412:
                raise
            text = "was replaced after the event that this start is for. The new one is an event of its own"
            raise NotFound(f"s3://{self.bucket}/{key} {text}") from error.__cause__

    def region(self) -> str | None:
        """Return the region of the bucket. Raises as ``S3Store.list``."""
        response = self._call("s3:ListBucket", "head_bucket", None)
        headers = response["ResponseMetadata"]["HTTPHeaders"]
        region: str | None = headers.get("x-amz-bucket-region") or response.get("BucketRegion")
        return region or self._connect().meta.region_name


def only(version: str | None, etag: str) -> dict[str, str]:
    """Return the conditions to read nothing but one object, also once there is another one with its key.

    Args:
        version: version of the object; None: its bucket has none.
        etag: its ETag, without quotes.
    """
    return {"IfMatch": f'"{etag}"'} if version is None else {"VersionId": version}


def _rebuild(
    bucket: str,
    region: str | None,
    endpoint_url: str | None,
    profile: str | None,
    patience: tuple[float, float, int],
    conditions: Mapping[str, str],
) -> DataBucket:
    return DataBucket(
        bucket,
        conditions=conditions,
        region=region,
        endpoint_url=endpoint_url,
        profile=profile,
        patience=Patience(*patience),
    )
