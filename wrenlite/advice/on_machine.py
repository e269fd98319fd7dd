"""Numbers of local workers: what a job would have taken with each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.advice.value import Advice, Setting, fastest_of
from wrenlite.advice.work import Work
from wrenlite.texts import counted, sized

_MULTIPLES = (1, 2, 4, 8)
"""Multiples of the cores that are compared as numbers of workers."""
_LEFT = 0.2
"""Share of this machine's memory that workers leave to others."""
_BUSY = 0.85
"""Share of the cores from which on they limit the tasks: this program has the rest."""
_OTHERS = 0.2
"""Waiting for cores is named from this share of the processor time on."""


class Machine(NamedTuple):
    """The machine that local workers share."""

    cores: int
    memory_bytes: int


def advise(name: str, work: Work, machine: Machine, *, open_questions: Sequence[str]) -> Advice:
    """Return the advice for a job that ran on this machine.

    Args:
        name: of the job.
        work: what is known of it.
        machine: this machine.
        open_questions: what else is not known.
    """
    cores, present = machine.cores, Setting(work.seconds, workers=work.at_once)
    most = _most_workers(work, machine)
    is_full = work.at_once * work.wanted >= _BUSY * cores
    counts = {*range(1, min(cores, 8) + 1), *(cores * times for times in _MULTIPLES)}
    counts |= {most} if most is not None and most < max(counts) else set()
    possible = [count for count in counts if count <= min(work.tasks, most or work.at_once)]
    if is_full:  # more are not faster; with fewer, tasks may also have waited, which cannot be seen
        possible = [count for count in possible if min(work.at_once, cores) <= count <= work.at_once]
    others = [_with_workers(work, count, cores) for count in possible if count != work.at_once]
    fits = most is None or work.at_once <= most
    fastest = fastest_of(others + [present] * (fits or not others))
    return Advice(
        present=present,
        cheapest=fastest,
        fastest=fastest,
        settings=sorted([present, *others], key=lambda each: each.workers or 0),
        computing=work.computing,
        title=work.in_words(name),
        notes=[*open_questions, *_memory_notes(work, machine, most), *_core_notes(work, machine, is_full)],
    )


def _with_workers(work: Work, workers: int, cores: int) -> Setting:
    """Return the setting of a number of workers, among which the tasks are divided evenly."""
    least_s = _least_s(work, workers, cores)
    return Setting(work.seconds - _least_s(work, work.at_once, cores) + least_s, workers=workers)


def _least_s(work: Work, workers: int, cores: int) -> float:
    """Return the least time in which the tasks can run.

    Where workers compute more than the cores can, tasks take longer, in proportion.
    """
    total_s = sum(max(run.busy_s, workers * run.wanted_s / cores) for run in work.runs)
    return max(total_s / workers, *(run.longest_s for run in work.runs))


def _most_workers(work: Work, machine: Machine) -> int | None:
    """Return how many workers the memory of this machine has room for; None: unknown."""
    peak = max(run.peak_bytes for run in work.runs)
    return max(1, int(machine.memory_bytes * (1 - _LEFT) // peak)) if peak else None


def _memory_notes(work: Work, machine: Machine, most: int | None) -> list[str]:
    if most is None:
        return ["It is not known how much memory workers held: more workers are left out."]
    if most >= work.at_once:
        return []
    held = sized(max(run.peak_bytes for run in work.runs))
    return [
        f"A worker held up to {held}: {counted(work.at_once, 'worker')} of that size need more than "
        f"{1 - _LEFT:.0%} of this machine's {sized(machine.memory_bytes)}."
    ]


def _core_notes(work: Work, machine: Machine, is_full: bool) -> list[str]:
    cores, faster = (
        counted(machine.cores, "core"),
        "more workers would not be faster. Executor.aws() has more",
    )
    if is_full and work.wanted - work.computing > _OTHERS * work.computing:
        return [f"Tasks waited for the {cores} of this machine, which other programs used, too: {faster}."]
    if is_full:
        return [f"The tasks used all of {cores}: {faster}."]
    if work.wanted >= _BUSY:
        return []
    return [
        "Waiting is taken to be for something outside this machine: if it is for one disk, more workers gain "
        "less than shown."
    ]
