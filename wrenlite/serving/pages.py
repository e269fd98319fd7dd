"""The pages of ``wrenlite serve`` for a browser: the starts, and one of them. Pure, and without scripts."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from wrenlite.serving.starts import OVER
from wrenlite.texts import counted, duration, printable

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the pages."""
SHOWN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""Types of outputs that a page shows. A browser runs nothing that is in them."""
MOST_STARTS = 100
"""Starts in the table: the newest ones."""
_MOST_PICTURES = 60
_REFRESH_S = 2
_HEADS = ("Start", "Event", "Status", "Tasks", "Time", "Left out")
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --faint: #5f6b7a; --paper: #ffffff; --line: #d5dae1;
  --bad: #b3261e; --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --faint: #a3acb8; --paper: #16181c; --line: #3a404a;
    --bad: #ff9a91; --link: #8ab8f0; }
}
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; max-width: 70rem;
  margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); }
p, dt, th, figcaption { color: var(--faint); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0;
  border-bottom: 1px solid var(--line); }
td.text { overflow-wrap: anywhere; }
p { overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .cards tr:first-child { display: none; }
  .cards, .cards tbody, .cards tr { display: block; }
  .cards tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  .cards td { display: grid; grid-template-columns: 5rem 1fr; border: 0; padding: .1rem 0; }
  .cards td::before { content: attr(data-name); color: var(--faint); }
}
div.wide { overflow-x: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
.bad { color: var(--bad); }
progress { width: 100%; max-width: 30rem; height: .8rem; }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .6rem; font-size: .85rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
img { max-width: 100%; max-height: 16rem; border: 1px solid var(--line); }
"""


def starts_page(name: str, target: str, statuses: Sequence[Mapping[str, Any]]) -> str:
    """Return the page with a table of the starts.

    Args:
        name: of what is served.
        target: ``module:function`` of it.
        statuses: of the newest starts, the newest first.
    """
    rows = "".join(_row(status) for status in statuses)
    heads = "".join(f"<th>{head}" for head in _HEADS)
    table = f'<table class="cards"><tr>{heads}</tr>{rows}</table>' if rows else "<p>No start yet."
    runs = not all(status["status"] in OVER for status in statuses)
    return _page(name, f"<h1>{_text(name)}</h1><p>{_text(target)}</p>{table}", refreshes=True if runs else 5)


def start_page(status: Mapping[str, Any]) -> str:
    """Return the page of one start.

    Args:
        status: its status.
    """
    start = status["id"]
    facts = {
        "Status": _status(status),
        "Event": _text(status["event"]),
        "Began": _text(status["begun"] or "-"),
        "Time": _seconds(status),
        "Tasks": _tasks(status),
        "Outputs": _text(status["outputs"]),
    }
    if (result := status["result"]) is not None:
        facts["Result"] = _result(result)
    parts = [
        f'<p><a href="/">All starts</a><h1>{_text(start)}</h1>',
        f"<dl>{''.join(f'<dt>{name}<dd>{value}' for name, value in facts.items())}</dl>",
        _progress(status),
        _error(status["error"]),
        _rejected(status["rejected"], status["rejected_rows"]),
        _files(start, status["files"]),
    ]
    return _page(start, "".join(parts), refreshes=status["status"] not in OVER)


def refusal_page(error: str) -> str:
    """Return the page that says why there is no other one."""
    return _page("wrenlite serve", f"<h1>wrenlite serve</h1><p>{_text(error)}", refreshes=False)


def type_of(file: str) -> str:
    """Return the content type of an output, by its name."""
    return mimetypes.guess_type(file, strict=False)[0] or "application/octet-stream"


def _page(title: str, body: str, *, refreshes: bool | int) -> str:
    seconds = _REFRESH_S if refreshes is True else refreshes
    refresh = f'<meta http-equiv="refresh" content="{seconds}">' if seconds else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{refresh}'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style><body>{body}</body></html>"
    )


def _row(status: Mapping[str, Any]) -> str:
    start = status["id"]
    cells = [
        f'<a href="/jobs/{quote(start)}">{_text(start)}</a>',
        _text(status["event"]),
        _status(status),
        _tasks(status),
        _seconds(status),
        counted(status["rejected_rows"], "row") if status["rejected_rows"] else "-",
    ]
    named = zip(_HEADS, cells, strict=True)
    return "".join(
        ("<tr>", *(f'<td class="text" data-name="{head}">{cell}' for head, cell in named), "</tr>")
    )


def _status(status: Mapping[str, Any]) -> str:
    word = _text(status["status"])
    return f'<b class="bad">{word}</b>' if status["status"] == "failed" else word


def _tasks(status: Mapping[str, Any]) -> str:
    tasks = status["tasks"]
    failed = f', <span class="bad">{tasks["failed"]:,} failed</span>' if tasks["failed"] else ""
    return f"{tasks['done']:,} of {tasks['total']:,}{failed}" if tasks["total"] else "-"


def _seconds(status: Mapping[str, Any]) -> str:
    return "-" if status["seconds"] is None else _text(duration(status["seconds"]))


def _progress(status: Mapping[str, Any]) -> str:
    tasks = status["tasks"]
    if status["status"] in OVER or not tasks["total"]:
        return ""
    ended = tasks["done"] + tasks["failed"]
    return (
        f'<p><progress value="{ended}" max="{tasks["total"]}" aria-label="tasks that have ended"></progress>'
    )


def _result(result: Any) -> str:
    if isinstance(result, Mapping) and result:
        return (
            f"<dl>{''.join(f'<dt>{_text(name)}<dd>{_value(value)}' for name, value in result.items())}</dl>"
        )
    return _value(result)


def _value(value: Any) -> str:
    return _text(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value)


def _error(error: Mapping[str, Any] | None) -> str:
    if error is None:
        return ""
    trace = error.get("traceback")
    more = f"<details><summary>Traceback</summary><pre>{_text(trace)}</pre></details>" if trace else ""
    return f'<h2>Error</h2><p class="bad">{_text(error["type"])}: {_text(error["message"])}</p>{more}'


def _rejected(rows: Sequence[Mapping[str, Any]], count: int) -> str:
    if not rows:
        return ""
    lines = "".join(
        f'<tr><td>{row["line"]:,}<td>{_text(row["field"] or "-")}<td class="text">{_text(row["error"])}</tr>'
        for row in rows
    )
    heads = "<tr><th>Line<th>Column<th>Why it was left out</tr>"
    return f'<h2>{counted(count, "row")} left out</h2><div class="wide"><table>{heads}{lines}</table></div>'


def _files(start: str, files: Sequence[str]) -> str:
    if not files:
        return ""
    links = {file: f"/jobs/{quote(start)}/files/{quote(file)}" for file in files}
    pictures = [file for file in files if type_of(file) in SHOWN][:_MOST_PICTURES]
    shown = "".join(
        f'<figure><a href="{links[file]}"><img src="{links[file]}" alt="{_text(file)}" loading="lazy"></a>'
        f"<figcaption>{_text(file)}</figcaption></figure>"
        for file in pictures
    )
    others = "".join(
        f'<li><a href="{links[file]}">{_text(file)}</a>' for file in files if file not in pictures
    )
    grid = f'<div class="pictures">{shown}</div>' if shown else ""
    return f"<h2>{counted(len(files), 'file')}</h2>{grid}{f'<ul>{others}</ul>' if others else ''}"


def _text(value: object) -> str:
    """Return anything as text of HTML, also where it is in the value of an attribute."""
    return escape(printable(str(value)).encode(errors="replace").decode())
