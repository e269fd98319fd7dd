"""Settings: keyword arguments over environment over ``config.toml`` over defaults, read once at the edge."""

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
"""What keys in a bucket begin with, unless somebody says otherwise."""
_BELONGS = ("bucket", "bucket_owner", "prefix")
"""Settings that belong to one function."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Config:
    """What an executor is made from. Each setting is also an environment variable, ``WRENLITE_WORKERS``."""

    backend: BackendName = "local"
    """``local``: worker processes; ``inline``: the calling thread, for the debugger; ``aws``: AWS Lambda."""
    workers: int | None = None
    """Worker processes; None: one a core."""
    memory_limit: int | None = None
    """Bytes that each worker may hold; written as ``2GB`` too. None: no limit."""
    profile: str | None = None
    """Of AWS's configuration files; None: boto3's own chain."""
    region: str | None = None
    """AWS region; None: the profile's."""
    bucket: str | None = None
    """S3 bucket for functions and large values; None: the function's."""
    bucket_owner: str | None = None
    """The account that the bucket must belong to; None: the function's."""
    prefix: str | None = None
    """What keys in the bucket begin with; None: the function's."""
    function: str = "wrenlite"
    """The Lambda function."""
    endpoint_url: str | None = None
    """Of servers that speak AWS's protocols in place of AWS."""
    max_concurrency: int | None = None
    """Invocations at once; None: what the account allows."""
    budget: float | None = None
    """Dollars that one executor may spend."""
    progress: Progress = "auto"
    """A progress line: ``auto`` on a terminal."""

    loglevel: str | None = None
    """``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``: log to stderr from there on. None: do not."""

    def log_to_stderr(self) -> None:
        """Make the logger ``wrenlite`` write to stderr, where ``loglevel`` asks for it."""
        if self.loglevel is not None:
            logger = logging.getLogger("wrenlite")
            logger.setLevel(self.loglevel)
            if not any(type(handler) is logging.StreamHandler for handler in logger.handlers):
                handler = logging.StreamHandler()
                handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
                logger.addHandler(handler)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> Config:
        """Read the settings; keyword arguments that are not None win.

        Raises ConfigError, which names the setting.
        """
        path = place(environ)
        stored = read(path) if path is not None and path.exists() else {}
        in_file = _with(cls(), stored, str(path))
        names = {field.name: f"WRENLITE_{field.name.upper()}" for field in fields(cls)}
        found = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
        given = {key: value for key, value in given.items() if value is not None}
        config = _with(_with(in_file, found, "the environment (WRENLITE_*)"), given, "arguments")
        where = [name for name in ("function", "region", "profile") if name in stored]
        if any(getattr(config, name) != getattr(in_file, name) for name in where):
            # The file is about another function: its bucket is not this one's.
            own = {name: getattr(cls, name) for name in _BELONGS if name not in {**found, **given}}
            config = replace(config, **own)
        return config


def place(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where ``config.toml`` lies, or would; None where ``WRENLITE_CONFIG`` is set to nothing."""
    given = environ.get("WRENLITE_CONFIG")
    if given is not None:
        return Path(given) if given else None
    import platformdirs

    return platformdirs.user_config_path("wrenlite") / "config.toml"


def environment(path: Path | None) -> Mapping[str, str]:
    """The environment, with that file for the settings where one is given."""
    return os.environ if path is None else {**os.environ, "WRENLITE_CONFIG": str(path.expanduser())}


def read(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises ConfigError where it cannot be read."""
    import tomllib

    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}. WRENLITE_CONFIG names another file") from error


def save(path: Path, settings: Mapping[str, Any]) -> None:
    """Set them in a file, and remove those that are None; the rest, and comments, stay as they are.

    Raises ConfigError where it cannot be read or written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = tomlkit.parse(path.read_text() if path.exists() else "")
        for name, value in settings.items():
            if value is not None:
                document[name] = value
            elif name in document:
                del document[name]
        path.write_text(tomlkit.dumps(document))
    except (OSError, TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot write {path}: {error}. --config names another file") from error


def parse(name: str, value: object) -> Any:
    """One setting's value, from text. Raises ConfigError, which says what it may be."""
    try:
        return _PARSERS[name](value)
    except (ValueError, TypeError):
        raise ConfigError(f"{name} = {value!r}: must be {_MEANING[name]}") from None


def _with(config: Config, settings: Mapping[str, Any], source: str) -> Config:
    known = {field.name for field in fields(Config)}
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(f"{source}: there is no setting {name!r}; there are {', '.join(sorted(known))}")
        try:
            given: Any = {name: parse(name, value)}
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
        config = replace(config, **given)
    return config


def _backend(value: Any) -> str:
    if value not in get_args(BackendName):
        raise ValueError
    return str(value)


def _loglevel(value: Any) -> str:
    if str(value).upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError
    return str(value).upper()


def _workers(value: Any) -> int:
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


def _dollars(value: Any) -> float:
    if isinstance(value, bool) or not float(value) > 0:
        raise ValueError
    return float(value)


def is_bucket_name(text: str) -> bool:
    """Return whether S3 accepts a text as the name of a bucket."""
    return re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text) is not None and ".." not in text


def parse_size(value: Any) -> int:
    """Bytes, from a number or from ``512MB``, ``1.5 GiB`` (units are powers of 1,024). Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError
    match = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(?:i?B)?\s*", str(value), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _progress(value: Any) -> Progress:
    words: dict[str, Progress] = {"auto": "auto", "true": True, "1": True, "false": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError
    return words[word]


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "backend": _backend,
    "workers": _workers,
    "memory_limit": parse_size,
    "profile": _text,
    "region": _text,
    "bucket": _bucket,
    "bucket_owner": _account,
    "prefix": _prefix,
    "function": _function,
    "endpoint_url": _endpoint,
    "max_concurrency": _workers,
    "budget": _dollars,
    "progress": _progress,
    "loglevel": _loglevel,
}
_MEANING = {
    "backend": " or ".join(get_args(BackendName)),
    "workers": "a whole number from 1",
    "memory_limit": "bytes, or such as 512MB or 2GB",
    "profile": "the name of a profile",
    "region": "a region such as eu-west-1",
    "bucket": "a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens",
    "bucket_owner": "an AWS account: 12 digits",
    "prefix": "letters, digits and .-_!'()* with / between the parts",
    "function": "a Lambda function's name or ARN",
    "endpoint_url": "a URL, http:// or https://",
    "max_concurrency": "a whole number from 1",
    "budget": "dollars above 0",
    "progress": "auto, true or false",
    "loglevel": "DEBUG, INFO, WARNING or ERROR",
}
