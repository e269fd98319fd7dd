"""The job panel in a notebook: live while the job runs, and static HTML after its end.

``map`` displays an empty panel at once, from the main thread, because what a thread displays for the first
time may appear in another cell. A thread fills the panel. A widget that was saved cannot be shown again, so
plain HTML replaces it at the end. Without ipywidgets the HTML itself is updated, and there is no Cancel
button.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, TypeAlias

from wrenlite.display.observer import Observer
from wrenlite.job import Job

_log = logging.getLogger("wrenlite")

_APPEAR_AFTER_S = 0.5
"""A job that ends before this shows no panel."""
_EARLY_OBSERVATIONS = 5
"""Observations of the job before the panel appears, for its concurrency chart."""
_REFRESH_S = 0.25
"""Seconds between two updates."""
_JOIN_S = 2.0
"""The longest time in seconds that a wait for the job waits for the last update."""


def in_notebook() -> bool:
    """Return whether this is the main thread of a kernel that shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel") and threading.current_thread() is threading.main_thread()


class DrawnByThread:
    """The context of waiting for a job that a thread draws: at the end of the job it waits for the thread."""

    def __init__(self, job: Job[Any], thread: threading.Thread) -> None:
        """Create the context of a job and the thread that draws it."""
        self._tasks = job._tasks  # not the job, which holds this context and is to be freed without gc
        self._thread = thread

    def __call__(self, _: bool) -> DrawnByThread:
        """Return the context, which is the same for every wait."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._tasks.over:
            self._thread.join(_JOIN_S)


def watch(job: Job[Any]) -> DrawnByThread:
    """Show a job's panel and update it from a thread.

    Returns:
        A context that the waiting for the job happens in. It may be entered any number of times.
    """
    panel: _HtmlPanel = _WidgetPanel(job) if find_spec("ipywidgets") else _HtmlPanel()
    thread = threading.Thread(target=_update, args=(job, panel), name="wrenlite-panel", daemon=True)
    thread.start()
    return DrawnByThread(job, thread)


def _update(job: Job[Any], panel: _HtmlPanel) -> None:
    try:
        observer = Observer(job)
        for _ in range(_EARLY_OBSERVATIONS):
            if ends_within(job, _APPEAR_AFTER_S / _EARLY_OBSERVATIONS):
                panel.end(_EMPTY)
                return
            observer.observe()
        from wrenlite.display import html  # most jobs end before that

        while not ends_within(job, _REFRESH_S):
            panel.show(html.panel(observer.observe()))
        panel.end(html.panel(observer.observe()))
    except Exception:  # the job and the notebook go on without the panel
        _log.exception("the panel of %r cannot be drawn", job)


def ends_within(job: Job[Any], timeout_s: float) -> bool:
    """Wait until the job has ended, at most ``timeout_s`` seconds, and return whether it has.

    This is not ``Job.wait``, because that also waits for the thread that draws the job.
    """
    return job._tasks.wait_until(lambda: job._tasks.over, timeout_s, each=False)


MimeBundle: TypeAlias = Mapping[str, str]
"""Content to display, by media type."""
_EMPTY = {"text/html": "", "text/plain": ""}


class _HtmlPanel:
    """A panel of HTML that is replaced at each update."""

    def __init__(self) -> None:
        """Display an empty panel."""
        self._handle = _display(_EMPTY, raw=True)

    def show(self, bundle: MimeBundle) -> None:
        self._handle.update(bundle, raw=True)

    end = show


def _display(content: object, *, raw: bool = False) -> Any:
    from IPython.display import display

    return display(content, display_id=True, raw=raw)


class _WidgetPanel(_HtmlPanel):
    """A panel of widgets with a button that cancels the job."""

    def __init__(self, job: Job[Any]) -> None:
        """Display an empty panel. The widgets are made when it appears: most jobs end before that."""
        super().__init__()
        self._job = job
        self._box: Any = None

    def show(self, bundle: MimeBundle) -> None:
        if self._box is None:
            self._make_widgets()
            self._handle.update(self._box)
        self._text.value = bundle["text/html"]

    def end(self, bundle: MimeBundle) -> None:
        self._handle.update(bundle, raw=True)
        if self._box is not None:
            self._box.close()

    def _make_widgets(self) -> None:
        import ipywidgets

        job = self._job
        self._text = ipywidgets.HTML()
        button = ipywidgets.Button(description="Cancel", icon="stop", tooltip=f"Cancel {job.name}")
        button.add_class("wrenlite-cancel")
        button.on_click(lambda _: job.cancel())
        self._box = ipywidgets.VBox([self._text, button])
        self._box.add_class("wrenlite-panel")
        for widget in (self._box, self._text, button):
            # ipykernel 7.4 sends the messages of this comm to a thread that the running cell blocks.
            with contextlib.suppress(AttributeError):
                del widget.comm._reply_subshell_id
