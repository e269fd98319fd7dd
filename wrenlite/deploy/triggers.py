"""Observe, create, update and delete what invokes the function of a published job, and who may.

A bucket has one configuration of notifications, which others may use, too: it is read, changed in one entry,
written, and read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from wrenlite.backends.aws.errors import code_and_message
from wrenlite.deploy.clients import Clients, retry, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import FunctionUrl, Notification, Permission, Schedule
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import chosen_tags, dropped_tags, from_tag_list, is_ours, tag_list
from wrenlite.errors import BackendError, ConfigError
from wrenlite.serving.publication import Objects

_NEW_PERMISSION_S = 30.0
"""Seconds that a new permission may take until S3 sees it."""
_TARGET = "wrenlite"
"""Id of the target of a rule."""
_LISTS = {
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
}
"""The lists of a bucket's notifications, and what names the destination in each."""
_CREATED = "s3:ObjectCreated:"


class Permissions:
    """One statement of the policy of a function."""

    def __init__(self, clients: Clients, function: str, statement: str) -> None:
        """Create an object for the statement. It calls nothing yet.

        Args:
            clients: the clients.
            function: name of the function.
            statement: id of the statement.
        """
        self._clients = clients
        self._function = function
        self._statement = statement

    def observe(self) -> Found | None:
        """Return the statement as it is; None where it does not exist."""
        with suppress_codes("ResourceNotFoundException"):
            policy = json.loads(self._clients["lambda"].get_policy(FunctionName=self._function)["Policy"])
            for statement in policy["Statement"]:
                if statement.get("Sid") == self._statement:
                    return Found(self._parsed(statement), managed=True)
        return None

    def _parsed(self, statement: Mapping[str, Any]) -> Permission:
        conditions = {
            key.rpartition(":")[2].lower(): str(value)
            for pairs in statement.get("Condition", {}).values()
            for key, value in pairs.items()
        }
        principal = statement["Principal"]
        return Permission(
            name=f"{self._function}:{self._statement}",
            action=statement["Action"],
            principal=next(iter(principal.values())) if isinstance(principal, dict) else principal,
            source=conditions.get("sourcearn", ""),
            account=conditions.get("sourceaccount", ""),
            auth=conditions.get("functionurlauthtype", ""),
            via_url=conditions.get("invokedviafunctionurl", "") == "true",
        )

    def create(self, want: Permission) -> None:
        """Add the statement."""
        given = {
            "SourceArn": want.source,
            "SourceAccount": want.account,
            "FunctionUrlAuthType": want.auth,
            "InvokedViaFunctionUrl": want.via_url,
        }
        self._clients["lambda"].add_permission(
            FunctionName=self._function,
            StatementId=self._statement,
            Action=want.action,
            Principal=want.principal,
            **{name: value for name, value in given.items() if value},
        )

    def update(self, want: Permission) -> None:
        """Replace the statement."""
        self.delete(want)
        self.create(want)

    def delete(self, have: Permission) -> None:
        """Remove the statement."""
        with suppress_codes("ResourceNotFoundException"):
            self._clients["lambda"].remove_permission(
                FunctionName=self._function, StatementId=self._statement
            )


class FunctionUrls:
    """The URL of a function."""

    def __init__(self, clients: Clients, function: str) -> None:
        """Create an object for the URL. It calls nothing yet.

        Args:
            clients: the clients.
            function: name of the function.
        """
        self._clients = clients
        self._function = function

    def observe(self) -> Found | None:
        """Return the URL as it is; None where there is none."""
        with suppress_codes("ResourceNotFoundException"):
            found = self._clients["lambda"].get_function_url_config(FunctionName=self._function)
            cross_origin, url = bool(found.get("Cors")), found["FunctionUrl"]
            return Found(FunctionUrl(self._function, found["AuthType"], cross_origin, url), managed=True)
        return None

    def create(self, want: FunctionUrl) -> None:
        """Create the URL."""
        self._clients["lambda"].create_function_url_config(FunctionName=self._function, AuthType=want.auth)

    def update(self, want: FunctionUrl) -> None:
        """Set who may use the URL, which stays the same, and that no other site's pages may."""
        self._clients["lambda"].update_function_url_config(
            FunctionName=self._function, AuthType=want.auth, Cors={}
        )

    def delete(self, have: FunctionUrl) -> None:
        """Delete the URL."""
        with suppress_codes("ResourceNotFoundException"):
            self._clients["lambda"].delete_function_url_config(FunctionName=self._function)


