"""What is shown of published jobs: plans with their prices, policies and notices, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import click

from wrenlite import cost
from wrenlite.deploy import policies, report
from wrenlite.deploy.account import Account
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.deployment import with_keys
from wrenlite.deploy.plan import Action, Verb
from wrenlite.deploy.publishing import PublishedJob, find_all_published
from wrenlite.deploy.resources import (
    Function,
    FunctionUrl,
    LogGroup,
    Notification,
    Permission,
    PublishedCode,
    Resource,
    Role,
    Schedule,
)
from wrenlite.deploy.settings import PUBLIC_RESERVED, Settings
from wrenlite.deploy.starting import curl_line
from wrenlite.serving.publication import Every, Http, Objects
from wrenlite.texts import counted


def plan_lines(actions: Sequence[Action]) -> Iterator[str]:
    """Return a line about each step."""
    rows = [
        (
            step.verb.value,
            step.resource.kind,
            step.resource.name,
            describe(step.resource) if step.verb is Verb.CREATE else step.reason,
        )
        for step in actions
    ]
    return report.table_lines(rows)


def describe(resource: Resource) -> str:
    """Return the properties of a resource of a published job in a few words."""
    match resource:
        case LogGroup():
            return f"log events are kept for {resource.days} days"
        case Role():
            return "may start published jobs, use the deployment, read what starts it, write outputs"
        case PublishedCode():
            return "the pickled function, and the local modules that it imports"
        case Function():
            cap = "" if resource.reserved is None else f", at most {resource.reserved} at once"
            return f"{resource.runtime}, {resource.memory_mb:,} MB, {resource.timeout_s} s{cap}"
    return _describe_trigger(resource)


def _describe_trigger(resource: Resource) -> str:
    match resource:
        case Permission(principal="*"):
            return "anybody may send requests" + " to its URL" * resource.via_url
        case Permission():
            return f"{resource.principal} may invoke it for {resource.source}"
        case Notification():
            return f"new objects whose keys fit {resource.prefix}*{resource.suffix} start it"
        case FunctionUrl(auth="NONE"):
            return "HTTPS, for anybody: nothing is signed"
        case FunctionUrl():
            return "HTTPS, for those whom IAM allows it: requests are signed"
        case Schedule():
            return f"{resource.expression}, in UTC"
    return ""


def cost_lines(job: PublishedJob, deployed: Function) -> tuple[str, ...]:
    """Return what a published job costs while nothing runs, and while it does."""
    settings = job.settings
    prices = cost.prices(
        settings.region, deployed.architecture, memory_mb=settings.memory_mb, limit_s=settings.timeout_s
    )
    where = "us-east-1, " if cost.unknown_prices(settings.region) else ""
    return (
        "At rest: $0.00 a month; its code and outputs cost as objects "
        f"(${cost.STORAGE_DOLLARS_PER_GB_MONTH} per GB and month, us-east-1).",
        f"At work: ${prices.request_dollars(3600):.3f} per hour of one start (prices of {where}"
        f"{cost.PRICES_DATE}), and what its maps cost.",
    )


def notices(job: PublishedJob) -> Iterator[str]:
    """Yield what a user should know before agreeing."""
    deployment, publication = job.deployment, job.publication
    yield (
        "published functions on AWS are experimental: no test has run them on a real account yet. Look at "
        "the first starts with wrenlite published"
    )
    on, readable = publication.on, {deployment.bucket, *deployment.read, *deployment.write}
    if isinstance(on, Http) and on.public:
        yield (
            "anybody who knows the URL can start this function, with any parameters, and you pay: at most "
            f"{PUBLIC_RESERVED} requests and starts at once, which are reserved for it, and all that its "
            "maps cost. Without public= only whom IAM allows it can"
        )
    if isinstance(on, Objects) and on.bucket not in readable:
        yield (
            f"the function reads the objects in {on.bucket}; the tasks of its maps do so only after "
            f"wrenlite-setup --read {on.bucket}"
        )
    outputs = publication.outputs.removeprefix("s3://").partition("/")[0]
    own = f"s3://{deployment.bucket}/{deployment.prefix}/outputs/"
    if outputs not in deployment.write and not f"{publication.outputs}/".startswith(own):
        yield (
            f"the function writes to {publication.outputs}; the tasks of its maps can do so only "
            f"{f'below {own}' if outputs == deployment.bucket else f'after wrenlite-setup --write {outputs}'}"
        )


def document(
    account: Account, job: PublishedJob, actions: Sequence[Action], deployed: Function
) -> dict[str, Any]:
    """Return a plan as a JSON object."""
    return {
        "account": account.id,
        "region": account.region,
        "function": job.deployment.function,
        "name": job.name,
        "on": str(job.publication.on),
        "target": job.publication.target,
        "outputs": job.publication.outputs,
        "costs": list(cost_lines(job, deployed)),
        "notices": list(notices(job)),
        "steps": report.step_documents(actions),
    }


def changes(actions: Sequence[Action]) -> list[Action]:
    """Return the steps that change something."""
    return [step for step in actions if step.verb is not Verb.KEEP]


def print_plan(account: Account, job: PublishedJob, actions: Sequence[Action], deployed: Function) -> None:
    """Print a plan with its prices and notices."""
    publication, name = job.publication, job.deployment.function
    click.echo(f"\nPublished job {job.name} of {name} in {account.region}, account {account.id}:")
    click.echo(f"  {publication.on} starts {publication.target}; outputs go to {publication.outputs}")
    click.echo(f"  {counted(publication.at_once, 'start')} at once at most; others wait in the bucket")
    click.echo("\n".join(plan_lines(actions)))
    click.echo("\n".join(cost_lines(job, deployed)))
    for notice in notices(job):
        click.echo(f"Note: {notice}")
    if not changes(actions):
        click.echo("There is nothing to do.")


def print_progress(action: Action, duration_s: float | None) -> None:
    """Print that a step begins, with None, or that it has ended, with its duration."""
    report.print_progress(action, duration_s, kind_width=12)


def policies_text(job: PublishedJob, clients: Clients) -> str:
    """Return the policy of the role, and who may invoke the function, as text."""
    role = policies.of_published(with_keys(clients, job.settings), job.publication)
    lines = ["Policy of the role of the function:", json.dumps(role, indent=2)]
    permissions = [describe(each) for each in job.trigger() if isinstance(each, Permission)]
    lines += ["Policy of the function itself:", *permissions] if permissions else []
    return "\n".join(lines)


def started_by(job: PublishedJob, url: str) -> str:
    """Return what starts a job that is published now, and where to look.

    Args:
        job: the job.
        url: its URL; empty: it has none.
    """
    look = f"wrenlite published {job.name} shows its starts."
    match job.publication.on:
        case Http():
            line = curl_line(job.publication, url, job.settings.region)
            return f"{url}\nwrenlite start {job.name} NAME=VALUE … starts it; so does\n{line}\n{look}"
        case Objects() as on:
            return f"Each new object {on} starts it from now on. {look}"
        case Every() as on:
            return f"{on} starts it from now on. {look}"


class Shown(NamedTuple):
    """What is shown of a published job in lists."""

    job: PublishedJob
    condition: str
    """What is wrong with it; empty: nothing."""

    def text(self) -> str:
        """Return a line for people."""
        publication = self.job.publication
        if not publication.target:
            return self.condition
        wrong = f" ({self.condition})" if self.condition else ""
        return f"{publication.on} starts {publication.target}{wrong}"

    def fix(self) -> str:
        """Return the command that puts it right."""
        publication = self.job.publication
        if not publication.target:
            return f"run wrenlite unpublish {self.job.name}, or publish it again"
        match publication.on:
            case Objects() as on:
                how = f"--on '{on}'"
            case Http(public):
                how = "--http" + " --public" * public
            case Every() as on:
                how = f"--every '{on}'"
        if publication.target.startswith("__main__:"):
            return "publish it again with executor.publish, in the program or notebook that has the function"
        command = f"wrenlite publish {publication.target} --name {self.job.name} {how}"
        return f"run {command} --to {publication.outputs}"

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        publication = self.job.publication
        return {
            "name": self.job.name,
            "on": str(publication.on) if publication.target else None,
            "target": publication.target or None,
            "outputs": publication.outputs or None,
            "function": self.job.settings.function,
            "condition": self.condition or None,
        }


def condition(job: PublishedJob, deployed: Function | None) -> str:
    """Return what is wrong with a published job; an empty text where nothing is.

    Args:
        job: the job.
        deployed: the function of its deployment; None: there is none.
    """
    if job.before is None:
        return "only a part of it exists"
    if deployed is None:
        return "the deployment has no function"
    differing = changes(job.plan(deployed))
    if not differing:
        return ""
    kinds = ", ".join(f"{step.resource.kind}: {step.reason}" for step in differing)
    return f"outdated: {kinds}"


def shown_jobs(clients: Clients, settings: Settings, deployed: Function | None) -> list[Shown]:
    """Return what is shown of the published jobs of a deployment.

    Args:
        clients: clients of AWS.
        settings: settings of the deployment.
        deployed: its function; None: there is none.
    """
    return [Shown(job, condition(job, deployed)) for job in find_all_published(clients, settings)]
