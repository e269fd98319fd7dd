"""``Executor.publish``: publish a function from a program or notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from wrenlite.backends.aws.connect import name_of
from wrenlite.backends.base import Backend
from wrenlite.config import Config
from wrenlite.deploy import publishing_report
from wrenlite.deploy.publisher import Publisher, Wish, removable
from wrenlite.deploy.publishing import PublishedJob
from wrenlite.errors import ConfigError
from wrenlite.serialize.traceback_stubs import public
from wrenlite.serving.code import target_of
from wrenlite.serving.publication import Every, Http, Objects, Trigger, parse_every, parse_objects


@public
class Published:
    """A published job: a function of its own on AWS, which an upload, a request or a schedule starts."""

    def __init__(self, publisher: Publisher, job: PublishedJob) -> None:
        self._publisher = publisher
        self._job = job
        self.name = job.name
        """The name under which it was published."""
        self.url = job.url()
        """Where requests start it: ``POST`` to ``start`` below it. Empty where it has another trigger."""
        self.outputs = job.publication.outputs
        """The address below which each start has a folder for its outputs."""

    def __repr__(self) -> str:
        return (
            f"<Published job {self.name}: {self._job.publication.on} starts {self._job.publication.target}>"
        )

    def unpublish(self) -> None:
        """Remove its function, role, log and trigger. Outputs stay.

        Raises:
            ConfigError: it was removed before.
            WrenliteError: AWS refuses it.
        """
        job, steps = removable(self._publisher.clients, self._publisher.settings, self.name)
        job.apply(steps, lambda *_: None)


def publish(
    backend: Backend,
    function: Callable[..., Any],
    on: str | Trigger,
    *,
    name: str | None,
    to: str | None,
    at_once: int | None,
    public: bool,
    yes: bool,
) -> Published:
    """Publish a function in the deployment of a backend: see ``Executor.publish``."""
    publisher = Publisher.of(_config(backend))
    job = publisher.prepare(Wish(function, target_of(function), _trigger(on, public), name, to, at_once))
    actions = job.plan(publisher.function)
    publishing_report.print_plan(publisher.account, job, actions, publisher.function)
    changes = publishing_report.changes(actions)
    if changes:
        if not yes:
            _ask(publisher, job)
        job.apply(changes, publishing_report.print_progress)
    made = Published(publisher, job)
    click.echo(publishing_report.started_by(job, made.url))
    return made


def _config(backend: Backend) -> Config:
    """Return the settings that select the deployment.

    Raises:
        ConfigError: the backend is no deployment on AWS.
    """
    config = backend.made_from[0] if backend.made_from else None
    if config is None or config.backend != "aws":
        raise ConfigError(
            f"publish: functions are published on AWS, and this executor runs on {backend.name}: use "
            "Executor.aws(). wrenlite serve does the same on this machine"
        )
    return replace(config, function=name_of(config.function))


def _trigger(on: str | Trigger, public: bool) -> Trigger:
    """Return what starts the function.

    Raises:
        ConfigError: it is not clear.
    """
    if isinstance(on, str) and on.strip().lower() == "http":
        return Http(public)
    if isinstance(on, str):
        on = parse_objects(on) if on.strip().lower().startswith("s3:") else _schedule(on)
    if not isinstance(on, Objects | Http | Every):
        raise ConfigError(f"on={on!r:.80}: {_SHAPES}")
    if public and not isinstance(on, Http):
        raise ConfigError(f"public=True is for on='http': only requests come from anybody, and this is {on}")
    return Http(public or on.public) if isinstance(on, Http) else on


_SHAPES = (
    "write 's3://BUCKET/PREFIX*.csv' for new objects, 'http' for requests, or a schedule such as '1 day'"
)


def _schedule(text: str) -> Every:
    try:
        return parse_every(text)
    except ConfigError as error:
        raise ConfigError(f"on={text!r:.80} starts nothing: {_SHAPES}. As a schedule: {error}") from None


def _ask(publisher: Publisher, job: PublishedJob) -> None:
    """Ask until the user agrees.

    Raises:
        ConfigError: the user does not, or cannot be asked.
    """
    sys.stdout.flush()
    while True:
        try:
            answer = input("Go ahead? yes, no, p: show the policies: ").strip().lower()
        except (EOFError, OSError):
            raise ConfigError(
                "publish: nobody can be asked here whether to go ahead: give yes=True"
            ) from None
        if answer in ("y", "yes"):
            return
        if answer in ("n", "no"):
            raise ConfigError("publish: nothing was changed, since the answer was no")
        if answer == "p":
            click.echo(publishing_report.policies_text(job, publisher.clients))
