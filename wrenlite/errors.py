"""Every error that wrenlite raises, in one tree.

::

    WrenliteError
    ├── ConfigError* (ValueError)           a setting or an argument cannot be used
    │   └── ArgumentError* (TypeError)        a call does not fit the parameters of what is called
    ├── BadInput* (ValueError)              what a published job was given cannot be used; has field and line
    ├── NotPicklable* (TypeError)           something cannot be sent to a worker or back
    │   ├── FunctionNotPicklable*             the function, or something that it closes over
    │   ├── ItemNotPicklable*                 one item of the data
    │   └── ResultNotPicklable*               the value that a task returned
    ├── NotDigestible* (TypeError)          something has no digest, so values of its job are not kept
    ├── PackageMissing* (ImportError)       a package is not installed where it is needed, here or for tasks
    ├── LocalExtension* (ImportError)       a compiled module is outside site-packages
    ├── ExecutorClosed (RuntimeError)       an executor is used after shutdown, or in a forked child
    ├── JobClosed (RuntimeError)            a task is submitted to a job that was closed
    ├── JobNotFound (LookupError)           the journal has no such job
    ├── ValueReleased (LookupError)         values() has handed the value out already
    ├── StoreError (OSError)                the store could not be read or written
    │   ├── NotFound* (LookupError)           there is no blob at that key
    │   └── IntegrityError                    a blob does not have the digest that was announced
    ├── KeeperDied                          the process that kept a detached job ended before the job did
    ├── BackendError                        nothing can run there: the whole job fails
    │   ├── WorkerStartError                  a worker process cannot start
    │   ├── InitializerFailed                 the initializer of a worker raised an exception, or ended it
    │   ├── IncompatibleRuntime*              client and worker run different versions
    │   ├── AccessDenied* (PermissionError)   AWS forbids a call; the message has the policy statement to add
    │   ├── CredentialsError                  there are no AWS credentials, or AWS rejects them
    │   │   └── CredentialsExpired              they were valid before: jobs wait for new ones
    │   ├── FunctionMissing* (LookupError)    there is no such Lambda function in that account and region
    │   ├── FunctionBroken                    the Lambda function cannot start, or answers in another form
    │   ├── ServiceUnavailable                Lambda or the store fails, or cannot be reached, for a long time
    │   └── BudgetExceeded*                   the next request does not fit into what is left of budget=
    └── TaskError                           one task failed, for a reason that is not its own exception
        ├── DependencyFailed                  a task whose value it takes has failed or was cancelled
        ├── RemoteError                       an exception, item or value cannot be rebuilt; has the reason
        ├── ConnectionLost                    the reply never came, several times
        ├── WorkerDied                        the process that ran it ended, or it called sys.exit
        │   └── OutOfMemory (MemoryError)     it needed more memory than there is
        └── TaskTimeout (TimeoutError)        it ran longer than timeout=, or than Lambda allows

An exception that a task raises comes back as itself, with its own type, and is not in this tree. Each error
here takes one argument, its message, so that all of them can be pickled. ``BadInput`` has two more by name.

Errors with a star are permanent (``WrenliteError.permanent``): the same call would raise them again. So a
task that raises one, or an error of a derived class, is not run again, unless ``Retry(on=…)`` names a
permanent class that the error belongs to.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, TypeAlias


class WrenliteError(Exception):
    """The root of the tree: ``except wrenlite.WrenliteError`` catches every error of wrenlite itself."""

    permanent: ClassVar[bool] = False
    """Whether the same call would raise the error again, so that ``retries=`` does not run a task again that
    raised it. Derived classes inherit it, and may set it to another value.
    """


class ConfigError(WrenliteError, ValueError):
    """A setting, environment variable or argument cannot be used. The message says what it may be."""

    permanent = True


class ArgumentError(ConfigError, TypeError):
    """A method, or the function of a ``map``, is called with arguments that it does not take."""


class BadInput(WrenliteError, ValueError):
    """What a published job was given cannot be used: a field of a request, or a row of a file."""

    permanent = True

    def __init__(self, message: str = "", *, field: str | None = None, line: int | None = None) -> None:
        """Create an error.

        Args:
            message: says what is wrong, and with which field or line.
            field: name of the parameter or column at fault; None: it is not only one.
            line: line of the file at fault, from 1; None: it is not only one, or there is no file.
        """
        super().__init__(message)
        self.field = field
        self.line = line


class NotPicklable(WrenliteError, TypeError):
    """Something cannot be pickled. The message names it and, where that is found, the part of it at fault."""

    permanent = True


class FunctionNotPicklable(NotPicklable):
    """The function, or something it closes over, cannot be pickled. ``map`` itself raises this."""


class ItemNotPicklable(NotPicklable):
    """An item of the data cannot be pickled. ``map`` itself raises this, before anything is sent."""


class ResultNotPicklable(NotPicklable):
    """A task returned a value that cannot be pickled, or a generator."""


class NotDigestible(WrenliteError, TypeError):
    """Something has no digest that tells whether a call is the same. The message names it, and what to do."""

    permanent = True


class PackageMissing(WrenliteError, ImportError):
    """A package is not installed where it is needed: here, or where tasks run. The message has a command."""

    permanent = True


class LocalExtension(WrenliteError, ImportError):
    """A compiled module outside site-packages cannot be sent to workers as source."""

    permanent = True


class ExecutorClosed(WrenliteError, RuntimeError):
    """The executor was shut down, the program is ending, or this process was forked from the executor's."""


