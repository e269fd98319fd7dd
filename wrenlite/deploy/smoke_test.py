"""Test a deployment with real invocations: the function runs what it is sent, and finds what it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.deploy.clients import retry
from wrenlite.errors import (
    AccessDenied,
    BackendError,
    FunctionBroken,
    ServiceUnavailable,
    StoreError,
    WrenliteError,
)
from wrenlite.executor import Executor

_RESULT_TIMEOUT_S = 180.0
"""Seconds that a result may take. A cold start with a large layer takes a few."""


class ImportedPackage(NamedTuple):
    """What happened when the function imported a package of its layer."""

    name: str
    """Name of the package, normalised as on the package index."""
    version: str
    """The version that the function has; empty where it has none."""
    error: str = ""
    """Why it cannot be imported there; empty where it can be."""

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.name}{version}" + (f": {self.error}" if self.error else "")


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
    packages: tuple[ImportedPackage, ...] = ()
    """The packages that were imported there."""

    def check_packages(self) -> None:
        """Raise FunctionBroken where a package cannot be imported."""
        broken = [str(package) for package in self.packages if package.error]
        if broken:
            raise FunctionBroken(
                f"the layer is not as it should be: {'; '.join(broken)}. wrenlite-setup --package "
                "NAME==VERSION takes another version of a package"
            )


def run_smoke_test(
    config: Config, packages: Sequence[str] = (), *, access_timeout_s: float = 0.0
) -> SmokeTestResult:
    """Run two small functions on Lambda, the first with an object in the bucket, and import packages there.

    Args:
        config: names the function.
        packages: names of the packages to import, normalised as on the package index.
        access_timeout_s: seconds in which the test is repeated after AccessDenied: a role that was just made
            does not hold everywhere yet.

    Raises:
        BackendError: the function cannot be invoked, or does not answer.
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
    # What travels inside requests proves nothing about the bucket, and neither does what is there already.
    stored = executor.put(("Hello world", time.time_ns()))

    def first(pair: Any) -> str:  # travels by value
        return str(pair[0])

    value = executor.submit(first, stored).result(timeout=_RESULT_TIMEOUT_S)
    first_ended = time.monotonic()
    executor.submit(lambda: "Hello again").result(timeout=_RESULT_TIMEOUT_S)
    second_ended = time.monotonic()
    imported = _import_packages(executor, packages)
    version, conditional = executor.submit(_botocore_test()).result(timeout=_RESULT_TIMEOUT_S)
    return SmokeTestResult(
        value=value,
        first_s=first_ended - started,
        again_s=second_ended - first_ended,
        backend=executor.backend.name,
        botocore=version,
        has_conditional_puts=conditional,
        packages=imported,
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


def _import_packages(executor: Executor, packages: Sequence[str]) -> tuple[ImportedPackage, ...]:
    """Import packages on Lambda, each in a task of its own: one that kills its worker hides no other.

    Args:
        executor: runs it.
        packages: names of the packages, normalised as on the package index.
    """

    def import_package(name: str) -> tuple[str, str]:  # travels by value: the function's zip has no deploy
        import importlib
        import importlib.metadata
        import inspect

        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return "", "it is not installed"
        files = distribution.files or ()
        modules = {file.parts[0] if file.parts[1:] else inspect.getmodulename(file.name) for file in files}
        for module in sorted(module for module in modules if module):
            if module.isidentifier() and not module.startswith("_"):
                try:
                    importlib.import_module(module)
                except (Exception, SystemExit) as error:  # whatever the package's own code raises
                    return distribution.version, f"{type(error).__name__}: {error}"
        return distribution.version, ""

    job = executor.map(import_package, packages, chunksize=max(1, len(packages)))
    job.wait(timeout=_RESULT_TIMEOUT_S)
    imported = []
    for name, future in zip(packages, job, strict=True):
        failure = future.exception(timeout=0)
        if isinstance(failure, BackendError | StoreError):  # not the package's fault
            raise failure
        version, error = ("", str(failure)) if failure else future.result()
        imported.append(ImportedPackage(name, version, error))
    return tuple(imported)
