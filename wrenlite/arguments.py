"""What users pass to ``map`` and its like: refused here, before anything is pickled or sent."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from operator import index
from typing import SupportsIndex

from wrenlite.errors import ConfigError


def check_callable(name: str, value: object) -> None:
    """Raises ConfigError for an argument of that name that cannot be called."""
    if not callable(value):
        raise ConfigError(f"{name}={value!r}: must be callable")


def check_options(
    chunksize: int | None, retries: int, timeout: float | None, env: Mapping[str, str] | None
) -> None:
    """Raises ConfigError for an option of ``map`` that cannot be."""
    if chunksize is not None and (not isinstance(chunksize, SupportsIndex) or index(chunksize) < 1):
        raise ConfigError(f"chunksize={chunksize!r}: must be a whole number from 1, or None")
    if not isinstance(retries, SupportsIndex) or index(retries) < 0:
        raise ConfigError(f"retries={retries!r}: must be a whole number from 0")
    if timeout is not None and not (isinstance(timeout, Real) and timeout > 0):
        raise ConfigError(f"timeout={timeout!r}: must be seconds above 0, or None")
    for key, value in (env or {}).items():
        texts = isinstance(key, str) and isinstance(value, str)
        if not texts or not key or "=" in key or "\0" in key + value:
            raise ConfigError(f"env[{key!r}]: names and values of environment variables are text without NUL")
