"""``Job.advice`` beside what jobs take at each memory size, on the test bed: ``python -m benchmarks.advice``.

Sandboxes of the bed have the share of a processor that their memory gives them on Lambda, and the bed bills
them at Lambda's prices. There is one warm job per function and size. The advice of each of these jobs is
compared with all of them. With the name of a file, what the jobs have used is written there, as
``tests/sweep.json`` has it.
"""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wrenlite
from tests.aws.bed.processor import is_available
from tests.aws.bed.remote import RemoteBed

SIZES_MB = (256, 512, 1024, 1769, 3538)
TASKS, ROUNDS = 8, 3
"""Tasks of a job, and how often it runs: the run of median cost counts."""


def compute(cpu_s: float) -> None:
    """Use so much processor time: how fast this machine is changes with what else runs on it."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(1000))


def computes(item: int) -> None:
    """Compute, and wait for nothing."""
    compute(0.12)


def waits(item: int) -> None:
    """Wait for a service, and compute for some milliseconds."""
    for _ in range(4):
        time.sleep(0.1)
        compute(0.001)


def mixed(item: int) -> None:
    """Wait and compute in turns, and for longer the larger the item is."""
    for _ in range(1 + item % 3):
        time.sleep(0.2)
        compute(0.1)


def threads(item: int) -> None:
    """Compute in two threads at once, which one job cannot know if it has less than two processors."""
    block = bytes(60_000_000)
    pair = [threading.Thread(target=hashlib.sha256, args=(block,)) for _ in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()


def measure(functions: list[Callable[[int], object]]) -> dict[str, dict[int, Any]]:
    """Return the median job of each function at each size."""
    found: dict[str, dict[int, Any]] = {each.__name__: {} for each in functions}
    for memory_mb in SIZES_MB:
        bed = RemoteBed("--memory", str(memory_mb), "--timeout", "120")
        os.environ |= bed.env
        bed.settings(shares_processor=True)
        with wrenlite.Executor.aws(max_concurrency=1, progress=False) as executor:
            for function in functions:
                executor.map(function, [0]).results()  # the sandbox is warm, and has the code
                jobs = []
                for _ in range(ROUNDS):
                    jobs.append(executor.map(function, range(TASKS)))
                    jobs[-1].results()
                jobs.sort(key=lambda job: job.cost.dollars)
                found[function.__name__][memory_mb] = jobs[ROUNDS // 2]
        bed.close()
    return found


def compare(jobs: dict[int, Any]) -> None:
    """Print what each job has taken and cost, and how far the advice of each is from that."""
    advised = {memory_mb: job.advice() for memory_mb, job in jobs.items()}
    print("  memory    measured                 error of the advice from each size: seconds, dollars")
    for memory_mb, job in jobs.items():
        seconds, dollars = job.snapshot().seconds, job.cost.dollars
        row = f"  {memory_mb:>5} MB {seconds:8.3f} s ${dollars:.7f}  "
        for advice in advised.values():
            there = [
                each for each in advice.settings if (each.memory_mb, each.chunksize) == (memory_mb, None)
            ]
            errors = [f"{e.seconds / seconds - 1:+5.0%} {e.dollars / dollars - 1:+5.0%}" for e in there]
            row += f"   {''.join(errors) or '-':>11}"
        print(row)
    print(advised[1024])


def main() -> None:
    """Print measured and predicted figures."""
    if not is_available():
        sys.exit("sandboxes cannot have shares of a processor here: this needs root, and control groups")
    load = os.getloadavg()[0]
    measured = measure([computes, waits, mixed, threads])
    for name, jobs in measured.items():
        print(f"\n{name}: {TASKS} tasks, one at a time")
        compare(jobs)
    print(f"\nload average before: {load:.1f}, after: {os.getloadavg()[0]:.1f}")
    if len(sys.argv) > 1:
        recorded = {
            name: {
                memory_mb: {
                    "seconds": job.snapshot().seconds,
                    "dollars": job.cost.dollars,
                    "runs": [run._asdict() for run in job._tasks.runs],
                }
                for memory_mb, job in jobs.items()
            }
            for name, jobs in measured.items()
        }
        Path(sys.argv[1]).write_text(json.dumps(recorded) + "\n")


if __name__ == "__main__":
    main()
