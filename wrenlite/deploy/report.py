"""What the commands print: plans, progress, policies and smoke tests, as text and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from wrenlite import cost
from wrenlite.backends.aws.deployed import versions_by_name
from wrenlite.deploy import dashboard, packages, policies
from wrenlite.deploy.account import RAISE_QUOTA, Account
from wrenlite.deploy.archives import fetch_s
from wrenlite.deploy.deployment import Deployment
from wrenlite.deploy.packages import BuiltLayer
from wrenlite.deploy.plan import Action, Verb
from wrenlite.deploy.resources import (
    Alarm,
    Alias,
    Archives,
    Bucket,
    Dashboard,
    Function,
    Layer,
    LogGroup,
    LogMetrics,
    Resource,
    Role,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.smoke_test import SmokeTestResult
from wrenlite.errors import ConfigError
from wrenlite.protocol import EXPIRE_DAYS
from wrenlite.texts import counted


def _policy_of_driver(settings: Settings) -> policies.Policy:
    """Return the policy of the driver's role. Raises ConfigError where there can be no driver."""
    driver = settings.of_driver
    if driver is None:
        raise ConfigError(f"--function: a driver is for names of {settings.longest_with_driver} characters")
    return policies.of_driver(driver)


_POLICY_MAKERS = {
    "deployer": policies.of_deployer,
    "user": policies.of_user,
    "publisher": policies.of_publisher,
    "function": policies.of_function,
    "driver": _policy_of_driver,
}
_POLICY_TITLES = {
    "deployer": "Policy for people who run wrenlite-setup and wrenlite destroy",
    "user": "Policy for people who run maps",
    "publisher": "Policy for people who publish functions, beside running maps (experimental)",
    "function": "Policy of the function's role",
    "driver": "Policy of the role of the driver, which runs detached jobs",
}
_POLICY_NOTES = {
    "deployer": (
        "Whoever has the deployer's policy can give the function's role any permission, unless "
        "--permissions-boundary limits it: it is for administrators. Where functions are published, wrenlite "
        "status, doctor and destroy need that of the publisher, too."
    ),
    "publisher": (
        "Whoever has the publisher's policy can give the roles of published functions any permission, unless "
        "--permissions-boundary limits it: it is for administrators. Buckets that uploads start a function "
        "from must be named: wrenlite-setup --read BUCKET."
    ),
    "user": (
        "Whoever may invoke a function can run any code in it, and so trusts everyone else who may: one "
        "sandbox serves all of them in turn. wrenlite-setup --function NAME gives a team a deployment of its "
        "own (docs/aws/security.md)."
    ),
}
"""What to know before giving a policy to somebody. It is printed to stderr: JSON has no comments."""
POLICIES = tuple(_POLICY_MAKERS)
"""Names of the policies that can be printed."""

DIFFERENT_VERSIONS = (
    "Another major version may not read the other's objects: install the same version here, or use a Python "
    "for which Lambda has yours"
)
"""What a difference of a major version means, and what to do about it."""
_MOST_NAMED = 5
"""Packages that a plan names of those in archives."""
_SMALL_QUOTA = 100
"""Concurrent invocations below which an account has the quota of a new one."""


def print_plan(account: Account, deployment: Deployment, actions: Sequence[Action]) -> None:
    """Print a plan with its costs and notices."""
    settings = deployment.settings
    click.echo(f"\nFunction {settings.function} in {account.region}, account {account.id}:")
    click.echo("\n".join(plan_lines(deployment, actions)))
    click.echo(f"Processors: {settings.architecture} ({deployment.choice.reason}).")
    click.echo("\n".join(cost_lines(settings)))
    for notice in notices(account, deployment):
        click.echo(f"Note: {notice}")
    if all(action.verb is Verb.KEEP for action in actions):
        click.echo("There is nothing to do.")


def build_layer(deployment: Deployment) -> None:
    """Build the layer if that must be done before the plan is known, and print progress."""
    if deployment.must_be_built:
        _begin_line("build", "layer", deployment.settings.function)
        begun = time.monotonic()
        layer = deployment.build()
        click.echo(f"{time.monotonic() - begun:.1f} s{_sizes(layer)}")


def _sizes(layer: BuiltLayer) -> str:
    return f" ({_mb(len(layer.content))} zipped, {_mb(layer.unpacked_bytes)} unpacked)"


def print_progress(action: Action, duration_s: float | None, kind_width: int = 9) -> None:
    """Print that a step begins, with None, or that it has ended, with its duration.

    Args:
        action: the step.
        duration_s: seconds that it took; None: it begins.
        kind_width: characters of the column with the kind of its resource.
    """
    if duration_s is None:
        _begin_line(action.verb.value, action.resource.kind, action.resource.name, kind_width)
    else:
        click.echo(f"{duration_s:.1f} s")


