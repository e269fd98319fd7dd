"""The jobs of this user, as the journal has them: also of programs that have ended, or that run now.

A program that was killed leaves lines without an end, and a last line that may be cut short.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from wrenlite.advice.judging import Judged, advise
from wrenlite.advice.value import Advice
from wrenlite.config import Config
from wrenlite.cost import Prices
from wrenlite.durable import journal, places
from wrenlite.durable.remote_journal import Elsewhere
from wrenlite.durable.used import moved_tasks, runs_of
from wrenlite.errors import JobNotFound, OutOfMemory
from wrenlite.job_figures import this_machine
from wrenlite.protocol import held_in_words
from wrenlite.texts import counted, duration, printable, timed

_TAIL_BYTES = 4096
"""The last line of a job that is over is shorter."""
_SHOWN_JOBS = 50
"""The most jobs in a table; the others are counted."""

_SHOWN_ERROR = 100
"""Characters of the error after which a task is tried again. All of it is told where the task failed."""

_CAUSES = {"throttled": "refused", "missing": "refused"}
"""Words for the causes of the end of a request."""
_HEADS = ("job", "submitted", "state", "tasks", "time", "backend")

Line = dict[str, Any]
_SECONDS = operator.attrgetter("seconds")


class Event(NamedTuple):
    """Something that happened to tasks of a job."""

    seconds: float
    """When, from the submission of the job. What happened on a worker is told by the worker's clock."""
    kind: str
    """``queued``, ``resumed`` (by another keeper), ``sent``, ``retried`` (sent again), ``loaded`` (the worker
    has got the job's code and unpickled it), ``started``, ``finished``, ``failed``, ``again`` (it is tried
    again, soon or later), ``given up`` (it is not, and why), ``received``, ``refused``, ``lost``, ``died``,
    ``workers`` (more or fewer of them run, and why), ``cancelled`` or ``over``."""
    tasks: tuple[tuple[int, int], ...]
    """Which tasks: ranges, each with its first task and the one behind its last."""
    worker: str
    """The worker: its process id, or its Lambda log stream. Empty where it has none, or it is unknown."""
    text: str = ""
    """What else is known, such as an error."""

    def __str__(self) -> str:
        parts = [f"{self.seconds:10.3f}  {self.kind:<9}", named(self.tasks), self.text]
        return "  ".join(filter(None, parts)).rstrip()


def named(tasks: Iterable[Sequence[int]]) -> str:
    """Return ranges of tasks in words: ``tasks 0-15, 20``."""
    ranges = list(tasks)
    total = sum(end - first for first, end in ranges)
    words = ", ".join(f"{first}" if end == first + 1 else f"{first}-{end - 1}" for first, end in ranges[:8])
    more = ", …" if len(ranges) > 8 else ""
    return "" if not total else f"task{'s' if total > 1 else ''} {words}{more}"


def events_of(lines: Sequence[Line]) -> list[Event]:
    """Return what the lines of a job's file say, in the order of time."""
    if not lines:
        return []
    start = lines[0]["at"]
    workers = {line["invocation"]: line["worker"] for line in lines if line.get("worker")}
    loads = {line["invocation"]: line["load_s"] for line in lines if line.get("load_s")}
    held = {
        line["invocation"]: held_in_words(line["peak_bytes"], line.get("ran"))
        for line in lines
        if line["kind"] == "ended" and "peak_bytes" in line
    }
    sent: set[int] = set()
    events = []
    for line in lines:
        worker = workers.get(invocation := line.get("invocation", ""), "")
        if line["kind"] == "ran" and line["started"] and (load_s := loads.pop(invocation, 0.0)):
            events.append(Event(min(line["started"]), "loaded", (), worker, f"the code, in {timed(load_s)}"))
        events += _events_of_line(line, worker, held.get(invocation, ""), sent)
    return sorted((event._replace(seconds=event.seconds - start) for event in events), key=_SECONDS)


