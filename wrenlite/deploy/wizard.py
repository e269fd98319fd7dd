"""``wrenlite-setup``: from AWS credentials to a function that answers.

Signs in, asks, shows the plan, and creates nothing before consent. What is given as an option is not asked
for; with ``--yes`` nothing is. The next run begins with what this one chose, and completes what it could not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from wrenlite import __version__
from wrenlite import config as configuration
from wrenlite.config import Config, parse
from wrenlite.deploy import options, report
from wrenlite.deploy.account import Account, check_region, new_session, profiles, sign_in
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.deployment import (
    WRITTEN,
    Deployment,
    check_role,
    deployed,
    place_in,
    settings_for,
    settled,
    whose_bucket,
)
from wrenlite.deploy.plan import Action, Verb
from wrenlite.deploy.resources import Role, Settings
from wrenlite.deploy.smoke_test import run_smoke_test
from wrenlite.display import console
from wrenlite.errors import ConfigError, WrenliteError

_ROLE_S = 60.0
"""Seconds that a role may take until it holds everywhere."""


def words(text: str) -> tuple[str, ...]:
    """The words of an answer; none of them for ``none``."""
    return () if text.strip() == "none" else tuple(text.split())


def number(text: str) -> int:
    """A whole number. Raises ConfigError."""
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no whole number") from error


def role(text: str) -> str:
    """An ARN, or nothing for ``none``."""
    return "" if text.strip() == "none" else text.strip()


ADVANCED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "role_arn": ("ARN of a role of your own, or none", role),
    "memory_mb": ("Memory in MB, 128 to 10240; 1769 is one CPU", number),
    "timeout_s": ("Time-out in seconds, 1 to 900", number),
    "architecture": ("Architecture, x86_64 or arm64", str),
    "ephemeral_mb": ("Ephemeral storage in MB, 512 to 10240", number),
    "reserved": ("Reserved concurrency, a cap on spending (0: none)", number),
    "packages": ("Packages beside the usual ones, such as: scipy pandas==2.3.3; or none", words),
    "read": ("Further buckets that tasks may read, or none", words),
    "write": ("Further buckets that tasks may write to, or none", words),
}
"""Settings that most people leave as they are: the question, and what the answer means."""


class Wizard:
    """One run. Answers come from the options, else from who is asked, else from before, else defaults."""

    def __init__(self, given: Mapping[str, Any], *, asks: bool) -> None:
        """Args:
        given: options by name; None: not given.
        asks: whether there is somebody to ask.
        """
        self._given = given
        self._asks = asks
        self._before = options.load(
            given["config"], **{name: given[name] for name in ("profile", "region", "function")}
        )
        self._chosen: dict[str, Any] = {name: given[name] for name in ("bucket", "prefix", *ADVANCED)}
        self._function = self._before.function
        self._session = new_session(self._profile())
        self._clients, self.account = self._sign_in()

    def policy_settings(self) -> Settings:
        """Settings for who only wants to see policies, and may not look at anything yet."""
        mine = {name: value for name, value in self._chosen.items() if value is not None}
        known = {**place_in(self._before, self.account), **mine}
        return settings_for(self.account, self._function, None, **known)

    def _answer(self, name: str, question: str, default: Any, check: Callable[[Any], Any]) -> Any:
        """One answer, checked. Raises click.UsageError where there is none."""
        given = self._given.get(name)
        if given is not None:
            return check(given)
        if self._asks:
            return click.prompt(question, default=default, value_proc=_again(check))
        if default is None:
            raise click.UsageError(f"--{name} is missing: it has no default, and there is nobody to ask")
        return check(default)

    def _profile(self) -> str | None:
        """The profile; asked for where there are several, and nothing says which."""
        there = profiles()
        known = self._before.profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID")
        if not self._asks or known or len(there) < 2:
            return self._before.profile
        default = "default" if "default" in there else there[0]
        return str(click.prompt("AWS profile", type=click.Choice(there), default=default))

    def _sign_in(self) -> tuple[Clients, Account]:
        session, endpoint = self._session, self._before.endpoint_url
        usual = self._before.region or session.get_config_variable("region") or None
        if self._asks:
            _, someone = sign_in(session, usual or "us-east-1", endpoint)
            click.echo(f"Signed in to account {someone.id} as {someone.identity}")
        region = self._answer("region", "Region", usual, lambda name: check_region(session, name))
        return sign_in(session, region, endpoint)

    def place(self) -> Path:
        """Where the settings go. Asks before a file is changed that this has not written."""
        while True:
            path = self._answer("config", "File for the settings", str(_usual_place()), _writable)
            there = configuration.read(path) if path.exists() else {}
            question = f"  {path} is there. Set what this run chooses in it, and keep the rest?"
            if not (self._asks and there) or "bucket_owner" in there or click.confirm(question, default=True):
                break
            if self._given["config"] is not None:
                raise click.Abort
        function, now = there.get("function"), self.deployment.settings.function
        if function not in (None, now):
            click.echo(f"  {path} names the function {function} so far: from now on {now}")
        return Path(path)

    def _settings(self, **more: Any) -> Settings:
        """Settings with what was chosen so far. Raises ConfigError."""
        chosen = {**self._chosen, **more}
        mine = place_in(self._before, self.account) if self._function == self._before.function else {}
        chosen |= {name: value for name, value in mine.items() if chosen[name] is None}
        before = deployed(self._clients, self.account, self._function)
        settings = settings_for(self.account, self._function, before, **chosen)
        self.account.check(settings, before.reserved if before else None)
        check_role(self._clients, settings)
        return whose_bucket(self._clients, settings)

    def choose(self) -> None:
        """Ask for what everybody chooses."""
        usual = self._settings()
        for name, question in (("bucket", "S3 bucket"), ("prefix", "Prefix of keys in the bucket")):
            self._chosen[name] = self._answer(name, question, getattr(usual, name), self._checks(name))
        self.deployment = Deployment(self._clients, self._settings())

    def _checks(self, name: str, meaning: Callable[[str], Any] = str) -> Callable[[Any], Any]:
        """A check of that one setting, with the others as they are."""

        def check(text: str) -> Any:
            value = meaning(text)
            self._settings(**{name: value})
            return value

        return check

    def advanced(self) -> None:
        """Ask for the settings that most people leave as they are."""
        self._function = click.prompt(
            "Name of the function", default=self._function, value_proc=_again(_function)
        )
        settings = self._settings()
        for name, (question, meaning) in ADVANCED.items():
            now = getattr(settings, name)
            default = " ".join(now) if isinstance(now, tuple) else now
            default = default or (0 if name == "reserved" else "none")
            check = _again(self._checks(name, meaning))
            self._chosen[name] = click.prompt(question, default=str(default), value_proc=check)
        self.deployment = Deployment(self._clients, self._settings())

    def agree(self) -> tuple[Action, ...]:
        """Show the plan until it is agreed to. Raises click.Abort where it is not."""
        while True:
            actions = self.deployment.plan()
            report.plan(self.account, self.deployment, actions)
            if not self._asks:
                return actions
            nothing = all(action.verb is Verb.KEEP for action in actions)
            answer = click.prompt(
                f"{'Go on' if nothing else 'Go ahead'}? yes, no, a: advanced settings, p: show the policies",
                default="yes" if nothing else None,
                value_proc=_again(_consent),
            )
            if answer == "y":
                return actions
            if answer == "n":
                click.echo("Nothing was changed.", err=True)
                raise click.exceptions.Exit(1)
            if answer == "a":
                self.advanced()
            if answer == "p":
                report.policies_of(self.deployment.settings, report.POLICIES)

    def carry_out(self, actions: Sequence[Action], path: Path) -> None:
        """Take the steps; the settings are written first, so that ``destroy`` knows them whatever happens."""
        report.building(self.deployment, actions)
        now = self._config()
        configuration.save(path, {name: getattr(now, name) for name in WRITTEN})
        try:
            self.deployment.apply(actions, report.progress)
        except (KeyboardInterrupt, WrenliteError):
            click.echo(
                "\nStopped. wrenlite-setup goes on from here; wrenlite destroy removes what there is.",
                err=True,
            )
            raise

    def _config(self) -> Config:
        """Of who uses what this run deploys."""
        return settled(replace(self._before, profile=self._session.profile), self.deployment.settings)

    def try_out(self, actions: Sequence[Action]) -> None:
        """A real invocation."""
        new = any(isinstance(step.resource, Role) and step.verb is not Verb.KEEP for step in actions)
        packages = self.deployment.packages.names
        click.echo(
            report.said(run_smoke_test(self._config(), packages, access_timeout_s=_ROLE_S if new else 0.0))
        )

    def finish(self, path: Path) -> None:
        """Which backend from now on, where that is written, and what to do next."""
        now = configuration.read(path).get("backend", Config.backend)
        backend = self._given["backend"]
        if backend is None and self._asks:
            chosen = click.confirm("Should Executor() run on Lambda from now on?", default=now == "aws")
            backend = "aws" if chosen else "local"
        if backend is not None and backend != now:
            configuration.save(path, {"backend": backend})
        click.echo(f"The settings are in {path}")
        if path != configuration.place():
            click.echo(f"where wrenlite finds them with: export WRENLITE_CONFIG={path.absolute()}")
        on_lambda = (backend or now) == "aws"
        click.echo(
            f"Next: wrenlite demo --aws, and in a notebook wrenlite.Executor{'' if on_lambda else '.aws'}()"
        )


def _function(name: str) -> str:
    if ":" in name:
        raise ConfigError("a name, not an ARN")
    return str(parse("function", name))


def _consent(text: str) -> str:
    letter = text.strip().lower()[:1]
    if letter not in ("y", "n", "a", "p"):
        raise ConfigError("yes, no, a or p")
    return letter


def _writable(text: str) -> Path:
    """A file that can be written. Raises ConfigError."""
    path = Path(text).expanduser()
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if path.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(
            f"cannot write {path}: {'a folder' if path.is_dir() else f'{there} does not let us'}"
        )
    return path


def _again(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The check as click wants it: what is refused is asked for again."""

    def value(text: Any) -> Any:
        try:
            return check(text)
        except (ConfigError, ValueError) as error:
            raise click.UsageError(str(error)) from error

    return value


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@options.PROFILE
@options.REGION
@options.CONFIG
@click.option("--bucket", help="S3 bucket.  [default: one is made]")
@click.option("--prefix", help="What keys in the bucket begin with.  [default: wrenlite]")
@options.FUNCTION
@click.option("--role-arn", callback=options.none_is_empty, help="A role of your own; none: make one.")
@click.option("--memory", "memory_mb", type=int, metavar="MB", help="128 to 10240; 1769 is one CPU.")
@click.option("--timeout", "timeout_s", type=int, metavar="S", help="1 to 900.")
@click.option("--architecture", type=click.Choice(["x86_64", "arm64"]))
@click.option("--ephemeral-storage", "ephemeral_mb", type=int, metavar="MB", help="512 to 10240.")
@click.option(
    "--reserved-concurrency",
    "reserved",
    type=int,
    metavar="N",
    help="Invocations at once at most, taken from the account's; 0: none.",
)
@click.option(
    "--package",
    "packages",
    multiple=True,
    callback=options.several,
    help="In the layer beside cloudpickle, numpy, pillow, rasterio; again for more; none: no others.",
)
@click.option(
    "--read", multiple=True, callback=options.several, help="Bucket that tasks may read; again for more."
)
@click.option("--write", multiple=True, callback=options.several, help="Bucket that tasks may write to.")
@click.option("--backend", type=click.Choice(["local", "aws"]), help="Where Executor() runs from now on.")
@click.option("--local", is_flag=True, help="Only write settings for this machine's cores.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: take defaults, and agree to the plan.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON, with --dry-run.")
@click.version_option(__version__, prog_name="wrenlite-setup")
@click.option(
    "--print-policy",
    "whose",
    type=click.Choice(report.POLICIES),
    help="Only print a policy: of who deploys, of who maps over data, of the function.",
)
def main(*, local: bool, yes: bool, dry_run: bool, as_json: bool, whose: str | None, **given: Any) -> None:
    """Put wrenlite on AWS Lambda, or change what is there.

    Shows what it would create, with names, policies and prices, and creates nothing before you agree. Run it
    again to change settings, to bring a new version of wrenlite, or to complete a run that was stopped.
    """
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run")
    if local and (dry_run or whose or any(value for name, value in given.items() if name != "config")):
        raise click.UsageError("--local goes with --config and --yes only")
    looks = dry_run or whose is not None
    if not (yes or looks or sys.stdin.isatty()):
        asked = ["config", "bucket", "prefix", "backend"] if not local else ["config"]
        missing = ", ".join(f"--{name}" for name in asked if given[name] is None)
        rest = f", and takes the defaults of {missing}" if missing else ""
        raise click.UsageError(
            f"there is no terminal to ask in: --yes is missing. It agrees to the plan{rest}"
        )
    with console.errors_in_one_line():
        if local:
            _local(given["config"], ask=not yes)
            return
        wizard = Wizard(given, asks=not (yes or looks))
        if whose is not None:
            report.policies_of(wizard.policy_settings(), [whose])
            return
        wizard.choose()
        if as_json:
            click.echo(report.as_json(wizard.account, wizard.deployment, wizard.deployment.plan()))
        elif dry_run:
            report.plan(wizard.account, wizard.deployment, wizard.deployment.plan())
        else:
            path = wizard.place()
            actions = wizard.agree()
            wizard.carry_out(actions, path)
            wizard.try_out(actions)
            wizard.finish(path)


def _local(path: Path | None, *, ask: bool) -> None:
    """Settings for this machine's cores."""
    path = path or _usual_place()
    if path.exists() and ask:
        question = f'{path} is there. Set backend = "local" in it, and keep the rest?'
        click.confirm(question, default=True, abort=True)
    configuration.save(path, {"backend": "local"})
    click.echo(f"Executor() runs on this machine's {os.cpu_count()} cores. The settings are in {path}")


def _usual_place() -> Path:
    """Where settings are written unless somebody says otherwise."""
    import platformdirs

    return configuration.place() or platformdirs.user_config_path("wrenlite") / "config.toml"