def _begin_line(verb: str, kind: str, name: str, kind_width: int = 9) -> None:
    click.echo(f"  {verb:<7}  {kind:<{kind_width}}  {name} … ", nl=False)


def smoke_test_text(answer: SmokeTestResult) -> str:
    """Return a line about a smoke test."""
    good = sum(not package.error for package in answer.packages)
    packages = f"; {counted(good, 'package')} imported" if answer.packages else ""
    return (
        f"function returned: {answer.value} (first call {answer.first_s:.2f} s, "
        f"second call {answer.again_s * 1000:.0f} ms){packages}"
    )


def smoke_test_document(answer: SmokeTestResult, settings: Settings) -> dict[str, Any]:
    """Return a smoke test as a JSON object."""
    return {
        "region": settings.region,
        "function": settings.function,
        "value": answer.value,
        "first_s": round(answer.first_s, 3),
        "second_s": round(answer.again_s, 3),
        "packages": [package._asdict() for package in answer.packages],
    }


def print_policies(settings: Settings, names: Sequence[str]) -> None:
    """Print policies as JSON, each under its title; a single one without a title, so that it can be piped."""
    for name in names:
        if len(names) > 1:
            click.echo(f"\n{_POLICY_TITLES[name]}:")
        click.echo(json.dumps(_POLICY_MAKERS[name](settings), indent=2))
        if name in _POLICY_NOTES:
            click.echo(_POLICY_NOTES[name], err=True)


def plan_lines(deployment: Deployment, actions: Sequence[Action]) -> Iterator[str]:
    """Return a table of the plan: one line per resource, including the user's own resources."""
    settings, rows = deployment.settings, []
    if not settings.managed_bucket:
        rows.append(("use", "bucket", settings.bucket, "yours: used as it is, never changed or deleted"))
    if settings.role_arn is not None:
        rows.append(("use", "role", settings.role_arn, "yours: used as it is, never changed or deleted"))
    previous = deployment.previous_bucket()
    if previous is not None:
        rows.append(("leave", "bucket", previous, "used until now: it stays, with its objects"))
    for action in actions:
        resource, reason = action.resource, action.reason
        if action.verb is Verb.CREATE:
            reason = describe(deployment, resource)
        rows.append((action.verb.value, resource.kind, resource.name, reason))
    yield from table_lines(rows)


