"""A real invocation: whether what was deployed runs what it is sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.errors import AccessDenied, FunctionBroken, ServiceUnavailable, WrenliteError
from wrenlite.executor import Executor

_ANSWER_S = 180.0
"""A cold start with a large layer takes a few seconds."""


_MEND = "wrenlite-setup --package NAME==VERSION takes another version of a package"


class Hello(NamedTuple):
    """What came back."""

    value: str
    first_s: float
    """Until the first value was here: most of all a cold start."""
    again_s: float
    """Until the next one was."""
    backend: str


def hello(config: Config, packages: Sequence[str] = (), *, patience_s: float = 0.0) -> Hello:
    """Run a function, and another one that imports what the layer has.

    Args:
        config: where.
        packages: that must be there.
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
                again_s = time.monotonic() - between
                broken = executor.submit(broken_imports, packages).result(timeout=_ANSWER_S)
                if broken:
                    raise FunctionBroken(f"the layer is not as it should be: {'; '.join(broken)}. {_MEND}")
                return Hello(value, between - begun, again_s, executor.backend.name)
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


def broken_imports(packages: Sequence[str]) -> list[str]:
    """What is wrong with importing these packages, in words; runs over there."""
    import importlib
    import importlib.metadata
    import re

    modules: dict[str, list[str]] = {}
    for module, names in importlib.metadata.packages_distributions().items():
        for name in names:
            modules.setdefault(re.sub(r"[-_.]+", "-", name).lower(), []).append(module)
    wrong = [f"{name} is not there" for name in packages if name not in modules]
    for name in set(packages) & set(modules):
        for module in modules[name]:
            try:
                if module.isidentifier() and not module.startswith("_"):
                    importlib.import_module(module)
            except Exception as error:  # whatever its code raises
                wrong.append(f"{name}: {type(error).__name__}: {error}")
    return wrong
