"""Every error wrenlite raises, in one tree.

::

    WrenliteError
    ├── ConfigError (ValueError)            a setting or argument that cannot be used
    ├── NotPicklable (TypeError)            something that cannot travel to a worker or back
    │   ├── FunctionNotPicklable              the function, or what it closes over
    │   ├── ItemNotPicklable                  one item of the data
    │   └── ResultNotPicklable                what a task returned
    ├── PackageMissing (ImportError)        a convenience needs a package that is not installed
    ├── LocalExtension (ImportError)        a compiled module outside site-packages
    ├── ExecutorClosed (RuntimeError)       used after shutdown, or in a forked child
    ├── ValueReleased (LookupError)         asked again for a value that ``values()`` let go of
    ├── StoreError (OSError)                the store could not be read or written
    │   ├── NotFound (LookupError)            no blob at that key
    │   └── IntegrityError                    a blob whose digest is not the one announced
    ├── BackendError                        nothing can run there: fails the whole job
    │   ├── WorkerStartError                  a worker process that cannot start
    │   ├── IncompatibleRuntime               the two sides run different versions
    │   ├── AccessDenied (PermissionError)    AWS forbids a call; has the policy statement that allows it
    │   ├── CredentialsError                  no AWS credentials, or AWS does not take them
    │   │   └── CredentialsExpired              they were good once: nothing is lost while it waits for others
    │   ├── FunctionMissing (LookupError)     no such Lambda function in that account and region
    │   ├── FunctionBroken                    the Lambda function cannot start
    │   ├── ServiceUnavailable                Lambda cannot be reached, or answers with its own errors
    │   └── BudgetExceeded                    the dollars of ``budget=`` are spent
    └── TaskError                           one task's failure that is not its own exception
        ├── RemoteError                       its exception could not make the journey; has the text
        ├── ConnectionLost                    the answer never came, more than once
        ├── WorkerDied                        the process that ran it ended
        │   └── OutOfMemory (MemoryError)     … and the figures say why
        └── TaskTimeout (TimeoutError)        it ran longer than ``timeout=``

A task's own exception comes back as itself, type kept, and is not in this tree.
Each error takes one argument, its message, so that all of them survive pickling.
"""

from __future__ import annotations


class WrenliteError(Exception):
    """Root of the tree: ``except wrenlite.WrenliteError`` catches whatever wrenlite itself raises."""


class ConfigError(WrenliteError, ValueError):
    """A setting, environment variable or argument that cannot be used; names it and what it may be."""


class NotPicklable(WrenliteError, TypeError):
    """Something cannot be pickled; names it and, where it can be found, the path to the culprit."""


class FunctionNotPicklable(NotPicklable):
    """The function, or something it closes over, cannot be pickled. Raised by ``map`` itself."""


class ItemNotPicklable(NotPicklable):
    """An item of the data cannot be pickled. Raised by ``map`` itself, before anything is sent."""


class ResultNotPicklable(NotPicklable):
    """A task returned what cannot be pickled, or a generator."""


class PackageMissing(WrenliteError, ImportError):
    """Something beside running tasks needs a package that is not installed; says how to install it."""


class LocalExtension(WrenliteError, ImportError):
    """A compiled module that lies outside site-packages cannot be sent to workers as source."""


class ExecutorClosed(WrenliteError, RuntimeError):
    """The executor was shut down, or belongs to the process that this one was forked from."""


class ValueReleased(WrenliteError, LookupError):
    """``Job.values()`` handed this value out and let go of it; ``results()`` keeps values."""


class StoreError(WrenliteError, OSError):
    """The store could not be read or written; names the place and the key."""


class NotFound(StoreError, LookupError):
    """There is no blob at that key."""


class IntegrityError(StoreError):
    """A blob does not have the digest it was announced with, so it was not unpickled."""


class BackendError(WrenliteError):
    """Nothing can run on this backend as it is: fails the whole job, with the mend in the message."""


class WorkerStartError(BackendError):
    """A worker process could not start; holds the command and what it printed."""


class IncompatibleRuntime(BackendError):
    """Client and worker run versions that cannot talk to each other; names both, and the mend."""


class AccessDenied(BackendError, PermissionError):
    """AWS forbids a call: names the action, the resource, and the policy statement that would allow it."""


class CredentialsError(BackendError):
    """There are no AWS credentials, or AWS does not take them: unknown, or this clock is wrong."""


class CredentialsExpired(CredentialsError):
    """The AWS credentials were good once; jobs wait until there are others."""


class FunctionMissing(BackendError, LookupError):
    """There is no such Lambda function in that account and region."""


class FunctionBroken(BackendError):
    """The Lambda function is there and cannot start, or answers what wrenlite's own would not."""


class ServiceUnavailable(BackendError):
    """AWS Lambda could not be reached, or answered with errors of its own, many times in a row."""


class BudgetExceeded(BackendError):
    """What was spent, and what is still running, has reached ``budget=``; finished results are kept."""


class TaskError(WrenliteError):
    """A task failed for a reason other than an exception of its own."""


class RemoteError(TaskError):
    """A task's exception that cannot be pickled or rebuilt here: its type and text."""


class ConnectionLost(TaskError):
    """The connection broke while the task ran, each time it was tried: it may have run several times."""


class WorkerDied(TaskError):
    """The worker process ended while it ran this task; says by which signal or exit code."""


class OutOfMemory(WorkerDied, MemoryError):
    """The task needed more memory than its worker has; the figures are in the message."""


class TaskTimeout(TaskError, TimeoutError):
    """The task ran longer than ``timeout=`` allows; its worker was killed and replaced."""
