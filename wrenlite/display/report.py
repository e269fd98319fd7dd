"""``Job.report()``: a job as one HTML file, with a timeline that can be zoomed. It needs no network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrenlite.errors import PackageMissing
from wrenlite.protocol import TaskStats, held_in_words
from wrenlite.serialize.diagnosis import error_text
from wrenlite.texts import counted, printable, timed

try:
    import numpy as np
    from bokeh.embed import components
    from bokeh.layouts import column
    from bokeh.models import BasicTicker, ColumnDataSource, HoverTool
    from bokeh.plotting import figure
    from bokeh.resources import Resources
except ImportError as error:
    raise PackageMissing(f"a report needs {error.name}: pip install 'wrenlite[report]'") from error

from wrenlite.display.colours import IN_TRANSIT, STATE_COLOURS
from wrenlite.display.html import job_title
from wrenlite.display.spans import (
    Flags,
    Floats,
    Rows,
    Spans,
    assign_rows,
    concurrency,
    mean_concurrency,
    measure_spans,
)

if TYPE_CHECKING:
    from wrenlite.job import Job

_SLOWEST, _LARGEST, _FAILURES, _OUTPUTS, _TAIL_LINES, _LINE_CHARACTERS = 20, 20, 100, 20, 20, 400
"""The most tasks in each table, tasks whose output is shown, lines of an output, and characters of a line."""
_MOST_STEPS = 200
"""The largest number of steps of the concurrency; of more, it shows the mean of so many equal intervals."""
_INK = "#767f89"
"""Axes and their labels: readable on white and on black."""
_COLOURS = {**STATE_COLOURS, "waiting": _INK, "in transit": IN_TRANSIT}
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2933; --faint: #5f6b7a; --paper: #ffffff; --line: #d5dae1; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e9ed; --faint: #a3acb8; --paper: #16181c; --line: #3a404a; }}
}}
body {{ color: var(--ink); background: var(--paper); font: 14px/1.5 system-ui, sans-serif;
  max-width: 1100px; margin: 2em auto; padding: 0 1em; }}
h1 {{ font-size: 1.4em; margin-bottom: 0; }}
h2 {{ font-size: 1.1em; margin-top: 2em; }}
p, summary {{ color: var(--faint); }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; vertical-align: top; padding: 3px 14px 3px 0;
  border-bottom: 1px solid var(--line); white-space: nowrap; }}
td.text {{ white-space: normal; overflow-wrap: anywhere; min-width: 18em; }}
div.table {{ overflow-x: auto; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .3em 0 1em; }}
</style>
{scripts}
</head>
<body>
<h1>{title}</h1>
<p>{facts}</p>
{body}
</body>
</html>
"""


def write_report(job: Job[Any], path: str | os.PathLike[str], now: float) -> Path:
    """Write the report of a job into a file, and return its path.

    Args:
        job: the job.
        path: of the file, which is replaced.
        now: seconds since the epoch; tasks that have not ended are drawn up to this time.
    """
    snapshot, stats = job.snapshot(), job.stats()
    spans = measure_spans(stats, now)
    ran = [each for each in stats if not each.cached]
    script, timeline = (
        components(_timeline(spans, ran)) if ran else ("", f"<p>{'no task ran' if stats else 'no tasks'}</p>")
    )
    states = ("done", "cached", "failed", "cancelled")
    counts = [f"{count:,} {state}" for state in states if (count := getattr(snapshot, state))]
    unfinished = snapshot.queued + snapshot.dispatched
    counts += [f"{unfinished:,} not ended"] if unfinished else []
    facts = (
        *counts,
        timed(snapshot.seconds),
        f"cost: {job.cost}" if job.cost.requests else "no cost",
        job.id,
    )
    body = (
        "<h2>Timeline</h2><p>Drag over a part to zoom into it; the round arrow beside the plot shows all "
        f"again. Names in the legend hide and show what they stand for.</p>{timeline}",
        *_slowest(stats),
        *_largest(stats),
        *_failures(job, stats),
        *_outputs(job, stats),
    )
    page = _PAGE.format(
        title=escape(job_title(snapshot)),
        facts=escape(" · ".join(facts)),
        scripts=Resources(mode="inline", components=["bokeh"]).render_js() + script,
        body="\n".join(body),
    )
    file = Path(path)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise error.with_traceback(None) from None  # the caller's path is wrong
    return file


# The timeline


