"""A real invocation: whether what was deployed runs what it is sent."""

from __future__ import annotations

import time
from typing import NamedTuple

from wrenlite.aws.connect import connect
from wrenlite.config import Config
from wrenlite.errors import AccessDenied, ServiceUnavailable, WrenliteError
from wrenlite.executor import Executor

_ANSWER_S = 180.0
"""A cold start with a large layer takes a few seconds."""


class Hello(NamedTuple):
    """What came back."""

    value: str
    first_s: float
    """Until the first value was here: most of all a cold start."""
    again_s: float
    """Until the next one was."""
    backend: str


def hello(config: Config, *, patience_s: float = 0.0) -> Hello:
    """Run a function twice.

    Args:
        config: where.
        patience_s: how long a role that was just made may take until it holds everywhere.

    Raises BackendError, and StoreError.
    """
    pause, end = 0.5, time.monotonic() + patience_s
    with Executor(connect(config), progress=False) as executor:
        while True:
            try:
                begun = time.monotonic()
                value = executor.submit(lambda: "Hello world").result(timeout=_ANSWER_S)
                between = time.monotonic()
                executor.submit(lambda: "Hello again").result(timeout=_ANSWER_S)
                return Hello(value, between - begun, time.monotonic() - between, executor.backend.name)
            except AccessDenied:
                if time.monotonic() + pause > end:
                    raise
            except WrenliteError:
                raise
            except TimeoutError as error:
                executor.shutdown(wait=False, cancel_futures=True)
                raise ServiceUnavailable(
                    f"no answer of the function within {_ANSWER_S:.0f} s: wrenlite logs shows what it printed"
                ) from error
            time.sleep(pause)
            pause = min(2 * pause, 8.0)
