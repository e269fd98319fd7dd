"""The commands that look after what ``wrenlite-setup`` made, and take it away again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from wrenlite import config as configuration
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backends.aws.session import AwsSession
from wrenlite.config import Config
from wrenlite.deploy import doctor as doctors
from wrenlite.deploy import report
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.deployment import WRITTEN, Deployment, deployed, of_configuration, settled
from wrenlite.deploy.options import JSON, YES, Age, located
from wrenlite.deploy.plan import Verb
from wrenlite.deploy.resources import TEMPORARY, Bucket, Settings
from wrenlite.deploy.smoke_test import run_smoke_test
from wrenlite.display import console
from wrenlite.errors import WrenliteError

_LOOK_S = 2.0
"""Seconds between two looks at a log that is followed."""
_LATE_MS = 60_000
"""Milliseconds that an event of a log may come after newer ones."""


@click.command()
@located
@JSON
def status(config: Config, *, as_json: bool) -> None:
    """Show what is deployed, and what another wrenlite-setup would change."""
    clients, account, settings = of_configuration(config)
    deployment = Deployment(clients, settings)
    actions = deployment.plan()
    if as_json:
        click.echo(report.as_json(account, deployment, actions))
        return
    there = deployed(clients, account, settings.function)
    rows = {
        "Executor()": f"runs on {'AWS Lambda' if config.backend == 'aws' else 'this machine'}",
        "account": f"{account.id} ({account.identity})",
        "region": settings.region,
        "bucket": f"s3://{settings.bucket}/{settings.prefix}/" + ("" if settings.own_bucket else " (yours)"),
        "function": f"{settings.function} ({report.description(deployment, there)})" if there else "none",
        "role": settings.role,
        "packages": ", ".join(deployment.packages.requirements),
        "log": f"{settings.log_group} (wrenlite logs)",
    }
    console.print_table(rows)
    if all(action.verb is Verb.KEEP for action in actions):
        click.echo("All is as wrenlite-setup would make it.")
    else:
        click.echo("wrenlite-setup would change:")
        click.echo(
            "\n".join(report.steps(deployment, [step for step in actions if step.verb is not Verb.KEEP]))
        )


@click.command()
@located
@JSON
def doctor(config: Config, *, as_json: bool) -> None:
    """Check everything from credentials to a round trip; say what mends what is wrong."""
    found = []
    for check in doctors.checks(config):
        found.append(check)
        if not as_json:
            click.echo(str(check))
    if as_json:
        click.echo(json.dumps([check._asdict() for check in found], indent=2))
    if any(check.ok is False for check in found):
        raise click.exceptions.Exit(1)


@click.command()
@located
def test(config: Config) -> None:
    """Run a function on Lambda, import what the layer has, and show what came back."""
    clients, _, settings = of_configuration(config, blind=True)
    names = Deployment(clients, settings).packages.names
    click.echo(report.said(run_smoke_test(settled(config, settings), names)))


@click.command()
@located
@click.option("--keep-bucket", is_flag=True, help="With all that is in it.")
@YES
def destroy(config: Config, *, keep_bucket: bool, yes: bool) -> None:
    """Delete what wrenlite-setup made: only what carries wrenlite's tag."""
    clients, account, settings = of_configuration(config, as_deployed=True)
    deployment = Deployment(clients, settings)
    steps = [step for step in deployment.end() if not (keep_bucket and isinstance(step.resource, Bucket))]
    if not steps:
        click.echo(f"There is nothing of wrenlite's for {settings.function} in {account.region}.")
    else:
        click.echo(f"Function {settings.function} in {account.region}, account {account.id}:")
        for step in steps:
            more = _contents(clients, settings) if isinstance(step.resource, Bucket) else ""
            click.echo(f"  delete  {step.resource.kind:<9}  {step.resource.name}{more}")
        _agree(
            f"Type the function's name ({settings.function}) to delete all of this", settings.function, yes
        )
        try:
            deployment.apply(steps, report.progress)
        except (KeyboardInterrupt, WrenliteError):
            click.echo("\nStopped. wrenlite destroy goes on from here.", err=True)
            raise
    if keep_bucket or not settings.own_bucket:
        place = f"{settings.bucket}, {settings.prefix}/"
        click.echo(
            f"What is in the bucket stays ({place}); wrenlite cleanup deletes what is temporary there."
        )
    _forget(settings)


