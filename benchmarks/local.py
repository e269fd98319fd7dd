"""The local backend beside ``ProcessPoolExecutor(2)`` and ``joblib`` (loky, 2 workers): ``make bench``."""

import itertools
import multiprocessing
import resource
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib

import wrenlite
from benchmarks import tasks
from benchmarks.contest import run

WORKERS = 2


def script(text: str) -> Callable[[], object]:
    """Return a contestant that runs a program in a process of its own."""
    program = textwrap.dedent(text)
    return lambda: subprocess.run([sys.executable, "-c", program], check=True)


def imports() -> None:
    """Time imports, each in a new interpreter."""
    run(
        "import (a bare interpreter included)",
        {
            "wrenlite": script("import wrenlite"),
            "wrenlite.Executor": script("import wrenlite; wrenlite.Executor"),
            "cloudpickle + futures": script("import cloudpickle, concurrent.futures.process"),
            "bare interpreter": script("pass"),
        },
        30,
    )


def first_map() -> None:
    """Time the first map of a new process."""
    run(
        "import, start, first map of 1",
        {
            "wrenlite": script("import wrenlite; wrenlite.Executor.local(2).map(abs, [-1]).results()"),
            "ProcessPoolExecutor": script(
                """
                from concurrent.futures import ProcessPoolExecutor
                with ProcessPoolExecutor(2) as pool:
                    list(pool.map(abs, [-1]))
                """
            ),
            "joblib": script("import joblib; joblib.Parallel(2)([joblib.delayed(abs)(-1)])"),
        },
        15,
    )


def warm_maps(ours: wrenlite.Executor, pool: ProcessPoolExecutor, loky: joblib.Parallel) -> None:
    """Time maps of tasks without work, on workers that are running already."""
    for count, repeats in ((1, 200), (10, 100), (100, 50), (1_000, 15), (10_000, 7), (100_000, 3)):
        data = range(-count, 0)
        run(
            f"warm map of {count:,} no-ops",
            {
                "wrenlite": lambda data=data: ours.map(abs, data).results(),
                "ProcessPoolExecutor": lambda data=data: list(pool.map(abs, data)),
                "joblib": lambda data=data: loky(joblib.delayed(abs)(n) for n in data),
            },
            repeats,
        )


def reductions(ours: wrenlite.Executor, pool: ProcessPoolExecutor, loky: joblib.Parallel) -> None:
    """Time sums of tasks' values: ``map_reduce`` on a worker, beside maps whose values are summed up here."""
    for count, repeats in ((2_000, 15), (100_000, 3)):
        data = range(-count, 0)
        run(
            f"sum of {count:,} values",
            {
                "wrenlite map_reduce": lambda data=data: ours.map_reduce(abs, data, sum).result(),
                "wrenlite map": lambda data=data: sum(ours.map(abs, data).results()),
                "ProcessPoolExecutor": lambda data=data: sum(pool.map(abs, data)),
                "joblib": lambda data=data: sum(loky(joblib.delayed(abs)(n) for n in data)),
            },
            repeats,
        )


def submits(ours: wrenlite.Executor, pool: ProcessPoolExecutor) -> None:
    """Time calls that are submitted one by one."""
    run(
        "2,000 submits of a no-op, and their results",
        {
            "wrenlite": lambda: [future.result() for future in [ours.submit(abs, -n) for n in range(2000)]],
            "ProcessPoolExecutor": lambda: [
                future.result() for future in [pool.submit(abs, -n) for n in range(2000)]
            ],
        },
        15,
    )


def lazy_input(ours: wrenlite.Executor) -> None:
    """Print what a map costs that reads its data while its values are read."""
    start = time.perf_counter()
    values = ours.map(abs, itertools.count(), buffersize=1000)
    next(values)
    first_s = time.perf_counter() - start
    print(f"\nno-ops of an endless generator, buffersize=1000: first value after {first_s * 1e3:.0f} ms")
    for end in (100_000, 1_000_000):
        for _ in itertools.islice(values, end - values.job._tasks.handed_out):
            pass
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident_mb = pages * resource.getpagesize() / 2**20
        took_s = time.perf_counter() - start
        print(f"  {end:>9,} values: {took_s:6.1f} s, {resident_mb:6.1f} MB resident", flush=True)
    values.close()