def table_lines(rows: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield the lines of a table of steps.

    Args:
        rows: of each step what it does, the kind and the name of its resource, and the reason.
    """
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        columns = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield f"  {columns}  {row[3]}"


def describe(deployment: Deployment, resource: Resource) -> str:
    """Return the properties of a resource in a few words."""
    match resource:
        case Bucket():
            return f"private, encrypted, TLS only; temporary objects expire after {EXPIRE_DAYS} days"
        case Role() if deployment.settings.is_drivers(resource.name):
            return f"may invoke {deployment.settings.function} and itself, and use temporary objects"
        case Role():
            settings, more = deployment.settings, ""
            for verb, buckets in (("read", settings.read), ("read and write", settings.write)):
                more += f"; may {verb} {', '.join(buckets)}" if buckets else ""
            bounded = f"; permissions boundary {resource.boundary}" if resource.boundary else ""
            return f"may write its log, read temporary objects, and write values and outputs{more}{bounded}"
        case LogGroup():
            return f"log events are kept for {counted(resource.days, 'day')}"
        case Layer():
            return describe_packages(deployment) + (_sizes(deployment.built) if deployment.is_built else "")
        case Archives():
            return _describe_archives(deployment, resource)
        case Function():
            reserved = "" if resource.reserved is None else f", at most {resource.reserved} at once"
            network = f", in {', '.join(resource.subnets)}" if resource.subnets else ""
            more = f", {counted(len(resource.layers), 'layer')} of yours" if resource.layers else ""
            more += ": the driver, which runs detached jobs" if resource.may_loop else ""
            return (
                f"{resource.runtime}, {resource.architecture}, {resource.memory_mb:,} MB, "
                f"{resource.timeout_s} s{_storage(deployment, resource)}{reserved}{network}{more}"
            )
        case Alias():
            return f"the published version {resource.target}, which never changes"
        case _:
            return _describe_watching(deployment.settings, resource)


def _describe_watching(settings: Settings, resource: Resource) -> str:
    """Return the properties of what watches a deployment in a few words."""
    match resource:
        case LogMetrics():
            return "cold starts and peak memory, counted from the log"
        case Dashboard():
            return dashboard.link(settings)
        case _:
            assert isinstance(resource, Alarm)
            told = f", tells {resource.topic}" if resource.topic else ", shown in CloudWatch only"
            return f"above {resource.threshold:g} in {counted(resource.period_s // 60, 'minute')}{told}"


def _describe_archives(deployment: Deployment, archives: Archives) -> str:
    """Return the names of the packages in archives as far as they are known, and their sizes."""
    verb = "does" if len(archives.digests) == 1 else "do"
    names = f"{counted(len(archives.digests), 'package')} that {verb} not fit into the layer"
    if not deployment.is_built:
        return f"{names}, {archives.unpacked_mb:,} MB unpacked"
    by_size = sorted(deployment.built.archives, key=lambda one: -one.size_bytes)
    named = ", ".join(f"{one.name} {one.version}" for one in by_size[:_MOST_NAMED])
    more = f" and {len(by_size) - _MOST_NAMED} more" if by_size[_MOST_NAMED:] else ""
    return f"{names}: {named}{more} ({_mb(archives.size_bytes)}, {archives.unpacked_mb:,} MB unpacked)"


def _storage(deployment: Deployment, function: Function) -> str:
    """Return the ephemeral storage of a function, where it is more than tasks have."""
    own_mb = deployment.settings.ephemeral_mb
    if function.ephemeral_mb == own_mb or function.may_loop:
        return ""
    return (
        f", {function.ephemeral_mb:,} MB of ephemeral storage: {own_mb:,} MB for tasks, the rest for packages"
    )


def describe_packages(deployment: Deployment) -> str:
    """Return the packages that were named, in their exact versions, and how many more these need."""
    names = set(deployment.packages.names)
    named = [text for text in deployment.versions if versions_by_name([text]).keys() <= names]
    more = len(deployment.versions) - len(named)
    return ", ".join(named) + (f", and {counted(more, 'package')} that they need" if more else "")


def version_documents(alias: Alias | None) -> list[dict[str, Any]]:
    """Return the published versions of the function as JSON objects, the newest first.

    Args:
        alias: the alias that new executors use; None where there are no versions.
    """
    published = alias.published if alias else ()
    return [{**each._asdict(), "current": each.alias == getattr(alias, "target", "")} for each in published]


def version_lines(alias: Alias | None) -> Iterator[str]:
    """Return a line about each published version of the function.

    Args:
        alias: the alias that new executors use; None where there are no versions.
    """
    for version in version_documents(alias):
        use = "new executors use it" if version["current"] else "executors that were made before may use it"
        yield (
            f"{version['alias'] or 'unnamed'} (number {version['number']} of {version['modified'][:10]}: "
            f"{version['runtime']}, {version['memory_mb']:,} MB, {version['timeout_s']} s): {use}"
        )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def cost_lines(settings: Settings) -> tuple[str, ...]:
    """Return what a deployment costs while nothing runs, and while tasks run."""
    prices = _prices(settings)
    where = "us-east-1, " if cost.unknown_prices(settings.region) else ""
    of_driver = []
    if settings.has_driver and (driver := settings.of_driver):
        dollars = _prices(driver).request_dollars(3600)
        of_driver = [f"         ${dollars:.3f} per hour of one detached job, for the driver."]
    return (
        f"At rest: $0.00 a month; objects in the bucket cost ${cost.STORAGE_DOLLARS_PER_GB_MONTH} per GB and "
        "month (us-east-1).",
        f"At work: ${prices.request_dollars(3600):.3f} per hour of one running task (prices of "
        f"{where}{cost.PRICES_DATE}), ${cost.LOG_DOLLARS_PER_GB:.2f} per GB of log (us-east-1).",
        *of_driver,
        "         Executor().estimate(function, data) says what a map of yours would take and cost.",
        *_monitoring_lines(settings),
    )


def _monitoring_lines(settings: Settings) -> list[str]:
    """Return what the dashboard and the alarms cost, where there are any."""
    alarm_metrics = sum(map(len, dashboard.alarm_parts(settings).values()))
    dollars = cost.ALARM_METRIC_DOLLARS * alarm_metrics
    if settings.dashboard:
        dollars += cost.DASHBOARD_DOLLARS + cost.METRIC_DOLLARS * len(dashboard.FILTERS)
    if not dollars:
        return []
    return [
        f"Watching: ${dollars:.2f} a month at most, for dashboard, metrics and alarms (us-east-1); nothing "
        "for the first 3 dashboards, 10 metrics and 10 metrics of alarms of an account."
    ]


def _prices(settings: Settings) -> cost.Prices:
    return cost.prices(
        settings.region, settings.architecture, memory_mb=settings.memory_mb, limit_s=settings.timeout_s
    )


def notices(account: Account, deployment: Deployment) -> tuple[str, ...]:
    """Return what a user should know before agreeing to a plan."""
    settings, found = deployment.settings, [*deployment.packages.notices]
    if differences := deployment.major_differences():
        found.append(f"{'; '.join(differences)}. {DIFFERENT_VERSIONS}")
    if settings.tags:
        found.append(
            f"the tags {', '.join(settings.tags)} are set on all that wrenlite creates, except the layer: "
            "AWS has no tags for layers"
        )
    if deployment.is_built and (archives := deployment.archives):
        seconds = fetch_s(archives.size_bytes, settings.memory_mb)
        dollars = _prices(settings).request_dollars(seconds)
        found.append(
            f"Lambda takes {packages.UNPACKED_BYTES / 2**20:.0f} MB of packages in layers. The others are "
            "fetched from the bucket when a task first imports them, which makes a cold start about "
            f"{seconds:.0f} s longer, and ${dollars:.5f} dearer, where it needs all of them (an estimate). "
            "--without NAME leaves a package out"
        )
    found += _notices_about_users_resources(settings)
    if settings.role_arn is not None:
        found.append("your role needs at least the permissions of wrenlite-setup --print-policy function")
        found.append(_notice_about_driver(settings))
    if not settings.managed_bucket:
        found.append(
            "temporary objects stay in your bucket until wrenlite cleanup, or a lifecycle rule of yours, "
            "deletes them"
        )
    if unknown := cost.unknown_prices(settings.region):
        found.append(unknown)
    if deployment.unreadable_buckets:
        found.append(
            f"these credentials may not look at {', '.join(deployment.unreadable_buckets)} (s3:ListBucket): "
            f"tasks can read there only if that bucket's own policy allows it to {settings.role}"
        )
    hint = quota_hint(account)
    if not hint and settings.reserved is None and account.unreserved:
        found.append(
            f"one map runs up to nine tenths of the {account.unreserved:,} invocations at once that this "
            "account has free. --reserved-concurrency N sets a number for this function alone, and caps what "
            "it can spend"
        )
    if hint:
        found.append(
            f"this account can run only {account.concurrency} invocations at once, as is usual for a new "
            f"account: {hint}"
        )
    return tuple(found)


def _notice_about_driver(settings: Settings) -> str:
    """Return what a user should know about the driver whose function has a role of the user's."""
    if settings.driver_role_arn:
        return "the role of the driver needs those of wrenlite-setup --print-policy driver"
    return (
        "there is no driver, which runs detached jobs when this machine is off: --driver-role-arn names a "
        "role for it, since the function has a role of yours"
    )


def _notices_about_users_resources(settings: Settings) -> Iterator[str]:
    """Yield what a user should know about layers, a network and keys of their own."""
    if settings.layers:
        yield (
            f"the layers {', '.join(settings.layers)} lie over wrenlite's own: a file that several have is "
            "that of the last one. AWS takes 250 MB of all together, unpacked, and refuses more; wrenlite's "
            "leaves room for three times the size of their zips. Packages in them are not compared with yours"
        )
    if settings.subnets:
        yield (
            "in a VPC, tasks reach S3 only through an S3 gateway endpoint in the routes of these subnets, "
            "which is free, and the internet only through a NAT gateway, about $0.045 per hour and as much "
            "per GB. When the function leaves the VPC or is deleted, AWS takes up to 20 minutes to remove "
            "its network interfaces"
        )
    for bucket, key in settings.keys:
        yield (
            f"objects in {bucket} are encrypted with {key}. The policies of the role and of users allow its "
            "use, and the key's own policy must allow it too. KMS costs $0.03 per 10,000 requests; a bucket "
            "key saves most of them"
        )


def quota_hint(account: Account) -> str:
    """Return how to raise a small quota of concurrent invocations; an empty text where it is large."""
    if account.concurrency is None or account.concurrency >= _SMALL_QUOTA:
        return ""
    return f"AWS raises this quota at no cost: {RAISE_QUOTA} --region {account.region}"


def plan_document(account: Account, deployment: Deployment, actions: Sequence[Action]) -> dict[str, Any]:
    """Return a plan as a JSON object."""
    settings = deployment.settings
    return {
        "account": account.id,
        "identity": account.identity,
        "region": settings.region,
        "function": settings.function,
        "bucket": settings.bucket,
        "prefix": settings.prefix,
        "settings": {**asdict(settings), "role": settings.role},
        "architecture_reason": deployment.choice.reason,
        "packages": list(deployment.versions),
        "costs": list(cost_lines(settings)),
        "notices": list(notices(account, deployment)),
        "steps": step_documents(actions),
    }


def step_documents(actions: Sequence[Action]) -> list[dict[str, str]]:
    """Return the steps of a plan as JSON objects."""
    return [
        {
            "action": action.verb.value,
            "kind": action.resource.kind,
            "name": action.resource.name,
            "reason": action.reason,
        }
        for action in actions
    ]
