"""wrenlite beside joblib, Dask and Lithops on two local workers: ``python -m benchmarks.peers``.

Each runs in a process of its own, in its own way, with two local worker processes:

- the median of three maps of 100 tasks that do nothing, after a first one;
- what the caller sees when the worker of one of four tasks is killed, and after how many seconds.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

Map: TypeAlias = Callable[[Callable[[int], int], Iterable[int]], Any]

WORKERS, TASKS, REPEATS = 2, 100, 3
VICTIM = 2
LONGEST_S = 120
"""Seconds after which a caller gives up waiting for the tasks of which one was killed."""


def nothing(n: int) -> int:
    return n


def killed(n: int) -> int:
    if n == VICTIM:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory has run out
    return n


@contextmanager
def wrenlite_map() -> Iterator[Map]:
    import wrenlite

    with wrenlite.Executor.local(workers=WORKERS) as executor:
        yield lambda fn, items: executor.map(fn, items, progress=False).results()


@contextmanager
def joblib_map() -> Iterator[Map]:
    from joblib import Parallel, delayed

    yield lambda fn, items: Parallel(WORKERS)(delayed(fn)(item) for item in items)


@contextmanager
def dask_map() -> Iterator[Map]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield lambda fn, items: client.gather(client.map(fn, list(items), pure=False))


@contextmanager
def lithops_map() -> Iterator[Map]:
    import lithops

    # Lithops starts the `python` of the path.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    executor = lithops.LocalhostExecutor(worker_processes=WORKERS, log_level="CRITICAL")
    yield lambda fn, items: executor.get_result(executor.map(fn, list(items)), timeout=LONGEST_S)


MAPS = {"wrenlite": wrenlite_map, "joblib": joblib_map, "dask": dask_map, "lithops": lithops_map}


def seconds(call: Callable[[], object]) -> float:
    """Return the time that a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def measure(name: str) -> None:
    """Print the measurements of one library."""
    with MAPS[name]() as run:
        run(nothing, range(TASKS))
        times = [seconds(lambda: run(nothing, range(TASKS))) for _ in range(REPEATS)]
        print(f"{name:9} {statistics.median(times):8.3f} s for {TASKS:,} tasks that do nothing", flush=True)
        begun = time.perf_counter()
        try:
            seen = repr(run(killed, range(4)))
        except BaseException as error:  # Lithops reports it as an interrupt
            seen = f"{type(error).__name__}: {error}"
        words = " ".join(seen.split())[:240]
        print(f"{'':9} {time.perf_counter() - begun:8.1f} s after a worker was killed: {words}", flush=True)


def main() -> None:
    """Measure the library that is named, or each in a process of its own."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    print(f"load {os.getloadavg()[0]:.1f}")
    for name in MAPS:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.peers", name], check=False, stderr=subprocess.DEVNULL
        )


if __name__ == "__main__":
    main()
