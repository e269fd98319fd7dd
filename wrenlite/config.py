"""Read the settings once, when an executor or a command starts.

Keyword arguments win over environment variables, these over ``config.toml``, and that over the defaults.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from wrenlite.errors import ConfigError

BackendName = Literal["local", "inline", "aws"]
Progress = bool | Literal["auto"]

PREFIX = "wrenlite"
"""Default beginning of all keys in a bucket."""
_FUNCTION_SETTINGS = ("bucket", "bucket_owner", "prefix")
"""Settings that are valid for one function only."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Config:
    """The settings of an executor. Each has an environment variable too, such as ``WRENLITE_WORKERS``."""

    backend: BackendName = "local"
    """``local``: worker processes; ``inline``: the calling thread, for the debugger; ``aws``: AWS Lambda."""
    workers: int | None = None
    """Number of worker processes; None: one per core."""
    memory_limit: int | None = None
    """Bytes of memory that each worker may use, also written as ``2GB``; None: no limit."""
    max_tasks_per_worker: int | None = None
    """Tasks that a worker process runs before a new one takes its place; None: any number."""
    profile: str | None = None
    """Profile in AWS's configuration files; None: boto3 finds credentials by its own chain."""
    region: str | None = None
    """AWS region; None: the profile's."""
    bucket: str | None = None
    """S3 bucket for functions and large values; None: the one that the function was deployed with."""
    bucket_owner: str | None = None
    """Account id that must own the bucket; None: the one that the function was deployed with."""
    prefix: str | None = None
    """Beginning of all keys in the bucket; None: the one that the function was deployed with."""
    function: str = "wrenlite"
    """Name or ARN of the Lambda function."""
    endpoint_url: str | None = None
    """URL of a server that speaks AWS's protocols in place of AWS."""
    max_concurrency: int | None = None
    """The most invocations at the same time; None: as many as the account allows."""
    budget: float | None = None
    """Dollars that one executor may spend; None: no limit."""
    progress: Progress = "auto"
    """Whether to show the progress of jobs; ``auto``: in a notebook, on a terminal, and as a line every 30 s
    in a file; True: in a file as a line every second.
    """

    journal: str | None = None
    """Folder of the journal of jobs; ``off``: no journal; None: the user's state folder."""
    cache: str | None = None
    """Folder of the values that ``cache=True`` keeps; ``off``: none; None: in the user's cache folder."""
    cache_bytes: int | None = None
    """Bytes of kept values on this machine, also written as ``5GB``; None: 10 GB. Those that nobody has used
    for the longest time are deleted first."""
    cache_days: float | None = None
    """Days after which a kept value is deleted that nobody has used; None: 90."""
    loglevel: str | None = None
    """Log to stderr from this level on: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``; None: do not log."""

    def log_to_stderr(self) -> None:
        """Let the logger ``wrenlite`` write to stderr if ``loglevel`` is set."""
        if self.loglevel is not None:
            logger = logging.getLogger("wrenlite")
            logger.setLevel(self.loglevel)
            if not any(type(handler) is logging.StreamHandler for handler in logger.handlers):
                handler = logging.StreamHandler()
                handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
                logger.addHandler(handler)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> Config:
        """Read the settings.

        Args:
            environ: the environment variables.
            **given: settings that win over all others; None: not given.

        Returns:
            The settings. Where the arguments or the environment name another function, region or profile than
            the file, the file's bucket, bucket_owner and prefix are ignored.

        Raises:
            ConfigError: a setting is unknown or not valid, or the file cannot be read, or ``WRENLITE_CONFIG``
                names one that does not exist; the message names it.
        """
        path = config_path(environ)
        exists = path is not None and path.exists()
        if environ.get("WRENLITE_CONFIG") and not exists:
            raise ConfigError(
                f"WRENLITE_CONFIG={path}: there is no such file. Correct the path, or unset the variable"
            )
        stored = read_file(path) if path is not None and exists else {}
        in_file = _with(cls(), stored, lambda name, value: f"{path}: {name} = {value!r}")
        names = {field.name: f"WRENLITE_{field.name.upper()}" for field in fields(cls)}
        found = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
        given = {key: value for key, value in given.items() if value is not None}
        config = _with(in_file, found, lambda name, value: f"{names[name]}={value!r}")
        config = _with(config, given, lambda name, value: f"{name}={value!r}")
        identifying = [name for name in ("function", "region", "profile") if name in stored]
        if any(getattr(config, name) != getattr(in_file, name) for name in identifying):
            # The file describes another function, and its bucket belongs to that one.
            defaults = {
                name: getattr(cls, name) for name in _FUNCTION_SETTINGS if name not in {**found, **given}
            }
            config = replace(config, **defaults)
        return config


