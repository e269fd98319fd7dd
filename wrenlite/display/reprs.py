"""What executors, jobs and futures look like as a cell's last line: small static HTML.

Made of what is at hand: nothing is waited for, fetched or unpickled. Inline styles only, since notebooks that
are not trusted lose ``<style>`` and ``<svg>``; the page's colours by JupyterLab's variables, else its own.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from wrenlite.display.html import (
    SHOWN,
    bar,
    title,
)
from wrenlite.futures import Snapshot

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.futures import Future
    from wrenlite.job import Job

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
    return _card(title(now), facts, bar(now))


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
    counts = [f"{count:,} {state}" for state in SHOWN if (count := getattr(now, state))]
    return ", ".join(counts) or "no tasks"


def _card(headline: str, facts: list[str], below: str = "") -> str:
    words = f'<div style="{_FAINT}">{escape(" · ".join(facts))}</div>' if facts else ""
    style = "line-height:1.5;color:var(--jp-ui-font-color1, inherit)"
    return f'<div style="{style}"><div><b>{escape(headline)}</b></div>{below}{words}</div>'