def _events_of_line(line: Line, worker: str, held: str, sent: set[int]) -> list[Event]:
    """Return what one line says, with times in seconds since the epoch.

    Args:
        line: the line.
        worker: the worker of its invocation.
        held: how much memory that held meanwhile.
        sent: the tasks that were sent before; this adds to them.
    """
    kind, at = line["kind"], line["at"]
    tasks = tuple((first, end) for first, end in line["tasks"]) if isinstance(line.get("tasks"), list) else ()
    if kind == "submitted":
        word = "resumed" if sent else "queued"  # by another keeper
        waiting = tuple(_between(line.get("kept", []), line["tasks"]))
        return [Event(at, word, waiting, "")] if waiting else []
    if kind == "sent":
        numbers = {number for first, end in tasks for number in range(first, end)}
        again = numbers & sent
        sent |= numbers
        return [Event(at, "retried" if again else "sent", tasks, worker)]
    if kind == "ran":
        return [*_runs(line, tasks, worker), Event(at, "received", tasks, worker, held)]
    if kind == "ended" and "cause" in line:
        cause = str(line["cause"])
        return [Event(at, _CAUSES.get(cause, cause), (), worker, line.get("error", ""))]
    if kind == "decided":
        return list(_decisions(line))
    if kind == "failed":
        return [Event(at, "failed", _one(task), "", text) for task, text in line["errors"].items()]
    if kind == "cancelled":
        return [Event(at, "cancelled", tasks, "")]
    if kind == "workers":
        return [Event(at, "workers", (), "", line["text"])]
    if kind == "over":
        return [Event(at, "over", (), "", in_words(_counts(line)))]
    return []


def _decisions(line: Line) -> Iterator[Event]:
    """Yield which tasks are tried again, and which are not."""
    for task, delay_s in line["again"].items():
        error = line["errors"].get(task, "").partition("\n")[0]
        error = error if len(error) <= _SHOWN_ERROR else f"{error[:_SHOWN_ERROR]}…"
        when = f"in {timed(delay_s)}" if delay_s else "at once"
        when = f"on {line['where'][task]}" if task in line["where"] else when
        text = f"is tried again {when}, after it failed{' with ' if error else ''}{error}"
        yield Event(line["at"], "again", _one(task), "", text)
    for task, reason in line["final"].items():
        yield Event(line["at"], "given up", _one(task), "", f"is not tried again: {reason}")


