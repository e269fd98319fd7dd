"""Observe, create, secure and delete the bucket of a deployment."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.deploy.clients import Clients, retry, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import (
    TAG,
    Bucket,
    canonical_policy,
    canonical_rules,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import chosen_tags, dropped_tags, from_tag_list, is_ours, tag_list
from wrenlite.errors import ConfigError, StoreError

_CONSISTENT_S = 30.0
"""Seconds that S3 may take until a change can be seen, and until a deleted bucket is gone."""

_NO_ENCRYPTION = ("ServerSideEncryptionConfigurationNotFoundError", "NoSuchBucket", "404")


class BucketAccess(Enum):
    """What HeadBucket says about a bucket."""

    OPEN = "open"
    DENIED = "denied"
    """It exists, and these credentials may not look at it. The function's role is another identity."""
    MISSING = "missing"


def bucket_access(clients: Clients, name: str) -> BucketAccess:
    """Return whether a bucket of anybody's exists, and whether these credentials may look at it."""
    with suppress_codes("403"):
        with suppress_codes("404", "NoSuchBucket"):
            clients["s3"].head_bucket(Bucket=name)
            return BucketAccess.OPEN
        return BucketAccess.MISSING
    return BucketAccess.DENIED


def is_users_bucket(clients: Clients, name: str, *, account: str, region: str, function: str) -> bool:
    """Return whether a bucket exists that is not wrenlite's: it is used as it is, and never changed.

    Args:
        clients: the clients.
        name: name of the bucket.
        account: the account that deploys.
        region: the region of the deployment.
        function: name of the function.

    Raises:
        ConfigError: the bucket belongs to another account or another deployment, or is in another region.
    """
    from botocore.exceptions import ClientError

    s3 = clients["s3"]
    try:
        with suppress_codes("404", "NoSuchBucket"):
            bucket_region = s3.head_bucket(Bucket=name).get("BucketRegion", region)
            if bucket_region != region:
                raise ConfigError(
                    f"the bucket {name!r} is in {bucket_region}, and the function would be in {region}: "
                    f"choose --region {bucket_region}, or another --bucket"
                )
            tags = _read_tags(s3, name, account)
            if TAG in tags and not is_ours(tags, function):
                raise ConfigError(
                    f"the bucket {name!r} belongs to another function of wrenlite's, {tags[TAG]!r}, and is "
                    "deleted together with that one: choose another --bucket"
                )
            return TAG not in tags
    except ClientError as error:
        if error.response["ResponseMetadata"].get("HTTPStatusCode") != 403:
            raise
        raise ConfigError(
            f"the bucket {name!r} is another account's, or these credentials may not look at it "
            "(s3:ListBucket): choose another name with --bucket"
        ) from error
    return False


def encryption_key(clients: Clients, settings: Settings, bucket: str) -> str:
    """Return the ARN of the user's KMS key, or of its alias, with which S3 encrypts new objects in a bucket.

    It is an empty text where S3 or AWS has the key, where there is no such bucket, and where these
    credentials may not know.

    Args:
        clients: the clients.
        settings: settings of the deployment.
        bucket: name of the bucket.
    """
    known: dict[str, Any] = {}
    with suppress_codes(*_NO_ENCRYPTION, *errors.ACCESS_DENIED_CODES):
        response = clients["s3"].get_bucket_encryption(Bucket=bucket)
        for rule in response["ServerSideEncryptionConfiguration"]["Rules"]:
            known |= rule.get("ApplyServerSideEncryptionByDefault", {})
    key = str(known.get("KMSMasterKeyID", ""))
    if not known.get("SSEAlgorithm", "").startswith("aws:kms") or key.endswith("alias/aws/s3"):
        return ""
    if not key or key.startswith("arn:"):
        return key
    place = f"arn:{settings.partition}:kms:{settings.region}:{settings.account}"
    return f"{place}:{key}" if key.startswith("alias/") else f"{place}:key/{key}"


def _read_tags(s3: Any, name: str, account: str) -> dict[str, str]:
    with suppress_codes("NoSuchTagSet"):
        return from_tag_list(s3.get_bucket_tagging(Bucket=name, ExpectedBucketOwner=account)["TagSet"])
    return {}


