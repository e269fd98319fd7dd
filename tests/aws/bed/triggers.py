"""What invokes functions without being asked: notifications of buckets, and rules of EventBridge.

moto keeps the configurations. Here they are checked as AWS checks them when they are made, and the events are
put into the queue of asynchronous invocations, if the policy of the function allows that.
"""

import fnmatch
import itertools
import json
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from moto.awslambda.policy import Policy
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult
from moto.s3 import notifications
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, Notification
from moto.s3.responses import S3Response

_sequence = itertools.count(time.time_ns())
"""A later event of an object has a larger number."""


_SKIPS = "SkipDestinationValidation"


class _InvalidError(S3ClientError):
    code = 400

    def __init__(self, message: str) -> None:
        super().__init__("InvalidArgument", message)


class _ConflictError(JsonRESTError):
    code = 409

    def __init__(self, message: str) -> None:
        super().__init__("ResourceConflictException", message)


def correct_triggers(plane: Any) -> None:
    """Make moto treat triggers as AWS does.

    Args:
        plane: the data plane, which takes the events.
    """
    notifications.send_event = lambda account, event, bucket, key: _notify(plane, event, bucket, key)
    FakeBucket.set_notification_configuration = _checked(FakeBucket.set_notification_configuration)
    S3Response.get_bucket_notification = _get_bucket_notification
    S3Response._notification_config_from_body = _in_small_letters(S3Response._notification_config_from_body)
    Notification._key_matches = _with_encoded_keys(Notification._key_matches)
    Policy.condition_merge = _with_conditions_of_urls(Policy.condition_merge)
    Policy.add_statement = _once(Policy.add_statement)


def may_invoke(function: Any, action: str, principal: Any, **source: str) -> bool:
    """Return whether the policy of a function lets somebody do something with it.

    Args:
        function: the function.
        action: the action.
        principal: who does it, as a statement names it.
        **source: the values of the conditions, by the key after its colon.
    """

    def fits(statement: dict[str, Any]) -> bool:
        asked = [pair for of in statement.get("Condition", {}).values() for pair in of.items()]
        return (
            statement["Action"] == action
            and statement["Principal"] == principal
            and all(
                fnmatch.fnmatchcase(source.get(name.rpartition(":")[2], ""), wanted) for name, wanted in asked
            )
        )

    return any(fits(statement) for statement in function.policy.statements)


def find_function(arn: str) -> Any:
    """Return the function of an ARN; None where there is none."""
    region = arn.split(":")[3]
    functions = get_backend("lambda")[DEFAULT_ACCOUNT_ID][region].list_functions()
    return next((each for each in functions if f"{arn}:".startswith(f"{each.function_arn}:")), None)


def _deliver(plane: Any, arn: str, event: dict[str, Any], service: str, source_arn: str) -> bool:
    """Queue an event for a function, and return whether it is there and allows that."""
    function, principal = find_function(arn), {"Service": service}
    source = {"SourceArn": source_arn, "SourceAccount": DEFAULT_ACCOUNT_ID}
    if function is None or not may_invoke(function, "lambda:InvokeFunction", principal, **source):
        return False
    plane.invoke_async(function.function_name, function.region, json.dumps(event).encode())
    return True


# Notifications of buckets


def _notify(plane: Any, name: str, bucket: Any, key: Any) -> None:
    """Send the event of an object to the functions that its bucket names."""
    configured = bucket.notification_configuration
    for each in configured.cloud_function if configured else ():
        if each.matches(name, key.name):
            event = {"Records": [_record(name, bucket, key, each.id)]}
            for _ in range(int(plane.notification_copies)):
                _deliver(plane, each.arn, event, "s3.amazonaws.com", bucket.arn)