def _timeline(spans: Spans, stats: Sequence[TaskStats]) -> Any:
    rows = assign_rows(spans)
    height = int(min(max(18 * rows.total + 70, 230), 560))
    upper = _plot(height, "worker" if rows.by_worker else "task, in order of start")
    upper.y_range.start, upper.y_range.end = rows.total - 0.5, -0.5
    drawn = [
        _add_bars(upper, name, left, right, chosen, spans, rows, stats)
        for name, (left, right, chosen) in _bars(spans).items()
    ]
    hovered = [bars for name, bars in drawn if bars is not None and name not in ("waiting", "in transit")]
    tips = [(name, f"@{name}") for name in ("task", "state", "ran", "memory", "worker", "attempt")]
    upper.add_tools(HoverTool(renderers=hovered, tooltips=tips))
    if upper.legend:
        upper.legend.click_policy = "hide"
        upper.legend.orientation = "horizontal"
        upper.legend.label_text_color = _INK
        upper.legend.background_fill_alpha = upper.legend.border_line_alpha = 0.0
        upper.add_layout(upper.legend[0], "above")
    times, counts = concurrency(spans)
    heights: Floats = counts[:-1].astype(np.float64)
    label = "running tasks"
    if len(times) > _MOST_STEPS:
        times, heights = mean_concurrency(times, counts, spans.last_s, _MOST_STEPS)
        label = "running tasks, mean"
    lower = _plot(170, label, x_range=upper.x_range, toolbar_location=None)
    lower.quad(
        left=times[:-1],
        right=times[1:],
        bottom=0,
        top=heights,
        color=STATE_COLOURS["dispatched"],
        alpha=0.5,
        line_color=None,
    )
    lower.xaxis.axis_label = "seconds since map"
    return column(upper, lower, sizing_mode="stretch_width")


def _plot(height: int, label: str, **options: Any) -> Any:
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="xbox_zoom,xwheel_zoom,xpan,reset,save",
        active_drag="xbox_zoom",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_left=75,
        min_border_right=45,
        **options,
    )
    plot.toolbar.logo = None
    plot.yaxis.axis_label = label
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = _INK
        axis.axis_line_color = axis.major_tick_line_color = _INK
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
    plot.yaxis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
    plot.xgrid.grid_line_alpha = 0.3
    plot.ygrid.grid_line_color = None
    return plot


def _bars(spans: Spans) -> dict[str, tuple[Floats, Floats, Flags]]:
    """Return from when until when tasks wait, run and so on, and which tasks do."""
    ran = np.isfinite(spans.started)
    received = np.where(np.isnan(spans.received), spans.last_s, spans.received)
    dispatched = np.isfinite(spans.dispatched) & ~ran
    start = np.where(ran, spans.started, np.where(dispatched, spans.dispatched, received))
    stop = np.where(ran, spans.stopped, received)
    failed, cancelled = spans.in_state("failed"), spans.in_state("cancelled")
    return {
        "waiting": (np.zeros_like(start), start, np.ones_like(ran)),
        "in transit": (spans.stopped, received, ran),
        "dispatched": (start, stop, dispatched & ~failed & ~cancelled),
        "done": (start, stop, ran & ~failed & ~cancelled),
        "failed": (start, stop, failed),
        "cancelled": (start, stop, cancelled),
    }


def _add_bars(
    plot: Any,
    name: str,
    left: Floats,
    right: Floats,
    chosen: Flags,
    spans: Spans,
    rows: Rows,
    stats: Sequence[TaskStats],
) -> tuple[str, Any]:
    """Draw the chosen bars, and return them with their name; None where there are none."""
    chosen = chosen & np.isfinite(rows.row) & (right >= left)
    if name == "waiting" and rows.by_worker:  # bars of one row would cover each other
        chosen &= False
    places = np.flatnonzero(chosen)
    if not len(places):
        return name, None
    data: dict[str, Any] = {
        "left": left[chosen],
        "right": right[chosen],
        "top": rows.row[chosen] - 0.4,
        "bottom": rows.row[chosen] + 0.4,
    }
    if name not in ("waiting", "in transit"):
        tasks = [stats[int(place)] for place in places]
        data |= {
            "task": spans.task[chosen],
            "state": [task.state for task in tasks],
            "ran": [_ran(task) for task in tasks],
            "memory": [memory or "unknown" for memory in _memory(tasks)],
            "worker": [task.worker or "unknown" for task in tasks],
            "attempt": [task.attempts for task in tasks],
        }
    source = ColumnDataSource(data)
    look: dict[str, Any] = {"color": _COLOURS[name], "legend_label": name, "line_width": 0.7}
    if name == "waiting":
        look |= {"alpha": 0.25, "line_color": None}
    bars = plot.quad("left", "right", "top", "bottom", source=source, **look)
    return name, bars


