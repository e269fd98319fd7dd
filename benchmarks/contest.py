"""Runs contestants in turns and prints what each took beside the peer it is measured against."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _cpu_of_tree() -> float:
    """Processor seconds of this process and of all that descend from it; living ones to 10 ms."""
    parents, ticks = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))  # own and those of children that were waited for
    tree, found = {os.getpid()}, True
    while found:
        found = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree |= found
    return sum(ticks.get(pid, 0) for pid in tree) / _TICK


def run(
    title: str,
    contestants: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    scale: float = 1e3,
    unit: str = "ms",
    against: str | None = None,
) -> None:
    """Let each contestant run so many times, interleaved, and print a row for each.

    The ratio is the median over the rounds of peer / ours in the same round, with its quartiles: above 1,
    ours is faster.
    """
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    cpu = dict.fromkeys(contestants, 0.0)
    for _ in range(repeats):
        for name, contestant in contestants.items():
            before, start = _cpu_of_tree(), time.perf_counter()
            contestant()
            wall[name].append(time.perf_counter() - start)
            cpu[name] += _cpu_of_tree() - before
    print(f"\n{title}  ({repeats} rounds)")
    ours = next(iter(contestants))
    for name, times in wall.items():
        row = f"  {name:<24}{statistics.median(times) * scale:>12.3f} {unit}"
        row += f"   CPU {cpu[name] / repeats * scale:>10.2f} {unit}"
        if name != ours and (against is None or name == against):
            row += "   " + _ratio(times, wall[ours])
        print(row, flush=True)


def _ratio(peer: list[float], ours: list[float]) -> str:
    ratios = sorted(p / o for p, o in zip(peer, ours, strict=True))
    if len(ratios) < 4:
        return f"peer / ours {statistics.median(ratios):.2f}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"peer / ours {middle:.2f} ({low:.2f} to {high:.2f})"
