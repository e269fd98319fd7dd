"""An explorer of the sets in a notebook: click on the picture, and the part under the mouse is computed.

This module shows what ``exploration`` decides. A preview, computed here, is shown at once. Then the tiles of
the whole view come as tasks of one job, and replace it one after the other. Its colours are chosen from the
preview, so what is drawn keeps its colours. Another click cancels the job, and what it still returns is
ignored.
"""

from __future__ import annotations

import base64
import html
import importlib.resources
import io
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from wrenlite.errors import ArgumentError, ExecutorClosed, PackageMissing, WrenliteError
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.exploration import ZOOM, Box, Exploration
from wrenlite.gallery.fractals.mandelbrot import Part
from wrenlite.gallery.fractals.palettes import PALETTES
from wrenlite.gallery.fractals.poster import PosterOptions, picture
from wrenlite.gallery.fractals.view import MAX_ITERATIONS
from wrenlite.job import Job
from wrenlite.texts import counted, duration

try:
    import anywidget
    import ipywidgets
    import traitlets
except ImportError as error:
    raise PackageMissing(f"the explorer needs {error.name}: pip install 'wrenlite[lab]'") from error

TASKS = 32
"""Tasks of a view."""
_REFRESH_S = 0.2
"""Seconds between two pictures, of which each is sent to the page as a whole."""
_LIVE_QUALITY = 88
_SAVED_QUALITIES = (80, 65, 50, 35, 20)
"""Quality of the JPEG on the page; and in the saved notebook, where the first that suffices is taken."""
_SAVED_BYTES = 150_000
_SAVED_SIDE = 640
"""Most pixels of a side of the picture in the saved notebook."""
_HELP = "click to zoom in, or drag a rectangle; a click with Shift goes back"


class _Page(anywidget.AnyWidget):  # type: ignore[misc]
    """The part of the explorer that is in the browser: the picture and the texts below it."""

    _esm = importlib.resources.files(__package__).joinpath("explorer.js").read_text("utf-8")
    ident = traitlets.Unicode().tag(sync=True)
    size = traitlets.List().tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    progress = traitlets.Float(0.0).tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)
    links = traitlets.List().tag(sync=True)


class _Drawing:
    """The counts of a view as far as they are known, and their colours."""

    def __init__(self, options: PosterOptions, preview: Field) -> None:
        self._poster = options.poster()
        self._colours = ColourRange.of(preview)
        self.field = tiling.enlarge(preview, self._poster.sampled)

    @property
    def remark(self) -> str:
        """Say why the picture is all black, if it is."""
        if np.isfinite(self.field).any():
            return ""
        return f": no point escapes within {self._poster.view.iters:,} iterations"

    def picture(self, palette: str) -> Image.Image:
        """Return the picture in the colours of a palette."""
        found = picture(self.field, replace(self._poster, palette=palette), self._colours)
        assert isinstance(found, Image.Image), "8 bits per colour"
        return found


