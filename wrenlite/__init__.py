"""A map executor for notebooks: the machine's own cores by default, AWS Lambda when configured.

Names only: each is imported from its module when it is first used, so that a worker, which imports
this package too, pays only for what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from wrenlite.advice.value import Advice
    from wrenlite.backends.factory import open_store
    from wrenlite.data_objects.listing import objects
    from wrenlite.durable.attach import attach
    from wrenlite.durable.records import JobRecord, jobs
    from wrenlite.errors import (
        AccessDenied,
        ArgumentError,
        BackendError,
        BadInput,
        BudgetExceeded,
        ConfigError,
        ConnectionLost,
        CredentialsError,
        CredentialsExpired,
        DependencyFailed,
        ExecutorClosed,
        FunctionBroken,
        FunctionMissing,
        FunctionNotPicklable,
        IncompatibleRuntime,
        InitializerFailed,
        IntegrityError,
        ItemNotPicklable,
        JobClosed,
        JobNotFound,
        KeeperDied,
        LocalExtension,
        NotDigestible,
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
    from wrenlite.estimate import Estimate
    from wrenlite.executor import Executor
    from wrenlite.futures import Future
    from wrenlite.interop.dask import dask_get
    from wrenlite.interop.pool import LambdaPool, Pool
    from wrenlite.interop.pywren import (
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
    from wrenlite.job import Job
    from wrenlite.open_job import OpenJob
    from wrenlite.retry import Retry
    from wrenlite.serving.events import ObjectEvent
    from wrenlite.start_context import Start, current_start
    from wrenlite.storage.refs import Ref

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AccessDenied",
    "Advice",
    "ArgumentError",
    "BackendError",
    "BadInput",
    "BudgetExceeded",
    "ConfigError",
    "ConnectionLost",
    "CredentialsError",
    "CredentialsExpired",
    "DependencyFailed",
    "Estimate",
    "Executor",
    "ExecutorClosed",
    "FunctionBroken",
    "FunctionMissing",
    "FunctionNotPicklable",
    "Future",
    "IncompatibleRuntime",
    "InitializerFailed",
    "IntegrityError",
    "ItemNotPicklable",
    "Job",
    "JobClosed",
    "JobNotFound",
    "JobRecord",
    "KeeperDied",
    "LambdaPool",
    "LocalExtension",
    "NotDigestible",
    "NotFound",
    "NotPicklable",
    "ObjectEvent",
    "OpenJob",
    "OutOfMemory",
    "PackageMissing",
    "Pool",
    "Ref",
    "RemoteError",
    "ResultNotPicklable",
    "Retry",
    "ServiceUnavailable",
    "Start",
    "StoreError",
    "TaskError",
    "TaskTimeout",
    "ValueReleased",
    "WorkerDied",
    "WorkerStartError",
    "WrenliteError",
    "as_completed",
    "attach",
    "current_start",
    "dask_get",
    "default_executor",
    "get_all_results",
    "jobs",
    "objects",
    "open_store",
    "wait",
]

_MODULES = (
    "executor",
    "errors",
    "interop.pywren",
    "job",
    "futures",
    "open_job",
    "retry",
    "storage.refs",
    "backends.factory",
    "advice.value",
    "data_objects.listing",
    "durable.attach",
    "durable.records",
    "interop.dask",
    "interop.pool",
    "start_context",
    "serving.events",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        from wrenlite.other_names import PACKAGE

        hint = f": {PACKAGE[name]}" if name in PACKAGE else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    from importlib import import_module

    for module in _MODULES:
        value = getattr(import_module(f"{__name__}.{module}"), name, None)
        if value is not None:
            globals()[name] = value
            return value
    raise AssertionError(name)


def __dir__() -> list[str]:
    return sorted(["__version__", "__doc__", *__all__])
