"""What executors, jobs and futures look like as a cell's last line: small static HTML.

Made of what is at hand: nothing is waited for, fetched or unpickled. Inline styles only, since notebooks that
are not trusted lose ``<style>`` and ``<svg>``; the page's colours by JupyterLab's variables, else its own.
"""

from __future__ import annotations

from html import escape

from wrenlite.executor import Executor
from wrenlite.futures import Future, Snapshot
from wrenlite.job import Job

_COLOURS = {
    "done": "var(--jp-success-color1, #388e3c)",
    "failed": "var(--jp-error-color1, #d32f2f)",
    "cancelled": "var(--jp-layout-color4, #9e9e9e)",
    "dispatched": "var(--jp-brand-color1, #1976d2)",
    "queued": "var(--jp-layout-color3, #d0d0d0)",
}
"""Of the states, in the order in which they are told; the words beside them say the same."""
_FAINT = "color:var(--jp-ui-font-color2, inherit)"


def executor_html(executor: Executor) -> str:
    """Where it runs, and what it cost where that is charged."""
    facts = [str(executor.cost)] if executor.backend.prices is not None else []
    return _card(repr(executor)[1:-1], facts)


def job_html(job: Job) -> str:
    """How far it is: a bar, and the same in words."""
    now = job.snapshot()
    facts = [_counts(now), f"{now.seconds:,.1f} s"]
    if now.dollars is not None:
        facts.append(f"≈ ${now.dollars:.4f} (estimate)")
    facts += [note for note in (now.note, job.id) if note]
    return _card(f"map {now.name} × {now.total:,} on {now.backend}", facts, _bar(now))


def future_html(future: Future) -> str:
    """Its state, and when and where its task ran."""
    stats = future.stats
    facts = [stats.state]
    if stats.seconds is not None:
        facts.append(f"{stats.seconds:,.3g} s")
    if stats.attempts > 1:
        facts.append(f"attempt {stats.attempts}")
    if stats.worker is not None:
        facts.append(f"worker {stats.worker}{', cold start' if stats.cold else ''}")
    return _card(f"Future {future.job.name}[{future.index}]", [*facts, future.job.id])


def _counts(now: Snapshot) -> str:
    counts = [f"{count:,} {state}" for state in _COLOURS if (count := getattr(now, state))]
    return ", ".join(counts) or "no tasks"


def _bar(now: Snapshot) -> str:
    parts = (
        f'<div style="width:{100 * count / now.total:.2f}%;background:{colour}"></div>'
        for state, colour in _COLOURS.items()
        if (count := getattr(now, state))
    )
    style = "display:flex;height:6px;max-width:32em;margin:4px 0;border-radius:3px;overflow:hidden"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _card(headline: str, facts: list[str], bar: str = "") -> str:
    words = f'<div style="{_FAINT}">{escape(" · ".join(facts))}</div>' if facts else ""
    style = "line-height:1.5;color:var(--jp-ui-font-color1, inherit)"
    return f'<div style="{style}"><div><b>{escape(headline)}</b></div>{bar}{words}</div>'
