"""Options that several commands have."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from wrenlite import config as configuration
from wrenlite.config import Config
from wrenlite.display import console
from wrenlite.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Age(click.ParamType[float]):
    """A time span: 90s, 30m, 12h, 7d."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        found = re.fullmatch(r"(\d+)([smhd])", str(value).strip())
        if found is None:
            self.fail(f"{value!r}: must be such as 90s, 30m, 12h or 7d", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


def several(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Any:
    """None where it was not given; nothing where it was given as ``none``."""
    return None if not value else () if value == ("none",) else value


def none_is_empty(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Nothing where it was given as ``none``; None where it was not."""
    return "" if value == "none" else value


PROFILE = click.option("--profile", help="Profile of AWS's own configuration.  [default: boto3's chain]")
REGION = click.option("--region", help="Such as eu-west-1.  [default: the profile's]")
FUNCTION = click.option("--function", help="Name of the Lambda function.  [default: wrenlite]")
BUCKET = click.option("--bucket", help="S3 bucket.  [default: the function's]")
CONFIG = click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="File of the settings."
)
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


def load(path: Path | None, **given: Any) -> Config:
    """The configuration, from that file where one is given. Raises ConfigError."""
    return Config.load(configuration.environment(path), **given)


def located(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say where; the command gets a configuration."""

    @functools.wraps(command)
    def with_config(
        *,
        profile: str | None,
        region: str | None,
        function: str | None,
        bucket: str | None,
        config: Path | None,
        **more: Any,
    ) -> None:
        with console.errors_in_one_line():
            if config is not None and not config.expanduser().exists():
                raise ConfigError(f"--config: there is no file {config}")
            given = {"profile": profile, "region": region, "function": function, "bucket": bucket}
            command(load(config, **given), **more)

    return PROFILE(REGION(FUNCTION(BUCKET(CONFIG(with_config)))))
