"""``wrenlite destroy``: delete all that wrenlite has made for a deployment, with what is published in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from wrenlite import config as configuration
from wrenlite.config import Config
from wrenlite.deploy import report
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.deployment import LOCATION_SETTINGS, Deployment, locate_deployment
from wrenlite.deploy.plan import Action
from wrenlite.deploy.publishing import find_all_published
from wrenlite.deploy.resources import PUBLISHED_PREFIX, TEMPORARY_PREFIXES, Bucket
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.shared_options import DRY_RUN, YES, deployment_options, messages_on_stderr
from wrenlite.display import console
from wrenlite.errors import WrenliteError
from wrenlite.texts import counted, printable


@click.command(epilog="Example: wrenlite destroy --dry-run")
@deployment_options
@click.option("--keep-bucket", is_flag=True, help="Keep the bucket with all its objects.")
@click.option("--with-outputs", is_flag=True, help="Also delete outputs of tasks and other data of yours.")
@DRY_RUN
@YES
@console.json_option
def destroy(
    config: Config, *, keep_bucket: bool, with_outputs: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete the resources that wrenlite-setup has created, and all that is published in the deployment.

    Only resources with wrenlite's tag are deleted. A bucket with data of yours is deleted only if you say so.
    """
    if keep_bucket and with_outputs:
        raise click.UsageError("--keep-bucket keeps all objects, and --with-outputs deletes them: give one")
    with messages_on_stderr(as_json):
        document = _destroy(
            config, keep_bucket=keep_bucket, with_outputs=with_outputs, dry_run=dry_run, yes=yes
        )
    if as_json:
        console.print_json(document)


def _destroy(
    config: Config, *, keep_bucket: bool, with_outputs: bool, dry_run: bool, yes: bool
) -> dict[str, Any]:
    """Delete a deployment, and return what was done as a JSON object."""
    clients, account, settings = locate_deployment(config, prefer_deployed_bucket=True)
    deployment = Deployment(clients, settings)
    published = [(job, job.plan_removal()) for job in find_all_published(clients, settings)]
    own = deployment.plan_destroy()
    if keep_bucket:
        own = tuple(step for step in own if not isinstance(step.resource, Bucket))
    steps = [*(step for _, removal in published for step in removal), *own]
    document: dict[str, Any] = {
        "account": account.id,
        "region": account.region,
        "function": settings.function,
        "bucket": settings.bucket,
        "prefix": settings.prefix,
        "steps": report.step_documents(steps),
        "applied": not dry_run,
    }
    if steps:
        click.echo(f"Function {settings.function} in {account.region}, account {account.id}:")
    else:
        click.echo(
            f"There is nothing to delete: no resource of wrenlite belongs to the function "
            f"{settings.function} in {account.region}."
        )
    usage = _print_deletions(clients, settings, steps)
    document["bucket_content"] = usage and usage._asdict()
    if dry_run:
        return document
    if usage is not None and not with_outputs:
        _refuse_data_of_the_user(usage)
    if steps:
        question = f"Type the function's name ({settings.function}) to delete all of this"
        confirm_by_name(question, settings.function, yes)
        try:
            for job, removal in published:
                job.apply(removal, report.print_progress)
            deployment.apply(own, report.print_progress)
        except (KeyboardInterrupt, WrenliteError):
            click.echo("\nStopped. Run wrenlite destroy again to continue.", err=True)
            raise
    if keep_bucket or not settings.managed_bucket:
        click.echo(
            f"The objects in s3://{settings.bucket}/{settings.prefix}/ stay; wrenlite cleanup deletes the "
            "temporary ones."
        )
    _remove_from_config(settings)
    return document


def _print_deletions(clients: Clients, settings: Settings, steps: Sequence[Action]) -> _BucketUsage | None:
    """Print what is deleted, and return what the bucket holds; None where that stays."""
    usage, width = None, max([9, *(len(step.resource.kind) for step in steps)])
    for step in steps:
        content = ""
        if isinstance(step.resource, Bucket):
            usage = _bucket_usage(clients, settings)
            content = f", {usage}"
        click.echo(f"  delete  {step.resource.kind:<{width}}  {step.resource.name}{content}")
    if usage is not None:
        for key in usage.permanent_keys:
            click.echo(f"    yours  s3://{settings.bucket}/{printable(key)}")
        more = usage.permanent_objects - len(usage.permanent_keys)
        if more:
            click.echo(f"    yours  {more:,} more")
    return usage


def _refuse_data_of_the_user(usage: _BucketUsage) -> None:
    if usage.permanent_objects:
        objects = f"{counted(usage.permanent_objects, 'object')} of yours"
        raise click.UsageError(
            f"the bucket has {objects}, listed above; nothing was deleted. --with-outputs deletes them too, "
            "--keep-bucket keeps the bucket with all its objects"
        )


def confirm_by_name(question: str, name: str, yes: bool) -> None:
    """Ask for a name, unless ``yes`` is true; exit where the answer is another one."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this deletes data and must be confirmed: run it in a terminal, or give --yes")
    if click.prompt(question, default="", show_default=False).strip() != name:
        click.echo("Nothing was deleted.", err=True)
        raise click.exceptions.Exit(1)


_MOST_KEYS = 20
"""The most objects of the user's that are named before a bucket is deleted."""


class _BucketUsage(NamedTuple):
    """How much is stored in a bucket. Each version of an object counts, also where it was deleted."""

    objects: int
    bytes: int
    permanent_objects: int
    """Number of objects that wrenlite does not treat as temporary: outputs of tasks, and the user's own."""
    permanent_keys: Sequence[str]
    """The keys of the first of these."""

    def __str__(self) -> str:
        if not self.objects:
            return "which is empty"
        permanent = self.permanent_objects
        permanent_text = f", {permanent:,} of them outputs or other data of yours" if permanent else ""
        return f"with {counted(self.objects, 'object')} ({self.bytes / 1e6:,.1f} MB){permanent_text}"


def _bucket_usage(clients: Clients, settings: Settings) -> _BucketUsage:
    objects = size_bytes = permanent = 0
    keys: list[str] = []
    temporary = tuple(
        f"{settings.prefix}/{part}/" for part in (*TEMPORARY_PREFIXES, "layers", PUBLISHED_PREFIX)
    )
    with clients.translate_errors(f"arn:{settings.partition}:s3:::{settings.bucket}"):
        pages = (
            clients["s3"]
            .get_paginator("list_object_versions")
            .paginate(Bucket=settings.bucket, ExpectedBucketOwner=settings.account)
        )
        for entry in (entry for page in pages for entry in page.get("Versions", ())):
            objects, size_bytes = objects + 1, size_bytes + entry["Size"]
            if not entry["Key"].startswith(temporary):
                permanent += 1
                if permanent <= _MOST_KEYS:
                    keys.append(entry["Key"])
    return _BucketUsage(objects, size_bytes, permanent, keys)


def _remove_from_config(settings: Settings) -> None:
    """Remove a deleted deployment from the settings file, if that refers to it."""
    given = click.get_current_context().params["config"]
    path = configuration.config_path(configuration.environment_with(given))
    if path is None or not path.exists():
        return
    stored = configuration.read_file(path)
    if (stored.get("function"), stored.get("region")) == (settings.function, settings.region):
        on_lambda = stored.get("backend") == "aws"
        removed = (*LOCATION_SETTINGS, "backend") if on_lambda else LOCATION_SETTINGS
        configuration.update_file(path, dict.fromkeys(removed))
        local = ", and Executor() runs on this machine's cores again" if on_lambda else ""
        click.echo(f"{path} no longer refers to the function {settings.function}{local}.")
