"""The journal: what happens to each job, in a file of its own, as it happens.

It stands between the scheduler and the invoker: it sees each request that is sent, and each report that comes
back. So nothing of the scheduler knows of it. What it sees goes to a thread, which writes one JSON object per
line::

    {"kind": "submitted", "at": 1764.0, "id": …, "name": …, "backend": …, "tasks": 40, "program": …}
    {"kind": "sent", "at": 1764.1, "invocation": "9f…", "tasks": [[0, 16]]}
    {"kind": "ran", "at": 1764.3, "invocation": "9f…", "tasks": [[0, 16]], "started": […], "seconds": […]}
    {"kind": "ended", "at": 1764.3, "invocation": "9f…", "worker": "4711", "cold": true, …}
    {"kind": "decided", "at": 1764.3, "again": {"7": 3.2}, "errors": {"7": "OSError: …"}, "final": {"9": "…"}}
    {"kind": "over", "at": 1764.9, "tasks": 40, "done": 39, "failed": 1, "cancelled": 0, "dollars": 0.0}

There are no arguments, no values and no credentials in it. Of reports with many tasks only what is common to
them is written, so that a batch of any size costs about the same. A journal that cannot be written ends with
one warning in the log, and jobs go on without it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import operator
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from wrenlite import __version__
from wrenlite.advice.work import ranges
from wrenlite.backends.base import Backend, Invocation, Invoker
from wrenlite.durable import places
from wrenlite.errors import TaskError
from wrenlite.job import Job
from wrenlite.protocol import Emit, Ended, Outcome, Request
from wrenlite.scheduler.elsewhere import Elsewhere, RunElsewhere
from wrenlite.scheduler.pending import Tell
from wrenlite.scheduler.retry import Decision
from wrenlite.serialize.exceptions import failure_text
from wrenlite.threads import OneThread

_DETAILED_TASKS = 64
"""The most tasks of one report whose times are written one by one."""
_EVENTS_BYTES = 16 << 20
"""Bytes of a job's events. What comes later is not written, except the end."""
_OUTPUT_BYTES = 4 << 20
"""Bytes of what the tasks of a job printed."""
_OUTPUT_TAIL = 4096
"""Characters of it that are kept of one task: the last ones."""
_SUMMARY_LENGTH = 500
"""Characters of an error that are kept."""
_MOST_ERRORS = 1_000
"""The most failed tasks that the end of a job names."""
_PRUNE_EVERY, _WEIGH_EVERY = 100, 1_000
"""Jobs of one program after which old jobs are looked for again, and their files weighed."""

_LONGEST_FLUSH_S = 2.0
_GATHER_S = 0.05
"""Seconds for which events are gathered before they are written."""

_HOST, _PYTHON = platform.node(), platform.python_version()
_TASK, _IS_OK, _STARTED = map(operator.attrgetter, ("task", "ok", "started"))
_SECONDS, _OUTPUT, _CPU_S = map(operator.attrgetter, ("seconds", "output", "cpu_s"))
_USED = ("busy_s", "load_s", "cpu_s", "init_s", "ready_s")
"""Seconds of a usage that are written, with six digits."""
_log = logging.getLogger("wrenlite")
_Entry = Callable[[], "JobLog"]


