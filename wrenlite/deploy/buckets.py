"""The bucket: made private, and emptied before it is deleted."""

from __future__ import annotations

import json

from wrenlite.deploy.clients import Clients, absent
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import TAG, Bucket, Settings, canonical


class Buckets:
    """The bucket."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """What is there; None where it is the user's own, and used as it is."""
        name, s3 = self._settings.bucket, self._clients["s3"]
        owner = {"ExpectedBucketOwner": self._settings.account}
        if not self._settings.own_bucket:
            return None
        with absent("404", "NoSuchBucket"):
            s3.head_bucket(Bucket=name, **owner)
            tags: dict[str, str] = {}
            policy, rules, blocked, owned, encrypted = "{}", "{}", False, False, False
            with absent("NoSuchTagSet"):
                found = s3.get_bucket_tagging(Bucket=name, **owner)["TagSet"]
                tags = {tag["Key"]: tag["Value"] for tag in found}
            with absent("NoSuchBucketPolicy"):
                policy = canonical(json.loads(s3.get_bucket_policy(Bucket=name, **owner)["Policy"]))
            with absent("NoSuchLifecycleConfiguration"):
                answer = s3.get_bucket_lifecycle_configuration(Bucket=name, **owner)
                rules = canonical({"Rules": answer["Rules"]})
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
        """Make it, tag it first of all, then secure it."""
        s3, region = self._clients["s3"], self._settings.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=want.name, **place)
        s3.get_waiter("bucket_exists").wait(Bucket=want.name)
        tags = {"TagSet": [{"Key": TAG, "Value": self._settings.function}]}
        s3.put_bucket_tagging(Bucket=want.name, Tagging=tags)
        self.update(want)

    def update(self, want: Bucket) -> None:
        """Set everything that makes it private."""
        s3 = self._clients["s3"]
        mine = {"Bucket": want.name, "ExpectedBucketOwner": self._settings.account}
        blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(PublicAccessBlockConfiguration=dict.fromkeys(blocks, True), **mine)
        rule = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(OwnershipControls=rule, **mine)
        sse = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        s3.put_bucket_encryption(ServerSideEncryptionConfiguration=sse, **mine)
        s3.put_bucket_lifecycle_configuration(LifecycleConfiguration=json.loads(want.lifecycle), **mine)
        s3.put_bucket_policy(Policy=want.policy, **mine)

    def delete(self, have: Bucket) -> None:
        """Empty it, and delete it."""
        s3 = self._clients["s3"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=have.name):
            objects = [{"Key": found["Key"]} for found in page.get("Contents", ())]
            if objects:
                s3.delete_objects(Bucket=have.name, Delete={"Objects": objects, "Quiet": True})
        s3.delete_bucket(Bucket=have.name)
