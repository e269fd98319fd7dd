"""How the tasks of a job are run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from wrenlite.retry import Retry
from wrenlite.scheduler.retry import RetryRule, rule_of
from wrenlite.storage.uploads import JobCode

if TYPE_CHECKING:
    from wrenlite.executor import Executor


class JobOptions(NamedTuple):
    """Job options say how the tasks of a job are run."""

    code: JobCode
    """The function and the user's local modules, and how they reach the workers."""
    env: Mapping[str, str]
    """Environment variables of the tasks."""
    chunksize: int | None
    """Tasks per batch; None: learned from how long they take."""
    retries: RetryRule
    """How often a task that fails runs again, and how soon."""
    timeout_s: float | None
    """Seconds that one task may take; None: no limit."""
    log_levels: Mapping[str, int] | None = None
    """The levels of the caller's loggers, by name; None: log records of tasks are not sent back."""
    reduces: bool = False
    """Whether the job has one more task, which reduces the values of the others."""
    forgets: bool = False
    """Whether tasks of an open job are forgotten once their values were handed out in order."""
    closes_itself: bool = False
    """Whether an open job is closed once all its tasks have ended."""
    keeps: bool = False
    """Whether values that are not small stay in the store, for further jobs."""
    then: Executor | None = None
    """Runs the tasks that need more memory or time; None: nothing does."""
    holders: tuple[object, ...] = ()
    """What must not be freed while the function is needed: see ``Ref``."""

    def again(self, retries: int | Retry | None, timeout_s: float | None) -> JobOptions:
        """Return the options with which tasks run again; None: as before."""
        if retries is not None:
            then = retries.then if isinstance(retries, Retry) else None
            self = self._replace(retries=rule_of(retries), then=then)
        return self._replace(timeout_s=self.timeout_s if timeout_s is None else float(timeout_s))