class Explorer:
    """A view in a notebook that zooms where it is clicked. Displaying it shows it; ``explore`` makes one.

    Callbacks come from the kernel's main thread, and each view is drawn by a thread of its own, which ends
    when the view is complete or stale.
    """

    def __init__(self, executor: Executor, **options: Any) -> None:
        """Begin to draw the first view. See ``fractals.explore`` for the arguments."""
        if not isinstance(executor, Executor):
            raise ArgumentError(
                f"executor is {executor!r:.60}: it must be an Executor, such as Executor.local()"
            )
        self._executor = executor
        self._now = Exploration.begin(**options)
        self._lock = threading.RLock()
        self._drawing: _Drawing | None = None
        self.job: Job[Part] | None = None
        """The job that computes the view, once it has begun."""
        self._complete = threading.Event()
        self._ident = f"wrenlite-{secrets.token_hex(6)}"
        self._handle: Any = None
        self._painted_at = 0.0
        size = [self._now.options.width, self._now.options.height]
        self._page = _Page(ident=self._ident, size=size)
        self._page.on_msg(lambda _, content, buffers: self._guarded(self._receive, content))
        self._back = self._button("Back", "arrow-left", Exploration.back)
        self._first = self._button("Start over", "home", Exploration.start_over)
        self._palette = ipywidgets.Dropdown(
            options=[*PALETTES], value=self._now.options.palette, description="Palette"
        )
        self._iters = ipywidgets.BoundedIntText(
            self._now.options.iters, min=1, max=MAX_ITERATIONS, description="Iterations"
        )
        self._observe(self._palette, Exploration.with_palette)
        self._observe(self._iters, Exploration.with_iters)
        wider = self._button("Zoom out", "search-minus", lambda now: now.zoom_at(0.5, 0.5, 1 / ZOOM))
        self._controls = [self._back, wider, self._first, self._palette, self._iters]
        for each in self._controls:
            each.layout.width, each.style.description_width = "auto", "initial"
        bar = ipywidgets.HBox(self._controls, layout=ipywidgets.Layout(flex_flow="row wrap"))
        self.widget = ipywidgets.VBox([bar, self._page])
        """What the page shows, for those who arrange it with other widgets."""
        self._show_place()
        self._begin()

    def __repr__(self) -> str:
        return f"<Explorer: {self.command}>"

    @property
    def options(self) -> PosterOptions:
        """The view that is shown now."""
        return self._now.options

    @property
    def command(self) -> str:
        """The command that draws the view in a terminal."""
        return self._now.command()

    @property
    def python(self) -> str:
        """The call that shows the view in a notebook."""
        return self._now.python()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the view is complete, or has failed; at most ``timeout`` seconds.

        Returns:
            Whether that happened in time.
        """
        return self._complete.wait(timeout)

    def close(self) -> None:
        """Cancel the work, and remove the explorer from the page, where a picture of the view is left."""
        with self._lock:
            self._stop()
            self._complete.set()
            for widget in (*self._controls, self._page, self.widget.children[0], self.widget):
                widget.close()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        with self._lock:
            self._handle = display(self._saved(), display_id=self._ident, raw=True)
            display(self.widget)

    # What a person does

    def _button(self, text: str, icon: str, step: Callable[[Exploration], Exploration]) -> Any:
        button = ipywidgets.Button(description=text, icon=icon)
        button.on_click(lambda _: self._guarded(lambda: self._go(step(self._now))))
        return button

    def _observe(self, control: Any, step: Callable[[Exploration, Any], Exploration]) -> None:
        control.observe(lambda change: self._guarded(lambda: self._go(step(self._now, change.new))), "value")

    def _guarded(self, act: Callable[..., None], *args: Any) -> None:
        """Call a function, and show its error on the page: the kernel would only log it."""
        try:
            with self._lock:
                act(*args)
        except Exception as error:
            self._report(error)

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Do what a message of the page says."""
        kind = message.get("kind")
        if kind == "click":
            self._go(self._now.zoom_at(message["x"], message["y"]))
        elif kind == "box":
            self._go(self._now.zoom_to(Box(*message["box"])))
        elif kind == "back":
            self._go(self._now.back())
        elif kind == "gone" and not self._complete.is_set():  # such as when the cell runs again
            self._stop()
        elif kind == "here" and self._now.is_paused:
            self._go(self._now.resumed())

    def _go(self, to: Exploration) -> None:
        """Show another exploration."""
        before, self._now = self._now, to
        self._page.problem = ""
        if to.number != before.number:
            self._cancel_job()
            self._begin()
        elif to.options.palette != before.options.palette and self._drawing is not None:
            self._paint()
            self._save()
        self._show_place()

    # What is drawn

    def _begin(self) -> None:
        """Begin to draw the present view."""
        self._complete.clear()
        self._show_progress(0, "looking around")
        threading.Thread(target=self._draw, args=(self._now,), name="wrenlite-explorer", daemon=True).start()

    def _draw(self, wanted: Exploration) -> None:
        """Draw a view until it is complete or stale. A thread does this."""
        try:
            self._compute(wanted)
        except Exception as error:
            with self._lock:
                if self._now.wants(wanted.number):
                    self._report(error)
                    self._end((), "not complete")

    def _compute(self, wanted: Exploration) -> None:
        start = time.monotonic()
        view = wanted.options.poster().sampled
        preview = tiling.preview(view)
        drawing = _Drawing(wanted.options, preview)
        with self._lock:
            if not self._now.wants(wanted.number):
                return
            self._now, self._drawing = self._now.with_counts(preview), drawing
            self._paint()
            self._save()
        pieces = tiling.plan(view, TASKS, preview)
        with self._lock:
            if not self._now.wants(wanted.number):
                return
            job = self.job = self._executor.map(mandelbrot.render, pieces, chunksize=1, progress=False)
        failures = []
        for ended, error in enumerate(_arrive(job, drawing.field, pieces), 1):
            if error is not None:
                failures.append(error)
            with self._lock:
                if not self._now.wants(wanted.number):
                    return
                self._show_arrived(ended, len(job))
        with self._lock:
            if self._now.wants(wanted.number):
                self._end(failures, f"complete after {duration(time.monotonic() - start)}{drawing.remark}")

    def _show_arrived(self, ended: int, tasks: int) -> None:
        """Show what has arrived, unless that was done just now."""
        if ended == tasks or time.monotonic() - self._painted_at >= _REFRESH_S:
            self._paint()
            self._show_progress(ended / tasks, f"{ended} of {tasks} tasks done")

    def _end(self, failures: Sequence[BaseException], state: str) -> None:
        """Show that nothing more comes of this view."""
        if failures:
            parts = counted(len(failures), "task")
            self._page.problem = f"{parts} failed, and left squares of the preview: {_in_words(failures[0])}"
        self._save()
        self._show_progress(1.0, state)
        self._complete.set()

    def _report(self, error: Exception) -> None:
        """Show an error that ended the work on a view, or why a step was refused."""
        self._page.problem = _in_words(error)

    def _stop(self) -> None:
        """Cancel the work on the view, which a person no longer sees."""
        self._cancel_job()
        self._now = self._now.paused()
        self._save()
        self._show_progress(1.0, "stopped")
        self._complete.set()

    def _cancel_job(self) -> None:
        if self.job is not None:
            self.job.cancel_tasks(range(len(self.job)), wait=False)

    # What is shown

    def _paint(self) -> None:
        """Send the picture to the page."""
        assert self._drawing is not None
        shown = self._drawing.picture(self._now.options.palette)
        self._painted_at = time.monotonic()
        with self._page.hold_sync():
            self._page.picture = _jpeg(shown, _LIVE_QUALITY)
            self._page.alt = f"{self._now.options.kind} at {self._now.options.xpos}, {self._now.options.ypos}"

    def _show_progress(self, share: float, state: str) -> None:
        options = self._now.options
        with self._page.hold_sync():
            self._page.progress = share
            self._page.status = f"{float(options.radius or 0):.3g} wide · {state} · {_HELP}"

    def _show_place(self) -> None:
        """Show where this is: texts to copy, and the values of the controls."""
        self._page.links = [self.command, self.python]
        self._back.disabled = self._first.disabled = not self._now.can_go_back
        self._iters.value, self._palette.value = self._now.options.iters, self._now.options.palette

    def _save(self) -> None:
        """Update the picture that is saved with the notebook."""
        if self._handle is not None:
            self._handle.update(self._saved(), raw=True)

    def _saved(self) -> Mapping[str, str]:
        if self._drawing is None:
            return {"text/html": "", "text/plain": ""}
        image = self._drawing.picture(self._now.options.palette)
        return _saved(image, self._ident, self.python)


