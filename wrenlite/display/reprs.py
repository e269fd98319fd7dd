"""The static HTML of executors, jobs and futures that are the last line of a notebook cell.

It is made from what this process knows already: nothing is waited for, fetched or unpickled. Styles are
inline, because notebooks that are not trusted remove ``<style>`` and ``<svg>``. The colours are
JupyterLab's variables, and the page's own where those are not defined.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from wrenlite.display.html import BAR_STATES, job_title, memory_in_words, progress_bar
from wrenlite.futures import Snapshot
from wrenlite.protocol import held_in_words

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.futures import Future
    from wrenlite.job import Job

_FAINT = "color:var(--jp-ui-font-color2, inherit)"


def executor_html(executor: Executor) -> str:
    """Return an executor's backend, and the cost of its jobs where they are charged."""
    facts = [str(executor.cost)] if executor.backend.prices is not None else []
    return _card(repr(executor)[1:-1], facts)


def job_html(job: Job[Any]) -> str:
    """Return a job's progress as a bar and in words."""
    now = job.snapshot()
    facts = [_counts(now), f"{now.seconds:,.1f} s"]
    if now.dollars is not None:
        facts.append(f"≈ ${now.dollars:.4f} (estimate)")
    memory = memory_in_words(now) if now.peak_bytes else ""
    facts += [text for text in (memory, now.note, job.id) if text]
    return _card(job_title(now), facts, progress_bar(now))


def future_html(future: Future[Any]) -> str:
    """Return a future's state, and when and where its task ran."""
    stats = future.stats()
    facts = [stats.state, *(["kept by an earlier job"] if stats.cached else [])]
    if stats.seconds is not None:
        facts.append(f"{stats.seconds:,.3g} s")
    if stats.attempts > 1:
        facts.append(f"attempt {stats.attempts}")
    facts += [held] if (held := held_in_words(stats.peak_bytes, stats.peak_tasks)) else []
    if stats.worker is not None:
        facts.append(f"worker {stats.worker}{', cold start' if stats.cold else ''}")
    return _card(f"Future {future.job.name}[{future.index}]", [*facts, future.job.id])


def _counts(now: Snapshot) -> str:
    states = (*BAR_STATES, "cached")
    counts = [f"{count:,} {state}" for state in states if (count := getattr(now, state))]
    return ", ".join(counts) or "no tasks"


def _card(headline: str, facts: list[str], bar: str = "") -> str:
    details = f'<div style="{_FAINT}">{escape(" · ".join(facts))}</div>' if facts else ""
    style = "line-height:1.5;color:var(--jp-ui-font-color1, inherit)"
    return f'<div style="{style}"><div><b>{escape(headline)}</b></div>{bar}{details}</div>'