def config_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of ``config.toml``, which need not exist; None where ``WRENLITE_CONFIG`` is empty."""
    given = environ.get("WRENLITE_CONFIG")
    if given is not None:
        return Path(given) if given else None
    import platformdirs

    return platformdirs.user_config_path("wrenlite") / "config.toml"


def environment_with(path: Path | None) -> Mapping[str, str]:
    """Return the environment variables, with ``WRENLITE_CONFIG`` set to a path unless that is None."""
    return os.environ if path is None else {**os.environ, "WRENLITE_CONFIG": str(path.expanduser())}


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a file.

    Raises:
        ConfigError: the file cannot be read, or is not valid TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the settings in {path}: {error}. Correct it, or set WRENLITE_CONFIG to another file"
        ) from error


def update_file(path: Path, settings: Mapping[str, Any]) -> None:
    """Set settings in a file, and remove those that are None. Other settings and comments stay as they are.

    Args:
        path: the file, which is created if it does not exist.
        settings: values by name.

    Raises:
        ConfigError: the file cannot be read or written, or is not valid TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = tomlkit.parse(path.read_text("utf-8") if path.exists() else "")
        for name, value in settings.items():
            if value is not None:
                document[name] = value
            elif name in document:
                del document[name]
        path.write_text(tomlkit.dumps(document))
    except (OSError, TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot write {path}: {error}. Choose another file with --config") from error


def parse_setting(name: str, value: object, shown: str = "") -> Any:
    """Return the value of one setting, from its text.

    Args:
        name: the name of the setting.
        value: its value, as text or as it is.
        shown: how a message shows the setting; default: as ``config.toml`` has it.

    Raises:
        ConfigError: the value is not valid; the message says which values are.
    """
    try:
        return _PARSERS[name](value)
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(f"{shown or f'{name} = {value!r}'}: must be {_VALID_VALUES[name]}") from None


def _with(config: Config, settings: Mapping[str, Any], show: Callable[[str, object], str]) -> Config:
    """Return the configuration with these settings in place of its own.

    Args:
        config: the configuration.
        settings: values by name, as text or as they are.
        show: returns how messages show a setting, from its name and value: as the user wrote it.

    Raises:
        ConfigError: a setting is unknown or not valid.
    """
    known = {field.name for field in fields(Config)}
    for name, value in settings.items():
        shown = show(name, value)
        if name not in known:
            raise ConfigError(
                f"{shown}: there is no setting {name!r}; the settings are {', '.join(sorted(known))}"
            )
        parsed: Any = {name: parse_setting(name, value, shown)}
        config = replace(config, **parsed)
    return config


def _backend(value: Any) -> str:
    if value not in get_args(BackendName):
        raise ValueError
    return str(value)


def _loglevel(value: Any) -> str:
    if str(value).upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError
    return str(value).upper()


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value) or int(value) < 1:
        raise ValueError
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _prefix(value: Any) -> str:
    text = _text(value).strip("/")
    if not all(re.fullmatch(r"[\w.!'()*-]+", part, re.ASCII) and part.strip(".") for part in text.split("/")):
        raise ValueError
    return text


def _bucket(value: Any) -> str:
    text = _text(value)
    if not is_bucket_name(text):
        raise ValueError
    return text


def _account(value: Any) -> str:
    if not re.fullmatch(r"\d{12}", str(value)):
        raise ValueError
    return str(value)


def _function(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(
        r"(arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:)?[\w-]{1,64}(:[\w$-]+)?", text, re.ASCII
    ):
        raise ValueError
    return text


def _endpoint(value: Any) -> str:
    text = _text(value)
    if not re.match(r"https?://[^/]", text):
        raise ValueError
    return text


def _above_zero(value: Any) -> float:
    if isinstance(value, bool) or not float(value) > 0:
        raise ValueError
    return float(value)


def _days(value: Any) -> float:
    return _above_zero(value.strip().removesuffix("d") if isinstance(value, str) else value)


def is_bucket_name(text: str) -> bool:
    """Return whether S3 accepts a text as the name of a bucket, or of an access point in place of one."""
    looks_like_ip_address = re.fullmatch(r"\d+(\.\d+){3}", text)
    valid = re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text) and ".." not in text
    return bool(valid and not looks_like_ip_address)


def parse_size(value: Any) -> int:
    """Return a number of bytes, from a number or from text such as ``512MB`` or ``1.5 GiB``.

    Units are powers of 1,024.

    Raises:
        ValueError: the value is not a size.
    """
    if isinstance(value, bool):
        raise ValueError
    match = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(?:i?B)?\s*", str(value), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _progress(value: Any) -> Progress:
    values: dict[str, Progress] = {"auto": "auto", "true": True, "1": True, "false": False, "0": False}
    text = str(value).lower()
    if text not in values:
        raise ValueError
    return values[text]


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "backend": _backend,
    "workers": _whole_number,
    "memory_limit": parse_size,
    "max_tasks_per_worker": _whole_number,
    "profile": _text,
    "region": _text,
    "bucket": _bucket,
    "bucket_owner": _account,
    "prefix": _prefix,
    "function": _function,
    "endpoint_url": _endpoint,
    "max_concurrency": _whole_number,
    "budget": _above_zero,
    "progress": _progress,
    "journal": _text,
    "cache": _text,
    "cache_bytes": parse_size,
    "cache_days": _days,
    "loglevel": _loglevel,
}
_VALID_VALUES = {
    "backend": " or ".join(get_args(BackendName)),
    "workers": "a whole number from 1; without it there is one per core",
    "memory_limit": "a number of bytes, or a size such as 512MB or 2GB",
    "max_tasks_per_worker": "a whole number from 1",
    "profile": "the name of a profile in AWS's configuration",
    "region": "an AWS region, such as eu-west-1",
    "bucket": "a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens; no IP address",
    "bucket_owner": "an AWS account id: 12 digits",
    "prefix": "letters, digits and .-_!'()*, with / between the parts",
    "function": "a Lambda function's name or ARN",
    "endpoint_url": "a URL that begins with http:// or https://",
    "max_concurrency": "a whole number from 1",
    "budget": "a number of dollars above 0",
    "progress": "auto, true or false",
    "journal": "a folder, or off",
    "cache": "a folder, or off",
    "cache_bytes": "a number of bytes, or a size such as 512MB or 5GB",
    "cache_days": "a number of days above 0, such as 30 or 30d",
    "loglevel": "DEBUG, INFO, WARNING or ERROR",
}