# The tables


def _slowest(stats: Sequence[TaskStats]) -> Iterator[str]:
    ran = [task for task in stats if task.seconds is not None]
    slowest = sorted(ran, key=lambda task: -(task.seconds or 0.0))[:_SLOWEST]
    if slowest:
        yield "<h2>Slowest tasks</h2>"
        cpu = [timed(task.cpu_s) if task.cpu_s is not None else "" for task in slowest]
        state = [task.state for task in slowest]
        yield _table({**_where(slowest), "state": state, "processor time": cpu, "memory": _memory(slowest)})


def _largest(stats: Sequence[TaskStats]) -> Iterator[str]:
    measured = [task for task in stats if task.peak_bytes is not None]
    largest = sorted(measured, key=lambda task: -(task.peak_bytes or 0))[:_LARGEST]
    if largest:
        yield "<h2>Tasks that held the most memory</h2>"
        yield _table(
            {**_where(largest), "state": [task.state for task in largest], "memory": _memory(largest)}
        )


def _memory(tasks: Sequence[TaskStats]) -> list[str]:
    """Return how much memory each task held, as far as that is known."""
    return [held_in_words(task.peak_bytes, task.peak_tasks) for task in tasks]


def _where(tasks: Sequence[TaskStats]) -> dict[str, Sequence[str]]:
    """Return the columns that all tables begin with."""
    return {
        "task": [f"{task.task}" for task in tasks],
        "ran": [_ran(task) for task in tasks],
        "worker": [task.worker or "" for task in tasks],
        "attempt": [f"{task.attempts}" for task in tasks],
    }


def _failures(job: Job[Any], stats: Sequence[TaskStats]) -> Iterator[str]:
    failed = [task for task in stats if task.state == "failed"]
    if failed:
        yield f"<h2>{counted(len(failed), 'failed task')}</h2>"
        shown = failed[:_FAILURES]
        yield _table({**_where(shown), "exception": [_exception(job, task.task) for task in shown]})
    if len(failed) > _FAILURES:
        yield f"<p>{len(failed) - _FAILURES:,} more: job.errors() returns all exceptions.</p>"


def _exception(job: Job[Any], task: int) -> str:
    error = job.exception(task)
    return error_text(error)[:_LINE_CHARACTERS] if error is not None else ""


def _outputs(job: Job[Any], stats: Sequence[TaskStats]) -> Iterator[str]:
    """Yield what tasks have written last: of failed tasks first."""
    order = sorted(stats, key=lambda task: (task.state != "failed", task.task))
    written = ((task, text) for task in order if (text := job._tasks.output(task.task).strip()))
    for place, (task, text) in enumerate(written):
        if place == 0:
            yield "<h2>Output</h2>"
        if place == _OUTPUTS:
            yield "<p>More tasks have written something: job.logs() returns all of it.</p>"
            return
        lines = printable(text).splitlines()
        cut = [f"… ({len(lines) - _TAIL_LINES:,} lines before)"] if len(lines) > _TAIL_LINES else []
        shown = [*cut, *(line[:_LINE_CHARACTERS] for line in lines[-_TAIL_LINES:])]
        opened = " open" if task.state == "failed" else ""
        yield (
            f"<details{opened}><summary>task {task.task}, {task.state}</summary>"
            f"<pre>{escape(chr(10).join(shown))}</pre></details>"
        )


def _ran(task: TaskStats) -> str:
    return timed(task.seconds) if task.seconds is not None else "unknown"


def _table(columns: Mapping[str, Sequence[str]]) -> str:
    """Return a table without its empty columns."""
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    head = "".join(f"<th>{escape(name)}</th>" for name in shown)
    tags = ["<td class='text'>" if name == "exception" else "<td>" for name in shown]
    rows = (
        "".join(f"{tag}{escape(printable(cell))}</td>" for tag, cell in zip(tags, row, strict=True))
        for row in zip(*shown.values(), strict=True)
    )
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    return f'<div class="table"><table><tr>{head}</tr>\n{body}</table></div>'
