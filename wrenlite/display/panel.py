"""The job panel in a notebook: live while the job runs, and at its end a snapshot that stays.

``map`` displays a placeholder at once, from the main thread: what a thread displays for the first time may
land in another cell. A thread fills it. A widget that was saved cannot be shown again, so that at the end
plain HTML takes its place. Without ipywidgets the HTML is live, and there is no button.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from wrenlite.display import html
from wrenlite.display.view import Observer
from wrenlite.job import Job

_log = logging.getLogger("wrenlite")

_APPEARS_S = 0.5
"""A job that is over before this draws nothing."""
_LOOKS = 5
"""At it, before it appears."""
_REFRESH_S = 0.25
"""Seconds between two updates."""
_JOIN_S = 2.0
"""Seconds that a wait waits for the last drawing."""


def in_notebook() -> bool:
    """Whether this is the main thread of a kernel that shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel") and threading.current_thread() is threading.main_thread()


def watch(job: Job) -> Callable[[], None]:
    """Show a job; returns what waits until its end is drawn."""
    display: _Plain = _Widgets(job) if find_spec("ipywidgets") else _Plain()
    painter = threading.Thread(target=_paint, args=(job, display), name="wrenlite-panel", daemon=True)
    painter.start()
    return lambda: painter.join(_JOIN_S)


def _paint(job: Job, display: _Plain) -> None:
    try:
        observer = Observer(job)
        for _ in range(_LOOKS):
            if over_within(job, _APPEARS_S / _LOOKS):
                display.end(_EMPTY)
                return
            observer.look()
        while not over_within(job, _REFRESH_S):
            display.show(html.panel(observer.look()))
        display.end(html.panel(observer.look()))
    except Exception:  # a notebook without its picture is still a notebook
        _log.exception("the panel of %r cannot be drawn", job)


def over_within(job: Job, timeout: float) -> bool:
    """Wait until the job is over, or so many seconds; it is not ``Job.wait``, which waits for who draws."""
    return job._tasks.wait_until(lambda: job._tasks.over, timeout, each=False)


Bundle = Mapping[str, str]
"""What is displayed, by media type."""
_EMPTY = {"text/html": "", "text/plain": ""}


class _Plain:
    """HTML that is replaced."""

    def __init__(self) -> None:
        self._handle = _display(_EMPTY, raw=True)

    def show(self, bundle: Bundle) -> None:
        self._handle.update(bundle, raw=True)

    end = show


def _display(content: object, *, raw: bool = False) -> Any:
    from IPython.display import display

    return display(content, display_id=True, raw=raw)


class _Widgets(_Plain):
    """A widget, with a button that cancels."""

    def __init__(self, job: Job) -> None:
        import ipywidgets

        self._text = ipywidgets.HTML()
        self._button = ipywidgets.Button(description="Cancel", icon="stop", tooltip=f"Cancel {job.name}")
        self._button.layout.display = "none"
        self._button.add_class("wrenlite-cancel")
        self._button.on_click(lambda _: job.cancel())
        self._box = ipywidgets.VBox([self._text, self._button])
        self._box.add_class("wrenlite-panel")
        for widget in (self._box, self._text, self._button):
            # ipykernel 7.4 sends messages of this comm to a thread that the running cell holds up.
            with contextlib.suppress(AttributeError):
                del widget.comm._reply_subshell_id
        self._handle = _display(self._box)

    def show(self, bundle: Bundle) -> None:
        self._text.value = bundle["text/html"]
        self._button.layout.display = ""

    def end(self, bundle: Bundle) -> None:
        self._handle.update(bundle, raw=True)
        self._box.close()
