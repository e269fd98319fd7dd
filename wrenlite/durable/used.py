"""What the batches of a job have used, as the lines of the journal say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wrenlite.advice.work import Run
from wrenlite.cost import Prices

_Line = Mapping[str, Any]
_SAME_NAMES = ("busy_s", "cpu_s", "load_s", "init_s", "ready_s", "turns", "peak_bytes", "used_bytes")
"""What has the same name in a line and in a ``Run``. What is 0 is not written."""


def runs_of(lines: Sequence[_Line], prices: Prices | None) -> Iterator[Run]:
    """Yield what each batch has used that has ended.

    Args:
        lines: of a job's file.
        prices: of the function; None: it ran on this machine.
    """
    sent: dict[str, float] = {}
    ran: dict[str, list[_Line]] = defaultdict(list)
    for line in lines:
        kind, invocation = line["kind"], line.get("invocation", "")
        if kind == "sent":
            sent[invocation] = line["at"]
        elif kind == "ran":
            ran[invocation].append(line)
        elif kind == "ended" and line.get("busy_s") and ran[invocation] and invocation in sent:
            used = {name: line.get(name, 0) for name in _SAME_NAMES}
            yield Run(
                sent=sent[invocation],
                received=line["at"],
                tasks=sum(end - first for each in ran[invocation] for first, end in each["tasks"]),
                thread_cpu_s=sum(each.get("cpu_s", 0.0) for each in ran[invocation]),
                longest_s=min(line["busy_s"], max(max(each["seconds"]) for each in ran[invocation])),
                billed_s=line.get("gb_s", 0.0) / prices.memory_gb if prices is not None else 0.0,
                **used,
            )
