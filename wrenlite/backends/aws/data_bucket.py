"""``DataBucket``: a bucket of the user's, whose objects tasks read, whatever their keys are."""

from __future__ import annotations

from typing import Any

from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backoff import Patience
from wrenlite.errors import AccessDenied
from wrenlite.storage.base import Span


class DataBucket(S3Store):
    """A bucket to read from. A pickled one holds no credentials: each process uses its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._region, self._endpoint_url, self._profile, tuple(self.patience)
        return _rebuild, (self.bucket, *settings)

    def _checked(self, key: str) -> str:
        return key  # others made it: it may have empty parts, or end with a slash

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return an object, or a part of it. Raises as ``S3Store.get``."""
        try:
            return super().get(key, span)
        except AccessDenied as error:
            advice = f"On Lambda, wrenlite-setup --read {self.bucket} adds it to the role of the function"
            raise AccessDenied(f"{error}. {advice}") from error.__cause__

    def region(self) -> str | None:
        """Return the region of the bucket. Raises as ``S3Store.list``."""
        response = self._call("s3:ListBucket", "head_bucket", None)
        headers = response["ResponseMetadata"]["HTTPHeaders"]
        region: str | None = headers.get("x-amz-bucket-region") or response.get("BucketRegion")
        return region or self._connect().meta.region_name


def _rebuild(
    bucket: str,
    region: str | None,
    endpoint_url: str | None,
    profile: str | None,
    patience: tuple[float, float, int],
) -> DataBucket:
    return DataBucket(
        bucket, region=region, endpoint_url=endpoint_url, profile=profile, patience=Patience(*patience)
    )
