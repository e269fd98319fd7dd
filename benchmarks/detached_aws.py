"""Measure what a detached job on AWS costs, on the test bed: ``python -m benchmarks.detached_aws``."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import wrenlite
from tests.aws.bed.remote import RemoteBed
from wrenlite.cost import prices
from wrenlite.durable import bucket, tokens
from wrenlite.protocol import Usage

TASKS = 10_000
LATENCY_S = 0.02


def sleep(n: int) -> int:
    """Sleep for a while, and return the number."""
    time.sleep(0.2)
    return n


def give(n: int) -> tuple[int, int]:
    """Return a small value."""
    return n, n


def requests(bed: RemoteBed) -> Counter[str]:
    """Return the requests since the last reset: by operation."""
    return Counter({name: count for name, count in bed.counts().items() if count})


def keeper_memory() -> float:
    """Return the memory of the keeper in the driver, in MB."""
    command = ["pgrep", "-f", "durable.driver import keep; keep"]
    pids = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    sizes = []
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                sizes.append(int(line.split()[1]) / 1024)
    return max(sizes)


def measure(bed: RemoteBed) -> None:
    """Print the figures."""
    with wrenlite.Executor.aws(max_concurrency=4, progress=False) as executor:
        executor.map(give, range(10)).results()
        for detached in (False, True):
            bed.reset()
            begun = time.perf_counter()
            job = executor.map(sleep, range(200), chunksize=5, detach=detached)
            if detached:
                time.sleep(4.0)
                print(f"memory of the keeper: {keeper_memory():.0f} MB")
                job.wait()
            else:
                job.results()
            seconds = time.perf_counter() - begun
            counts = dict(sorted(requests(bed).items()))
            print(f"40 batches of 5 tasks, {'detached' if detached else 'here'}: {seconds:.1f} s, {counts}")
        if detached:
            place = tokens.find_place(job.token)
            assert isinstance(place, bucket.Bucket)
            segments = list(place.store.list(place.name("table/")))
            size = sum(entry.size for entry in segments)
            print(f"its table: {len(segments)} segments, {size / 40:.0f} bytes a batch")
        begun = time.perf_counter()
        job = executor.map(give, range(TASKS), detach=True)
        returned = time.perf_counter() - begun
        print(f"map of {TASKS:,} tasks, detached: returns after {returned:.2f} s", end=", ")
        job.results()
        print(f"all values after {time.perf_counter() - begun:.1f} s")
        bed.wait_for_events()
        bed.settings(latency_s=LATENCY_S)
        bed.reset()
        bed.settings(latency_s=LATENCY_S)
        begun = time.perf_counter()
        again = wrenlite.attach(job.token)
        again[0].result()
        print(f"attach to it at {1000 * LATENCY_S:.0f} ms a request: first value after", end=" ")
        print(f"{time.perf_counter() - begun:.2f} s", end=", ")
        again.results()
        print(f"all after {time.perf_counter() - begun:.2f} s; {dict(requests(bed))}")
    times, region = bucket.TIMES, prices("us-east-1", "arm64", memory_mb=1024, limit_s=900.0)
    puts = 3600 / times.renew_s + 3600 / times.gather_s + 3600 / times.cancel_s
    hour = wrenlite.cost.FREE.plus(Usage(gb_s=3600.0, store_puts=round(puts), requests=4), region)
    print(f"an hour of the driver (1 GB, arm64), at most {puts:,.0f} PUTs and LISTs: ${hour.dollars:.4f}")


def main() -> None:
    """Start a bed, and measure on it."""
    os.environ["WRENLITE_JOURNAL"] = tempfile.mkdtemp(prefix="wrenlite-bench-")
    bed = RemoteBed("--timeout", "60", "--memory", "512", "--concurrency", "20")
    os.environ.update(bed.env)
    try:
        measure(bed)
    finally:
        bed.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"memory of the client: {used.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
