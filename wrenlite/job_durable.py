"""``JobDurable``: a job that goes on without its program, or once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from wrenlite.errors import ConfigError
from wrenlite.serialize.traceback_stubs import public
from wrenlite.task_table import TaskTable

if TYPE_CHECKING:
    from wrenlite.job import Job
    from wrenlite.retry import Retry

T_co = TypeVar("T_co", covariant=True)


@public
class JobDurable(Generic[T_co]):
    """What can be done with a job beside waiting for it."""

    id: str
    """Identifies the job in messages and in the store."""
    _tasks: TaskTable
    _is_detached = False
    _token = ""  # of a job that the driver function keeps
    _run_again: Callable[..., Job[T_co]] | None = None

    def detach(self) -> None:
        """Hand the job over, so that it goes on when this program ends.

        A process of its own takes it on local cores, the driver function on AWS. This returns once the tasks
        that run have ended; the others are run there. ``wrenlite.attach(id)`` returns the job in any other
        process here, on AWS ``wrenlite.attach(token)`` on any machine. Ctrl-C then ends only the waiting.

        Raises:
            ConfigError: it cannot be: it takes more tasks, or values of other jobs, or keeps values for them.
            StoreError: the disk is full; the job goes on here.
            BackendError: no process can be started; the job goes on here.
        """
        from wrenlite.durable.hand_over import hand_over  # upwards, see pyproject.toml

        hand_over(cast("Job[Any]", self))

    def retry_failed(self, *, retries: int | Retry | None = None, timeout: float | None = None) -> Job[T_co]:
        """Run the tasks again that have failed or were cancelled, once the job is over. Returns at once.

        Args:
            retries: further attempts for each of these tasks, as for ``map``; None: as before.
            timeout: seconds that one of them may take; None: as before.

        Returns:
            A job of all tasks, in the same order. It has the values that there are, which are not computed
            again, and the cost of its own runs. A detached job keeps its id. If no task has failed: this job.

        Raises:
            ConfigError: the job has not ended, or cannot be run again; the message says why.
            ExecutorClosed: its executor was shut down, or nothing refers to it any more.
            ValueReleased: ``values()`` has handed out a value that the reduction needs.
        """
        if not self._tasks.over:
            raise ConfigError(f"{self!r} has not ended: wait() for it before its failed tasks run again")
        if self._is_detached and self._tasks.failed:
            from wrenlite.durable.hand_over import run_again  # upwards, see pyproject.toml

            return run_again(cast("Job[Any]", self), retries, timeout)
        if self._run_again is None and self._tasks.failed:
            kept = "those of submit, stream and buffersize= never are, others up to 256 MB"
            raise ConfigError(f"the failed items of {self.id} are not kept: {kept}. Submit or map them again")
        return (
            self._run_again(self, retries, timeout)
            if self._run_again is not None
            else cast("Job[T_co]", self)
        )

    @property
    def token(self) -> str:
        """What ``wrenlite.attach`` takes on another machine, of a job that was detached on AWS.

        It is a secret: it holds the key of the job, with which values and tasks can be forged.

        Raises:
            ConfigError: the job is not detached, or kept on this machine.
        """
        if not self._token:
            why = "this machine keeps it" if self._is_detached else "it is not detached"
            raise ConfigError(f"{self.id} has no token: {why}")
        return self._token
