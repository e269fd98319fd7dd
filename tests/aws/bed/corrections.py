"""Where moto does other than AWS, and it matters here."""

import json
import re

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeBucket


def take_loopback_for_tls() -> None:
    """Let a bucket's policy that demands TLS be.

    moto heeds statements and not their conditions, so that ``Deny`` without TLS would deny everything.
    """
    as_it_is = FakeBucket.get_permission

    def without_conditions(self, action, resource):
        whole = self.policy
        if whole is None:
            return as_it_is(self, action, resource)
        policy = json.loads(whole)
        policy["Statement"] = [one for one in policy["Statement"] if "Condition" not in one]
        try:
            self.policy = json.dumps(policy).encode()
            return as_it_is(self, action, resource)
        finally:
            self.policy = whole

    FakeBucket.get_permission = without_conditions


def tag_bucket(name: str, creation: bytes) -> None:
    """Give a new bucket the tags that its creation asked for: moto drops them."""
    found = re.findall(rb"<Key>([^<]*)</Key><Value>([^<]*)</Value>", creation)
    tags = {key.decode(): value.decode() for key, value in found}
    get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].put_bucket_tagging(name, tags)


def write_log(group: str, region: str, stream: str, lines: list[str], when_ms: int) -> None:
    """Put what an invocation printed into the function's log group, where there is one."""
    logs = get_backend("logs")[DEFAULT_ACCOUNT_ID][region]
    if group in logs.groups and lines:
        if stream not in logs.groups[group].streams:
            logs.create_log_stream(group, stream)
        events = [{"timestamp": when_ms, "message": line} for line in lines]
        logs.put_log_events(group, stream, events)