class Buckets:
    """The bucket of a deployment."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Create an object for the bucket. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
        """
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """Return the bucket as it is; None where it does not exist, or is the user's own."""
        name, s3 = self._settings.bucket, self._clients["s3"]
        owner = {"ExpectedBucketOwner": self._settings.account}
        if not self._settings.managed_bucket:
            return None
        with suppress_codes("404", "NoSuchBucket"):
            s3.head_bucket(Bucket=name, **owner)
            policy, rules, is_blocked, is_owned, is_encrypted = "{}", "{}", False, False, False
            tags = _read_tags(s3, name, self._settings.account)
            with suppress_codes("NoSuchBucketPolicy"):
                policy = canonical_policy(json.loads(s3.get_bucket_policy(Bucket=name, **owner)["Policy"]))
            with suppress_codes("NoSuchLifecycleConfiguration"):
                response = s3.get_bucket_lifecycle_configuration(Bucket=name, **owner)
                rules = canonical_rules(response["Rules"])
            with suppress_codes("NoSuchPublicAccessBlockConfiguration"):
                response = s3.get_public_access_block(Bucket=name, **owner)
                is_blocked = all(response["PublicAccessBlockConfiguration"].values())
            with suppress_codes("OwnershipControlsNotFoundError"):
                response = s3.get_bucket_ownership_controls(Bucket=name, **owner)
                ownership = response["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
                is_owned = ownership == "BucketOwnerEnforced"
            with suppress_codes("ServerSideEncryptionConfigurationNotFoundError"):
                s3.get_bucket_encryption(Bucket=name, **owner)
                is_encrypted = True
            bucket = Bucket(
                name, policy, rules, is_blocked, is_owned, is_encrypted, chosen_tags(tags, self._settings)
            )
            return Found(bucket, is_ours(tags, self._settings.function))
        return None

    def create(self, want: Bucket) -> None:
        """Create the bucket together with its tag, so that it never exists without it; then secure it."""
        s3, region = self._clients["s3"], self._settings.region
        configuration: dict[str, Any] = {"Tags": tag_list(dict(want.tags))}
        if region != "us-east-1":
            configuration["LocationConstraint"] = region
        retry(
            lambda: s3.create_bucket(Bucket=want.name, CreateBucketConfiguration=configuration),
            timeout_s=_CONSISTENT_S,
            is_transient=_is_earlier_change,
        )
        s3.get_waiter("bucket_exists").wait(Bucket=want.name)
        self.update(want)

    def update(self, want: Bucket) -> None:
        """Change all settings that make the bucket private, and wait until S3 shows them."""
        retry(lambda: self._secure(want), timeout_s=_CONSISTENT_S, is_transient=_is_earlier_change)
        retry(
            self.observe,
            timeout_s=_CONSISTENT_S,
            is_ready=lambda found: found is None or found.resource == want,
            first_pause_s=0.1,
        )

    def _secure(self, want: Bucket) -> None:
        s3 = self._clients["s3"]
        bucket = {"Bucket": want.name, "ExpectedBucketOwner": self._settings.account}
        blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(PublicAccessBlockConfiguration=dict.fromkeys(blocks, True), **bucket)
        ownership = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(OwnershipControls=ownership, **bucket)
        rules = {"Rules": json.loads(want.lifecycle)}
        s3.put_bucket_lifecycle_configuration(LifecycleConfiguration=rules, **bucket)
        is_encrypted = False
        with suppress_codes("ServerSideEncryptionConfigurationNotFoundError"):
            s3.get_bucket_encryption(**bucket)  # perhaps with a key of the user's, which stays
            is_encrypted = True
        if not is_encrypted:
            encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
            s3.put_bucket_encryption(ServerSideEncryptionConfiguration=encryption, **bucket)
        s3.put_bucket_policy(Policy=want.policy, **bucket)
        self._set_tags(want)

    def _set_tags(self, want: Bucket) -> None:
        """Set the tags that differ. S3 replaces all tags at once, so those of others are sent back to it."""
        s3, owner = self._clients["s3"], self._settings.account
        found = _read_tags(s3, want.name, owner)
        dropped = dropped_tags(self._settings)
        tags = {key: value for key, value in found.items() if key not in dropped} | dict(want.tags)
        if tags != found:
            tagging = {"TagSet": tag_list(tags)}
            s3.put_bucket_tagging(Bucket=want.name, Tagging=tagging, ExpectedBucketOwner=owner)

    def delete(self, have: Bucket) -> None:
        """Delete all objects in the bucket, in all their versions, and the bucket."""
        with suppress_codes("NoSuchBucket"):
            self._delete(have)

    def _delete(self, have: Bucket) -> None:
        s3, owner = self._clients["s3"], {"ExpectedBucketOwner": self._settings.account}
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=have.name, **owner):
            versions = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            if objects:
                batch = {"Objects": objects, "Quiet": True}
                response = s3.delete_objects(Bucket=have.name, Delete=batch, **owner)
                for error in response.get("Errors", ()):
                    raise StoreError(f"cannot delete s3://{have.name}/{error['Key']}: {error['Message']}")
        s3.delete_bucket(Bucket=have.name, **owner)


def _is_earlier_change(error: Exception) -> bool:
    """Return whether S3 has not finished an earlier change of the bucket, so that the next one must wait."""
    return errors.code_and_message(error)[0] in ("OperationAborted", "NoSuchBucket")