class Schedules:
    """The rule of EventBridge that invokes a function, which has its name."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Create an object for the rule. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the function.
        """
        self._clients = clients
        self._settings = settings
        self._name = settings.function

    def observe(self) -> Found | None:
        """Return the rule as it is; None where it does not exist."""
        events = self._clients["events"]
        with suppress_codes("ResourceNotFoundException"):
            rule = events.describe_rule(Name=self._name)
            tags = from_tag_list(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])
            targets = self._targets()
            schedule = Schedule(
                name=self._name,
                expression=rule.get("ScheduleExpression", ""),
                target=targets[0]["Arn"] if len(targets) == 1 else "",
                enabled=rule.get("State") == "ENABLED",
                tags=chosen_tags(tags, self._settings),
            )
            return Found(schedule, is_ours(tags, self._settings.owner))
        return None

    def _targets(self) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = self._clients["events"].list_targets_by_rule(Rule=self._name)[
            "Targets"
        ]
        return targets

    def create(self, want: Schedule) -> None:
        """Create the rule, and let it invoke the function."""
        events = self._clients["events"]
        # Tags count for a new rule only, which has no other moment without them.
        tags = tag_list(dict(want.tags))
        rule = {"ScheduleExpression": want.expression, "State": "ENABLED" if want.enabled else "DISABLED"}
        arn = events.put_rule(Name=want.name, Tags=tags, **rule)["RuleArn"]
        events.tag_resource(ResourceARN=arn, Tags=tags)
        if dropped := dropped_tags(self._settings):
            events.untag_resource(ResourceARN=arn, TagKeys=dropped)
        self._remove_targets(each["Id"] for each in self._targets() if each["Id"] != _TARGET)
        target = {"Id": _TARGET, "Arn": want.target}
        refused = events.put_targets(Rule=want.name, Targets=[target]).get("FailedEntries", ())
        for entry in refused:
            raise BackendError(
                f"EventBridge does not let the rule {want.name} invoke {want.target}: "
                f"{entry.get('ErrorMessage', entry)}. Publish again"
            )

    def update(self, want: Schedule) -> None:
        """Set the times, the function and the tags."""
        self.create(want)

    def delete(self, have: Schedule) -> None:
        """Delete the rule."""
        with suppress_codes("ResourceNotFoundException"):
            self._remove_targets(each["Id"] for each in self._targets())
            self._clients["events"].delete_rule(Name=self._name)

    def _remove_targets(self, ids: Iterator[str]) -> None:
        if listed := list(ids):
            self._clients["events"].remove_targets(Rule=self._name, Ids=listed)


