"""Checks of replies: everything that a worker or a function sends is checked here before it is used. Pure.

A reply can have any form: a Lambda function may be another program, and a task can write to the pipe of its
worker's replies. The scheduler relies on the numbers and types of the records, so a reply in another form
must not reach it.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Sequence
from itertools import repeat
from types import NoneType
from typing import Any, cast

from wrenlite.errors import BackendError, StoreError, TaskError
from wrenlite.protocol import (
    PLAIN_TYPES,
    Cause,
    Died,
    Ended,
    Missing,
    Outcome,
    Packed,
    Plain,
    Refused,
    Request,
    Stored,
    Throttled,
    Usage,
    outcome_of,
    size_of,
)
from wrenlite.serialize import framing

_LARGEST = 1e15
"""A larger number is no time, no duration and no size."""
_BUFFERS = frozenset({bytes, bytearray, memoryview})
_CAUSE_FIELDS: dict[type[Any], tuple[tuple[type, ...], ...]] = {
    Died: ((TaskError,),),
    Refused: ((BackendError, StoreError), (bool,), (Packed, NoneType)),
    Throttled: ((BackendError,), (bool,), (bool,)),
    Missing: ((str,), (bool,)),
}
"""The types of the fields of each cause that a worker or a function may report."""


def outcome_from_wire(request: Request, position: int, sent: Sequence[Any]) -> Outcome:
    """Return an outcome that was sent as a plain tuple.

    Args:
        request: the batch that it must belong to.
        position: the number of tasks of the batch that have an outcome already: outcomes come in their order.
        sent: the outcome.

    Raises:
        ValueError: it has another form, or is not of the task whose turn it is.
    """
    try:
        task, ok, sent_value, started, seconds, cpu_s, output, records, final, peak_bytes = sent
        packed = framing.from_wire(sent_value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"an outcome has another form: {error}") from error
    if position >= len(request.tasks):
        raise ValueError("it has more outcomes than the batch has tasks")
    expected = request.tasks[position]
    if type(task) is not int or task != expected:
        raise ValueError(f"it has an outcome of task {task!r:.80}, and the next one is task {expected}")
    # In one expression, since this is done for every task. A sum with NaN is not below any number.
    right_types = (
        type(ok) is bool
        and _is_packed(packed)
        and (ok or type(packed) not in PLAIN_TYPES)
        and type(started) is type(seconds) is type(cpu_s) is float
        and abs(started) + abs(seconds) + abs(cpu_s) < _LARGEST
        and type(output) is type(final) is str
        and type(records) is bytes
        and _is_count(peak_bytes)
    )
    if not right_types:
        raise ValueError(f"the outcome of task {task} has fields of wrong types")
    largest = request.limits.value_bytes
    if largest is not None and ok and type(packed) is not Stored and size_of(packed) > largest:
        raise ValueError(f"the value of task {task} should have been stored")
    return outcome_of((task, ok, packed, started, seconds, cpu_s, output, records, final, peak_bytes))


def outcomes_from_columns(
    request: Request, position: int, first: Any, rows: Any, values: Any
) -> list[Outcome]:
    """Return outcomes that were sent as columns (see ``worker.outbox.Columns``).

    Args:
        request: the batch that they must belong to.
        position: the number of tasks of the batch that have an outcome already. Outcomes before it are
            dropped.
        first: the position in the batch of the first outcome.
        rows: bytes of four numbers for each outcome.
        values: one pickled list.

    Raises:
        ValueError: they have another form.
    """
    try:
        numbers = array("d", rows)
        sent = pickle.loads(values)
        skipped = position - first
    except Exception as error:  # unpickling raises errors of any kind
        raise ValueError(f"outcomes have another form: {error}") from error
    count = len(numbers) // 4
    end = first + count
    fits = type(sent) is list and len(sent) == count and skipped >= 0 and end <= len(request.tasks)
    if not fits:
        raise ValueError(
            f"it has the outcomes {first} to {end} of {len(request.tasks)} tasks, and {position} have ended"
        )
    if not sum(map(abs, numbers)) < _LARGEST:  # a sum with NaN is not below any number
        raise ValueError("outcomes have numbers that are no times")
    packed = sent[skipped:]
    if not PLAIN_TYPES.issuperset(map(type, packed)):
        packed = list(map(_checked_from_wire, packed))
    largest = request.limits.value_bytes
    if largest is not None and packed and max(map(size_of, packed)) > largest:
        raise ValueError("an outcome has a value that should have been stored")
    started, seconds, cpu = (numbers[column + 4 * skipped :: 4] for column in range(3))
    tasks = request.tasks[position:end]
    rest = map(repeat, ("", b"", "", 0))
    return list(map(outcome_of, zip(tasks, repeat(True), packed, started, seconds, cpu, *rest)))


def _checked_from_wire(sent: Any) -> Packed | Plain:
    packed = framing.from_wire(sent) if type(sent) in _SENT_TYPES else None
    if packed is None or isinstance(packed, Stored) or not _is_packed(packed):
        raise ValueError("an outcome has a value of a wrong type")
    return packed


_SENT_TYPES = PLAIN_TYPES | {tuple}


def ended_from_wire(
    request: Request,
    finished: int,
    cause: Any,
    usage: Any,
    not_started: Any,
    output: Any = "",
    records: Any = b"",
) -> Ended:
    """Return the end of a request, whose parts were sent.

    Args:
        request: the request.
        finished: the number of its tasks that have an outcome.
        cause: its cause.
        usage: its usage, as a plain tuple.
        not_started: tasks that did not start.
        output: what the task wrote that ran when the worker ended.
        records: what it logged.

    Raises:
        ValueError: a part has another form, or a request without a cause has no outcome.
    """
    try:
        ended = Ended(cause, Usage(*usage), list(not_started), output, records)
    except TypeError as error:
        raise ValueError(f"it has no end: {error}") from error
    if not _is_usage(ended.usage):
        raise ValueError("its usage has fields of wrong types")
    if not isinstance(output, str) or type(records) is not bytes:
        raise ValueError("its output is no text, or its log records are no bytes")
    if cause is None and not finished:
        raise ValueError("it has neither an outcome nor a cause")
    if cause is not None and not _is_cause(cause):
        raise ValueError(f"{cause!r:.80} is no cause")
    left = set(request.tasks[finished:])
    if not all(type(task) is int and task in left for task in ended.not_started):
        raise ValueError("tasks that it reports as not started are not left of the batch")
    return ended


def _is_packed(packed: Packed | Stored | Plain) -> bool:
    if type(packed) in PLAIN_TYPES:
        return True
    if isinstance(packed, Stored):
        return isinstance(packed.key, str) and isinstance(packed.digest, str) and _is_count(packed.size)
    data, buffers = cast(Packed, packed)
    return _is_buffer(data) and (buffers == () or (type(buffers) is tuple and all(map(_is_buffer, buffers))))


def _is_buffer(value: object) -> bool:
    return type(value) in _BUFFERS


def _is_usage(usage: Usage) -> bool:
    return (
        _is_number(usage.busy_s)
        and _is_count(usage.peak_bytes)
        and isinstance(usage.worker, str)
        and type(usage.cold) is bool
        and _is_count(usage.requests)
        and _is_number(usage.gb_s)
        and (usage.request_id is None or isinstance(usage.request_id, str))
        and _is_count(usage.unanswered)
        and _is_number(usage.uncertain_gb_s)
        and _is_count(usage.store_puts)
        and _is_count(usage.store_gets)
        and _is_number(usage.load_s)
        and _is_number(usage.cpu_s)
        and _is_count(usage.used_bytes)
        and _is_count(usage.tasks)
        and _is_number(usage.init_s)
        and _is_number(usage.ready_s)
        and _is_count(usage.turns)
    )


def _is_cause(cause: Cause) -> bool:
    fields = _CAUSE_FIELDS.get(type(cause))
    if fields is None or not all(map(isinstance, cause, fields)):
        return False
    if isinstance(cause, Refused) and cause.failure is not None and not _is_packed(cause.failure):
        return False
    return not (isinstance(cause, Throttled) and cause.waits_without_limit)  # or the job might never end


def _is_number(value: object) -> bool:
    """Return whether a value is a number that can be calculated with: neither NaN nor out of all bounds."""
    return type(value) in (float, int) and -_LARGEST < value < _LARGEST  # type: ignore[operator]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST
