"""``Retry``: how often, after which errors and how soon a task that has failed runs again."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

from wrenlite.errors import ConfigError, class_name
from wrenlite.serialize.traceback_stubs import public
from wrenlite.threads import is_seconds
from wrenlite.wrong_calls import explain_wrong_calls, is_iterable, is_whole_number

if TYPE_CHECKING:
    from wrenlite.executor import Executor

_EXECUTOR = ("wrenlite.executor", "Executor")
_USUAL_MOST_S = 60.0

Errors: TypeAlias = type[BaseException] | Iterable[type[BaseException]]


@public
@dataclass(frozen=True, init=False)
class Retry:
    """What ``retries=`` takes where a number is not enough.

    ::

        executor.map(fetch, urls, retries=wrenlite.Retry(5, on=OSError, delay_s=2))

    A task waits ``delay_s`` seconds before its first further attempt, ``backoff`` times as long before each
    next one, and ``max_delay_s`` at most. A task that waits takes no worker.
    """

    times: int
    """Further attempts for a task that fails."""
    on: tuple[type[BaseException], ...]
    """The errors after which a task runs again; empty: all that are not permanent."""
    not_on: tuple[type[BaseException], ...]
    """The errors after which it does not."""
    delay_s: float
    """Seconds before the first further attempt."""
    backoff: float
    """What the delay is multiplied with after each further attempt."""
    max_delay_s: float
    """The longest delay in seconds."""
    jitter: float
    """The part of each delay that is random, from 0 to 1."""
    then: Executor | None
    """Runs the tasks that need more memory or time; None: nothing does."""

    @explain_wrong_calls
    def __init__(
        self,
        times: int,
        *,
        on: Errors = (),
        not_on: Errors = (),
        delay_s: float = 1.0,
        backoff: float = 2.0,
        max_delay_s: float | None = None,
        jitter: float = 0.5,
        then: Executor | None = None,
    ) -> None:
        """Describe further attempts.

        Args:
            times: further attempts for a task that fails; 0: none.
            on: classes of exceptions, also those derived from them, after which a task runs again; default:
                all but permanent errors (see ``wrenlite.errors``). Permanent errors that are named run again.
            not_on: classes of exceptions, also those derived from them, after which it does not.
            delay_s: seconds before the first further attempt; 0: all further attempts are made at once.
            backoff: what the delay is multiplied with after each further attempt.
            max_delay_s: the longest delay; default: 60 s, or ``delay_s`` where that is longer.
            jitter: the part of each delay that is random, from 0 to 1, so that tasks that have failed
                together do not come back together.
            then: an executor with more memory or time, such as ``Executor.aws(function="large")`` or
                ``Executor.local(2, memory_limit="8GB")``. Tasks that fail with OutOfMemory or TaskTimeout run
                there, at once, and their values come back in their places.

        Raises:
            ConfigError: an argument cannot be used.
        """
        if not is_whole_number(times, 0):
            raise ConfigError(f"times={times!r:.80}: must be a whole number of further attempts, from 0")
        delay_s = _number("delay_s", delay_s, "seconds from 0", least=0.0)
        backoff = _number("backoff", backoff, "a number from 1, such as 2 to double the delay", least=1.0)
        jitter = _number("jitter", jitter, "a number from 0 to 1", least=0.0, most=1.0)
        most_s = max(_USUAL_MOST_S, delay_s) if max_delay_s is None else max_delay_s
        most_s = _number("max_delay_s", most_s, f"seconds from {delay_s:g}, which is delay_s", least=delay_s)
        wanted, unwanted = _classes("on", on), _classes("not_on", not_on)
        for kind in wanted:
            if issubclass(kind, unwanted):
                raise ConfigError(
                    f"on={kind.__name__}: not_on= names it, or a class that it is derived from, so that no "
                    "task would run again after it. Name it in one of the two"
                )
        _check_then(then)
        self._set(times=index(times), on=wanted, not_on=unwanted, delay_s=delay_s, then=then)
        self._set(backoff=backoff, max_delay_s=most_s, jitter=jitter)

    def __repr__(self) -> str:
        usual, given = Retry(self.times), [f"{self.times}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value == getattr(usual, field.name):
                continue
            names = [kind.__name__ for kind in value] if isinstance(value, tuple) else [repr(value)]
            text = ", ".join(names)
            given.append(f"{field.name}={text}" if len(names) == 1 else f"{field.name}=({text})")
        return f"Retry({', '.join(given)})"

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _number(
    name: str, value: object, meaning: str, *, least: float, most: float = sys.float_info.max
) -> float:
    """Return a number of any type as a float.

    Raises:
        ConfigError: it is no number in these bounds.
    """
    if not (is_seconds(value) and least <= value <= most):
        raise ConfigError(f"{name}={value!r:.80}: must be {meaning}")
    return float(value)


def _classes(name: str, given: Any) -> tuple[type[BaseException], ...]:
    """Return the classes of exceptions that an argument names.

    Raises:
        ConfigError: it names something else.
    """
    if isinstance(given, type) or not is_iterable(given) or isinstance(given, str):
        given = (given,)
    kinds = tuple(given)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseException):
            continue
        advice = f"must be a class of exceptions, or several: {name}=(OSError, TimeoutError)"
        if isinstance(kind, BaseException):
            advice = f"is an exception. Write its class: {name}={type(kind).__name__}"
        raise ConfigError(f"{name}={kind!r:.80}: {advice}")
    return kinds


def _check_then(executor: object) -> None:
    if executor is None:
        return
    if _EXECUTOR not in map(class_name, type(executor).__mro__):
        raise ConfigError(f"then={executor!r:.80}: must be an Executor, such as Executor.local(1)")
    if executor.backend.runs_in_caller:  # type: ignore[attr-defined]
        raise ConfigError(
            "then=Executor.inline(): tasks would run in the thread of this program, without limits. Write "
            "then=Executor.local(1), for one worker without a limit"
        )
