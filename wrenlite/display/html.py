"""The job panel as HTML: pure functions of ``View``.

Styles are inline and pictures are PNGs, because a notebook keeps both when it is reopened, converted, or
not trusted. Text takes the colours of the page, so that it is readable in light and dark themes, and no
information is given by a colour alone.

A panel that is saved while a job runs would say for ever that the job runs. So what is true only now is in
elements that an animation shows for a few seconds after they are drawn, and so until an update draws them
anew. Otherwise, and where styles are removed, the time of the last update is shown instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from html import escape

from wrenlite.display import panel_png
from wrenlite.display.colours import STATE_COLOURS
from wrenlite.display.observer import View, merge
from wrenlite.display.remaining import in_words
from wrenlite.futures import Snapshot
from wrenlite.texts import counted, duration, sized

BAR_STATES = ("done", "failed", "cancelled", "dispatched", "queued")
"""The states in the order of the progress bar."""
_OLD_AFTER_S = 4
"""Seconds without an update after which a panel says when the last one was."""
_SIDE = "flex:0 0 44px;font-size:11px;line-height:1.1"
"""The column at the right of the bar and the pictures, for their figures."""
_MUTED = "opacity:.75"
_ANIMATIONS = f"""<style>
@keyframes wrenlite-now {{ from, to {{ visibility: visible; font-size: inherit }} }}
@keyframes wrenlite-then {{ from, to {{ visibility: hidden; font-size: 0 }} }}
.wrenlite-now {{ animation: wrenlite-now {_OLD_AFTER_S}s }}
.wrenlite-then {{ animation: wrenlite-then {_OLD_AFTER_S}s }}
.jp-OutputArea-child:has(.wrenlite-now) ~ .jp-OutputArea-child > .lm-Panel:not(:has(*)) {{ display: none }}
</style>"""
"""The last rule hides the words that JupyterLab has for the button of a panel that was saved and reopened."""


def panel(views: Sequence[View], at: float, *, settled: bool = True) -> dict[str, str]:
    """Return the panel of running or ended jobs by media type: the plain text is the headlines alone.

    One view is shown with all details, several with a line each.

    Args:
        views: of the jobs, in the order of their start; at least one, and at most ``MOST_LINES``.
        at: the time of the views in seconds since the epoch.
        settled: whether no more updates come: only then something can be opened, since an update closes it.
    """
    if len(views) == 1:
        parts = _details(views[0], at)
    else:
        parts = [_line(view, at) for view in views]
        running = [view for view in views if not view.ended]
        if len(running) == 1:
            parts += _pictures(running[0])
        for view in views:
            parts += _failures_html(view, f"{view.snapshot.name}: ")
    parts += _output_html(views, settled)
    live = "" if all(view.ended for view in views) else _ANIMATIONS
    style = "font-family:var(--jp-ui-font-family,sans-serif);font-size:13px;line-height:1.5;max-width:692px"
    return {
        "text/html": f'{live}<div class="wrenlite-panel" style="{style}">{"".join(parts)}</div>',
        "text/plain": "\n".join(headline(view, at) for view in views),
    }


def _details(view: View, at: float) -> list[str]:
    parts = [f"<div>{_headline_html(view, at)}</div>"]
    if view.snapshot.total > 1:
        now = view.snapshot
        share = f'<div style="{_SIDE}">{_percent(now)}</div>'
        parts.append(_beside(progress_bar(now), share))
        parts.append(_counts_html(now))
        parts += _pictures(view)
    parts += _failures_html(view)
    return parts


def _percent(now: Snapshot) -> str:
    """Return the share of tasks that have ended, which is 100% only at the end."""
    return f"{100 * now.finished // max(1, now.total)}%"


def job_title(now: Snapshot) -> str:
    """Return the name of a job's function, its number of tasks, and its backend."""
    return f"map {now.name} × {now.total:,} on {now.backend}"


def _title(view: View) -> tuple[str, str]:
    """Return the part of a title that matters most, and the rest of it."""
    now = view.snapshot
    if view.jobs > 1:
        return f"{view.jobs:,} jobs", f" with {counted(now.total, 'task')} on {now.backend}"
    return f"map {now.name} × {now.total:,}", f" on {now.backend}"


