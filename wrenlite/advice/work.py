"""``Work``: what the batches of a job have used, and how long they would take with other processors.

A task computes, and it waits: for a network, a disk, a clock. The processor time of a batch says how long it
computed; the rest of its time is waiting. On Lambda, memory decides how many processors a function has. With
other memory, computing takes longer or shorter in proportion, but no shorter than the threads of a task
allow, and waiting takes as long as before. So does the start of a sandbox, which has a whole processor.

``benchmarks/advice.py`` compares this with what jobs take at each memory size, on the test bed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wrenlite.cost import Prices
from wrenlite.protocol import Usage
from wrenlite.texts import counted

_SEVERAL = 1.1
"""Processor time of all threads, as a multiple of that of the tasks' own, from which on they are several."""
_PERIOD_S = 0.02
"""The time after which the kernel lets a sandbox compute again that has used up its share."""
_THROTTLED = 0.9
"""Share of the processor time that there was from which on a batch used up each period."""
_FEW = 3
"""Fewer tasks say little of others."""
_MEASURABLE_S = 0.002
"""The processor time of a shorter batch is too little known to tell several threads from one."""


def ranges(tasks: Sequence[int]) -> list[tuple[int, int]]:
    """Return task numbers as pairs: the first of a row of numbers, and the one behind its last."""
    if not tasks:
        return []
    row = range(tasks[0], tasks[0] + len(tasks))
    if tasks == row or (tasks[-1] == row[-1] and list(tasks) == list(row)):
        return [(row.start, row.stop)]
    found: list[tuple[int, int]] = []
    for task in tasks:
        if found and found[-1][1] == task:
            found[-1] = (found[-1][0], task + 1)
        else:
            found.append((task, task + 1))
    return found


class Ran(NamedTuple):
    """The tasks of a batch that have an outcome, whether they run again or not."""

    numbers: Sequence[Sequence[int]]
    """The first number of each row of tasks, and the one behind its last."""
    cpu_s: float
    """Processor time of their own threads."""
    longest_s: float
    """Seconds of the longest one."""


class Run(NamedTuple):
    """What one batch has used."""

    sent: float
    """When it was handed out, in seconds since the epoch."""
    received: float
    """When its last outcome was here."""
    tasks: int
    busy_s: float
    """Seconds between the start of its first task and the end of its last one."""
    cpu_s: float
    """Processor time in them, of all threads and processes of its tasks."""
    thread_cpu_s: float
    """The part of it that the tasks' own threads have used."""
    longest_s: float
    """Seconds of its longest task."""
    load_s: float = 0.0
    """Seconds before, in which the worker got and unpickled the code."""
    init_s: float = 0.0
    """Seconds before that, in which the sandbox was started for it."""
    ready_s: float = 0.0
    """Seconds of ``busy_s`` in which the worker was ready to compute, and had no processor; 0: unknown."""
    turns: int = 0
    """How often it began to wait: it computed in so many turns."""
    billed_s: float = 0.0
    """Seconds that are paid for; 0: it is free."""
    peak_bytes: int = 0
    """The most memory that its worker held; 0: unknown."""
    used_bytes: int = 0
    """The most memory in use that Lambda has seen; 0: unknown."""
    numbers: Sequence[Sequence[int]] = ()
    """Which tasks these are: see ``Ran``. Empty: no other batch has run them."""

    @classmethod
    def of(cls, usage: Usage, ran: Ran, *, sent: float, received: float, prices: Prices | None) -> Run:
        """Return what a batch has used.

        Args:
            usage: what its worker has reported, or Lambda.
            ran: its tasks.
            sent: when it was handed out, in seconds since the epoch.
            received: when its end was here.
            prices: of the function; None: it ran on this machine.
        """
        return cls(
            sent=sent,
            received=received,
            tasks=sum(end - first for first, end in ran.numbers),
            busy_s=usage.busy_s,
            cpu_s=usage.cpu_s,
            thread_cpu_s=ran.cpu_s,
            longest_s=min(usage.busy_s, ran.longest_s),
            load_s=usage.load_s,
            init_s=usage.init_s,
            ready_s=usage.ready_s,
            turns=usage.turns,
            billed_s=usage.gb_s / prices.memory_gb if prices is not None else 0.0,
            peak_bytes=usage.peak_bytes,
            used_bytes=usage.used_bytes,
            numbers=ran.numbers,
        )

    @property
    def wanted_s(self) -> float:
        """Processor time that its tasks used, or waited for."""
        return min(self.cpu_s + self.ready_s, max(self.busy_s, self.cpu_s))


