"""The job panel in a notebook: one for all jobs that a cell starts.

``map`` itself shows nothing, because most jobs end before anybody could look. A thread shows the panel when
jobs have run for a while, and updates it until they have ended. What a thread displays for the first time
after its cell has ended may appear in another one; so a cell that ends keeps a place for the panel of the
jobs that it leaves running.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from wrenlite.display.observer import MOST_LINES, Observer, Samples, View, merge
from wrenlite.display.surfaces import Bundle, Surface, surface_here
from wrenlite.job import Job

_log = logging.getLogger("wrenlite")

_APPEAR_AFTER_S = 0.3
"""Jobs that have run for less than this together have no panel."""
_EARLY_OBSERVATIONS = 3
"""Observations of a job before the panel appears, for its concurrency chart."""
_BUTTON_AFTER_S = 1.0
"""Jobs that have run for less than this together cannot be cancelled by a button."""
_REFRESH_S = 0.25
"""Seconds between two updates."""


def in_notebook() -> bool:
    """Return whether this runs in a kernel that shows HTML."""
    return hasattr(_shell(), "kernel") or _in_marimo()


def _in_marimo() -> bool:
    if "marimo" not in sys.modules:
        return False
    from wrenlite.display.marimo_panel import in_marimo  # which imports this module

    return in_marimo()


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def watch(job: Job[Any]) -> Waiting:
    """Show a job in the panel of the cell that starts it.

    Returns:
        What makes the contexts in which the job is waited for.
    """
    return _panel_here().add(job)


def ends_within(job: Job[Any], timeout_s: float) -> bool:
    """Wait until the job has ended, at most ``timeout_s`` seconds, and return whether it has.

    This is not ``Job.wait``, because that also draws the job.
    """
    return job._tasks.wait_until(lambda: job._tasks.over, timeout_s, each=False)


class Entry:
    """A job on a panel. The job is let go when it has ended."""

    def __init__(self, job: Job[Any]) -> None:
        """Put a job on a panel."""
        self.job: Job[Any] | None = job
        self.view: View | None = None
        self.was_waited_for = False
        self._observer: Observer | None = Observer(job)

    def observe(self) -> View | None:
        """Return the state of the job: the last one, if it has ended; None, if it was never observed."""
        if self.job is not None and self._observer is not None:
            over = self.job._tasks.over
            self.view = self._observer.observe()
            if over:
                self.job = self._observer = None
        return self.view


class Waiting:
    """The context of waiting for a job: when the waiting is over, the panel shows the end of the job."""

    def __init__(self, panel: Panel, entry: Entry) -> None:
        """Create the context of a job on a panel."""
        self._panel, self._entry = panel, entry

    def __call__(self, _: bool) -> Waiting:
        """Return the context, which is the same for every wait."""
        return self

    def __enter__(self) -> None:
        self._panel.begin_wait()

    def __exit__(self, *_: object) -> None:
        self._panel.end_wait(self._entry)


class Panel:
    """The panel of the jobs that a cell, or other code of a notebook, has started. Any thread may use it."""

    def __init__(
        self,
        find_surface: Callable[[], Surface],
        in_cell: bool,
        thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        """Create a panel, of which nothing is shown yet.

        Args:
            find_surface: finds the place in which it is shown.
            in_cell: whether a cell runs that may start more jobs, and whose end is reported.
            thread: makes the thread that draws it.
        """
        self._thread = thread
        self._find_surface = find_surface
        self._in_cell = in_cell
        self._lock = threading.RLock()  # a signal handler may map while its thread holds it
        self._painting = threading.RLock()
        self._entries: list[Entry] = []
        self._is_drawn = self._is_broken = False
        self._surface: Surface | None = None
        self._samples = Samples([(0.0, 0)])
        self._shown: Bundle = {}

    @property
    def over(self) -> bool:
        """Whether nothing changes any more, unless a thread starts another job."""
        return not self._in_cell and not self._running_jobs()

    def add(self, job: Job[Any]) -> Waiting:
        """Show a job from now on."""
        entry = Entry(job)
        with self._lock:
            if not self._is_broken:
                self._entries.append(entry)
            if not self._is_drawn:
                self._is_drawn = True
                self._thread(target=self._draw, name="wrenlite-panel", daemon=True).start()
        return Waiting(self, entry)

    def begin_wait(self) -> None:
        """Note that somebody waits for a job."""

    def end_wait(self, entry: Entry) -> None:
        """Show the end of a job, before this returns; of a short one, which may be one of many, later."""
        if entry.was_waited_for or (entry.job is not None and not entry.job._tasks.over):
            return
        entry.was_waited_for = True
        with self._painting, _errors_logged():
            view = entry.observe()
            if self._shown and view is not None and view.snapshot.seconds >= _APPEAR_AFTER_S:
                self._update()

    def end_cell(self) -> None:
        """Show the present state, or keep a place for the jobs that go on, before another cell runs."""
        self._in_cell = False
        with self._painting, _errors_logged():
            if self._shown:
                self._update()
            elif self._surface is None and self._running_jobs():
                self._surface = self._find_surface()
                self._surface.reserve()

    def cancel(self) -> None:
        """Cancel all jobs."""
        for job in self._running_jobs():
            job.cancel()

    def _running_jobs(self) -> list[Job[Any]]:
        """Return the jobs that have not ended, or whose end was not observed yet."""
        return [job for entry in list(self._entries) if (job := entry.job) is not None]

    def _draw(self) -> None:
        """Update the panel until no job runs. A thread does this."""
        with _errors_logged():
            while job := self._job_to_wait_for():
                began = time.monotonic()
                ends_within(job, _REFRESH_S if self._shown else _APPEAR_AFTER_S / _EARLY_OBSERVATIONS)
                del job
                if self._shown:  # a loop may start hundreds of short jobs a second
                    time.sleep(max(0.0, began + _REFRESH_S - time.monotonic()))
                with self._painting:
                    self._update()
            return
        self._is_broken, self._entries = True, []  # the jobs go on, and are to be freed

    def _job_to_wait_for(self) -> Job[Any] | None:
        with self._lock:
            jobs = self._running_jobs()
            self._is_drawn = bool(jobs)
            return jobs[0] if jobs else None

    def _update(self) -> None:
        """Show the present state, once the jobs have run for a while."""
        entries = list(self._entries)
        views = [view for entry in entries if (view := entry.observe()) is not None]
        together = merge(views)
        self._samples.add(together.snapshot.seconds, together.snapshot.running)
        if together.jobs > MOST_LINES:
            self._forget_single_jobs(entries)
            views = [together._replace(samples=tuple(self._samples))]
        running = bool(self._running_jobs())
        run_s = sum(view.snapshot.seconds for view in views)
        if not self._shown and not (running and run_s >= _APPEAR_AFTER_S):
            return
        if self._surface is None:
            self._surface = self._find_surface()
        is_last = not running and not self._surface.takes_more
        from wrenlite.display import html  # most jobs end before that

        bundle = html.panel(views, time.time(), settled=self.over or is_last)
        if running:
            self._surface.show(bundle)
            if run_s >= _BUTTON_AFTER_S:
                self._surface.offer(self.cancel)
        elif bundle != self._shown:
            self._surface.end(bundle)
        self._shown = bundle
        if is_last:
            self._surface, self._shown, self._entries, self._samples = None, {}, [], Samples([(0.0, 0)])

    def _forget_single_jobs(self, entries: list[Entry]) -> None:
        """Keep of all jobs that have ended their common state alone."""
        ended = [entry for entry in entries if entry.job is None and entry.view is not None]
        if len(ended) > 1:
            ended[0].view = merge([entry.view for entry in ended if entry.view is not None])
            with self._lock:
                self._entries = [entry for entry in self._entries if entry not in ended[1:]]


@contextlib.contextmanager
def _errors_logged() -> Iterator[None]:
    """Log an error: jobs and the notebook go on without the panel."""
    try:
        yield
    except Exception:
        _log.exception("the job panel cannot be drawn")


# The panels of this notebook

_panels: dict[str, Panel] = {}
"""The panels on which something may change, by the message that has started the code."""


def _panel_here() -> Panel:
    """Return the panel of the code that calls this, or a new one."""
    if _in_marimo():
        return _marimo_panel()
    shell = _shell()
    header = getattr(shell.display_pub, "parent_header", None) or {}
    parent = header.get("msg_id", "")
    panel = _panels.get(parent)
    if panel is None:
        if _end_cell not in shell.events.callbacks["post_execute"]:
            shell.events.register("post_execute", _end_cell)
        # In a copy of the context a display is in the right cell, from ipykernel 7 on after its end, too.
        find_surface = partial(surface_here, contextvars.copy_context().run, parent)
        is_main = threading.current_thread() is threading.main_thread()
        panel = Panel(
            find_surface, is_main and header.get("msg_type", "execute_request") == "execute_request"
        )
        panel = _panels.setdefault(parent, panel)
    return panel


def _marimo_panel() -> Panel:
    """Return the panel of the cell of marimo that calls this. The end of a cell is not reported there."""
    from wrenlite.display.marimo_panel import MarimoPanel, running_cell  # which imports this module

    for parent, panel in list(_panels.items()):
        if panel.over:
            _panels.pop(parent, None)
    cell = running_cell()
    return _panels.get(cell) or _panels.setdefault(cell, MarimoPanel(cell))


def _end_cell() -> None:
    """Let the panels know that a cell has ended."""
    for parent, panel in list(_panels.items()):
        panel.end_cell()
        if panel.over:
            _panels.pop(parent, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_panels.clear)