class Journal:
    """The journal of this process, and the thread that writes it.

    What happens is gathered in memory and written a moment later, so that a short job does not wait for a
    disk, nor compete with the writing for the processor.
    """

    def __init__(self, folder: Path) -> None:
        """Create it without its thread, which starts with the first job.

        Args:
            folder: of the journal.
        """
        self._folder = folder
        self._one = OneThread("wrenlite-journal")
        self._entries: deque[_Entry] = deque()
        self._changed: dict[JobLog, None] = {}
        self._awake = threading.Event()
        self._lock = threading.RLock()  # a signal handler may shut an executor down while its thread writes
        self._program: places.Program | None = None
        self._jobs = 0
        self._broken = False

    def put(self, entry: _Entry) -> None:
        """Have something written, soon."""
        if self._broken:
            return
        self._entries.append(entry)
        if not self._awake.is_set():
            self._awake.set()
            with contextlib.suppress(RuntimeError):  # too many threads: ``flush`` writes
                self._one.start(self._loop)

    def flush(self) -> None:
        """Write what was put so far, unless a disk keeps the thread that writes from it."""
        if self._lock.acquire(timeout=_LONGEST_FLUSH_S):
            try:
                self._write()
            finally:
                self._lock.release()

    def open(self, job: str, at: float) -> tuple[Path, str]:
        """Make the folder of a new job. Return its path, and the id of this program.

        Args:
            job: its id.
            at: when it was submitted.
        """
        if self._jobs % _PRUNE_EVERY == 0:
            places.prune(self._folder, time.time(), weigh=self._jobs % _WEIGH_EVERY == 0)
        self._jobs += 1
        if self._program is None:
            self._program = places.Program(self._folder)
        return places.new_job_folder(self._folder, job, at), self._program.id

    def forget(self) -> None:
        """Leave the journal to the parent, in a forked process."""
        if self._program is not None:
            self._program.forget()

    def _loop(self) -> None:
        while True:
            self._awake.wait()
            time.sleep(_GATHER_S)
            with self._lock:
                self._write()

    def _write(self) -> None:
        self._awake.clear()
        if self._broken:  # what came in between, before ``put`` knew
            self._entries.clear()
            return
        try:
            while self._entries:
                log = self._entries.popleft()()
                self._changed[log] = None
            for log in self._changed:
                log.save()
        except Exception as error:  # a full disk, or a defect of wrenlite: jobs do not depend on it
            self._broken = True
            _log.warning(
                "the journal of jobs in %s cannot be written, and ends here: %s. WRENLITE_JOURNAL names "
                "another folder",
                self._folder,
                getattr(error, "strerror", None) or repr(error),
            )
        self._changed.clear()