class Work:
    """What is known of a job."""

    def __init__(self, runs: Iterable[Run], seconds: float, share: float) -> None:
        """Add up what its batches have used.

        Args:
            runs: the batches that have ended, at least one.
            seconds: from the submission of the job to its last outcome.
            share: processors that a worker had.
        """
        # No batch computes more than its processors allow: some systems count what others had of them, too.
        possible = (run._replace(cpu_s=min(run.cpu_s, _most_cpu_s(run, share))) for run in runs)
        self.runs = sorted(possible, key=lambda run: run.sent)
        """The batches, in the order in which they were handed out."""
        self.seconds = seconds
        """From the submission of the job to its last outcome."""
        self.share = share
        """Processors that a worker had."""
        self.calls = sum(run.tasks for run in self.runs)
        """Number of the tasks of all batches. Those that ran again count again."""
        again = self.calls - _count(each for run in self.runs for each in run.numbers)
        self.tasks = self.calls - again if all(run.numbers for run in self.runs) else self.calls
        """Number of the tasks that have run."""
        self.busy_s = sum(run.busy_s for run in self.runs)
        """Seconds of all tasks."""
        self.cpu_s = sum(run.cpu_s for run in self.runs)
        """Processor time of all tasks."""
        self.at_once = _most_at_once(self.runs)
        """The most batches that ran at once."""
        own_s = sum(run.thread_cpu_s for run in self.runs)
        self.has_threads = self.cpu_s > _SEVERAL * own_s + 0.01 * self.busy_s
        """Whether tasks compute in other threads or processes than their own."""

    @property
    def wanted(self) -> float:
        """Processors that each task used while it ran, or waited for."""
        return sum(run.wanted_s for run in self.runs) / self.busy_s

    @property
    def computing(self) -> float:
        """Processors that each task used while it ran."""
        return self.cpu_s / self.busy_s if self.busy_s else 0.0

    @property
    def usable(self) -> float:
        """Processors that a task can use: what it has used where it computes in several threads."""
        return max(1.0, self.computing) if self.has_threads else 1.0

    def busy_at(self, run: Run, share: float) -> float:
        """Return how long the tasks of a batch take with this many processors."""
        is_throttled = run.cpu_s > _THROTTLED * run.busy_s * min(1.0, self.share)
        if self.has_threads or is_throttled:
            waiting_s = max(0.0, run.busy_s - run.cpu_s / min(self.share, self.usable))
            return waiting_s + run.cpu_s / min(share, self.usable)
        turns = max(1, run.turns)
        waiting_s = max(0.0, run.busy_s - turns * turn_s(run.cpu_s / turns, self.share))
        return max(waiting_s + turns * turn_s(run.cpu_s / turns, share), turn_s(run.cpu_s, share))

    def billed_at(self, run: Run, share: float) -> float:
        """Return for how long a batch is billed with this many processors.

        What is neither tasks nor the start of the sandbox is the handler, and loading the user's code: both
        compute in one thread.
        """
        code_s = max(0.0, run.billed_s - run.busy_s - run.init_s)
        code_s = min(code_s, _most_computed_s(code_s, self.share))
        return run.init_s + turn_s(code_s, share) + self.busy_at(run, share)

    def longest_task_at(self, share: float) -> float:
        """Return how long the longest task takes with this many processors."""
        return max(run.longest_s * self.busy_at(run, share) / run.busy_s for run in self.runs if run.busy_s)

    def makespan_s(self, durations: Sequence[float], at_once: int | None = None) -> float:
        """Return how long the job takes if its batches take so long, in the same order.

        What else it took is as it was: the way of its batches, throttles, and what the client did.

        Args:
            durations: of the batches, from sending to receiving.
            at_once: how many run at once; None: as many as did.
        """
        recorded_s = _makespan_s([run.received - run.sent for run in self.runs], self.at_once)
        other_s = max(0.0, self.seconds - recorded_s)
        return other_s + _makespan_s(durations, at_once or self.at_once)

    def in_words(self, name: str) -> str:
        """Return what is known of the job in words.

        Args:
            name: of the job.
        """
        batches = "1 batch" if len(self.runs) == 1 else f"{len(self.runs):,} batches"
        if self.computing <= 1:
            used = f"tasks computed for {self.computing:.0%} of their time"
        else:
            used = f"each task used {self.computing:.1f} processors"
        return f"{name}: {counted(self.tasks, 'task')} in {batches}, {self.at_once:,} at once; {used}"


def turn_s(cpu_s: float, share: float) -> float:
    """Return how long one thread takes to compute, after it has waited.

    With less than one processor it has its share of each period, at the beginning of the period, and nothing
    in the rest. Over all places in a period at which it may begin, that is the mean.

    Args:
        cpu_s: the processor time.
        share: processors that it has.
    """
    return cpu_s if share >= 1 else max(cpu_s, cpu_s / share - _PERIOD_S * (1 - share))


def _count(rows: Iterable[Sequence[int]]) -> int:
    """Return how many numbers are in these rows, each of which is its first number and its end."""
    count = reached = 0
    for first, end in sorted((each[0], each[1]) for each in rows):
        count += max(0, end - max(first, reached))
        reached = max(reached, end)
    return count


def _most_cpu_s(run: Run, share: float) -> float:
    """Return the most processor time that a batch can have used."""
    return _most_computed_s(run.busy_s, share if run.busy_s >= _MEASURABLE_S else min(share, 1.0))


def _most_computed_s(seconds: float, share: float) -> float:
    """Return the most processor time in so many seconds: with one thread, the inverse of ``turn_s``."""
    if share >= 1:
        return seconds * share
    return min(seconds, share * (seconds + _PERIOD_S * (1 - share)))


def _most_at_once(runs: Sequence[Run]) -> int:
    """Return the most batches that were in flight at the same time."""
    changes = [(round(run.received, 6), -1) for run in runs] + [(round(run.sent, 6), 1) for run in runs]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return max(1, most)


def _makespan_s(durations: Sequence[float], at_once: int) -> float:
    """Return when the last batch ends, where each one begins as soon as a lane is free."""
    ends = [0.0] * at_once
    for each in durations:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def open_questions(work: Work, *, over: bool, failed: int) -> list[str]:
    """Return what the batches leave open, in whole sentences.

    Args:
        work: what is known of the job.
        over: whether the job is over.
        failed: the number of its tasks that have failed.
    """
    found = []
    if work.tasks < _FEW:
        found.append(f"This is judged by {counted(work.tasks, 'task')}: others may differ.")
    if not over:
        found.append("The job still runs: this is about the batches that have ended.")
    if work.calls > work.tasks:
        again = counted(work.calls - work.tasks, "further run")
        found.append(f"Tasks ran again after they had failed: {again}. These count as the first ones do.")
    if failed:
        found.append(f"{counted(failed, 'task')} failed: what they would have needed is not known.")
    return found
