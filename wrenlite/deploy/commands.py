"""The commands that inspect and maintain what ``wrenlite-setup`` has created, and delete it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backends.aws.session import AwsSession
from wrenlite.config import Config
from wrenlite.deploy import dashboard, publishing_report, report
from wrenlite.deploy import doctor as checker
from wrenlite.deploy.account import Account
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.deployment import (
    Deployment,
    client_config,
    deployed_function,
    locate_deployment,
)
from wrenlite.deploy.destroying import confirm_by_name, destroy
from wrenlite.deploy.plan import Action, Verb
from wrenlite.deploy.publishing import only_named
from wrenlite.deploy.resources import (
    TEMPORARY_PREFIXES,
    Alias,
    Function,
    Resource,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.shared_options import (
    DRY_RUN,
    YES,
    Duration,
    deployment_options,
    messages_on_stderr,
)
from wrenlite.deploy.smoke_test import run_smoke_test
from wrenlite.display import console
from wrenlite.display.job_commands import print_output
from wrenlite.durable.records import find_job
from wrenlite.texts import counted, printable

_POLL_S = 2.0
"""Seconds between two requests for a log that is followed."""
_NO_DASHBOARD = "none (wrenlite-setup --dashboard makes one)"
_LATE_MS = 60_000
"""Milliseconds by which a log event may arrive after newer ones."""


@click.command(epilog="Example: wrenlite status --json")
@deployment_options
@console.json_option
def status(config: Config, *, as_json: bool) -> None:
    """Show what is deployed, and what wrenlite-setup would change.

    The exit code is 1 if there is no function.
    """
    clients, account, settings = locate_deployment(config)
    deployment = Deployment(clients, settings)
    function = deployed_function(clients, account, settings.function)
    if function is None and not deployment.existing_resources():
        _print_no_deployment(account, settings, as_json=as_json)
        raise click.exceptions.Exit(1)
    actions = deployment.plan()
    found = deployment.observe("alias")
    alias = found.resource if found and isinstance(found.resource, Alias) else None
    published = publishing_report.shown_jobs(clients, settings, function)
    if as_json:
        document = report.plan_document(account, deployment, actions)
        document["published"] = [job.document() for job in published]
        versions = report.version_documents(alias)
        console.print_json({**document, "deployed": function is not None, "versions": versions})
    else:
        _print_status(config, account, deployment, function, alias, actions, published)
    if function is None:
        raise click.exceptions.Exit(1)


def _print_no_deployment(account: Account, settings: Settings, *, as_json: bool) -> None:
    """Print that nothing is deployed. What wrenlite-setup would create is not computed: that takes long."""
    text = (
        f"There is no deployment: no resource of wrenlite belongs to the function {settings.function} in "
        f"{account.region}, account {account.id}. wrenlite-setup creates one; wrenlite-setup --dry-run "
        "shows it before."
    )
    if not as_json:
        click.echo(text)
        return
    console.print_json(
        {
            "account": account.id,
            "identity": account.identity,
            "region": account.region,
            "function": settings.function,
            "deployed": False,
            "versions": [],
            "steps": [],
            "notices": [text],
        }
    )


def _print_status(
    config: Config,
    account: Account,
    deployment: Deployment,
    function: Function | None,
    alias: Alias | None,
    actions: Sequence[Action],
    published: Sequence[publishing_report.Shown],
) -> None:
    """Print what exists, and what wrenlite-setup would change."""
    settings = deployment.settings
    created = [action.resource for action in actions if action.verb is Verb.CREATE]
    missing = {each.kind for each in created if not settings.is_drivers(each.name)}
    described = f"{settings.function} ({report.describe(deployment, function)})" if function else ""
    users_own = "" if settings.managed_bucket else " (yours)"
    texts = {
        "bucket": f"s3://{settings.bucket}/{settings.prefix}/{users_own}",
        "function": described,
        "alias": "\n".join(report.version_lines(alias)),
        "role": settings.role,
        "layer": ", ".join(deployment.versions) or "none",
        "archives": _archives_text(deployment),
        "log group": f"{settings.log_group} (wrenlite logs shows it)",
    }
    existing = {kind: "does not exist" if kind in missing else text for kind, text in texts.items()}
    console.print_table(
        {
            "Executor()": f"runs on {'AWS Lambda' if config.backend == 'aws' else 'this machine'}",
            "account": f"{account.id} ({account.identity})",
            "region": settings.region,
            "bucket": existing["bucket"],
            "function": existing["function"],
            "versions": existing["alias"],
            "driver": _driver_text(deployment, created),
            "role": existing["role"],
            "packages": existing["layer"],
            **_chosen_rows(settings, existing["archives"]),
            "log": existing["log group"],
            "dashboard": dashboard.link(settings) if settings.dashboard else _NO_DASHBOARD,
            "published": "\n".join(f"{each.job.name}: {each.text()}" for each in published) or "nothing",
        }
    )
    changes = [action for action in actions if action.verb is not Verb.KEEP]
    if changes:
        click.echo("wrenlite-setup would change:")
        click.echo("\n".join(report.plan_lines(deployment, changes)))
    else:
        click.echo("Everything is up to date: wrenlite-setup would change nothing.")


def _archives_text(deployment: Deployment) -> str:
    archives = deployment.archives
    return f"s3://{archives.name}/ ({report.describe(deployment, archives)})" if archives else ""


def _chosen_rows(settings: Settings, archives: str) -> dict[str, str]:
    """Return the rows about what not every deployment has."""
    rows = {
        "archives": archives,
        "layers": ", ".join(settings.layers),
        "network": ", ".join((*settings.subnets, *settings.security_groups)),
        "tags": ", ".join(settings.tags),
    }
    return {name: text for name, text in rows.items() if text}


def _driver_text(deployment: Deployment, created: Sequence[Resource]) -> str:
    """Return what there is of the driver.

    Args:
        deployment: the deployment.
        created: the resources that wrenlite-setup would create.
    """
    driver = deployment.settings.of_driver
    if driver is None or not deployment.settings.has_driver:
        return "none (wrenlite-setup --driver makes one, which runs detached jobs)"
    if any(each.name == driver.function for each in created):
        return "does not exist"
    return f"{driver.function} (runs detached jobs; its role is {driver.role})"


@click.command(
    short_help="Check the deployment, and say how to fix it.",
    epilog="Example: wrenlite doctor --function wrenlite",
)
@deployment_options
@console.json_option
def doctor(config: Config, *, as_json: bool) -> None:
    """Check everything from credentials to a real invocation, and say how to fix what fails.

    The exit code is 1 if a check fails.
    """
    checks = []
    for check in checker.run_checks(config):
        checks.append(check)
        if not as_json:
            click.echo(str(check))
    ok = not any(check.ok is False for check in checks)
    if as_json:
        console.print_json({"ok": ok, "checks": [check._asdict() for check in checks]})
    if not ok:
        raise click.exceptions.Exit(1)


@click.command(
    short_help="Run a function on Lambda, and import its packages.", epilog="Example: wrenlite test --json"
)
@deployment_options
@console.json_option
def test(config: Config, *, as_json: bool) -> None:
    """Run a function on Lambda, and import each package of its layer there.

    The exit code is 1 if a package cannot be imported.
    """
    clients, _, settings = locate_deployment(config, allow_denied=True)
    packages = Deployment(clients, settings).packages.names
    answer = run_smoke_test(client_config(config, settings), packages)
    if as_json:
        console.print_json(report.smoke_test_document(answer, settings))
    else:
        click.echo(report.smoke_test_text(answer))
        for package in answer.packages:
            click.echo(f"  {'✗' if package.error else '✓'} {printable(str(package))}")
    answer.check_packages()


@click.command(
    short_help="Show what tasks have printed, or the log of the function.",
    epilog="Example: wrenlite logs f-6f3791 --task 3 --follow",
)
@click.argument("job", required=False)
@deployment_options
@click.option("--task", type=click.IntRange(0), help="Show only this task of JOB.")
@click.option("--cloudwatch", is_flag=True, help="Show the function's log of the requests of this task.")
@click.option("--driver", is_flag=True, help="Show the log of the driver, which runs detached jobs.")
@click.option("--published", metavar="NAME", help="Show the log of a published job.")
@click.option("--since", type=Duration(), default="1h", show_default=True, help="How far to look back.")
@click.option("--grep", metavar="TEXT", help="Show only events with this text, such as a request id.")
@click.option("--follow", "-f", is_flag=True, help="Continue with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per event and line.")
def logs(
    config: Config,
    *,
    job: str | None,
    task: int | None,
    cloudwatch: bool,
    driver: bool,
    published: str | None,
    since: float,
    grep: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what the tasks of JOB have printed; without JOB, the log of the deployed function.

    JOB is the id of a job, or its beginning: wrenlite jobs lists them. The function's log does not contain
    what tasks print: that is returned with their values.
    """
    texts = [grep] if grep is not None else [None]
    others = [name for name, given in (("--driver", driver), ("--published", published)) if given]
    if len([*others, *filter(None, [job])]) > 1:
        given = " and ".join([*others, *filter(None, [job])])
        raise click.UsageError(f"{given}: each has a log of its own, so give one of them")
    if cloudwatch:
        if job is None or task is None:
            raise click.UsageError("--cloudwatch shows the log of one task: give JOB and --task")
        found = find_job(job)
        texts = [*found.requests(task)]
        since = max(since, time.time() - found.submitted)
        if not texts:
            raise click.ClickException(f"no request of task {task} of {found.id} has ended on AWS Lambda")
    elif job is not None:
        print_output(job, task, follow=follow, as_json=as_json)
        return
    elif task is not None:
        raise click.UsageError("--task is a task of a job: give JOB")
    clients, _, settings = locate_deployment(config, allow_denied=True, prefer_deployed_bucket=True)
    if driver:
        settings = settings.of_driver or settings
    if published:
        settings = settings.of_published(only_named(published))
    _print_log(clients, settings, texts, since, follow=follow, as_json=as_json)


