"""Test a deployment with real invocations: the function runs what it is sent, and finds what it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.deploy.clients import retry
from wrenlite.errors import AccessDenied, FunctionBroken, ServiceUnavailable, WrenliteError
from wrenlite.executor import Executor

_RESULT_TIMEOUT_S = 180.0
"""Seconds that a result may take. A cold start with a large layer takes a few."""


class SmokeTestResult(NamedTuple):
    """The value that the function returned, and how long it took."""

    value: str
    first_s: float
    """Seconds until the first value was here. Most of it is usually a cold start."""
    again_s: float
    """Seconds until the second value was here."""
    backend: str
    """Name of the backend."""
    botocore: str
    """Version of botocore where tasks run."""
    has_conditional_puts: bool
    """Whether that botocore can store an object on the condition that there is none under its key yet."""


def run_smoke_test(
    config: Config, packages: Sequence[str] = (), *, access_timeout_s: float = 0.0
) -> SmokeTestResult:
    """Run two small functions on Lambda, one with an object in the bucket, and one that imports the packages.

    Args:
        config: names the function.
        packages: names of the packages that must be there.
        access_timeout_s: seconds in which the test is repeated after AccessDenied: a role that was just made
            does not hold everywhere yet.

    Raises:
        BackendError: the function cannot be invoked, does not answer, or cannot import a package.
        StoreError: the bucket cannot be used.
    """
    with Executor(connect(config), progress=False) as executor:
        try:
            return retry(
                lambda: _call_functions(executor, packages),
                timeout_s=access_timeout_s,
                is_transient=lambda error: isinstance(error, AccessDenied),
            )
        except WrenliteError:  # before TimeoutError, which TaskTimeout also is
            raise
        except TimeoutError as error:
            executor.shutdown(wait=False, cancel_futures=True)
            raise ServiceUnavailable(
                f"the function {config.function} did not answer within {_RESULT_TIMEOUT_S:.0f} s: wrenlite "
                "logs shows what it printed"
            ) from error


def _call_functions(executor: Executor, packages: Sequence[str]) -> SmokeTestResult:
    started = time.monotonic()
    stored = executor.put("Hello world")  # what travels inside requests proves nothing about the bucket
    value: str = executor.submit(lambda: stored).result(timeout=_RESULT_TIMEOUT_S)  # type: ignore[assignment]
    first_ended = time.monotonic()
    executor.submit(lambda: "Hello again").result(timeout=_RESULT_TIMEOUT_S)
    second_ended = time.monotonic()
    broken = _find_broken_imports(executor, packages)
    if broken:
        raise FunctionBroken(
            f"the layer is not as it should be: {'; '.join(broken)}. wrenlite-setup --package NAME==VERSION "
            "takes another version of a package"
        )
    version, conditional = executor.submit(_botocore_test()).result(timeout=_RESULT_TIMEOUT_S)
    return SmokeTestResult(
        value=value,
        first_s=first_ended - started,
        again_s=second_ended - first_ended,
        backend=executor.backend.name,
        botocore=version,
        has_conditional_puts=conditional,
    )


def _botocore_test() -> Callable[[], tuple[str, bool]]:
    """Return a function that returns the version of botocore, and whether it has conditional puts.

    An inner function travels by value: the zip of the function has no ``deploy``.
    """

    def look() -> tuple[str, bool]:
        import botocore.session

        puts = botocore.session.get_session().get_service_model("s3").operation_model("PutObject")
        return botocore.__version__, "IfNoneMatch" in puts.input_shape.members

    return look


def _find_broken_imports(executor: Executor, packages: Sequence[str]) -> list[str]:
    """Import packages on Lambda, and return what went wrong, in words.

    Args:
        executor: runs it.
        packages: names of the packages, normalised as on the package index.
    """

    def find() -> list[str]:  # an inner function travels by value: the zip of the function has no deploy
        import importlib
        import importlib.metadata
        import re

        modules: dict[str, list[str]] = {}
        for module, names in importlib.metadata.packages_distributions().items():
            for name in names:
                modules.setdefault(re.sub(r"[-_.]+", "-", name).lower(), []).append(module)
        broken = [f"{name} is not installed" for name in packages if name not in modules]
        for name in set(packages) & set(modules):
            for module in modules[name]:
                try:
                    if module.isidentifier() and not module.startswith("_"):
                        importlib.import_module(module)
                except Exception as error:  # whatever the package's own code raises
                    broken.append(f"{name}: {type(error).__name__}: {error}")
        return broken

    return executor.submit(find).result(timeout=_RESULT_TIMEOUT_S)
