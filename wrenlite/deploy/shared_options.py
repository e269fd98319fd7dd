"""Options that several commands have."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from wrenlite import config as configuration
from wrenlite.config import Config
from wrenlite.display import console
from wrenlite.errors import ConfigError

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Seconds per unit of time."""


class Duration(click.ParamType[float]):
    """A duration such as 90s, 30m, 12h or 7d; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Anything else is a usage error."""
        found = re.fullmatch(r"(\d+)([smhd])", str(value).strip())
        if found is None:
            self.fail(f"{value!r}: must be a duration such as 90s, 30m, 12h or 7d", param, ctx)
        return float(found[1]) * _UNIT_S[found[2]]


def parse_list(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Any:
    """Return the values of an option; an empty tuple for ``none``, and None where it was not given."""
    if "none" in value and len(value) > 1:
        raise click.BadParameter("none cannot be combined with others", context, parameter)
    return None if not value else () if value == ("none",) else value


def parse_ids(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Return the ids in an option; an empty tuple for ``none``, and None where it was not given."""
    return None if value is None else () if value == "none" else tuple(value.replace(",", " ").split())


def parse_reservation(text: str) -> int:
    """Return a number of reserved invocations; 0 for ``none``.

    Raises:
        ConfigError: the text is neither ``none`` nor a number above 0.
    """
    if text.strip() == "none":
        return 0
    if not re.fullmatch(r"0*[1-9]\d*", text.strip(), re.ASCII):
        raise ConfigError(
            f"--reserved-concurrency {text!r}: must be a whole number from 1, or none for no reservation. "
            "With 0 nothing could ever run"
        )
    return int(text)


def parse_reservation_option(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> int | None:
    """Return the value of the option of that name; None where it was not given."""
    with console.errors_in_one_line():
        return None if value is None else parse_reservation(value)


def parse_optional(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the value of an option; an empty text for ``none``, and None where it was not given."""
    if value == "":
        raise click.BadParameter("must not be empty; none means none", context, parameter)
    return "" if value == "none" else value


PROFILE = click.option(
    "--profile", metavar="NAME", help="Profile in AWS's configuration files.  [default: chosen by boto3]"
)
REGION = click.option(
    "--region", metavar="NAME", help="AWS region, such as eu-west-1.  [default: the profile's]"
)
FUNCTION = click.option(
    "--function", metavar="NAME", help="Name of the Lambda function.  [default: wrenlite]"
)
BUCKET = click.option("--bucket", metavar="NAME", help="S3 bucket.  [default: the function's]")
CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file.  [default: config.toml in the user's configuration folder]",
)
YES = click.option("--yes", "-y", is_flag=True, help="Ask nothing: take the defaults, and agree.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")


@contextlib.contextmanager
def messages_on_stderr(as_json: bool) -> Iterator[None]:
    """Print messages and questions to stderr if ``as_json`` holds: stdout is for the JSON object only."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def load_config(path: Path | None, *, may_be_new: bool = False, **given: Any) -> Config:
    """Return the configuration.

    Args:
        path: the settings file; None: the usual one.
        may_be_new: the command creates the file if it does not exist.
        **given: settings that win over all others; None: not given.

    Raises:
        ConfigError: a setting or the file is not valid.
    """
    environ = configuration.environment_with(path)
    chosen = configuration.config_path(environ)
    if may_be_new and chosen is not None and not chosen.exists():
        environ = {**environ, "WRENLITE_CONFIG": ""}
    return Config.load(environ, **given)


def deployment_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select a deployment; the command receives a configuration in their place."""

    @functools.wraps(command)
    def with_config(
        *,
        profile: str | None,
        region: str | None,
        function: str | None,
        bucket: str | None,
        config: Path | None,
        **other: Any,
    ) -> None:
        with console.errors_in_one_line():
            if config is not None and not config.expanduser().exists():
                raise ConfigError(f"--config: the file {config} does not exist")
            given: dict[str, Any] = {
                "profile": profile,
                "region": region,
                "function": function,
                "bucket": bucket,
            }
            command(load_config(config, **given), **other)

    return PROFILE(REGION(FUNCTION(BUCKET(CONFIG(with_config)))))
