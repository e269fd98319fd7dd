"""The job panel as HTML: pure functions of a ``View``.

Styles are inline and pictures are PNGs: that is what a notebook keeps that is reopened, converted, or not
trusted. Text takes the colours of the page, in the light theme as in the dark one, and no meaning rests on
a colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from wrenlite.display import picture
from wrenlite.display.view import View
from wrenlite.futures import Snapshot
from wrenlite.task_table import STATES

SHOWN = ("done", "dispatched", "queued", "failed", "cancelled")
"""States in the order of the bar."""
_MUTED = "opacity:.75"


def panel(view: View) -> dict[str, str]:
    """The panel of a job, live or as it ended, by media type: what shows no HTML has the headline."""
    parts = [
        _headline(view),
        bar(view.now),
        _counts(view),
        *_line(view),
        _grid(view),
        *_failures(view),
        *_tail(view),
    ]
    style = "font-family:var(--jp-ui-font-family,sans-serif);font-size:13px;line-height:1.5;max-width:640px"
    return {"text/html": f'<div style="{style}">{"".join(parts)}</div>', "text/plain": headline(view)}


def title(now: Snapshot) -> str:
    """Which job it is."""
    return f"map {now.name} × {now.total:,} on {now.backend}"


def headline(view: View) -> str:
    """The job in one line of plain text."""
    now = view.now
    words = [title(now), _state(view), seconds(now.seconds)]
    if not view.over and view.left_s is not None:
        words.append(f"about {seconds(view.left_s)} left")
    if view.peak:
        words.append(f"peak {view.peak:,} at once")
    if now.dollars is not None:
        words.append(f"≈ ${now.dollars:.4f} (estimate)")
    if now.note and not view.over:
        words.append(now.note)
    return " · ".join(words)


def seconds(value: float) -> str:
    """A time span as people say it."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _state(view: View) -> str:
    now = view.now
    if not view.over:
        return "running" if now.running or now.finished else "waiting"
    ends = [
        f"{count:,} {word}" for count, word in ((now.failed, "failed"), (now.cancelled, "cancelled")) if count
    ]
    return ", ".join(ends) or "done"


def _headline(view: View) -> str:
    return f'<div style="font-weight:600">{escape(headline(view))}</div>'


def bar(now: Snapshot) -> str:
    """Done, dispatched, queued, failed, cancelled, each as wide as its share."""
    parts = []
    for state in SHOWN:
        count = getattr(now, state)
        if count:
            colour = picture.COLOURS[STATES.index(state)]
            share = 100 * count / now.total
            parts.append(f'<div style="width:{share:.2f}%;background-color:{colour}"></div>')
    style = "display:flex;height:8px;border-radius:4px;overflow:hidden;margin:4px 0"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _counts(view: View) -> str:
    counts = [(getattr(view.now, state), state) for state in SHOWN]
    words = []
    for count, state in counts:
        if count or state == "done":
            colour = picture.COLOURS[STATES.index(state)]
            style = f"display:inline-block;width:8px;height:8px;background-color:{colour}"
            words.append(f'<span style="{style}"></span> {count:,} {state}')
    return f"<div>{' &nbsp; '.join(words)}</div>"


def _line(view: View) -> Iterator[str]:
    if view.peak:
        alt = f"tasks running at once over {seconds(view.now.seconds)}, at most {view.peak:,}"
        yield (
            f'<img src="{picture.line(view.samples)}" alt="{alt}" title="{alt}" '
            'style="width:100%;height:28px;margin-top:6px"/>'
        )


def _grid(view: View) -> str:
    alt = "a spot a task, in input order: " + ", ".join(
        f"{getattr(view.now, state):,} {state}" for state in SHOWN if getattr(view.now, state)
    )
    style = "width:100%;margin-top:6px;image-rendering:pixelated"
    return f'<img src="{picture.grid(view.marks)}" alt="{alt}" title="{alt}" style="{style}"/>'


def _failures(view: View) -> Iterator[str]:
    """By type, with the first few of each."""
    for kind, count in sorted(view.kinds.items(), key=lambda item: -item[1]):
        yield f'<div style="margin-top:6px"><b>{count:,} × {escape(kind)}</b></div>'
        for failure in view.failures[kind]:
            yield f'<div style="padding-left:12px">task {failure.task}: {escape(failure.text)}</div>'
        if count > len(view.failures[kind]):
            yield f'<div style="padding-left:12px;{_MUTED}">… all of them: job.errors()</div>'
    if view.unseen > 0:
        yield f'<div style="{_MUTED}">{view.unseen:,} further failures: job.errors()</div>'


def _tail(view: View) -> Iterator[str]:
    if view.tail:
        text = escape("\n".join(line[:300] for line in view.tail))
        style = "margin:0;max-height:180px;overflow:auto;font-size:12px"
        inside = f'<summary>output</summary><pre style="{style}">{text}</pre>'
        yield f'<details style="margin-top:6px">{inside}</details>'