class JobLog:
    """What is written about one job. Its public methods may be called in any thread, and never wait."""

    def __init__(self, journal: Journal, job: Job[Any]) -> None:
        """Write that a job was submitted.

        Args:
            journal: the journal.
            job: the job, which has not been handed to the scheduler yet.
        """
        self._journal = journal
        self._job: Job[Any] | None = job
        self._path: Path | None = None
        self._lines: list[bytes] = []
        self._output: list[bytes] = []
        self._bytes = self._output_bytes = 0
        kept = ranges(sorted(job._tasks.finished))
        has_run = len(job) - bytes(job._tasks.marks).count(0) > job._tasks.cached
        self._put(partial(self._open, has_run, time.time(), len(job), kept))

    # For any thread

    def sent(self, invocation: str, tasks: Sequence[int], where: str = "") -> None:
        """Write that a batch was handed out.

        Args:
            invocation: id of the request.
            tasks: its tasks.
            where: the name of the other executor that it was handed to; empty: the job's own.
        """
        facts = {"invocation": invocation, "tasks": tasks, **({"where": where} if where else {})}
        self._put(partial(self._add, "sent", time.time(), facts))

    def reported(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        """Write what an invoker reports about a request."""
        now = time.time()
        if outcomes:
            self._put(partial(self._add_outcomes, now, invocation, _facts(outcomes)))
        if ended is not None:
            self._put(partial(self._add_end_of_request, now, invocation, ended))

    def decided(self, decisions: Sequence[Decision], failed: Mapping[int, Outcome | TaskError]) -> None:
        """Write which tasks run again that have failed, and why others do not."""
        told = [each for each in decisions if each.delay_s is not None or each.reason][:_DETAILED_TASKS]
        if told:
            failures = {each.task: failed[each.task] for each in told}
            self._put(partial(self._add_decisions, time.time(), told, failures))

    def note_workers(self, words: str) -> None:
        """Write that more or fewer workers run, and why."""
        self._put(partial(self._add, "workers", time.time(), {"text": words}))

    def over(self) -> None:
        """Write how the job has ended, which is about to be recorded in its task table."""
        self._put(self._add_end)

    # For the thread that writes

    def save(self) -> None:
        """Write what was gathered.

        Raises:
            OSError: it cannot be written.
        """
        if self._path is not None:
            for name, lines in ((places.EVENTS, self._lines), (places.OUTPUT, self._output)):
                if lines:
                    with open(self._path / name, "ab", buffering=0) as file:
                        file.write(b"".join(lines))
                    lines.clear()

    def _add_failures(self, job: Job[Any], at: float) -> None:
        """Write of tasks that have failed without a report of a worker: their errors, and what they wrote."""
        table, texts = job._tasks, {}
        for task in table.failed[:_MOST_ERRORS]:
            if table.stats(task).started:
                continue
            if error := job._outcomes.made_error(task):
                texts[task] = _short(f"{type(error).__name__}: {error}")
            if output := table.output(task):
                self._add_output(task, output)
        if texts:
            self._add("failed", at, {"errors": texts})

    def _put(self, entry: Callable[[], object]) -> None:
        self._journal.put(partial(self._take, entry))

    def _take(self, entry: Callable[[], object]) -> JobLog:
        if self._job is not None:  # otherwise this is what a cancelled request reports after the end
            entry()
        return self

    def _open(self, has_run: bool, now: float, tasks: int, kept: list[tuple[int, int]]) -> None:
        assert self._job is not None
        job, at = self._job, self._job._tasks.queued_at
        self._path, program = self._journal.open(job.id, at)
        if has_run or (self._path / places.EVENTS).exists():  # another keeper of the job has written it
            at = now
        header = {"id": job.id, "name": job.name, "backend": job.backend, "tasks": tasks, "program": program}
        header |= {"kept": kept} if kept else {}
        header |= {"prices": tuple(job._prices)} if job._prices is not None else {}
        self._add("submitted", at, {**header, "host": _HOST, "python": _PYTHON, "wrenlite": __version__})

    def _add(self, kind: str, at: float, facts: dict[str, Any], *, always: bool = False) -> None:
        if "tasks" in facts and not isinstance(facts["tasks"], int):
            facts["tasks"] = ranges(facts["tasks"])
        text = line({"kind": kind, "at": round(at, 6), **facts})
        if always or self._bytes + len(text) <= _EVENTS_BYTES:
            self._bytes += len(text)
            self._lines.append(text)

    def _add_outcomes(self, at: float, invocation: str, seen: _Facts) -> None:
        failed = {outcome.task: _summary(outcome) for outcome in seen.failed}
        facts: dict[str, Any] = {"invocation": invocation, "tasks": seen.tasks}
        facts["started"] = [round(each, 6) for each in seen.started]
        facts["seconds"] = [round(each, 6) for each in seen.seconds]
        facts["cpu_s"] = round(seen.cpu_s, 6)
        self._add("ran", at, {**facts, "failed": failed} if failed else facts)
        for task, text in seen.outputs:
            self._add_output(task, text)

    def _add_decisions(
        self, at: float, decisions: Sequence[Decision], failed: Mapping[int, Outcome | TaskError]
    ) -> None:
        again = {each.task: round(each.delay_s, 3) for each in decisions if each.delay_s is not None}
        final = {each.task: each.reason for each in decisions if each.delay_s is None}
        where = {each.task: each.where for each in decisions if each.where}
        errors = {task: _summary(failed[task]) for task in again}
        self._add("decided", at, {"again": again, "where": where, "errors": errors, "final": final})

    def _add_output(self, task: int, text: str) -> None:
        entry = line({"task": task, "text": text[-_OUTPUT_TAIL:]})
        if self._output_bytes + len(entry) <= _OUTPUT_BYTES:
            self._output_bytes += len(entry)
            self._output.append(entry)

    def _add_end_of_request(self, at: float, invocation: str, ended: Ended) -> None:
        usage, cause = ended.usage, ended.cause
        facts = {"invocation": invocation, "worker": usage.worker, "cold": usage.cold}
        facts |= {"request": usage.request_id, "requests": usage.requests, "gb_s": usage.gb_s}
        facts |= {"peak_bytes": usage.peak_bytes, "used_bytes": usage.used_bytes, "ran": usage.tasks}
        facts |= {"turns": usage.turns, **{name: round(getattr(usage, name), 6) for name in _USED}}
        if cause is not None:
            error = getattr(cause, "error", None)
            facts |= {"cause": type(cause).__name__.lower(), "error": _short(str(error)) if error else ""}
        self._add("ended", at, {key: fact for key, fact in facts.items() if fact})

    def _add_end(self) -> None:
        assert self._job is not None
        job, table = self._job, self._job._tasks
        self._job = None
        table.wait_until(lambda: table.over, 1.0, each=False)  # it is recorded at this moment
        now = job.snapshot()
        at = table.queued_at + now.seconds
        cancelled = sorted(task for task in table.failed if table.state(task) == "cancelled")
        if cancelled:
            self._add("cancelled", at, {"tasks": cancelled})
        self._add_failures(job, at)
        counts = {"tasks": now.total, "done": now.done, "failed": now.failed, "cancelled": now.cancelled}
        figures = {"dollars": now.dollars, "peak_bytes": now.peak_bytes or None}
        known = {name: figure for name, figure in figures.items() if figure is not None}
        self._add("over", at, {**counts, **known}, always=True)


class _Facts(NamedTuple):
    """What is written about the outcomes of a report. It holds no values."""

    tasks: Sequence[int]
    started: Sequence[float]
    """When the tasks started: of many tasks, only when the first one did."""
    seconds: Sequence[float]
    """How long each of them took; of many tasks, the time until the end of the last one."""
    cpu_s: float
    """Processor time of all of them."""
    failed: Sequence[Outcome]
    outputs: Sequence[tuple[int, str]]


def _facts(outcomes: Sequence[Outcome]) -> _Facts:
    if len(outcomes) <= _DETAILED_TASKS:
        started, seconds = list(map(_STARTED, outcomes)), list(map(_SECONDS, outcomes))
    else:
        first, last = outcomes[0], outcomes[-1]
        started, seconds = [first.started], [last.started + last.seconds - first.started]
    failed = [] if all(map(_IS_OK, outcomes)) else [outcome for outcome in outcomes if not outcome.ok]
    wrote = any(map(_OUTPUT, outcomes))
    outputs = [(outcome.task, outcome.output) for outcome in outcomes if outcome.output] if wrote else []
    cpu_s, shown = sum(map(_CPU_S, outcomes)), failed[:_DETAILED_TASKS]
    return _Facts(list(map(_TASK, outcomes)), started, seconds, cpu_s, shown, outputs)


class JournalInvoker:
    """An invoker that runs requests on another one, and writes to the journal what happens to them."""

    def __init__(self, invoker: Invoker, journal: Journal) -> None:
        """Stand before an invoker.

        Args:
            invoker: what runs the requests.
            journal: where they are written down.
        """
        self._invoker = invoker
        self._journal = journal
        self._logs: dict[str, JobLog] = {}

    @property
    def slots(self) -> int:
        """Requests that can run at once."""
        return self._invoker.slots

    def add(self, job: Job[Any]) -> Callable[[], None]:
        """Write down what happens to a job, whose requests come next.

        Returns:
            What is to be called when the job is over.
        """
        log = self._logs[job.id] = JobLog(self._journal, job)

        def over() -> None:
            if not job._is_detached:  # else its keeper goes on with the events
                log.over()
            self._logs.pop(job.id, None)

        return over

    def tell_of(self, job: Job[Any]) -> Tell:
        """Return what writes down which tasks of a job run again. ``add`` comes before."""
        return self._logs[job.id].decided

    def before_then(self, then: Elsewhere) -> Elsewhere:
        """Return another executor that tasks of a job move to, whose requests are written down too."""
        return _JournalThen(then, self._logs)

    def note_workers(self, words: str) -> None:
        """Write to all jobs that more or fewer workers run, and why."""
        for log in list(self._logs.values()):
            log.note_workers(words)

    def open(self, tasks: int = 1) -> None:
        """Get ready, as ``Invoker.open``."""
        self._invoker.open(tasks)

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request out, as ``Invoker.start``."""
        log = self._logs.get(request.job)
        if log is None:
            return self._invoker.start(request, emit)
        log.sent(request.invocation, request.tasks)
        return self._invoker.start(request, partial(_report, log, request.invocation, emit))

    def before(self, backend: Backend) -> Backend:
        """Return a backend with this invoker, which also writes down what requests do that it adopts.

        Args:
            backend: what this invoker stands before the invoker of.
        """
        adopt = None if backend.adopt is None else partial(self._adopt, backend.adopt)
        return replace(backend, invoker=self, adopt=adopt)

    def _adopt(
        self,
        adopt: Callable[[Request, Emit, float], Invocation],
        request: Request,
        emit: Emit,
        elapsed_s: float,
    ) -> Invocation:
        """Go on with a request that another process has handed out, and has written down as such."""
        log = self._logs.get(request.job)
        if log is not None:
            emit = partial(_report, log, request.invocation, emit)
        return adopt(request, emit, elapsed_s)

    def flush(self) -> None:
        """Write what has happened so far."""
        self._journal.flush()

    def close(self) -> None:
        """Stop what runs, as ``Invoker.close``. What happened until then is written."""
        self._invoker.close()
        self._journal.flush()


class _JournalThen:
    """Another executor to which tasks move. What becomes of them is written down."""

    def __init__(self, then: Elsewhere, logs: Mapping[str, JobLog]) -> None:
        self._then = then
        self._logs = logs
        self.name, self.takes = then.name, then.takes

    def start(self, request: Request, emit: Emit) -> RunElsewhere:
        log = self._logs[request.job]
        log.sent(request.invocation, request.tasks, self.name)
        return self._then.start(request, partial(_report, log, request.invocation, emit))


def _report(
    log: JobLog, invocation: str, emit: Emit, outcomes: Sequence[Outcome], ended: Ended | None = None
) -> None:
    log.reported(invocation, outcomes, ended)
    emit(outcomes, ended)


def _summary(failure: Outcome | TaskError) -> str:
    """Return the type and the message of a task's exception."""
    return _short(failure_text(failure))


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _SUMMARY_LENGTH else f"{text[: _SUMMARY_LENGTH - 3]}..."


def line(event: Mapping[str, Any]) -> bytes:
    """Return an event as one line of a file: JSON in ASCII."""
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


_journals: dict[Path, Journal] = {}
"""The journals of this process, by folder."""


def journal_at(folder: Path) -> Journal:
    """Return the journal in a folder. A process writes all its jobs with one thread."""
    return _journals.setdefault(folder, Journal(folder))


def journal_before(backend: Backend, setting: str | None) -> JournalInvoker | None:
    """Return the invoker of a backend with the journal before it; None where no journal is kept.

    Args:
        backend: what runs the requests.
        setting: the setting ``journal``.
    """
    folder = places.journal_folder(setting)
    if folder is None:
        return None
    before = JournalInvoker(backend.invoker, journal_at(folder))
    if backend.memory is not None:
        backend.memory.listeners.append(before.note_workers)
    return before


def _forget_journals() -> None:
    """After a fork, leave the journals to the parent: the child lacks their threads."""
    for journal in _journals.values():
        journal.forget()
    _journals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_journals)