def _agree(question: str, name: str, yes: bool) -> None:
    """Go on only where the name is typed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask in: --yes is missing")
    if click.prompt(question, default="", show_default=False).strip() != name:
        click.echo("Nothing was deleted.", err=True)
        raise click.exceptions.Exit(1)


def _contents(clients: Clients, settings: Settings) -> str:
    """How much is in the bucket, and how much of that the user's functions have put there to stay."""
    count = size = kept = 0
    with clients.translate_errors(f"arn:{settings.partition}:s3:::{settings.bucket}"):
        pages = (
            clients["s3"]
            .get_paginator("list_objects_v2")
            .paginate(Bucket=settings.bucket, ExpectedBucketOwner=settings.account)
        )
        for one in (one for page in pages for one in page.get("Contents", ())):
            count, size = count + 1, size + one["Size"]
            parts = one["Key"].removeprefix(f"{settings.prefix}/").partition("/")
            kept += parts[0] not in (*TEMPORARY, "layers")
    outputs = f", {kept:,} of them outputs or not wrenlite's" if kept else ""
    return f", with {count:,} objects ({size / 1e6:,.1f} MB){outputs}" if count else ", which is empty"


def _forget(settings: Settings) -> None:
    """Take what is gone out of the settings' file, where it is in there."""
    path = configuration.place(configuration.environment(click.get_current_context().params["config"]))
    if path is None or not path.exists():
        return
    there = configuration.read(path)
    if (there.get("function"), there.get("region")) == (settings.function, settings.region):
        on_lambda = there.get("backend") == "aws"
        configuration.save(path, dict.fromkeys((*WRITTEN, "backend") if on_lambda else WRITTEN))
        again = ", and Executor() runs on this machine's cores again" if on_lambda else ""
        click.echo(f"{path} does not name it any more{again}.")


@click.command()
@located
@click.option("--since", type=Age(), default="1h", show_default=True, help="Such as 90s, 30m, 12h, 7d.")
@click.option("--grep", help="Only lines with this text, such as a request's id.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
def logs(config: Config, *, since: float, grep: str | None, follow: bool) -> None:
    """Show the function's log.

    What tasks print is not in it: it comes back with their values, in job.logs().
    """
    clients, _, settings = of_configuration(config, blind=True, as_deployed=True)
    query: dict[str, Any] = {"logGroupName": settings.log_group}
    if grep is not None:
        query["filterPattern"] = f'"{grep}"'
    begin, seen = int((time.time() - since) * 1000), set[str]()
    while True:
        for event in _events(clients, settings, query, begin):
            if event["eventId"] in seen:
                continue
            click.echo(f"{_when(event['timestamp'] / 1000)}  {event['message'].rstrip()}")
            seen.add(event["eventId"])
            begin = max(begin, event["timestamp"] - _LATE_MS)
        if not follow:
            break
        try:
            time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            return
    if not seen:
        click.echo(
            f"There is nothing since {_when(time.time() - since)}: --since looks further back.", err=True
        )


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _events(
    clients: Clients, settings: Settings, query: dict[str, Any], begin: int
) -> Iterator[dict[str, Any]]:
    with clients.translate_errors(settings.log_group), suppress_codes("ResourceNotFoundException"):
        pages = clients["logs"].get_paginator("filter_log_events").paginate(**query, startTime=begin)
        yield from (event for page in pages for event in page["events"])
        return
    raise click.ClickException(f"there is no log {settings.log_group}: wrenlite-setup makes it")


@click.command()
@located
@click.option("--older-than", type=Age(), default="7d", show_default=True, help="Such as 90s, 30m, 12h, 7d.")
@click.option("--dry-run", is_flag=True, help="Only show how much there is.")
@YES
def cleanup(config: Config, *, older_than: float, dry_run: bool, yes: bool) -> None:
    """Delete old temporary objects: functions, items, objects and values; not outputs.

    The bucket's own rules do so after a week; a bucket of yours may have none. Jobs that still run may need
    what is younger than they are.
    """
    clients, account, settings = of_configuration(config, blind=True, as_deployed=True)
    session = AwsSession(lambda: clients.session)
    store = S3Store(
        settings.bucket,
        settings.prefix,
        session=session,
        region=account.region,
        endpoint_url=config.endpoint_url,
        owner=account.id,
    )
    before = time.time() - older_than
    found = [
        entry
        for part in (*TEMPORARY, "layers")
        for entry in store.list(f"{part}/")
        if entry.modified <= before
    ]
    size = sum(entry.size for entry in found) / 1e6
    click.echo(
        f"{len(found):,} temporary objects ({size:,.1f} MB) in s3://{settings.bucket}/{settings.prefix}/"
    )
    if found and not dry_run:
        _agree(f"Type the bucket's name ({settings.bucket}) to delete them", settings.bucket, yes)
        store.delete(entry.key for entry in found)
        click.echo("Deleted.")


COMMANDS: tuple[click.Command, ...] = (status, doctor, test, destroy, logs, cleanup)
"""What the command ``wrenlite`` has of them."""
