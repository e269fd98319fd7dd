"""What the commands print."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from wrenlite import cost
from wrenlite.deploy import policies
from wrenlite.deploy.account import RAISE_QUOTA, Account
from wrenlite.deploy.deployment import Deployment
from wrenlite.deploy.plan import Action, Verb
from wrenlite.deploy.resources import Bucket, Function, Layer, LogGroup, Resource, Role, Settings
from wrenlite.deploy.smoke_test import SmokeTestResult

_WHOSE = {
    "deployer": "The policy of who runs wrenlite-setup and destroy",
    "user": "The policy of who maps over data",
    "function": "The policy of the function's role",
}
POLICIES = tuple(_WHOSE)
"""Whose policies there are to be shown."""

_FEW = 100
"""Invocations at once below which an account is that of a newcomer."""


def plan(account: Account, deployment: Deployment, actions: Sequence[Action]) -> None:
    """The plan, with what it costs and what to know."""
    settings = deployment.settings
    click.echo(f"\nFunction {settings.function} in {account.region}, account {account.id}:")
    click.echo("\n".join(steps(deployment, actions)))
    click.echo("\n".join(costs(settings)))
    for notice in (*deployment.packages.notices, *yours(settings), *limits(account)):
        click.echo(f"Note: {notice}")
    if all(action.verb is Verb.KEEP for action in actions):
        click.echo("There is nothing to do.")


def building(deployment: Deployment, actions: Sequence[Action]) -> None:
    """Build the layer, where the steps need one that is not there yet."""
    if deployment.needs_layer(actions) and deployment.layer is None:
        _line("build", "layer", deployment.settings.function)
        begun = time.monotonic()
        layer = deployment.build()
        sizes = f"{_mb(len(layer.content))} zipped, {_mb(layer.unpacked_bytes)} unpacked"
        click.echo(f"{time.monotonic() - begun:.1f} s ({sizes})")


def progress(action: Action, seconds: float | None) -> None:
    """A step as it begins, with None, and as it ends."""
    if seconds is None:
        _line(action.verb.value, action.resource.kind, action.resource.name)
    else:
        click.echo(f"{seconds:.1f} s")


def _line(verb: str, kind: str, name: str) -> None:
    click.echo(f"  {verb:<7}  {kind:<9}  {name} … ", nl=False)


def said(answer: SmokeTestResult) -> str:
    """What a real invocation returned."""
    return (
        f"function returned: {answer.value} (the first time after {answer.first_s:.2f} s, "
        f"then after {answer.again_s * 1000:.0f} ms)"
    )


def policies_of(settings: Settings, whose: Sequence[str]) -> None:
    """Policies as JSON; one alone is all that is printed."""
    for one in whose:
        if len(whose) > 1:
            click.echo(f"\n{_WHOSE[one]}:")
        click.echo(policy(settings, one))
        if one == "deployer":
            click.echo(
                "Who has this can give the function's role any permission: it is for administrators.",
                err=True,
            )


def steps(deployment: Deployment, actions: Sequence[Action]) -> Iterator[str]:
    """The plan, a resource a line, with the user's own ones."""
    settings, rows = deployment.settings, []
    if not settings.own_bucket:
        rows.append(("use", "bucket", settings.bucket, "yours: used as it is, never changed or deleted"))
    if settings.role_arn is not None:
        rows.append(("use", "role", settings.role_arn, "yours: used as it is, never changed or deleted"))
    left = deployment.leaves()
    if left is not None:
        rows.append(("leave", "bucket", left, "used so far: it stays, with what is in it"))
    for action in actions:
        resource, why = action.resource, action.reason
        if action.verb is Verb.CREATE:
            why = description(deployment, resource)
        rows.append((action.verb.value, resource.kind, resource.name, why))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        left = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield f"  {left}  {row[3]}"


def description(deployment: Deployment, resource: Resource) -> str:
    """What it is, in a few words."""
    match resource:
        case Bucket():
            return "private, encrypted, TLS only; what is temporary in it goes after a week"
        case Role():
            settings, more = deployment.settings, ""
            for verb, buckets in (("read", settings.read), ("read and write", settings.write)):
                more += f"; may {verb} {', '.join(buckets)}" if buckets else ""
            return f"may write its log, and read and write {settings.prefix}/ in the bucket{more}"
        case LogGroup():
            return f"kept {resource.days} days"
        case Layer():
            built = deployment.layer
            size = (
                ""
                if built is None
                else f" ({_mb(len(built.content))} zipped, {_mb(built.unpacked_bytes)} unpacked)"
            )
            return ", ".join(deployment.packages.requirements) + size
        case Function():
            reserved = "" if resource.reserved is None else f", {resource.reserved} at once at most"
            return (
                f"{resource.runtime}, {resource.architecture}, {resource.memory_mb:,} MB, "
                f"{resource.timeout_s} s{reserved}"
            )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def costs(settings: Settings) -> tuple[str, ...]:
    """What it costs, at rest and at work."""
    prices = cost.prices(
        settings.region, settings.architecture, memory_mb=settings.memory_mb, limit_s=settings.timeout_s
    )
    return (
        f"At rest: $0.00 a month; what lies in the bucket costs ${cost.STORED_GB_MONTH} a GB and month.",
        f"At work: ${prices.of_seconds(3600):.3f} for an hour of one task, ${cost.LOGGED_GB:.2f} a GB of log "
        f"(prices of {cost.PRICES_OF}).",
    )


def yours(settings: Settings) -> Iterator[str]:
    """What is up to the user, of what is the user's own."""
    if settings.role_arn is not None:
        yield "your role needs at least the policy of wrenlite-setup --print-policy function"
    if not settings.own_bucket:
        yield "your bucket keeps temporary objects until wrenlite cleanup, or rules of your own, remove them"


def limits(account: Account) -> tuple[str, ...]:
    """What to know of an account's limits."""
    ask = more(account)
    if not ask:
        return ()
    return (f"{account.concurrency} invocations at once are few, and usual for a new account: {ask}",)


def more(account: Account) -> str:
    """How to get more invocations at once, where there are few."""
    if account.concurrency is None or account.concurrency >= _FEW:
        return ""
    return f"AWS gives more, at no cost: {RAISE_QUOTA} --region {account.region}"


def policy(settings: Settings, whose: str) -> str:
    """A policy as JSON."""
    makers = dict(
        zip(POLICIES, (policies.of_deployer, policies.of_client, policies.of_function), strict=True)
    )
    return json.dumps(makers[whose](settings), indent=2)


def as_json(account: Account, deployment: Deployment, actions: Sequence[Action]) -> str:
    """The plan for programs."""
    settings = deployment.settings
    found: dict[str, Any] = {
        "account": account.id,
        "identity": account.identity,
        "region": settings.region,
        "function": settings.function,
        "bucket": settings.bucket,
        "prefix": settings.prefix,
        "settings": {**asdict(settings), "role": settings.role},
        "packages": list(deployment.packages.requirements),
        "costs": list(costs(settings)),
        "notices": [*deployment.packages.notices, *yours(settings), *limits(account)],
        "steps": [
            {
                "action": action.verb.value,
                "kind": action.resource.kind,
                "name": action.resource.name,
                "reason": action.reason,
            }
            for action in actions
        ],
    }
    return json.dumps(found, indent=2)
