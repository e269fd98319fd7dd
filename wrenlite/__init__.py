"""A map executor for notebooks: the machine's own cores by default, AWS Lambda when configured.

Names only: each is imported from its module when it is first used, so that a worker, which imports
this package too, pays only for what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from wrenlite.adapters import (
        ALL_COMPLETED,
        ALWAYS,
        ANY_COMPLETED,
        FIRST_COMPLETED,
        FIRST_EXCEPTION,
        as_completed,
        default_executor,
        get_all_results,
        wait,
    )
    from wrenlite.connect import open_store
    from wrenlite.errors import (
        AccessDenied,
        BackendError,
        BudgetExceeded,
        ConfigError,
        ConnectionLost,
        CredentialsError,
        CredentialsExpired,
        ExecutorClosed,
        FunctionBroken,
        FunctionMissing,
        FunctionNotPicklable,
        IncompatibleRuntime,
        IntegrityError,
        ItemNotPicklable,
        LocalExtension,
        NotFound,
        NotPicklable,
        OutOfMemory,
        PackageMissing,
        RemoteError,
        ResultNotPicklable,
        ServiceUnavailable,
        StoreError,
        TaskError,
        TaskTimeout,
        ValueReleased,
        WorkerDied,
        WorkerStartError,
        WrenliteError,
    )
    from wrenlite.executor import Executor
    from wrenlite.futures import Future
    from wrenlite.job import Job
    from wrenlite.refs import Ref

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AccessDenied",
    "BackendError",
    "BudgetExceeded",
    "ConfigError",
    "ConnectionLost",
    "CredentialsError",
    "CredentialsExpired",
    "Executor",
    "ExecutorClosed",
    "FunctionBroken",
    "FunctionMissing",
    "FunctionNotPicklable",
    "Future",
    "IncompatibleRuntime",
    "IntegrityError",
    "ItemNotPicklable",
    "Job",
    "LocalExtension",
    "NotFound",
    "NotPicklable",
    "OutOfMemory",
    "PackageMissing",
    "Ref",
    "RemoteError",
    "ResultNotPicklable",
    "ServiceUnavailable",
    "StoreError",
    "TaskError",
    "TaskTimeout",
    "ValueReleased",
    "WorkerDied",
    "WorkerStartError",
    "WrenliteError",
    "as_completed",
    "default_executor",
    "get_all_results",
    "open_store",
    "wait",
]

_HOMES = ("executor", "errors", "adapters", "job", "refs", "connect")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    for home in _HOMES:
        module = import_module(f"{__name__}.{home}")
        if home == "executor" and module.Executor.watch is None:
            # The one place where executing meets drawing, which lies above it.
            import_module(f"{__name__}.notebook").attach()
        if hasattr(module, name):
            globals()[name] = getattr(module, name)
            return globals()[name]
    raise AssertionError(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
