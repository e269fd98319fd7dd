"""Measure what a detached job costs: ``python -m benchmarks.detached``."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import wrenlite
from wrenlite.durable.folder import FileWriter

TASKS = 10_000


def keeper_memory(job: str) -> tuple[int, float]:
    """Return the process id of a keeper, and its memory in MB."""
    command = ["pgrep", "-f", f"durable.keeper import main.*/{job}"]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return pid, int(line.split()[1]) / 1024
    return pid, 0.0


def main() -> None:
    """Print the figures."""
    os.environ["WRENLITE_JOURNAL"] = tempfile.mkdtemp(prefix="wrenlite-bench-")
    with wrenlite.Executor.local(progress=False) as executor:
        executor.map(abs, range(10)).results()
        calls, firsts = [], []
        for _ in range(10):
            begun = time.perf_counter()
            job = executor.map(abs, [-1], detach=True)
            calls.append(time.perf_counter() - begun)
            job.results()
            firsts.append(time.perf_counter() - begun)
        print(f"map of 1 task, detached: returns after {statistics.median(calls) * 1e3:.0f} ms", end=", ")
        print(f"value after {statistics.median(firsts) * 1e3:.0f} ms")
        waiting = executor.map(time.sleep, [5.0], detach=True)
        time.sleep(1.0)
        print(f"memory of a keeper that waits: {keeper_memory(waiting.id)[1]:.0f} MB")
        waiting.cancel()
        begun = time.perf_counter()
        executor.map(lambda n: (n, n), range(TASKS)).results()
        here = time.perf_counter() - begun
        begun = time.perf_counter()
        job = executor.map(lambda n: (n, n), range(TASKS), detach=True)
        job.results()
        print(f"{TASKS:,} tasks of nothing: {here:.2f} s here, {time.perf_counter() - begun:.2f} s detached")
    folder = Path(os.environ["WRENLITE_JOURNAL"]) / "detached" / job.id
    size = sum(path.stat().st_size for path in folder.glob("table-*"))
    print(f"its table: {size / TASKS:.0f} bytes a task")
    begun = time.perf_counter()
    again = wrenlite.attach(job.id)
    again[0].result()
    first = time.perf_counter() - begun
    again.results()
    print(f"attach to it: first value after {first * 1e3:.0f} ms", end=", ")
    print(f"all after {(time.perf_counter() - begun) * 1e3:.0f} ms")
    with tempfile.TemporaryDirectory() as empty:
        writer = FileWriter(Path(empty))
        begun = time.perf_counter()
        for _ in range(10_000):
            writer.write("mark_dispatched", range(16), 0.0, "0" * 20)
        print(f"one change of the table: {(time.perf_counter() - begun) * 100:.1f} µs")


if __name__ == "__main__":
    main()
