"""``wrenlite-setup``: from AWS credentials to a Lambda function that answers.

It signs in, asks, shows the plan, and creates nothing before the user agrees. It does not ask for settings
that are given as options, and with ``--yes`` it asks nothing. The next run starts from the settings of this
one, and completes what this one could not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from wrenlite import __version__
from wrenlite import config as configuration
from wrenlite.config import Config, parse_setting
from wrenlite.deploy import report, shared_options
from wrenlite.deploy.account import Account, check_region, new_session, profiles, sign_in
from wrenlite.deploy.architectures import Choice, choose_architecture, resolve_for_arm
from wrenlite.deploy.checks import check_buckets_exist, check_users_resources, find_layers
from wrenlite.deploy.clients import Clients, retry
from wrenlite.deploy.deployment import (
    LOCATION_SETTINGS,
    Deployment,
    client_config,
    configured_bucket,
    deployed_function,
    resolve_settings,
    with_buckets,
    with_keys,
)
from wrenlite.deploy.packages import leave_out, name_packages
from wrenlite.deploy.plan import Action, Verb
from wrenlite.deploy.resources import (
    Role,
)
from wrenlite.deploy.setting_forms import UNKNOWN_ACCOUNT
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.setup_options import UNASKED, unasked_options
from wrenlite.deploy.smoke_test import run_smoke_test
from wrenlite.display import console
from wrenlite.errors import AccessDenied, ConfigError, WrenliteError
from wrenlite.texts import counted

_ROLE_S = 60.0
"""Seconds that a new role may take to become valid everywhere in AWS."""


def _parse_list(text: str) -> tuple[str, ...]:
    """Return the words of an answer; an empty tuple for ``none``."""
    return () if text.strip() == "none" else tuple(text.split())


def _parse_number(text: str) -> int:
    """Return a whole number. Raises ConfigError for any other text."""
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a whole number") from error


def _parse_arn(text: str) -> str:
    """Return an ARN; an empty text for ``none``."""
    return "" if text.strip() == "none" else text.strip()


ADVANCED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "role_arn": ("ARN of an IAM role of your own, or none", _parse_arn),
    "memory_mb": ("Memory in MB, 128 to 10240; 1769 come with one CPU", _parse_number),
    "timeout_s": ("Timeout in seconds, 1 to 900", _parse_number),
    "architecture": ("Architecture, x86_64 or arm64", str),
    "ephemeral_mb": ("Ephemeral storage in MB, 512 to 10240", _parse_number),
    "reserved": (
        "Reserved concurrency, which limits spending, or none",
        shared_options.parse_reservation,
    ),
    "packages": (
        "Packages that tasks import, such as scipy pandas==2.3.3, or none",
        _parse_list,
    ),
    "read": ("Other buckets that tasks may read, or none", _parse_list),
    "write": ("Other buckets that tasks may read and write, or none", _parse_list),
}
"""Settings that most people leave as they are: for each its question, and the parser of the answer."""

_CHOSEN = ("bucket", "prefix", *ADVANCED, *UNASKED)
"""Names of all settings that options set."""


class Wizard:
    """One run of the wizard.

    A setting comes from an option, else from an answer. The default is that of the existing deployment.
    """

    def __init__(self, given: Mapping[str, Any], *, interactive: bool) -> None:
        """Sign in, and ask for the profile and the region where necessary.

        Args:
            given: options by name; None: not given.
            interactive: whether the wizard may ask.

        Raises:
            CredentialsError: there are no valid credentials.
            ConfigError: an option is not valid.
        """
        self._given = given
        self._interactive = interactive
        self._config = shared_options.load_config(
            given["config"],
            may_be_new=True,
            **{name: given[name] for name in ("profile", "region", "function")},
        )
        self._chosen: dict[str, Any] = {name: given[name] for name in _CHOSEN}
        if given["packages"] is not None:
            self._chosen["packages"] = name_packages(given["packages"])
        self._left_out: Sequence[str] = given["without"] or ()
        self._function = self._config.function
        self._resolve_for_arm = functools.cache(resolve_for_arm)  # not at each question
        self._session = new_session(self._choose_profile())
        self._clients, self.account = self._sign_in()

    def policy_settings(self) -> Settings:
        """Return settings for printing policies: of what exists, as far as these credentials may see it."""
        chosen = {name: value for name, value in self._chosen.items() if value is not None}
        known = {**configured_bucket(self._config, self.account), **chosen}
        existing = None
        with contextlib.suppress(AccessDenied):
            existing = deployed_function(self._clients, self.account, self._function)
        settings = resolve_settings(self.account, self._function, existing, **known)
        return with_keys(self._clients, settings)

    def _answer(self, name: str, question: str, default: Any, check: Callable[[Any], Any]) -> Any:
        """Return the checked value of a setting: the option's, the answer to the question, or the default.

        Args:
            name: the option's name.
            question: what to ask.
            default: default value; None: there is none.
            check: takes the value and returns it as it is used; raises ConfigError where it is not valid.

        Raises:
            click.UsageError: there is no value, and the wizard may not ask.
        """
        given = self._given.get(name)
        if given is not None:
            return check(given)
        if self._interactive:
            return click.prompt(question, default=default, value_proc=_ask_again(check))
        if default is None:
            raise click.UsageError(f"--{name} is missing: it has no default, and nobody can be asked")
        return check(default)

    def _choose_profile(self) -> str | None:
        """Return the profile. Asks if there are several, and neither options nor environment name one."""
        available = profiles()
        named = self._config.profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID")
        if not self._interactive or named or len(available) < 2:
            return self._config.profile
        default = "default" if "default" in available else available[0]
        return str(click.prompt("AWS profile", type=click.Choice(available), default=default))

    def _sign_in(self) -> tuple[Clients, Account]:
        session, endpoint = self._session, self._config.endpoint_url
        default = self._config.region or session.get_config_variable("region") or None
        if self._interactive:
            _, account = sign_in(session, default or "us-east-1", endpoint)
            click.echo(f"Signed in to account {account.id} as {account.identity}")
        region = self._answer("region", "AWS region", default, lambda name: check_region(session, name))
        return sign_in(session, region, endpoint)

    def choose_config_file(self) -> Path:
        """Return the file for the settings. Asks before it changes a file that is not wrenlite-setup's."""
        while True:
            path = self._answer("config", "Settings file", str(_default_config_path()), _check_writable)
            stored = configuration.read_file(path) if path.exists() else {}
            question = f"  {path} already exists. Add this deployment to it, and keep its other settings?"
            foreign = self._interactive and stored and "bucket_owner" not in stored
            if not foreign or click.confirm(question, default=True):
                break
            if self._given["config"] is not None:
                raise click.Abort
        before, now = stored.get("function"), self.deployment.settings.function
        if before not in (None, now):
            click.echo(
                f"  {path} referred to the function {before} until now; from now on it refers to {now}"
            )
        return Path(path)

    def _settings(self, **more: Any) -> Settings:
        """Return the settings as chosen so far, with further ones.

        Raises:
            ConfigError: a setting is not valid in this account.
        """
        return self._resolve(**more)[0]

    def _deployment(self) -> Deployment:
        settings, choice = self._resolve()
        return Deployment(self._clients, settings, choice=choice)

    def _resolve(self, **more: Any) -> tuple[Settings, Choice]:
        """Return the settings as chosen so far, with further ones, and how the architecture was chosen.

        Raises:
            ConfigError: a setting is not valid in this account.
        """
        chosen = {**self._chosen, **more}
        if self._function == self._config.function:
            configured = configured_bucket(self._config, self.account)
            chosen |= {name: value for name, value in configured.items() if chosen[name] is None}
        existing = deployed_function(self._clients, self.account, self._function)
        settings = resolve_settings(self.account, self._function, existing, **chosen)
        settings = replace(settings, packages=leave_out(settings.packages, self._left_out))
        layers = find_layers(self._clients, settings)
        choice = choose_architecture(
            explicit=chosen["architecture"],
            deployed=existing.architecture if existing else None,
            python=settings.python,
            layers={name: layer.architectures if layer else () for name, layer in layers.items()},
            with_packages=bool(settings.packages),
            resolve=lambda: self._resolve_for_arm(settings.packages, settings.python),
        )
        settings = replace(settings, architecture=choice.architecture)
        self.account.check(settings, existing.reserved if existing else None)
        check_users_resources(self._clients, settings)
        others = {f"--{name}": chosen[name] or () for name in ("read", "write")}
        check_buckets_exist(self._clients, others)
        return with_buckets(self._clients, settings), choice

    def choose_bucket(self) -> None:
        """Ask for the bucket and the prefix, and create the deployment."""
        default = self._settings()
        for name, question in (("bucket", "S3 bucket"), ("prefix", "Prefix of all keys in the bucket")):
            self._chosen[name] = self._answer(name, question, getattr(default, name), self._check(name))
        self.deployment = self._deployment()

    def _check(self, name: str, parse: Callable[[str], Any] = str) -> Callable[[Any], Any]:
        """Return a check of one setting together with the others as chosen so far."""

        def check(text: str) -> Any:
            value = parse(text)
            self._settings(**{name: value})
            return value

        return check

    def choose_advanced(self) -> None:
        """Ask for the settings that most people leave as they are."""
        self._function = click.prompt(
            "Name of the function", default=self._function, value_proc=_ask_again(_check_function_name)
        )
        settings = self._settings()
        self._chosen["packages"], self._left_out = settings.packages, ()
        for name, (question, parse) in ADVANCED.items():
            now = getattr(settings, name)
            default = " ".join(now) if isinstance(now, tuple) else now
            default = default or "none"
            check = _ask_again(self._check(name, parse))
            answer = click.prompt(question, default=str(default), value_proc=check)
            if name != "architecture" or answer != now:  # other packages may not have wheels for this one
                self._chosen[name] = answer
        self.deployment = self._deployment()

    def confirm_plan(self) -> tuple[Action, ...]:
        """Show the plan until the user agrees, and return it.

        Raises:
            click.exceptions.Exit: the user does not agree.
        """
        while True:
            report.build_layer(self.deployment)
            actions = self.deployment.plan()
            report.print_plan(self.account, self.deployment, actions)
            if not self._interactive:
                return actions
            nothing = all(action.verb is Verb.KEEP for action in actions)
            question = "Continue" if nothing else "Go ahead"
            answer = click.prompt(
                f"{question}? yes, no, a: advanced settings, p: show the policies",
                default="yes" if nothing else None,
                value_proc=_ask_again(_parse_consent),
            )
            if answer == "y":
                return actions
            if answer == "n":
                click.echo("Nothing was changed.", err=True)
                raise click.exceptions.Exit(1)
            if answer == "a":
                self.choose_advanced()
            if answer == "p":
                report.print_policies(self.deployment.settings, report.POLICIES)

    def apply(self, actions: Sequence[Action], path: Path) -> None:
        """Carry out the plan. The settings are saved first, so that ``destroy`` can undo a stopped run."""
        config = self._client_config()
        configuration.update_file(path, {name: getattr(config, name) for name in LOCATION_SETTINGS})
        try:
            self.deployment.apply(actions, report.print_progress)
        except (KeyboardInterrupt, WrenliteError):
            click.echo(
                "\nStopped. Run wrenlite-setup again to continue, or wrenlite destroy to delete what exists.",
                err=True,
            )
            raise

    def _client_config(self) -> Config:
        """Return the configuration of a client that uses this deployment."""
        config = replace(self._config, profile=self._session.profile)
        return client_config(config, self.deployment.settings)

    def smoke_test(self, actions: Sequence[Action]) -> dict[str, Any]:
        """Invoke the function, print the result, and return it as a JSON object."""
        new_role = any(isinstance(step.resource, Role) and step.verb is not Verb.KEEP for step in actions)
        packages = self.deployment.packages.names
        answer = run_smoke_test(
            self._client_config(), packages, access_timeout_s=_ROLE_S if new_role else 0.0
        )
        answer.check_packages()
        click.echo(report.smoke_test_text(answer))
        document = report.smoke_test_document(answer, self.deployment.settings)
        if self.deployment.settings.has_driver:
            document["driver"] = retry(
                self.deployment.ping_driver,
                timeout_s=_ROLE_S if new_role else 0.0,
                is_transient=lambda error: isinstance(error, AccessDenied),
            )
            click.echo(f"driver returned: wrenlite {document['driver']}")
        return document

    def choose_backend(self, path: Path) -> None:
        """Ask where Executor() runs from now on, save that, and print the next steps."""
        now = configuration.read_file(path).get("backend", Config.backend)
        backend = self._given["backend"]
        if backend is None and self._interactive:
            on_lambda = click.confirm("Should Executor() run on Lambda from now on?", default=now == "aws")
            backend = "aws" if on_lambda else "local"
        if backend is not None and backend != now:
            configuration.update_file(path, {"backend": backend})
        click.echo(f"The settings are saved in {path}")
        if path != configuration.config_path():
            click.echo(f"To let wrenlite use this file: export WRENLITE_CONFIG={path.absolute()}")
        executor = "wrenlite.Executor()" if (backend or now) == "aws" else "wrenlite.Executor.aws()"
        click.echo(f"Next: wrenlite demo --aws, and in a notebook {executor}")


