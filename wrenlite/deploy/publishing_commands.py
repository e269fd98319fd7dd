"""The commands that publish functions, show and remove what is published, and start it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from wrenlite.config import Config
from wrenlite.deploy import publishing_report, report
from wrenlite.deploy.deployment import deployed_function, locate_deployment
from wrenlite.deploy.plan import Action
from wrenlite.deploy.publisher import Publisher, Wish, removable
from wrenlite.deploy.publishing import PublishedJob, find_published
from wrenlite.deploy.shared_options import DRY_RUN, YES, deployment_options, messages_on_stderr
from wrenlite.deploy.starting import Starter, curl_line, parse_parameters, progress
from wrenlite.display import console
from wrenlite.errors import ConfigError, WrenliteError
from wrenlite.serving.code import find_function
from wrenlite.serving.publication import Http, Trigger, parse_every, parse_objects
from wrenlite.serving.starts import Starts, summary
from wrenlite.texts import counted, printable

_RECENT = 10
"""The starts that are shown of one job."""


@click.command(
    short_help="Let an upload, a request or a schedule start a function on AWS (experimental).",
    epilog="Example: wrenlite publish pictures:collage --on 's3://my-bucket/inbox/*.csv'",
)
@click.argument("target", metavar="MODULE:FUNCTION")
@deployment_options
@click.option("--name", metavar="NAME", help="Name of the published job.  [default: the function's]")
@click.option("--on", metavar="S3", help="Start it for each new object, such as s3://BUCKET/PREFIX*.csv.")
@click.option("--http", is_flag=True, help="Start it by requests to a URL, signed by those who may.")
@click.option("--public", is_flag=True, help="With --http: let anybody send requests, signed or not.")
@click.option("--every", metavar="RATE", help='Start it by a schedule: "1 day", or cron(0 3 * * ? *) in UTC.')
@click.option("--to", metavar="S3", help="Where outputs are written.  [default: in the deployment's bucket]")
@click.option(
    "--at-once", type=int, metavar="N", help="Starts that run at once.  [default: by the account's quota]"
)
@DRY_RUN
@YES
@console.json_option
def publish(
    config: Config,
    *,
    target: str,
    name: str | None,
    on: str | None,
    http: bool,
    public: bool,
    every: str | None,
    to: str | None,
    at_once: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Publish a function, or publish it again after a change. Experimental: no real account has run it yet.

    Its maps run in the deployment. It becomes a Lambda function of its own, with a role, a log and a trigger,
    which cost nothing while nothing runs. The plan is shown first, and nothing is made before you agree.
    """
    trigger = _trigger(on, http=http, public=public, every=every)
    with messages_on_stderr(as_json):
        publisher = Publisher.of(config)
        job = publisher.prepare(Wish(find_function(target), target, trigger, name, to, at_once))
        actions = job.plan(publisher.function)
        publishing_report.print_plan(publisher.account, job, actions, publisher.function)
        document = publishing_report.document(publisher.account, job, actions, publisher.function)
        changes = publishing_report.changes(actions)
        if changes and not dry_run:
            if not yes:
                _confirm(publisher, job)
            _apply(job, changes, "publish")
        url = "" if dry_run else job.url()
        if not dry_run:
            click.echo(publishing_report.started_by(job, url))
    if as_json:
        console.print_json({**document, "url": url or None, "applied": not dry_run})


def _trigger(on: str | None, *, http: bool, public: bool, every: str | None) -> Trigger:
    """Return what the options mean. Raises a usage error where they do not mean one trigger."""
    if [on is not None, http, every is not None].count(True) != 1:
        raise click.UsageError(
            "say what starts it: one of --on s3://BUCKET/PREFIX*.csv, --http, --every RATE"
        )
    if public and not http:
        raise click.UsageError("--public is for --http: only requests come from anybody")
    if on is not None:
        return parse_objects(on)
    return Http(public) if every is None else parse_every(every)


