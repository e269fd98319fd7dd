"""Decides whether a task that has failed runs again, and when. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from wrenlite.errors import ELSEWHERE, OutOfMemory, RetriedErrors, TaskTimeout, class_name
from wrenlite.retry import Retry
from wrenlite.texts import counted


class RetryRule(NamedTuple):
    """A rule says how often a task that fails runs again, and how soon. It has no objects of the user."""

    times: int
    """Further attempts."""
    delay_s: float = 0.0
    """Seconds before the first further attempt."""
    backoff: float = 1.0
    """What the delay is multiplied with after each further attempt."""
    max_delay_s: float = 0.0
    """The longest delay in seconds."""
    jitter: float = 0.0
    """The part of each delay that is random."""
    errors: RetriedErrors | None = None
    """After which errors it runs again; None: after all that are not permanent."""


class Decision(NamedTuple):
    """Whether a task that has failed runs again."""

    task: int
    delay_s: float | None
    """In how many seconds it runs again; None: it does not."""
    reason: str = ""
    """Why it does not run again; empty where it does, or nobody has asked for that."""
    where: str = ""
    """The executor with more memory or time on which it runs; empty: where it ran."""


def rule_of(retries: int | Retry) -> RetryRule:
    """Return the rule of ``retries=``. A number asks for further attempts at once."""
    if not isinstance(retries, Retry):
        return RetryRule(retries)
    on, not_on = (tuple(map(class_name, kinds)) for kinds in (retries.on, retries.not_on))
    elsewhere = () if retries.then is None else tuple(map(class_name, (OutOfMemory, TaskTimeout)))
    errors = RetriedErrors(on, not_on, elsewhere) if on or not_on or elsewhere else None
    return RetryRule(
        retries.times, retries.delay_s, retries.backoff, retries.max_delay_s, retries.jitter, errors
    )


def decide(
    rule: RetryRule, task: int, *, attempts: int, final: str, random: float, where: str = ""
) -> Decision:
    """Decide whether a task that has failed runs again.

    Args:
        rule: the rule of its job.
        task: the task.
        attempts: its attempts so far.
        final: what speaks against another one: see ``errors.why_final``.
        random: a random number from 0 to 1.
        where: where it runs, if it needs more memory or time, and another executor has that; empty:
            otherwise.
    """
    if where:
        return Decision(task, 0.0, where=where)
    if final and final != ELSEWHERE:
        return Decision(task, None, final if rule.times else "")
    if attempts > rule.times:
        stays = ", and cannot move: what it needs is stored where it ran" if final == ELSEWHERE else ""
        text = f"it has had {counted(attempts, 'attempt')}{stays}"
        return Decision(task, None, text if rule.times or stays else "")
    return Decision(task, next_delay_s(rule, attempts, random))


def next_delay_s(rule: RetryRule, attempts: int, random: float) -> float:
    """Return the seconds for which a task waits after so many attempts.

    Args:
        rule: the rule of its job.
        attempts: its attempts so far, at least 1.
        random: a random number from 0 to 1. The larger it is, the shorter is the delay.
    """
    if not rule.delay_s:
        return 0.0
    grown = math.log(rule.delay_s) + (attempts - 1) * math.log(rule.backoff)
    if grown >= math.log(rule.max_delay_s):  # the power may be too large a number
        return rule.max_delay_s * (1.0 - rule.jitter * random)
    return rule.delay_s * rule.backoff ** (attempts - 1) * (1.0 - rule.jitter * random)