class JobClosed(WrenliteError, RuntimeError):
    """A task is submitted to a job that was closed, or whose executor was shut down."""


class JobNotFound(WrenliteError, LookupError):
    """The journal has no such job, or cannot be read."""


class KeeperDied(WrenliteError):
    """The process that kept a detached job ended before the job did. The message says how to run the rest."""


class ValueReleased(WrenliteError, LookupError):
    """``Job.values()`` has handed this value out and freed it. ``results()`` keeps values."""


class StoreError(WrenliteError, OSError):
    """The store could not be read or written. The message names the place and the key."""


class NotFound(StoreError, LookupError):
    """There is no blob at that key."""

    permanent = True


class IntegrityError(StoreError):
    """A blob does not have the digest that was announced, so it was not unpickled."""


class BackendError(WrenliteError):
    """Nothing can run on this backend as it is, so the whole job fails. The message says what to do."""


class WorkerStartError(BackendError):
    """A worker process could not start. The message has the command and what it printed."""


class InitializerFailed(BackendError):
    """The initializer of a worker failed, so no task can run on it.

    An exception that it raised is the cause of this error. Each worker of the next job tries again.
    """


class IncompatibleRuntime(BackendError):
    """Client and worker run versions that do not work together. The message names both, and what to do."""

    permanent = True


class AccessDenied(BackendError, PermissionError):
    """AWS forbids a call. The message names action, resource and the policy statement that allows it."""

    permanent = True


class CredentialsError(BackendError):
    """There are no AWS credentials, or AWS rejects them.

    AWS does not know them, or this machine's clock is wrong.
    """


class CredentialsExpired(CredentialsError):
    """The AWS credentials were valid before. Jobs wait until there are new ones."""


class FunctionMissing(BackendError, LookupError):
    """There is no such Lambda function in that account and region."""

    permanent = True


class FunctionBroken(BackendError):
    """The Lambda function exists, but cannot start or does not answer as wrenlite's handler does."""


class ServiceUnavailable(BackendError):
    """Lambda, or the store that workers read from, could not be reached or answered with errors of its own.

    The error is raised once this has lasted for a long time.
    """


class BudgetExceeded(BackendError):
    """The next request does not fit into what is left of ``budget=``.

    Tasks that were not sent fail with this error; finished results are kept.
    """

    permanent = True


class TaskError(WrenliteError):
    """A task failed for a reason other than an exception of its own."""


class RemoteError(TaskError):
    """An exception, an item or a value of a task cannot be rebuilt in the process that needs it.

    The message has the type and text of the reason.
    """


class DependencyFailed(TaskError):
    """The task did not run, because a task whose value it takes has failed or was cancelled.

    The exception of that task is the cause of this error.
    """


class ConnectionLost(TaskError):
    """The connection broke each time that the task was sent. It may have run several times."""


class WorkerDied(TaskError):
    """The worker process ended while it ran this task, or the task called ``sys.exit``.

    The message has the signal or exit code.
    """


class OutOfMemory(WorkerDied, MemoryError):
    """The task needed more memory than its worker has. The message has the figures."""


class TaskTimeout(TaskError, TimeoutError):
    """The task ran longer than ``timeout=`` or Lambda's time limit allows. Its worker was killed."""


ClassName: TypeAlias = tuple[str, str]
"""Module and qualified name of a class: what says in another process which class is meant."""


class RetriedErrors(NamedTuple):
    """After which errors a task runs again. Each class stands for those derived from it, too."""

    on: tuple[ClassName, ...] = ()
    """After these; empty: after all."""
    not_on: tuple[ClassName, ...] = ()
    """But not after these."""
    elsewhere: tuple[ClassName, ...] = ()
    """After these it runs where there is more memory or time, and not again where it failed."""


_EVERY_ERROR = RetriedErrors()
ELSEWHERE = "elsewhere"
"""In place of a reason why a task is not run again: it may run where there is more memory or time."""


def class_name(kind: type) -> ClassName:
    """Return what names a class in another process."""
    return kind.__module__, kind.__qualname__


def why_final(errors: RetriedErrors | None, *raised: BaseException) -> str:
    """Return why a task is not run again after an exception, in words; empty: nothing speaks against it.

    Args:
        errors: after which errors it runs again; None: after all that are not permanent.
        raised: the exception. Where another one is reported in its place, both, that one last.
    """
    kinds = [kind for error in raised for kind in type(error).__mro__]
    errors = errors or _EVERY_ERROR
    names, name = set(map(class_name, kinds)), type(raised[-1]).__name__
    if names.intersection(errors.not_on):
        return f"not_on= names {name}, or a class that it is derived from"
    if names.intersection(errors.elsewhere):
        return ELSEWHERE
    if errors.on and not names.intersection(errors.on):
        return f"on= names neither {name} nor a class that it is derived from"
    is_asked_for = any(_is_permanent(kind) and class_name(kind) in errors.on for kind in kinds)
    if any(_is_permanent(type(error)) for error in raised) and not is_asked_for:
        return f"{name} is permanent: another attempt would fail too"
    return ""


def _is_permanent(kind: type) -> bool:
    return issubclass(kind, WrenliteError) and kind.permanent is True
