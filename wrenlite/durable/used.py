"""What the batches of a job have used, as the lines of the journal say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wrenlite.advice.work import Ran, Run
from wrenlite.cost import Prices
from wrenlite.protocol import Usage

_Line = Mapping[str, Any]


def runs_of(lines: Sequence[_Line], prices: Prices | None) -> Iterator[Run]:
    """Yield what each batch has used that has ended, on the job's own executor.

    Args:
        lines: of a job's file.
        prices: of the function; None: it ran on this machine.
    """
    sent: dict[str, float] = {}
    ran: dict[str, list[_Line]] = defaultdict(list)
    for line in lines:
        kind, invocation = line["kind"], line.get("invocation", "")
        if kind == "sent" and "where" not in line:
            sent[invocation] = line["at"]
        elif kind == "ran":
            ran[invocation].append(line)
        elif kind == "ended" and line.get("busy_s") and ran[invocation] and invocation in sent:
            usage = Usage(**{name: line[name] for name in Usage._fields if name in line})
            tasks = Ran(
                numbers=[each for report in ran[invocation] for each in report["tasks"]],
                cpu_s=sum(report.get("cpu_s", 0.0) for report in ran[invocation]),
                longest_s=max(max(report["seconds"]) for report in ran[invocation]),
            )
            yield Run.of(usage, tasks, sent=sent[invocation], received=line["at"], prices=prices)


def moved_tasks(lines: Sequence[_Line]) -> int:
    """Return how many tasks have moved to another executor.

    Args:
        lines: of a job's file.
    """
    rows = [each for line in lines if line["kind"] == "sent" and "where" in line for each in line["tasks"]]
    return len({task for first, end in rows for task in range(first, end)})
