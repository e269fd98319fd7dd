"""Observe, upload and delete the archives in the bucket: the packages that do not fit into the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import Alias, Archives
from wrenlite.deploy.settings import Settings
from wrenlite.errors import StoreError

_DELETED_AT_ONCE = 1000
"""The most objects that one request deletes."""


class BucketArchives:
    """The archives of a deployment, each an object that is named after its digest."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        built: Callable[[], Path],
        observe_alias: Callable[[], Found | None],
    ) -> None:
        """Create an object for the archives. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
            built: returns the folder that holds the archives, when they have to be uploaded.
            observe_alias: returns the alias for new executors, with the published versions.
        """
        self._clients = clients
        self._prefix = f"{settings.prefix}/{settings.archives}"
        self._name = settings.archives_name
        self._bucket = {"Bucket": settings.bucket, "ExpectedBucketOwner": settings.account}
        self._built = built
        self._observe_alias = observe_alias

    def observe(self) -> Found | None:
        """Return the archives in the bucket; None where there are none."""
        with suppress_codes("404", "NoSuchBucket"):
            pages = self._clients["s3"].get_paginator("list_objects_v2")
            objects = [
                found
                for page in pages.paginate(Prefix=self._prefix, **self._bucket)
                for found in page.get("Contents", ())
            ]
            digests = tuple(sorted(found["Key"].removeprefix(self._prefix) for found in objects))
            if digests:
                size_bytes = sum(found["Size"] for found in objects)
                return Found(Archives(self._name, digests, size_bytes=size_bytes), managed=True)
        return None

    def create(self, want: Archives) -> None:
        """Upload the archives that are not in the bucket yet."""
        self.update(want)

    def update(self, want: Archives) -> None:
        """Upload the archives that are missing, and delete those that no version of the function needs."""
        found = self.observe()
        have = set(found.resource.digests) if found and isinstance(found.resource, Archives) else set()
        for digest in sorted(set(want.digests) - have):
            with (self._built() / digest).open("rb") as file:
                self._clients["s3"].put_object(Key=self._prefix + digest, Body=file, **self._bucket)
        self._delete(have - set(want.digests) - self._needed())

    def delete(self, have: Archives) -> None:
        """Delete all archives."""
        self._delete(have.digests)

    def _needed(self) -> set[str]:
        """Return the archives of all published versions that there are now."""
        found = self._observe_alias()
        if found is None or not isinstance(found.resource, Alias):
            return set()
        return {digest for version in found.resource.published for digest in version.archives}

    def _delete(self, digests: Iterable[str]) -> None:
        keys = [{"Key": self._prefix + digest} for digest in sorted(digests)]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            batch = {"Objects": keys[start : start + _DELETED_AT_ONCE], "Quiet": True}
            with suppress_codes("NoSuchBucket"):
                response = self._clients["s3"].delete_objects(Delete=batch, **self._bucket)
                for error in response.get("Errors", ()):
                    raise StoreError(
                        f"cannot delete s3://{self._bucket['Bucket']}/{error['Key']}: {error['Message']}"
                    )