def memory(ours: wrenlite.Executor) -> None:
    """Print the client's memory per task."""
    count = 100_000
    data = list(range(count))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    job = ours.map(abs, data)
    job.wait()
    peak = tracemalloc.get_traced_memory()[1] - before
    futures = list(job)
    with_futures = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    print("\nclient memory per task, 100,000 tasks (tracemalloc; pickled items and values included)")
    print(f"  map and wait, peak      {peak / count:>10.0f} B")
    print(f"  with all {len(futures):,} futures {with_futures / count:>9.0f} B", flush=True)


def dataclasses() -> None:
    """Print size and time of pickling items of a dataclass that is defined in ``__main__``."""
    program = """
    import dataclasses, time
    import cloudpickle
    from wrenlite.serialize.pickling import pack_items
    from wrenlite.serialize.class_table import ClassTable

    @dataclasses.dataclass
    class Point:
        x: int
        y: float
        name: str

    points = [Point(n, n / 2, f"point {n}") for n in range(10_000)]
    start = time.perf_counter()
    items = pack_items(points, ClassTable(grows=True))
    ours = time.perf_counter() - start
    start = time.perf_counter()
    peers = [cloudpickle.dumps(point) for point in points[:1000]]
    theirs = time.perf_counter() - start
    print(f"  wrenlite    {sum(item.size for item in items) / 1e4:8.0f} B  {ours / 1e4 * 1e6:8.1f} us")
    print(f"  cloudpickle {sum(map(len, peers)) / 1e3:8.0f} B  {theirs / 1e3 * 1e6:8.1f} us")
    """
    print("\n10,000 items of a dataclass defined in __main__, each", flush=True)
    script(program)()


def arrays(ours: wrenlite.Executor, pool: ProcessPoolExecutor, loky: joblib.Parallel) -> None:
    """Time a map that returns large arrays."""
    count = 64

    def check(values: list) -> None:
        assert len(values) == count
        assert values[-1][0] == count - 1

    run(
        f"{count} arrays of 8 MB returned ({count * tasks.ARRAY_BYTES / 2**30:.1f} GiB)",
        {
            "wrenlite": lambda: check(ours.map(tasks.array, range(count)).results()),
            "ProcessPoolExecutor": lambda: check(list(pool.map(tasks.array, range(count)))),
            "joblib": lambda: check(loky(joblib.delayed(tasks.array)(n) for n in range(count))),
        },
        5,
        scale=1.0,
        unit="s",
    )


def bare_processes() -> None:
    """Do the work of ``tasks.UNEVEN`` in two processes, which get equal shares as far as possible."""
    shares: list[list[int]] = [[], []]
    for rounds in sorted(tasks.UNEVEN, reverse=True):
        min(shares, key=sum).append(rounds)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=list, args=(map(tasks.burn, share),)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def uneven(ours: wrenlite.Executor, pool: ProcessPoolExecutor, loky: joblib.Parallel) -> None:
    """Time a map of tasks that differ in length."""
    run(
        "32 uneven CPU-bound tasks",
        {
            "wrenlite": lambda: ours.map(tasks.burn, tasks.UNEVEN).results(),
            "two bare processes": bare_processes,
            "ProcessPoolExecutor": lambda: list(pool.map(tasks.burn, tasks.UNEVEN)),
            "joblib": lambda: loky(joblib.delayed(tasks.burn)(n) for n in tasks.UNEVEN),
        },
        7,
        scale=1.0,
        unit="s",
    )


def main() -> None:
    """Run all benchmarks, those in new processes first."""
    start = time.perf_counter()
    print(f"Python {sys.version.split()[0]}, {WORKERS} workers each; medians")
    imports()
    first_map()
    with (
        ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("fork")) as pool,
        wrenlite.Executor.local(WORKERS, progress=False) as ours,
        joblib.Parallel(WORKERS) as loky,
    ):
        list(pool.map(abs, range(10)))
        ours.map(abs, range(1_000)).results()
        loky(joblib.delayed(abs)(n) for n in range(10))
        warm_maps(ours, pool, loky)
        reductions(ours, pool, loky)
        submits(ours, pool)
        lazy_input(ours)
        memory(ours)
        dataclasses()
        arrays(ours, pool, loky)
        uneven(ours, pool, loky)
    print(f"\nthe whole run took {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