def _print_log(
    clients: Clients,
    settings: Settings,
    texts: Sequence[str | None],
    since: float,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Print the events of the log of a function that have one of these texts."""
    begin_ms, seen, newest_ms = int((time.time() - since) * 1000), set[str](), 0
    while True:
        for text in texts:
            query: dict[str, Any] = {"logGroupName": settings.log_group}
            if text is not None:
                query["filterPattern"] = f'"{text}"'
            for event in _log_events(clients, settings, query, begin_ms):
                if event["eventId"] not in seen:
                    _print_event(event, as_json=as_json)
                    seen.add(event["eventId"])
                    newest_ms = max(newest_ms, event["timestamp"])
        begin_ms = max(begin_ms, newest_ms - _LATE_MS)
        if not follow:
            break
        try:
            time.sleep(_POLL_S)
        except KeyboardInterrupt:
            return
    if not seen:
        since_text = _timestamp(time.time() - since)
        click.echo(f"No log events since {since_text}. Use --since to see older ones.", err=True)


def _print_event(event: dict[str, Any], *, as_json: bool) -> None:
    seconds, message = event["timestamp"] / 1000, event["message"].rstrip()
    if as_json:
        time_text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        click.echo(json.dumps({"time": time_text, "stream": event["logStreamName"], "message": message}))
    else:
        click.echo(f"{_timestamp(seconds)}  {message}")


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _log_events(
    clients: Clients, settings: Settings, query: dict[str, Any], begin_ms: int
) -> Iterator[dict[str, Any]]:
    """Yield the events of the function's log from a time on, in milliseconds since the epoch."""
    with clients.translate_errors(settings.log_group), suppress_codes("ResourceNotFoundException"):
        pages = clients["logs"].get_paginator("filter_log_events").paginate(**query, startTime=begin_ms)
        yield from (event for page in pages for event in page["events"])
        return
    how = (
        "wrenlite published lists what is published"
        if settings.driver_of
        else "run wrenlite-setup to create it"
    )
    raise click.ClickException(f"the log group {settings.log_group} does not exist: {how}")


@click.command(
    short_help="Delete old temporary objects in the bucket.",
    epilog="Example: wrenlite cleanup --older-than 12h --dry-run",
)
@deployment_options
@click.option(
    "--older-than", type=Duration(), default="7d", show_default=True, help="Minimum age of the objects."
)
@DRY_RUN
@YES
@console.json_option
def cleanup(config: Config, *, older_than: float, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete old temporary objects in the bucket: functions, items, shared objects, values, detached jobs,
    layers' zips.

    Outputs are kept. The lifecycle rules of a bucket that wrenlite created do the same after 7 days; a bucket
    of your own may have no such rules. A job needs its objects until it ends, so choose an age that is longer
    than your longest job.
    """
    with messages_on_stderr(as_json):
        document = _cleanup(config, older_than_s=older_than, dry_run=dry_run, yes=yes)
    if as_json:
        console.print_json(document)


def _cleanup(config: Config, *, older_than_s: float, dry_run: bool, yes: bool) -> dict[str, Any]:
    """Delete old temporary objects, and return what was done as a JSON object."""
    clients, account, settings = locate_deployment(config, allow_denied=True, prefer_deployed_bucket=True)
    session = AwsSession(lambda: clients.session)
    store = S3Store(
        settings.bucket,
        settings.prefix,
        session=session,
        region=account.region,
        endpoint_url=config.endpoint_url,
        owner=account.id,
    )
    newest = time.time() - older_than_s
    found = [
        entry
        for part in (*TEMPORARY_PREFIXES, "layers")
        for entry in store.list(f"{part}/")
        if entry.modified <= newest
    ]
    size_bytes = sum(entry.size for entry in found)
    click.echo(
        f"{counted(len(found), 'temporary object')} ({size_bytes / 1e6:,.1f} MB) older than "
        f"{counted(older_than_s / 86_400, 'day')} in s3://{settings.bucket}/{settings.prefix}/"
        f"{'; nothing is deleted' if dry_run else ''}"
    )
    if found and not dry_run:
        question = f"Type the bucket's name ({settings.bucket}) to delete them"
        confirm_by_name(question, settings.bucket, yes)
        store.delete(entry.key for entry in found)
        click.echo("Deleted.")
    return {
        "bucket": settings.bucket,
        "prefix": settings.prefix,
        "objects": len(found),
        "bytes": size_bytes,
        "applied": not dry_run,
    }


COMMANDS: tuple[click.Command, ...] = (status, doctor, test, destroy, logs, cleanup)
"""The commands that ``wrenlite`` takes from this module."""