def _arrive(job: Job[Part], field: Field, pieces: Sequence[tiling.Piece]) -> Iterator[BaseException | None]:
    """Write the counts of tasks into a field as they arrive; yield the error of each, or None.

    Raises:
        CancelledError: the job was cancelled.
    """
    for future in job.as_completed():
        error = future.exception()
        if error is None:
            tiling.fill(field, pieces[future.index], future.result())
        yield error


def _in_words(error: BaseException) -> str:
    """Return what an error says, with its type where it is not one of wrenlite's own."""
    if isinstance(error, CancelledError):
        return "the tasks were cancelled: the executor was shut down, or somebody has cancelled their job"
    if isinstance(error, ExecutorClosed):
        return "the executor was shut down: make a new one, and run this cell again"
    return str(error) if isinstance(error, WrenliteError) else f"{type(error).__name__}: {error}"


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _saved(image: Image.Image, ident: str, python: str) -> Mapping[str, str]:
    """Return what a notebook shows without a kernel: a picture of the view, and how to explore it.

    The page hides it while the explorer is there. The style hides the words that JupyterLab has for a widget
    that was saved.
    """
    image = image.copy()
    image.thumbnail((_SAVED_SIDE, _SAVED_SIDE))
    files = (_jpeg(image, quality) for quality in _SAVED_QUALITIES)
    file = next((file for file in files if len(file) < _SAVED_BYTES), b"")
    address = f"data:image/jpeg;base64,{base64.b64encode(file).decode()}"
    hidden = ".jp-OutputArea-child:has(.wrenlite-explored) ~ .jp-OutputArea-child > .lm-Panel:not(:has(*))"
    page = (
        f"<style>{hidden} {{ display: none }}</style>"
        f'<div class="wrenlite-explored {ident}"><img src="{address}" width="{image.width}" '
        f'height="{image.height}" alt="the view" style="max-width:100%"/>'
        f"<div>A saved view. Run the cell to explore it: <code>{html.escape(python)}</code></div></div>"
    )
    return {"text/html": page, "text/plain": python}