def _confirm(publisher: Publisher, job: PublishedJob) -> None:
    """Ask until the user agrees. Exit where they do not."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            "this creates resources and must be confirmed: run it in a terminal, or give --yes"
        )
    while True:
        answer = click.prompt("Go ahead? yes, no, p: show the policies", value_proc=_consent)
        if answer == "y":
            return
        if answer == "n":
            click.echo("Nothing was changed.", err=True)
            raise click.exceptions.Exit(1)
        click.echo(publishing_report.policies_text(job, publisher.clients))


def _consent(text: str) -> str:
    """Return the first letter of an answer."""
    if text.strip().lower() not in ("yes", "y", "no", "n", "p"):
        raise click.UsageError("answer yes, no or p")
    return text.strip().lower()[0]


def _apply(job: PublishedJob, actions: Sequence[Action], command: str) -> None:
    try:
        job.apply(actions, publishing_report.print_progress)
    except (KeyboardInterrupt, WrenliteError):
        click.echo(f"\nStopped. Run wrenlite {command} again to continue.", err=True)
        raise


@click.command(
    short_help="Show what is published, or one published job and its starts.",
    epilog="Example: wrenlite published collage --json",
)
@click.argument("name", required=False)
@deployment_options
@console.json_option
def published(config: Config, *, name: str | None, as_json: bool) -> None:
    """Show what is published; with NAME its trigger, its URL, and its last starts with their status."""
    clients, account, settings = locate_deployment(config, prefer_deployed_bucket=True)
    if name is None:
        function = deployed_function(clients, account, settings.function)
        jobs = publishing_report.shown_jobs(clients, settings, function)
        if as_json:
            console.print_json({"published": [each.document() for each in jobs]})
        elif jobs:
            console.print_table({each.job.name: each.text() for each in jobs})
        else:
            click.echo(f"Nothing is published in the deployment {settings.function}.")
        return
    job = find_published(clients, settings, name)
    if job.before is None:
        raise ConfigError(
            f"nothing is published as {name!r} in the deployment {settings.function!r}: wrenlite published "
            "lists what is"
        )
    starts = Starts(job.store, job.publication).recent(_RECENT)
    url = job.url()
    if as_json:
        shown = publishing_report.Shown(job, "")
        console.print_json({**shown.document(), "url": url or None, "starts": starts})
        return
    console.print_table(_rows(job, url, starts))


def _rows(job: PublishedJob, url: str, starts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what is shown of one published job."""
    of_url = {}
    if url:
        line = curl_line(job.publication, url, job.settings.region)
        of_url = {"URL": url, "start": f"wrenlite start {job.name} NAME=VALUE …\n{line}"}
    return {
        "name": job.name,
        "function": job.publication.target,
        "started by": str(job.publication.on),
        **of_url,
        "outputs": job.publication.outputs,
        "on AWS": f"{job.settings.function} (wrenlite logs --published {job.name} shows its log)",
        "starts": printable("\n".join(map(_start_line, starts)) or "none in the last 7 days"),
    }


def _start_line(status: Mapping[str, Any]) -> str:
    left_out = f", {counted(status['rejected_rows'], 'row')} left out" if status["rejected_rows"] else ""
    text = f"{summary(status)[0]}{left_out}" if status["ended"] else progress(status)
    return f"{status['queued'][:19]}Z  {status['event']:.60}  {text}"


@click.command(
    short_help="Remove a published job; its outputs stay.", epilog="Example: wrenlite unpublish collage"
)
@click.argument("name")
@deployment_options
@DRY_RUN
@YES
@console.json_option
def unpublish(config: Config, *, name: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove a published job with its function, role, log and trigger. Its outputs stay.

    Starts that run end with it. Notifications of others in a bucket stay as they are.
    """
    with messages_on_stderr(as_json):
        clients, account, settings = locate_deployment(config, prefer_deployed_bucket=True)
        job, steps = removable(clients, settings, name)
        click.echo(f"Published job {name} of {settings.function} in {account.region}, account {account.id}:")
        click.echo("\n".join(publishing_report.plan_lines(steps)))
        if not dry_run:
            if not yes:
                if not sys.stdin.isatty():
                    raise click.UsageError("this must be confirmed: run it in a terminal, or give --yes")
                click.confirm("Remove all of this?", abort=True)
            _apply(job, steps, f"unpublish {name}")
            if job.publication.outputs:
                click.echo(f"Its outputs stay: {job.publication.outputs}")
    if as_json:
        console.print_json({"name": name, "steps": report.step_documents(steps), "applied": not dry_run})


@click.command(
    short_help="Start a job that is published with --http.",
    epilog="Example: wrenlite start poster palette=Hippi width=800 --wait",
)
@click.argument("name")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@deployment_options
@click.option("--wait", is_flag=True, help="Wait until it is over; the exit code is 1 if it has failed.")
@click.option("--key", metavar="TEXT", help="Begin nothing where a request with this key began a start.")
@console.json_option
def start(
    config: Config, *, name: str, parameters: tuple[str, ...], wait: bool, key: str | None, as_json: bool
) -> None:
    """Start a published job with parameters, by a signed request to its URL, and print the id of the start.

    A value that is JSON, such as 800, true or [1, 2], is sent as that; all others are texts.
    """
    given = parse_parameters(parameters)
    with messages_on_stderr(as_json):
        clients, _, settings = locate_deployment(config, allow_denied=True, prefer_deployed_bucket=True)
        starter = Starter(clients, settings, name)
        begun = starter.start(given, key)
        if not as_json:
            click.echo(begun)
        status: Mapping[str, Any] = {"id": begun, "url": f"{starter.url}jobs/{begun}"}
        if wait:
            try:
                status = starter.follow(begun, lambda line: click.echo(line, err=True))
            except KeyboardInterrupt:
                click.echo(f"\n{begun} goes on: wrenlite published {name} shows how far it is.", err=True)
                raise
            _print_end(status)
    if as_json:
        console.print_json(status)
    if status.get("status") == "failed":
        raise click.exceptions.Exit(1)


def _print_end(status: Mapping[str, Any]) -> None:
    """Print how a start has ended, where its outputs are, and what it returned."""
    error = status["error"] or {}
    if traceback := error.get("traceback"):
        click.echo(printable(traceback.rstrip()), err=True)
    for line in summary(status):
        click.echo(printable(line), err=True)
    for file in status["files"]:
        click.echo(printable(f"{status['outputs']}/{file}"))
    if status["result"] is not None:
        click.echo(printable(f"returned {status['result']!r}"))


COMMANDS: tuple[click.Command, ...] = (publish, published, unpublish, start)
"""The commands that ``wrenlite`` takes from this module."""
