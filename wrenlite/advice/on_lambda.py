"""Memory sizes and batch sizes of a Lambda function: what a job would have taken and cost with each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from wrenlite.advice.value import Advice, Setting, fastest_of, money
from wrenlite.advice.work import Run, Work
from wrenlite.cost import Prices, processors
from wrenlite.texts import counted, timed

_SIZES_MB = (128, 192, 256, 384, 512, 768, 1024, 1769, 3538, 5307, 7076, 8845, 10240)
"""Memory sizes that are compared: parts of a processor, and one to six of them."""
_STEP_MB = 64
_ROOM = 1.25
"""Memory that a setting must have, as a multiple of the most that was in use."""
_SUPERVISOR_BYTES = 64 << 20
"""Memory of the process beside the worker in a sandbox, where Lambda has not said what both used."""
_BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of tasks per batch that are compared."""
_MANY = 10
"""With fewer batches, nothing is said about their size."""
_WORTH = 0.05
"""The least share of the whole that another batch size must save, or starts must take, to be named."""
_BUSY = 0.85
"""Share of the processors from which on they limit the tasks."""


class _Job(NamedTuple):
    work: Work
    prices: Prices
    other_dollars: float
    """What the job cost beside its batches: the store, requests that failed or have no answer."""

    def with_memory(self, memory_mb: int, architecture: str) -> Setting:
        """Return the setting of a memory size, with batches as they were."""
        billed = [self.work.billed_at(run, processors(memory_mb)) for run in self.work.runs]
        durations = [_way_s(run) + each for run, each in zip(self.work.runs, billed, strict=True)]
        prices = self.prices.on(architecture) if architecture != self.prices.architecture else self.prices
        dollars = prices.dollars(len(billed), sum(billed) * memory_mb / 1024) + self.other_dollars
        return Setting(self.work.makespan_s(durations), dollars, memory_mb, architecture)

    def with_batches_of(self, tasks: int) -> Setting:
        """Return the setting of a batch size, with memory as it is."""
        work, prices = self.work, self.prices
        once_s = [run.load_s + run.init_s for run in work.runs]
        each_s = [
            max(0.0, run.billed_s - run.busy_s - once) for run, once in zip(work.runs, once_s, strict=True)
        ]
        sizes = [tasks] * (work.calls // tasks) + [work.calls % tasks] * bool(work.calls % tasks)
        begun_s, task_s = median(each_s), work.busy_s / work.calls
        at_once = min(len(sizes), work.at_once)
        starts_s = sum(once_s) / work.at_once  # of each sandbox
        durations = [median(map(_way_s, work.runs)) + begun_s + size * task_s for size in sizes]
        billed_s = starts_s * at_once + len(sizes) * begun_s + work.busy_s
        dollars = prices.dollars(len(sizes), billed_s * prices.memory_gb) + self.other_dollars
        seconds = starts_s + work.makespan_s(durations, at_once)
        return Setting(seconds, dollars, prices.memory_mb, prices.architecture, tasks)


def _way_s(run: Run) -> float:
    """Return what a batch took beside the seconds that it is billed for."""
    return max(0.0, run.received - run.sent - run.billed_s)


def advise(
    name: str,
    work: Work,
    prices: Prices,
    dollars: float | None,
    *,
    ran_out: bool,
    open_questions: Sequence[str],
) -> Advice:
    """Return the advice for a job that ran on Lambda.

    Args:
        name: of the job.
        work: what is known of it.
        prices: of the function.
        dollars: what the job has cost; None: unknown, taken to be what its batches cost.
        ran_out: whether a task needed more memory than there was.
        open_questions: what else is not known.
    """
    billed_s = sum(run.billed_s for run in work.runs)
    of_batches = prices.dollars(len(work.runs), billed_s * prices.memory_gb)
    dollars = of_batches if dollars is None else dollars
    job = _Job(work, prices, max(0.0, dollars - of_batches))
    present = Setting(work.seconds, dollars, prices.memory_mb, prices.architecture)
    least_mb = prices.memory_mb + 1 if ran_out else _least_mb(work)
    enough = _sizes(least_mb or prices.memory_mb, prices.memory_mb)
    in_time = [size for size in enough if work.longest_task_at(processors(size)) < prices.limit_s]
    others = [job.with_memory(size, prices.architecture) for size in _useful(in_time, work)]
    possible = others + ([] if ran_out else [present, *_better_batches(job, present)])
    cheapest = min(possible or [present], key=lambda each: each.dollars or 0.0)
    notes = [
        *open_questions,
        *_memory_notes(least_mb, prices, ran_out=ran_out),
        *([_TOO_LONG.format(prices.limit_s)] if len(in_time) < len(enough) else []),
        *_thread_notes(work),
        *_start_notes(work),
        *_architecture_notes(job, cheapest),
    ]
    return Advice(
        present=present,
        cheapest=cheapest,
        fastest=fastest_of(possible or [present]),
        settings=sorted({present, *possible}, key=lambda each: (each.memory_mb or 0, each.chunksize or 0)),
        computing=work.computing,
        title=work.in_words(name),
        notes=notes,
    )


def _least_mb(work: Work) -> int | None:
    """Return the least memory that is enough for the function; None: it is unknown what was in use."""
    used = max(run.used_bytes or (run.peak_bytes and run.peak_bytes + _SUPERVISOR_BYTES) for run in work.runs)
    return max(_SIZES_MB[0], math.ceil(used * _ROOM / (_STEP_MB << 20)) * _STEP_MB) if used else None


def _sizes(least_mb: int, present_mb: int) -> list[int]:
    """Return the memory sizes that are compared with the present one."""
    return sorted({least_mb, *(size for size in _SIZES_MB if size >= least_mb)} - {present_mb})


def _useful(sizes: Sequence[int], work: Work) -> list[int]:
    """Return the sizes without those whose processors tasks cannot use, except the smallest of these."""
    more = [size for size in sizes if processors(size) > work.usable * 1.001]
    return [size for size in sizes if size not in more[1:]]


def _better_batches(job: _Job, present: Setting) -> list[Setting]:
    """Return the batch sizes that would have saved much of the dollars or the seconds."""
    if len(job.work.runs) < _MANY:
        return []
    found = [job.with_batches_of(size) for size in _BATCHES if size <= job.work.tasks]
    cheap, fast = min(found, key=lambda each: each.dollars or 0.0), fastest_of(found)
    better = [cheap] if (cheap.dollars or 0.0) < (1 - _WORTH) * (present.dollars or 0.0) else []
    return better + ([fast] if fast is not cheap and fast.seconds < (1 - _WORTH) * present.seconds else [])


_TOO_LONG = "With smaller sizes, the longest task would exceed the function's limit of {:,.0f} s."


def _memory_notes(least_mb: int | None, prices: Prices, *, ran_out: bool) -> list[str]:
    if ran_out:
        return [f"A task needed more than {prices.memory_mb:,} MB: how much more is not known."]
    if least_mb is None:
        return ["It is not known how much memory was in use: smaller sizes are left out."]
    if least_mb > prices.memory_mb:
        return [f"Almost all memory was in use: {least_mb:,} MB would leave a quarter of that free."]
    if least_mb > _SIZES_MB[0]:
        return [
            f"Sizes below {least_mb:,} MB are left out: they leave too little beside what was in use. "
            "Sandboxes may have held that for an earlier job."
        ]
    return []


def _thread_notes(work: Work) -> list[str]:
    if not work.has_threads or work.computing < _BUSY * work.share:
        return []
    return [
        f"Tasks compute in several threads or processes, which used all of {work.share:.2g} processors. "
        "Sizes with more processors may be faster than shown: run some tasks with more memory to know."
    ]


def _start_notes(work: Work) -> list[str]:
    started_s = sum(run.init_s for run in work.runs)
    if started_s < _WORTH * sum(run.billed_s for run in work.runs):
        return []
    count = sum(run.init_s > 0 for run in work.runs)
    return [f"{counted(count, 'cold start')} took {timed(started_s)} of what was billed, with any memory."]


def _architecture_notes(job: _Job, cheapest: Setting) -> list[str]:
    here, memory_mb = job.prices.architecture, cheapest.memory_mb or job.prices.memory_mb
    other = "x86_64" if here == "arm64" else "arm64"
    dollars, there = (job.with_memory(memory_mb, each).dollars or 0.0 for each in (here, other))
    if there >= dollars:
        return []
    return [
        f"On {other}, {memory_mb:,} MB would cost {money(there)} if tasks take as long there, which this job "
        "cannot tell."
    ]