def headline(view: View, at: float) -> str:
    """Return the state of the job in one line of plain text, which stays true when it is saved."""
    state = _end(view.snapshot) if view.ended else f"{_so_far(view.snapshot)} at {_clock(at)}"
    peak = f"peak concurrency {view.peak_running:,}" if view.peak_running > 1 else ""
    return " · ".join(filter(None, ("".join(_title(view)), state, *_facts(view), peak)))


def _headline_html(view: View, at: float) -> str:
    strong, rest = _title(view)
    return f"<b>{escape(strong)}</b>{escape(rest)} · {_state_html(view, at)}"


def _state_html(view: View, at: float) -> str:
    """Return the state of a job; of one that runs twice: as it is now, and as it is read when it is old."""
    facts = _facts(view)
    if view.ended:
        return escape(" · ".join((_end(view.snapshot), *facts)))
    now = view.snapshot
    state = "running" if now.running or now.finished else "waiting"
    left = () if view.left_s is None else (in_words(view.left_s),)
    live = " · ".join(filter(None, (state, *facts[:1], *left, *facts[1:], now.note)))
    old = f"{_so_far(now)} at the last update, {_clock(at)}"
    return (
        f'<span class="wrenlite-now" style="visibility:hidden;font-size:0">{escape(live)}</span>'
        f'<span class="wrenlite-then">{escape(old)}</span>'
    )


def _facts(view: View) -> list[str]:
    facts = [duration(view.snapshot.seconds)]
    if view.snapshot.cached:
        facts.append(f"{view.snapshot.cached:,} cached")
    if view.snapshot.dollars is not None:
        facts.append(f"≈ ${view.snapshot.dollars:.4f} (estimate)")
    if view.snapshot.peak_bytes:
        facts.append(memory_in_words(view.snapshot))
    return facts


def memory_in_words(now: Snapshot) -> str:
    """Return the most memory that a task of a job has held, as far as that is known."""
    return f"up to {sized(now.peak_bytes)} of memory per worker"


def _so_far(now: Snapshot) -> str:
    return f"{now.finished:,} of {now.total:,} ended"


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _end(now: Snapshot) -> str:
    bad_ends = ((now.failed, "failed"), (now.cancelled, "cancelled"))
    return ", ".join(f"{count:,} {state}" for count, state in bad_ends if count) or "done"


def _line(view: View, at: float) -> str:
    """Return a job in one line with a bar."""
    now = view.snapshot
    one_line = "flex:1 1 0;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    words = f'<div style="{one_line}">{_headline_html(view, at)}</div>'
    bar = f'<div style="flex:0 0 22%">{progress_bar(now)}</div>'
    share = f'<div style="{_SIDE}">{_percent(now)}</div>'
    return f'<div style="display:flex;gap:8px;align-items:center">{words}{bar}{share}</div>'


def _beside(main: str, side: str = "") -> str:
    """Return a bar or a picture with its figures at the right."""
    side = side or f'<div style="{_SIDE}"></div>'
    main = f'<div style="flex:1 1 0;min-width:0">{main}</div>'
    return f'<div style="display:flex;gap:8px;align-items:center">{main}{side}</div>'


def progress_bar(now: Snapshot) -> str:
    """Return a bar with one part per state, each as wide as its share of the tasks.

    The part of failed tasks is a frame, and never too narrow to be seen.
    """
    parts = []
    for state in BAR_STATES:
        count = getattr(now, state)
        if count:
            share = 100 * count / now.total
            parts.append(f'<div style="flex:{share:.2f} 0 0;{_looks(state, "min-width:6px;")}"></div>')
    style = "display:flex;height:10px;border-radius:2px;overflow:hidden;margin:4px 0"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _looks(state: str, of_failed: str = "") -> str:
    colour = STATE_COLOURS[state]
    if state == "failed":
        return f"{of_failed}box-sizing:border-box;border:2px solid {colour}"
    return f"background-color:{colour}"


