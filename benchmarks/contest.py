"""Timing contestants in turns, and printing their times beside each other."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _process_tree_cpu_s() -> float:
    """Return the processor seconds of this process and all its descendants.

    Those of running processes are known to 10 ms.
    """
    parents, ticks = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))  # its own, and those of children that it has waited for
    tree, new = {os.getpid()}, True
    while new:
        new = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree |= new
    return sum(ticks.get(pid, 0) for pid in tree) / _TICKS_PER_S


def run(
    title: str,
    contestants: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    scale: float = 1e3,
    unit: str = "ms",
    against: str | None = None,
) -> None:
    """Run each contestant once per round, and print a row with the median times of each.

    The ratio is the time of a peer divided by ours in the same round: the median of all rounds, with the
    quartiles. Above 1, ours is faster.

    Args:
        title: printed above the rows.
        contestants: what to run, by name. The first one is ours, the others are peers.
        repeats: number of rounds.
        scale: units per second.
        unit: name of the unit.
        against: the only peer for which a ratio is printed. None: all peers.
    """
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    cpu = dict.fromkeys(contestants, 0.0)
    for _ in range(repeats):
        for name, contestant in contestants.items():
            cpu_before, start = _process_tree_cpu_s(), time.perf_counter()
            contestant()
            wall[name].append(time.perf_counter() - start)
            cpu[name] += _process_tree_cpu_s() - cpu_before
    print(f"\n{title}  ({repeats} rounds)")
    ours = next(iter(contestants))
    for name, times in wall.items():
        row = f"  {name:<24}{statistics.median(times) * scale:>12.3f} {unit}"
        row += f"   CPU {cpu[name] / repeats * scale:>10.2f} {unit}"
        if name != ours and (against is None or name == against):
            row += "   " + _ratio(times, wall[ours])
        print(row, flush=True)


def _ratio(peer: list[float], ours: list[float]) -> str:
    """Return the text with the ratio of the times in each round."""
    ratios = sorted(p / o for p, o in zip(peer, ours, strict=True))
    if len(ratios) < 4:
        return f"peer / ours {statistics.median(ratios):.2f}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"peer / ours {middle:.2f} ({low:.2f} to {high:.2f})"
