"""Corrections of moto where it differs from AWS in ways that matter to these tests."""

import json
import re

from moto.awslambda.models import LambdaFunction
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.logs.metric_filters import MetricFilters
from moto.s3.models import FakeBucket


def ignore_policy_conditions() -> None:
    """Make moto ignore the statements of a bucket policy that have a condition.

    moto applies statements without checking their conditions: the statement that denies requests without TLS
    would deny every request.
    """
    original = FakeBucket.get_permission

    def without_conditions(self, action, resource):
        whole_policy = self.policy
        if whole_policy is None:
            return original(self, action, resource)
        policy = json.loads(whole_policy)
        policy["Statement"] = [each for each in policy["Statement"] if "Condition" not in each]
        try:
            self.policy = json.dumps(policy).encode()
            return original(self, action, resource)
        finally:
            self.policy = whole_policy

    FakeBucket.get_permission = without_conditions


def keep_storage_and_architecture() -> None:
    """Make moto keep two settings of a function that it ignores in changes."""

    def update_configuration(self, changes):
        self.ephemeral_storage = changes.get("EphemeralStorage", {}).get("Size", self.ephemeral_storage)
        return original_settings(self, changes)

    def update_code(self, changes):
        self.architectures = changes.get("Architectures", self.architectures)
        return original_code(self, changes)

    original_settings = LambdaFunction.update_configuration
    original_code = LambdaFunction.update_function_code
    LambdaFunction.update_configuration = update_configuration
    LambdaFunction.update_function_code = update_code


def replace_metric_filters() -> None:
    """Make moto replace a metric filter that is written again: it would keep both."""
    original = MetricFilters.add_filter

    def add_filter(self, name, pattern, group, changes):
        self.delete_filter(name, group)
        original(self, name, pattern, group, changes)

    MetricFilters.add_filter = add_filter


def tag_bucket(name: str, creation: bytes) -> None:
    """Give a new bucket the tags of the request that created it, since moto drops them.

    Args:
        name: name of the bucket.
        creation: body of that request.
    """
    found = re.findall(rb"<Key>([^<]*)</Key><Value>([^<]*)</Value>", creation)
    tags = {key.decode(): value.decode() for key, value in found}
    get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].put_bucket_tagging(name, tags)


def write_log(group: str, region: str, stream: str, lines: list[str], when_ms: int) -> None:
    """Write the output of an invocation into the function's log group, if that group exists."""
    logs = get_backend("logs")[DEFAULT_ACCOUNT_ID][region]
    if group in logs.groups and lines:
        if stream not in logs.groups[group].streams:
            logs.create_log_stream(group, stream)
        events = [{"timestamp": when_ms, "message": line} for line in lines]
        logs.put_log_events(group, stream, events)