class Notifications:
    """One entry of the notifications of a bucket, which has an id of its own."""

    def __init__(self, clients: Clients, settings: Settings, bucket: str, identifier: str) -> None:
        """Create an object for the entry. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the function that is invoked.
            bucket: name of the bucket.
            identifier: id of the entry.
        """
        self._clients = clients
        self._place = {"Bucket": bucket, "ExpectedBucketOwner": settings.account}
        self._bucket = bucket
        self._id = identifier

    def observe(self) -> Found | None:
        """Return the entry as it is; None where it or the bucket does not exist."""
        with suppress_codes("NoSuchBucket"):
            for entry in self.read().get("LambdaFunctionConfigurations", ()):
                if entry.get("Id") == self._id:
                    rules, name = _filters(entry), notification_name(self._bucket, self._id)
                    prefix, suffix = rules.get("prefix", ""), rules.get("suffix", "")
                    events = tuple(sorted(entry["Events"]))
                    found = Notification(name, prefix, suffix, entry["LambdaFunctionArn"], events)
                    return Found(found, managed=True)
        return None

    def check_overlap(self, on: Objects) -> None:
        """Check that no entry of somebody else's has to do with the same objects.

        Args:
            on: the objects.

        Raises:
            ConfigError: one has; the message names it.
        """
        if others := overlapping(self.read(), on, self._id):
            raise ConfigError(
                f"{on}: the bucket already has the notification {'; '.join(others)}. S3 takes no two that "
                "one object could fall under: choose another prefix or suffix, or remove that one"
            )

    def read(self) -> dict[str, Any]:
        """Return the whole configuration of the bucket."""
        found = dict(self._clients["s3"].get_bucket_notification_configuration(**self._place))
        found.pop("ResponseMetadata", None)
        return found

    def create(self, want: Notification) -> None:
        """Add the entry, or replace it. All others stay as they are."""
        self._write(_entry(want, self._id))

    def update(self, want: Notification) -> None:
        """Replace the entry."""
        self.create(want)

    def delete(self, have: Notification) -> None:
        """Remove the entry. All others stay as they are."""
        with suppress_codes("NoSuchBucket"):
            self._write(None)

    def _write(self, entry: dict[str, Any] | None) -> None:
        """Write the configuration with the entry, or without it, and look whether that holds.

        Raises:
            BackendError: somebody else has changed the configuration at the same time.
        """

        def put(*, check: bool) -> dict[str, Any]:
            wanted = changed(self.read(), self._id, entry)
            self._clients["s3"].put_bucket_notification_configuration(
                NotificationConfiguration=wanted, SkipDestinationValidation=not check, **self._place
            )
            return wanted

        written = self._put_checked(put) if entry else put(check=False)
        if _comparable(self.read()) != _comparable(written):
            raise BackendError(
                f"the notifications of the bucket {self._bucket} are not as they were written: somebody else "
                "has changed them at the same time. Look at them, and run this again"
            )

    def _put_checked(self, put: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        """Write the configuration once S3 sees that it may invoke all functions that it names.

        If that does not come, the function of another entry may be gone, which S3 holds against all entries:
        then they are written without that check.
        """
        try:
            return retry(
                lambda: put(check=True), timeout_s=_NEW_PERMISSION_S, is_transient=_is_new_permission
            )
        except Exception as error:
            others = [
                each for name in _LISTS for each in self.read().get(name, ()) if each.get("Id") != self._id
            ]
            if not (others and _is_new_permission(error)):
                raise
            return put(check=False)


def notification_name(bucket: str, identifier: str) -> str:
    """Return the name of an entry, for plans.

    Args:
        bucket: name of the bucket.
        identifier: id of the entry.
    """
    return f"{bucket}:{identifier}"


def changed(found: Mapping[str, Any], identifier: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the notifications of a bucket with another entry, and everything else as it is.

    Args:
        found: the notifications, as S3 describes them.
        identifier: id of the entry.
        entry: what it is to be; None: it is left out.
    """
    kept = [each for each in found.get("LambdaFunctionConfigurations", ()) if each.get("Id") != identifier]
    entries = [*kept, *([entry] if entry else ())]
    rest = {name: value for name, value in found.items() if name != "LambdaFunctionConfigurations"}
    return {**rest, "LambdaFunctionConfigurations": entries} if entries else rest


def overlapping(found: Mapping[str, Any], on: Objects, identifier: str) -> list[str]:
    """Return a phrase for each notification of others that some of these objects would fall under, too.

    S3 takes no two entries that one object could fall under, whoever made them.

    Args:
        found: the notifications of the bucket, as S3 describes them.
        on: the objects.
        identifier: id of the own entry, which does not count.
    """

    def meets(entry: Mapping[str, Any]) -> bool:
        rules = _filters(entry)
        prefix, suffix = rules.get("prefix", ""), rules.get("suffix", "")
        return (
            any(event.startswith(_CREATED) for event in entry["Events"])
            and (prefix.startswith(on.prefix) or on.prefix.startswith(prefix))
            and (suffix.endswith(on.suffix) or on.suffix.endswith(suffix))
        )

    return [
        f"{entry.get('Id', 'one without an id')!r}, which sends {Objects(on.bucket, *_ends(entry))} to "
        f"{entry[destination]}"
        for name, destination in _LISTS.items()
        for entry in found.get(name, ())
        if meets(entry) and entry.get("Id") != identifier
    ]


def _ends(entry: Mapping[str, Any]) -> tuple[str, str]:
    rules = _filters(entry)
    return rules.get("prefix", ""), rules.get("suffix", "")


def _filters(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the filters of an entry. S3 has their values encoded as in URLs, and returns capitals."""
    rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    return {rule["Name"].lower(): unquote_plus(rule["Value"]) for rule in rules}


def _entry(want: Notification, identifier: str) -> dict[str, Any]:
    """Return an entry as S3 takes it."""
    ends = {"prefix": want.prefix, "suffix": want.suffix}
    rules = [{"Name": name, "Value": quote_plus(value, safe="/")} for name, value in ends.items() if value]
    filters = {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
    return {
        "Id": identifier,
        "LambdaFunctionArn": want.target,
        "Events": list(want.events),
        **filters,
    }


def _comparable(configuration: Mapping[str, Any]) -> Any:
    """Return notifications in a form that is the same for equal ones, however S3 returns them."""

    def parts(name: str, entry: Mapping[str, Any]) -> str:
        rules = sorted(_filters(entry).items())
        return json.dumps([entry.get("Id"), entry[_LISTS[name]], sorted(entry["Events"]), rules])

    return [sorted(parts(name, entry) for entry in configuration.get(name, ())) for name in _LISTS]


def _is_new_permission(error: Exception) -> bool:
    """Return whether S3 may not do what it was permitted a moment ago."""
    return "destination configurations" in code_and_message(error)[1]