def _check_function_name(name: str) -> str:
    if ":" in name:
        raise ConfigError("must be a name, not an ARN")
    return str(parse_setting("function", name))


def _parse_consent(text: str) -> str:
    letter = text.strip().lower()[:1]
    if letter not in ("y", "n", "a", "p"):
        raise ConfigError("must be yes, no, a or p")
    return letter


def _check_writable(text: str) -> Path:
    """Return the path of a file that can be written. Raises ConfigError for any other."""
    path = Path(text).expanduser()
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    reason = None
    if path.is_dir():
        reason = "it is a folder"
    elif existing != path and not existing.is_dir():
        reason = f"{existing} is not a folder"
    elif not os.access(existing, os.W_OK):
        reason = f"no permission to write to {existing}"
    if reason is not None:
        raise ConfigError(f"cannot write {path}: {reason}")
    return path


def _ask_again(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the check in the form that click needs to ask again after an answer that is not valid."""

    def value(text: Any) -> Any:
        try:
            return check(text)
        except (ConfigError, ValueError) as error:
            raise click.UsageError(str(error)) from error

    return value


@click.command(
    cls=console.PlainCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: wrenlite-setup --dry-run",
)
@shared_options.PROFILE
@shared_options.REGION
@shared_options.CONFIG
@click.option("--bucket", metavar="NAME", help="S3 bucket.  [default: a new one]")
@click.option("--prefix", metavar="PREFIX", help="Beginning of all keys in the bucket.  [default: wrenlite]")
@shared_options.FUNCTION
@click.option(
    "--role-arn",
    metavar="ARN",
    callback=shared_options.parse_optional,
    help="IAM role of your own; none: create a role.",
)
@click.option(
    "--memory", "memory_mb", type=int, metavar="MB", help="Memory, 128 to 10240; 1769 come with one CPU."
)
@click.option(
    "--timeout", "timeout_s", type=int, metavar="SECONDS", help="Time limit of an invocation, 1 to 900."
)
@click.option(
    "--architecture",
    type=click.Choice(["x86_64", "arm64"]),
    help="Processors; a new function's default is arm64 where all packages have wheels for it.",
)
@click.option("--ephemeral-storage", "ephemeral_mb", type=int, metavar="MB", help="512 to 10240, for /tmp.")
@click.option(
    "--reserved-concurrency",
    "reserved",
    metavar="N",
    callback=shared_options.parse_reservation_option,
    help="The most invocations at once, reserved from the account's quota; none: no reservation.",
)
@click.option(
    "--package",
    "packages",
    metavar="NAME[==VERSION]",
    multiple=True,
    callback=shared_options.parse_list,
    help="Package that tasks import, beside numpy and pillow; repeat for more; none: no packages at all.  "
    "[default: rasterio]",
)
@click.option(
    "--without",
    metavar="NAME",
    multiple=True,
    help="Leave a package out, such as numpy, pillow or rasterio; repeat for more.",
)
@click.option(
    "--read",
    metavar="BUCKET",
    multiple=True,
    callback=shared_options.parse_list,
    help="Other bucket that tasks may read; repeat for more; none: no others.",
)
@click.option(
    "--write",
    metavar="BUCKET",
    multiple=True,
    callback=shared_options.parse_list,
    help="Other bucket that tasks may read and write; repeat for more; none: no others.",
)
@unasked_options
@click.option("--backend", type=click.Choice(["local", "aws"]), help="Where Executor() runs from now on.")
@click.option("--local", is_flag=True, help="Only save settings for this machine's cores.")
@shared_options.YES
@shared_options.DRY_RUN
@console.json_option
@click.version_option(__version__, prog_name="wrenlite-setup")
@click.option(
    "--print-policy",
    "policy",
    type=click.Choice(report.POLICIES),
    help="Only print the policy of people who deploy, run maps, or publish functions, or of a function.",
)
def main(*, local: bool, yes: bool, dry_run: bool, as_json: bool, policy: str | None, **given: Any) -> None:
    """Deploy wrenlite on AWS Lambda, or change the deployment.

    It shows what it would create, with names, policies and prices, and creates nothing before you agree. Run
    it again to change settings, to deploy a new version of wrenlite, or to complete a run that was stopped.
    """
    if local and (dry_run or policy or any(value for name, value in given.items() if name != "config")):
        raise click.UsageError("--local can only be combined with --config, --yes and --json")
    changes = not (dry_run or policy is not None)
    with console.errors_in_one_line():
        _check_values(given)
    if changes and not (yes or sys.stdin.isatty()):
        asked = ["config"] if local else ["config", "bucket", "prefix", "backend"]
        missing = ", ".join(f"--{name}" for name in asked if given[name] is None)
        defaults = f" and takes the defaults of {missing}" if missing else ""
        raise click.UsageError(
            "wrenlite-setup has questions, and stdin is not a terminal: run it in a terminal, or give --yes, "
            f"which agrees to the plan{defaults}"
        )
    interactive = changes and not yes
    with console.errors_in_one_line():
        if policy is not None:
            report.print_policies(Wizard(given, interactive=False).policy_settings(), [policy])
            return
        with shared_options.messages_on_stderr(as_json):
            if local:
                document = _use_local(given["config"], ask=interactive)
            elif dry_run:
                document = _show_plan(given)
            else:
                document = _deploy(given, interactive=interactive)
        if as_json:
            console.print_json(document)


def _check_values(given: Mapping[str, Any]) -> None:
    """Check the values of options, as far as that is possible without the account.

    Raises:
        ConfigError: AWS would refuse one of them.
    """
    chosen = {name: given[name] for name in _CHOSEN if given[name] is not None}
    for name in (
        "role_arn",
        "driver_role_arn",
        "reserved",
        "alarm_topic",
    ):  # an empty text and 0 stand for none
        chosen[name] = chosen.get(name) or None
    settings = Settings(**{"account": UNKNOWN_ACCOUNT, "region": "", "bucket": "any", **chosen})
    if given["packages"] is not None:
        leave_out(name_packages(settings.packages), given["without"])


def _show_plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """Print the plan, and return it as a JSON object."""
    wizard = Wizard(given, interactive=False)
    wizard.choose_bucket()
    _check_writable(str(given["config"] or _default_config_path()))
    report.build_layer(wizard.deployment)
    actions = wizard.deployment.plan()
    report.print_plan(wizard.account, wizard.deployment, actions)
    return {**report.plan_document(wizard.account, wizard.deployment, actions), "applied": False}


def _deploy(given: Mapping[str, Any], *, interactive: bool) -> dict[str, Any]:
    """Run the wizard, and return what was done as a JSON object."""
    wizard = Wizard(given, interactive=interactive)
    wizard.choose_bucket()
    path = wizard.choose_config_file()
    actions = wizard.confirm_plan()
    document = report.plan_document(wizard.account, wizard.deployment, actions)
    wizard.apply(actions, path)
    result = wizard.smoke_test(actions)
    wizard.choose_backend(path)
    return {**document, "applied": True, "smoke_test": result, "config": str(path)}


def _use_local(path: Path | None, *, ask: bool) -> dict[str, Any]:
    """Save settings for this machine's cores, and return them as a JSON object."""
    path = path or _default_config_path()
    if path.exists() and ask:
        question = f'{path} already exists. Set backend = "local" in it, and keep its other settings?'
        click.confirm(question, default=True, abort=True)
    configuration.update_file(path, {"backend": "local"})
    click.echo(
        f"Executor() runs on this machine's {counted(os.cpu_count() or 1, 'core')}. The settings are saved "
        f"in {path}"
    )
    return {"backend": "local", "config": str(path)}


def _default_config_path() -> Path:
    """Return the settings file that is used where the user names none."""
    import platformdirs

    return configuration.config_path() or platformdirs.user_config_path("wrenlite") / "config.toml"