def _counts_html(now: Snapshot) -> str:
    counts = []
    for state in BAR_STATES:
        count = getattr(now, state)
        if count or state == "done":
            style = f"display:inline-block;width:10px;height:10px;{_looks(state)}"
            counts.append(
                f'<span style="white-space:nowrap"><span style="{style}"></span> {count:,} {state}</span>'
            )
    return f"<div>{' &nbsp; '.join(counts)}</div>"


def _pictures(view: View) -> list[str]:
    """Return the concurrency over time and the grid of tasks; of one task, neither."""
    return [*_concurrency_html(view), *_task_grid_html(view)] if view.snapshot.total > 1 else []


def _picture(address: str, height: int, alt: str, css_height: str = "auto") -> str:
    size = f'width="{panel_png.WIDTH}" height="{height}"'
    style = f"display:block;width:100%;height:{css_height}"
    return f'<img src="{address}" {size} alt="{alt}" title="{alt}" style="{style}"/>'


def _concurrency_html(view: View) -> Iterator[str]:
    peak, seconds = view.peak_running, duration(view.snapshot.seconds)
    if peak > 1 and len(view.samples) > 2:
        height = panel_png.CHART_HEIGHT
        alt = f"tasks at once during {seconds}: at most {peak:,}"
        chart = _picture(panel_png.concurrency_chart(view.samples), height, alt, f"{height}px")
        column = f"{_SIDE};{_MUTED};height:{height}px;display:flex;flex-direction:column"
        scale = (
            f'<div style="{column};justify-content:space-between"><span>{peak:,}</span><span>0</span></div>'
        )
        yield f'<div style="margin-top:6px">{_beside(chart, scale)}</div>'
        ends = f"<span>0 s</span><span>tasks at once</span><span>{seconds}</span>"
        axis = f"display:flex;justify-content:space-between;font-size:11px;line-height:1.3;{_MUTED}"
        yield _beside(f'<div style="{axis}">{ends}</div>')


def _task_grid_html(view: View) -> Iterator[str]:
    now = view.snapshot
    counts = [f"{count:,} {state}" for state in BAR_STATES if (count := getattr(now, state))]
    alt = "the state of each task in input order: " + ", ".join(counts)
    address, height = panel_png.task_grid(view.states)
    yield f'<div style="margin-top:6px">{_beside(_picture(address, height, alt))}</div>'


def _failures_html(view: View, whose: str = "") -> Iterator[str]:
    """Yield the failures by type, the most frequent type first, with the lowest task numbers of each."""
    for kind, count in sorted(view.failure_counts.items(), key=lambda item: -item[1]):
        yield f'<div style="margin-top:6px"><b>{escape(whose)}{count:,} × {escape(kind)}</b></div>'
        examples = view.failure_examples[kind]
        for failure in examples:
            yield f'<div style="padding-left:12px">task {failure.task}: {escape(failure.message)}</div>'
        if count > len(examples):
            yield f'<div style="padding-left:12px;{_MUTED}">job.errors() returns all exceptions</div>'
    if view.uninspected > 0:
        more = counted(view.uninspected, "more failure")
        yield f'<div style="{_MUTED}">{more}: job.errors() returns them</div>'


def _output_html(views: Sequence[View], settled: bool) -> Iterator[str]:
    """Yield the last lines that tasks have printed: open while updates come, closed after the last one."""
    shown = merge(views) if len(views) > 1 else views[0]
    if not shown.output_tail:
        return
    text = escape("\n".join(shown.output_tail))
    style = (
        "margin:0;max-height:200px;overflow:auto;font-size:12px;line-height:1.35;background-color:transparent"
    )
    lines = f'<pre style="{style}">{text}</pre>'
    if settled:
        yield f'<details style="margin-top:6px"><summary>output</summary>{lines}</details>'
        return
    hint = f" ({shown.output_hint})" if shown.output_hint else ""
    yield f'<div style="margin-top:6px;{_MUTED}">the last lines of output{escape(hint)}</div>{lines}'