def _record(name: str, bucket: Any, key: Any, configuration: str) -> dict[str, Any]:
    version = {"versionId": key.version_id} if bucket.is_versioned else {}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region_name,
        "eventTime": _now(),
        "eventName": name.removeprefix("s3:"),
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": uuid.uuid4().hex[:16].upper(), "x-amz-id-2": "bed"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": bucket.arn,
            },
            "object": {
                "key": quote_plus(key.name, safe="/"),
                "size": key.size,
                "eTag": key.etag.replace('"', ""),
                **version,
                "sequencer": f"{next(_sequence):018X}",
            },
        },
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _checked(original):
    def set_notification_configuration(self, config: dict[str, Any] | None) -> None:
        skips = (config or {}).pop(_SKIPS, False)
        wanted = (config or {}).get("CloudFunctionConfiguration") or []
        before = self.notification_configuration
        for each in () if skips else wanted:
            function = find_function(each["CloudFunction"])
            source = {"SourceArn": self.arn, "SourceAccount": DEFAULT_ACCOUNT_ID}
            principal = {"Service": "s3.amazonaws.com"}
            if function is None or not may_invoke(function, "lambda:InvokeFunction", principal, **source):
                raise _InvalidError("Unable to validate the following destination configurations")
        others = (
            (config or {}).get("QueueConfiguration") or [],
            (config or {}).get("TopicConfiguration") or [],
        )
        for one, other in itertools.combinations([*wanted, *others[0], *others[1]], 2):
            if _overlap(one, other):
                raise _InvalidError(
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if "
                    "the prefixes are overlapping for the same event type."
                )
        try:
            original(self, config)
        except Exception:
            self.notification_configuration = before
            raise

    return set_notification_configuration


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two configurations could be meant by one event."""

    def filters(each: dict[str, Any]) -> dict[str, str]:
        rules = ((each.get("Filter") or {}).get("S3Key") or {}).get("FilterRule") or []
        return {rule["Name"].lower(): rule["Value"] for rule in rules}

    def meet(first: str, second: str, starts: Any) -> bool:
        return starts(first, second) or starts(second, first)

    def events(each: dict[str, Any]) -> Iterable[str]:
        return [event.removesuffix("*") for event in each["Event"]]

    mine, theirs = filters(one), filters(other)
    return (
        any(meet(a, b, str.startswith) for a in events(one) for b in events(other))
        and meet(mine.get("prefix", ""), theirs.get("prefix", ""), str.startswith)
        and meet(mine.get("suffix", ""), theirs.get("suffix", ""), str.endswith)
    )


def _get_bucket_notification(self):
    """Answer as S3 does: with all that is configured, and the names of filters in capitals."""
    found = self.backend.get_bucket_notification_configuration(self.bucket_name)
    self.data["Action"] = "GetBucketNotificationConfiguration"
    if not found:
        return self.serialized(EmptyResult())

    def described(item: Any, arn_key: str) -> dict[str, Any]:
        rules = item.filters["S3Key"]["FilterRule"] if item.filters else []
        named = [{"Name": each["Name"].title(), "Value": each["Value"]} for each in rules]
        shown = {"Filter": {"Key": {"FilterRules": named}}} if named else {}
        return {"Id": item.id, arn_key: item.arn, "Events": item.events, **shown}

    bridge = {} if found.event_bridge is None else {"EventBridgeConfiguration": {}}
    lists = {
        "TopicConfigurations": [described(each, "TopicArn") for each in found.topic],
        "QueueConfigurations": [described(each, "QueueArn") for each in found.queue],
        "LambdaFunctionConfigurations": [
            described(each, "LambdaFunctionArn") for each in found.cloud_function
        ],
    }
    return self.serialized(ActionResult({**lists, **bridge}))


def _with_encoded_keys(original):
    def key_matches(self, key: str) -> bool:
        return original(self, quote_plus(key, safe="/"))  # as the values of filters are

    return key_matches


def _in_small_letters(original):
    def from_body(self) -> dict[str, Any]:
        for name in (b"Prefix", b"Suffix"):
            self.body = self.body.replace(b"<Name>" + name, b"<Name>" + name.lower())
        skips = self.headers.get("x-amz-skip-destination-validation", "").lower() == "true"
        return original(self) | ({_SKIPS: True} if skips else {})

    return from_body


# Policies of functions


def _with_conditions_of_urls(original):
    def condition_merge(self, statement: dict[str, Any]) -> None:
        original(self, statement)
        auth = statement.pop("FunctionUrlAuthType", None)
        via_url = statement.pop("InvokedViaFunctionUrl", None)
        of_urls: dict[str, Any] = {}
        if auth:
            of_urls["StringEquals"] = {"lambda:FunctionUrlAuthType": auth}
        if via_url:
            of_urls["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
        if of_urls:
            statement["Condition"] = {**statement.get("Condition", {}), **of_urls}

    return condition_merge


def _once(original):
    def add_statement(self, raw: str, qualifier: str | None = None) -> Any:
        identifier = json.loads(raw).get("StatementId")
        if any(each.get("Sid") == identifier for each in self.statements):
            raise _ConflictError(
                f"The statement id ({identifier}) provided already exists. Please provide a new statement "
                "id, or remove the existing statement."
            )
        return original(self, raw, qualifier)

    return add_statement


# Rules


def fire(plane: Any, rule: str, region: str = "us-east-1", event: str = "") -> int:
    """Let the time of a rule come, and return how many functions were invoked.

    Args:
        plane: the data plane.
        rule: name of the rule.
        region: its region.
        event: id of the event; empty: a new one.
    """
    found = get_backend("events")[DEFAULT_ACCOUNT_ID][region].describe_rule(rule, None)
    if found.state != "ENABLED":
        return 0
    sent = {
        "version": "0",
        "id": event or str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": DEFAULT_ACCOUNT_ID,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [found.arn],
        "detail": {},
    }
    arns = [target["Arn"] for target in found.targets]
    return sum(_deliver(plane, arn, sent, "events.amazonaws.com", found.arn) for arn in arns)
