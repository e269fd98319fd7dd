"""The bucket: made private, and emptied before it is deleted."""

from __future__ import annotations

import json
import time
from typing import Any

from wrenlite.deploy.clients import Clients, absent, patiently
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import TAG, Bucket, Settings, canonical_policy, canonical_rules
from wrenlite.errors import ConfigError, StoreError

_SETTLES_S = 30.0
"""Seconds that S3 may take until what was changed is seen, and a bucket that was deleted is gone."""


def _soon(code: str, said: str) -> bool:
    """Whether S3 only has not done what it was told before."""
    return code in ("OperationAborted", "NoSuchBucket")


def is_users_own(clients: Clients, name: str, *, account: str, region: str, function: str) -> bool:
    """Whether that bucket is there without a tag of wrenlite's: then it is used as it is.

    Raises ConfigError where it belongs to another account or function, or lies in another region.
    """
    from botocore.exceptions import ClientError

    s3 = clients["s3"]
    try:
        with absent("404", "NoSuchBucket"):
            found = s3.head_bucket(Bucket=name)
            there = found.get("BucketRegion", region)
            if there != region:
                raise ConfigError(
                    f"the bucket {name!r} is in {there}, and the function would be in {region}: "
                    f"--region {there}, or another --bucket"
                )
            with absent("NoSuchTagSet"):
                found = s3.get_bucket_tagging(Bucket=name, ExpectedBucketOwner=account)
                tags = {tag["Key"]: tag["Value"] for tag in found["TagSet"]}
                if tags.get(TAG, function) != function:
                    raise ConfigError(
                        f"the bucket {name!r} belongs to another function of wrenlite's, {tags[TAG]!r}, and "
                        "goes when that is destroyed: choose another --bucket"
                    )
                return TAG not in tags
            return True
    except ClientError as error:
        if error.response["ResponseMetadata"].get("HTTPStatusCode") != 403:
            raise
        raise ConfigError(
            f"the bucket {name!r} is another account's, or these credentials may not look at it "
            "(s3:ListBucket): choose another name with --bucket"
        ) from error
    return False


class Buckets:
    """The bucket."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """What is there; None where it is the user's own, and used as it is."""
        name, s3 = self._settings.bucket, self._clients["s3"]
        owner = {"ExpectedBucketOwner": self._settings.account}
        if not self._settings.managed_bucket:
            return None
        with absent("404", "NoSuchBucket"):
            s3.head_bucket(Bucket=name, **owner)
            tags: dict[str, str] = {}
            policy, rules, blocked, owned, encrypted = "{}", "{}", False, False, False
            with absent("NoSuchTagSet"):
                found = s3.get_bucket_tagging(Bucket=name, **owner)["TagSet"]
                tags = {tag["Key"]: tag["Value"] for tag in found}
            with absent("NoSuchBucketPolicy"):
                policy = canonical_policy(json.loads(s3.get_bucket_policy(Bucket=name, **owner)["Policy"]))
            with absent("NoSuchLifecycleConfiguration"):
                answer = s3.get_bucket_lifecycle_configuration(Bucket=name, **owner)
                rules = canonical_rules(answer["Rules"])
            with absent("NoSuchPublicAccessBlockConfiguration"):
                answer = s3.get_public_access_block(Bucket=name, **owner)
                blocked = all(answer["PublicAccessBlockConfiguration"].values())
            with absent("OwnershipControlsNotFoundError"):
                answer = s3.get_bucket_ownership_controls(Bucket=name, **owner)
                owned = answer["OwnershipControls"]["Rules"][0]["ObjectOwnership"] == "BucketOwnerEnforced"
            with absent("ServerSideEncryptionConfigurationNotFoundError"):
                s3.get_bucket_encryption(Bucket=name, **owner)
                encrypted = True
            bucket = Bucket(name, policy, rules, blocked, owned, encrypted)
            return Found(bucket, tags.get(TAG) == self._settings.function)
        return None

    def create(self, want: Bucket) -> None:
        """Make it with its tag, so that it is never there without; then secure it."""
        s3, region = self._clients["s3"], self._settings.region
        made: dict[str, Any] = {"Tags": [{"Key": TAG, "Value": self._settings.function}]}
        if region != "us-east-1":
            made["LocationConstraint"] = region
        patiently(
            lambda: s3.create_bucket(Bucket=want.name, CreateBucketConfiguration=made), _soon, _SETTLES_S
        )
        s3.get_waiter("bucket_exists").wait(Bucket=want.name)
        self.update(want)

    def update(self, want: Bucket) -> None:
        """Set everything that makes it private, and wait until S3 says so."""
        patiently(lambda: self._secure(want), _soon, _SETTLES_S)
        pause, end = 0.1, time.monotonic() + _SETTLES_S
        while (found := self.observe()) is not None and found.resource != want and time.monotonic() < end:
            time.sleep(pause)
            pause *= 2

    def _secure(self, want: Bucket) -> None:
        s3 = self._clients["s3"]
        mine = {"Bucket": want.name, "ExpectedBucketOwner": self._settings.account}
        blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(PublicAccessBlockConfiguration=dict.fromkeys(blocks, True), **mine)
        rule = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(OwnershipControls=rule, **mine)
        rules = {"Rules": json.loads(want.lifecycle)}
        s3.put_bucket_lifecycle_configuration(LifecycleConfiguration=rules, **mine)
        encrypted = False
        with absent("ServerSideEncryptionConfigurationNotFoundError"):
            s3.get_bucket_encryption(**mine)  # perhaps with a key of the user's, which stays
            encrypted = True
        if not encrypted:
            sse = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
            s3.put_bucket_encryption(ServerSideEncryptionConfiguration=sse, **mine)
        s3.put_bucket_policy(Policy=want.policy, **mine)

    def delete(self, have: Bucket) -> None:
        """Empty it, and delete it."""
        with absent("NoSuchBucket"):
            self._delete(have)

    def _delete(self, have: Bucket) -> None:
        s3, owner = self._clients["s3"], {"ExpectedBucketOwner": self._settings.account}
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=have.name, **owner):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            if objects:
                gone = {"Objects": objects, "Quiet": True}
                failed = s3.delete_objects(Bucket=have.name, Delete=gone, **owner).get("Errors", ())
                for one in failed:
                    raise StoreError(f"s3://{have.name}/{one['Key']} cannot be deleted: {one['Message']}")
        s3.delete_bucket(Bucket=have.name, **owner)