def _between(kept: Iterable[Sequence[int]], total: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of tasks between those that a job has from earlier runs."""
    first = 0
    for start, end in (*kept, (total, total)):
        if first < start:
            yield first, start
        first = end


def _one(task: str | int) -> tuple[tuple[int, int]]:
    return ((int(task), int(task) + 1),)


def _runs(line: Line, tasks: tuple[tuple[int, int], ...], worker: str) -> Iterator[Event]:
    """Yield when tasks started and ended: each of them, or all together where a report has many."""
    failed = line.get("failed", {})
    numbers = [number for first, end in tasks for number in range(first, end)]
    if len(line["started"]) < len(numbers):
        start, end = line["started"][0], line["started"][0] + line["seconds"][0]
        yield Event(start, "started", tasks, worker)
        yield Event(end, "finished", tasks, worker)
        for task, text in failed.items():
            yield Event(end, "failed", _one(task), worker, text)
        return
    for task, started, seconds in zip(numbers, line["started"], line["seconds"], strict=True):
        error = failed.get(str(task))
        yield Event(started, "started", _one(task), worker)
        kind, text = ("finished", "") if error is None else ("failed", str(error))
        yield Event(started + seconds, kind, _one(task), worker, text)


class Counts(NamedTuple):
    """How many tasks of a job are in which state."""

    tasks: int
    done: int
    failed: int
    cancelled: int


def in_words(counts: Counts) -> str:
    """Return how many tasks are in which state: ``38 of 40 done, 2 failed``."""
    parts = [f"{counts.done:,} of {counts.tasks:,} done"]
    parts += [f"{counts.failed:,} failed"] if counts.failed else []
    parts += [f"{counts.cancelled:,} cancelled"] if counts.cancelled else []
    return ", ".join(parts)


def _counts(end: Line) -> Counts:
    """Return the counts in the last line of a job that is over."""
    return Counts(end["tasks"], end["done"], end["failed"], end["cancelled"])


def _counted(lines: Sequence[Line]) -> Counts:
    """Count the tasks of a job that has no end yet."""
    total = int(lines[0]["tasks"])
    ok: dict[int, bool] = {}
    for line in lines:
        if line["kind"] == "submitted":
            for first, end in line.get("kept", []):
                ok = dict.fromkeys(range(first, end), True) | ok
        elif line["kind"] == "sent":
            total = max(total, *(end for _, end in line["tasks"]))
        elif line["kind"] == "ran":
            failed = line.get("failed", {})
            for first, end in line["tasks"]:
                ok.update((task, str(task) not in failed) for task in range(first, end))
        elif line["kind"] == "decided":
            for task in map(int, line["again"]):
                ok.pop(task, None)
            ok.update(dict.fromkeys(map(int, line["final"]), False))
    done = sum(ok.values())
    return Counts(total, done, len(ok) - done, 0)


class JobRecord:
    """One job in the journal, as it is at this moment."""

    def __init__(self, path: Path, elsewhere: Elsewhere | None = None) -> None:
        """Read the beginning and the end of its file.

        Args:
            path: the folder of the job.
            elsewhere: asks for jobs that are kept elsewhere; None: for this one alone.

        Raises:
            JobNotFound: the job was deleted meanwhile, or its file is damaged.
        """
        self.path = path
        """The folder with its files."""
        try:
            header, end = places.read_header(path), _read_end(path / places.EVENTS)
            kept = (elsewhere or Elsewhere()).state(header["id"], path) if end is None else ""
            if kept:
                header, end = places.read_header(path), _read_end(path / places.EVENTS)
            lines = self._lines() if end is None else [end]
            self.id: str = header["id"]
            """The id of the job."""
            self.name: str = header["name"]
            """The name of its function."""
            self.backend: str = header["backend"]
            """What it runs on."""
            self.submitted: float = header["at"]
            """When it was submitted, in seconds since the epoch."""
            self.counts = _counted(lines) if end is None else _counts(end)
            """The number of its tasks, and of those that are done, failed and cancelled."""
            self.seconds: float = lines[-1]["at"] - self.submitted
            """Its duration, as far as something of it is known."""
            self.dollars: float | None = (end or {}).get("dollars")
            """What it cost; None: nothing, or that is not known yet."""
            self.peak_bytes: int | None = (end or {}).get("peak_bytes")
            """The most memory that a worker held while it ran tasks of the job; None: unknown."""
            programs = [line["program"] for line in lines if line["kind"] == "submitted"]  # of each keeper
            runs = end is None and not kept and places.is_running(path.parent.parent, programs[-1])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise JobNotFound(f"the journal has no readable events of a job in {path}: {error!r}") from error
        self.state = "running" if runs else (end is None and kept) or self._end_state(end is not None)
        """``running``, ``done``, ``failed``, ``cancelled``; ``lost``: its program ended before it did; or
        ``unknown``: it is kept on Lambda, which cannot be asked from here."""

    def _end_state(self, is_over: bool) -> str:
        if not is_over:
            return "lost"
        if self.counts.cancelled:
            return "cancelled"
        return "failed" if self.counts.failed else "done"

    def __repr__(self) -> str:
        facts = f"{self.state}, {in_words(self.counts)}, {duration(self.seconds)}"
        return f"<JobRecord of {self.id} on {self.backend}: {facts}>"

    def _lines(self) -> list[Line]:
        """Return the lines of its file that are whole."""
        found = []
        for line in (self.path / places.EVENTS).read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # the last one of a program that was killed
                found.append(json.loads(line))
        return found

    def events(self) -> list[Event]:
        """Return what happened, in the order of time."""
        return events_of(self._lines())

    def errors(self) -> dict[int, str]:
        """Return the type and the message of the exceptions of its failed tasks, as far as they were kept."""
        found: dict[int, str] = {}
        waiting: dict[int, str] = {}  # what is tried again has not failed
        for line in self._lines():
            if line["kind"] == "ran":
                for first, end in line["tasks"]:
                    for task in [task for task in found if first <= task < end]:  # it ran again
                        del found[task]
            if line["kind"] == "decided":
                for task in map(int, line["again"]):
                    found.pop(task, None)
                waiting |= {int(task): text for task, text in line["errors"].items()}
                given_up = [task for task in map(int, line["final"]) if task in waiting]
                found = {task: waiting.pop(task) for task in given_up} | found
                continue
            texts = line.get("failed") if line["kind"] == "ran" else line.get("errors")
            found |= {int(task): text for task, text in (texts or {}).items()}
        return dict(sorted(found.items()))

    def advice(self) -> Advice:
        """Return which setting would have been cheapest, and which fastest: see ``Job.advice``.

        Raises:
            ConfigError: no batch of it has ended on a worker, or an older version of wrenlite has run it.
        """
        lines = self._lines()
        prices = Prices(*lines[0]["prices"]) if "prices" in lines[0] else None
        judged = Judged(
            title=f"map {self.name} × {self.counts.tasks:,} on {self.backend}",
            seconds=self.seconds,
            prices=prices,
            dollars=self.dollars,
            over=self.state not in ("running", "unknown"),
            failed=self.counts.failed,
            ran_out=any(text.startswith(OutOfMemory.__name__) for text in self.errors().values()),
            tasks=self.counts.tasks,
            moved=moved_tasks(lines),
        )
        return advise(judged, runs_of(lines, prices), this_machine())

    def requests(self, task: int) -> list[str]:
        """Return Lambda's ids of the requests that a task travelled in, as far as their ends are known."""
        lines = self._lines()
        ids = {line["invocation"]: line["request"] for line in lines if line.get("request")}
        sent = [line for line in lines if line["kind"] == "sent"]
        return [
            ids[line["invocation"]]
            for line in sent
            if line["invocation"] in ids and any(first <= task < end for first, end in line["tasks"])
        ]

    def output(self, task: int | None = None) -> list[tuple[int, str]]:
        """Return tasks and the last 4,096 characters that they wrote, in the order of their ends.

        Args:
            task: a task; None: all tasks.
        """
        try:
            written = (self.path / places.OUTPUT).read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in written:
            with contextlib.suppress(ValueError):  # the last one of a program that was killed
                entry = json.loads(line)
                if task is None or entry["task"] == task:
                    found.append((entry["task"], entry["text"]))
        return found

    def logs(self, task: int | None = None) -> str:
        """Return what tasks wrote to stdout and stderr in their last run, as far as it was kept.

        Args:
            task: a task; None: all tasks, in input order.
        """
        texts = dict(self.output(task))
        if task is not None:
            return texts.get(task, "")
        return "".join(f"[task {number}]\n{text.rstrip()}\n" for number, text in sorted(texts.items()))


def _read_end(path: Path) -> Line | None:
    """Return the last line of a job's file where the job is over."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    with contextlib.suppress(ValueError):
        line: Line = json.loads(last)
        return line if line.get("kind") == "over" else None
    return None


class JobRecords(list[JobRecord]):
    """Jobs, the newest first."""

    def __repr__(self) -> str:
        rows = [_HEADS, *(_row(job) for job in self[:_SHOWN_JOBS])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        if len(self) > _SHOWN_JOBS:
            lines.append(f"and {counted(len(self) - _SHOWN_JOBS, 'older job')}")
        return "\n".join(line.rstrip() for line in lines) if self else "no jobs"

    def _repr_html_(self) -> str:
        heads = "".join(f"<th style='text-align:left'>{escape(head)}</th>" for head in _HEADS)
        rows = [
            "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in _row(job))
            for job in self[:_SHOWN_JOBS]
        ]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        more = len(self) - _SHOWN_JOBS
        rest = f"<p>and {counted(more, 'older job')}</p>" if more > 0 else ""
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _row(job: JobRecord) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.submitted))
    cells = (job.id, when, job.state, in_words(job.counts), duration(job.seconds), job.backend)
    return tuple(printable(cell) for cell in cells)


def jobs(last: int | None = None) -> JobRecords:
    """Return the jobs of this user that are in the journal, the newest first: of all programs.

    The journal keeps the last 1,000 jobs of 90 days.

    Args:
        last: the most jobs to return; None: all of them.
    """
    found, elsewhere = JobRecords(), Elsewhere()
    for path in reversed(_folders()):
        if last is not None and len(found) >= last:
            break
        with contextlib.suppress(JobNotFound):  # another program deletes old ones
            found.append(JobRecord(path, elsewhere))
    return found


def find_job(name: str) -> JobRecord:
    """Return the newest job whose id is, or begins with, a text.

    Raises:
        JobNotFound: there is none.
    """
    ids = {path: path.name.partition("-")[2] for path in reversed(_folders())}
    for fits in (str.__eq__, str.startswith):
        for path, job in ids.items():
            if name and fits(job, name):
                return JobRecord(path)
    raise JobNotFound(f"no job {name!r} among the {len(ids):,} in the journal; wrenlite.jobs() lists them")


def _folders() -> list[Path]:
    """Return the folders of all jobs, the oldest first.

    Raises:
        JobNotFound: no journal is kept.
    """
    folder = places.journal_folder(Config.load().journal)
    if folder is None:
        raise JobNotFound(f"no journal is kept: the setting journal, or WRENLITE_JOURNAL, is {places.OFF!r}")
    journal.journal_at(folder).flush()
    return places.job_folders(folder)
