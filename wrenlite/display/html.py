"""The job panel as HTML: pure functions of a ``View``.

Styles are inline and pictures are PNGs, because a notebook keeps both when it is reopened, converted, or
not trusted. Text takes the colours of the page, so that it is readable in light and dark themes, and no
information is given by a colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from wrenlite.display import panel_png
from wrenlite.display.observer import View
from wrenlite.futures import Snapshot
from wrenlite.task_table import STATES
from wrenlite.texts import counted, duration

BAR_STATES = ("done", "dispatched", "queued", "failed", "cancelled")
"""The states in the order of the progress bar."""
_MUTED = "opacity:.75"


def panel(view: View) -> dict[str, str]:
    """Return the panel of a running or ended job by media type: the plain text is its headline alone."""
    parts = [
        _headline_html(view),
        progress_bar(view.snapshot),
        _counts_html(view.snapshot),
        *_concurrency_html(view),
        _task_grid_html(view),
        *_failures_html(view),
        *_output_html(view),
    ]
    style = "font-family:var(--jp-ui-font-family,sans-serif);font-size:13px;line-height:1.5;max-width:640px"
    return {"text/html": f'<div style="{style}">{"".join(parts)}</div>', "text/plain": headline(view)}


def job_title(now: Snapshot) -> str:
    """Return the name of a job's function, its number of tasks, and its backend."""
    return f"map {now.name} × {now.total:,} on {now.backend}"


def headline(view: View) -> str:
    """Return the state of the job in one line of plain text."""
    now = view.snapshot
    facts = [job_title(now), _state(view), duration(now.seconds)]
    if not view.ended and now.remaining_s is not None:
        facts.append(f"about {duration(now.remaining_s)} left")
    if view.peak_running:
        facts.append(f"peak concurrency {view.peak_running:,}")
    if now.dollars is not None:
        facts.append(f"≈ ${now.dollars:.4f} (estimate)")
    if now.note and not view.ended:
        facts.append(now.note)
    return " · ".join(facts)


def _state(view: View) -> str:
    now = view.snapshot
    if not view.ended:
        return "running" if now.running or now.finished else "waiting"
    bad_ends = [
        f"{count:,} {state}"
        for count, state in ((now.failed, "failed"), (now.cancelled, "cancelled"))
        if count
    ]
    return ", ".join(bad_ends) or "done"


def _headline_html(view: View) -> str:
    return f'<div style="font-weight:600">{escape(headline(view))}</div>'


def progress_bar(now: Snapshot) -> str:
    """Return a bar with one part per state, each as wide as its share of the tasks."""
    parts = []
    for state in BAR_STATES:
        count = getattr(now, state)
        if count:
            share = 100 * count / now.total
            parts.append(f'<div style="width:{share:.2f}%;background-color:{_colour(state)}"></div>')
    style = "display:flex;height:8px;border-radius:4px;overflow:hidden;margin:4px 0"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _colour(state: str) -> str:
    return panel_png.COLOURS[STATES.index(state)]


def _counts_html(now: Snapshot) -> str:
    counts = []
    for state in BAR_STATES:
        count = getattr(now, state)
        if count or state == "done":
            style = f"display:inline-block;width:8px;height:8px;background-color:{_colour(state)}"
            counts.append(f'<span style="{style}"></span> {count:,} {state}')
    return f"<div>{' &nbsp; '.join(counts)}</div>"


def _concurrency_html(view: View) -> Iterator[str]:
    if view.peak_running:
        alt = f"running tasks during {duration(view.snapshot.seconds)}, at most {view.peak_running:,}"
        yield (
            f'<img src="{panel_png.concurrency_chart(view.samples)}" alt="{alt}" title="{alt}" '
            'style="width:100%;height:28px;margin-top:6px"/>'
        )


def _task_grid_html(view: View) -> str:
    now = view.snapshot
    counts = [f"{count:,} {state}" for state in BAR_STATES if (count := getattr(now, state))]
    alt = "the state of each task in input order: " + ", ".join(counts)
    style = "width:100%;margin-top:6px;image-rendering:pixelated"
    return f'<img src="{panel_png.task_grid(view.states)}" alt="{alt}" title="{alt}" style="{style}"/>'


def _failures_html(view: View) -> Iterator[str]:
    """Yield the failures by type, the most frequent type first, with a few examples of each."""
    for kind, count in sorted(view.failure_counts.items(), key=lambda item: -item[1]):
        yield f'<div style="margin-top:6px"><b>{count:,} × {escape(kind)}</b></div>'
        examples = view.failure_examples[kind]
        for failure in examples:
            yield f'<div style="padding-left:12px">task {failure.task}: {escape(failure.message)}</div>'
        if count > len(examples):
            yield f'<div style="padding-left:12px;{_MUTED}">job.errors() returns all exceptions</div>'
    if view.uninspected > 0:
        more = counted(view.uninspected, "more failure")
        yield f'<div style="{_MUTED}">{more}: job.errors() returns them</div>'


def _output_html(view: View) -> Iterator[str]:
    if view.output_tail:
        text = escape("\n".join(line[:300] for line in view.output_tail))
        style = "margin:0;max-height:180px;overflow:auto;font-size:12px"
        content = f'<summary>output</summary><pre style="{style}">{text}</pre>'
        yield f'<details style="margin-top:6px">{content}</details>'
