"""The fractal kernels: a core's speed, balance of a poster's tasks, a deep frame: ``make bench-fractals``."""

import itertools
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.sharedctypes import Synchronized

import numpy as np

import wrenlite
from benchmarks.contest import run
from tests import exact
from wrenlite.gallery.fractals.batch import draw_batch
from wrenlite.gallery.fractals.collage import collage
from wrenlite.gallery.fractals.drawing import draw
from wrenlite.gallery.fractals.lsystems import SYSTEMS, Fractal
from wrenlite.gallery.fractals.mandelbrot import INSIDE, Method, View, render, tiles
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.tiling import Piece, assemble, plan
from wrenlite.gallery.fractals.view import iterations

VIEWS = {
    "A": View(-0.0091275, 0.7899912, 0.01401245, 1920, 1080, 800),
    "D": View(-0.00275, 0.78912, 0.125689, 1920, 1080, 800),
    "F": View(-0.75, 0, 3.5, 1920, 1080, 800),
}
"""Of the original's README, its defaults, the whole set."""
TARGETS: dict[tuple[str, Method], int] = {
    ("A", "plain"): 450,
    ("D", "plain"): 850,
    ("F", "plain"): 850,
    ("D", "mariani"): 2000,
    ("F", "mariani"): 2000,
}
"""Mpix·it/s of a core."""
TASKS = 64
WORKERS = 2
ROUNDS = 5
SAMPLES = 50


def cpu_s(work: Callable[[], object], rounds: int) -> float:
    """Median processor seconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def worker_cpu_s(pieces: Sequence[Piece], rounds: int) -> float:
    """Median processor seconds of all pieces as tasks of one worker, which is where they run."""
    with wrenlite.Executor.local(1, progress=False) as executor:
        executor.map(render, pieces, chunksize=1).results()
        times = []
        for _ in range(rounds):
            job = executor.map(render, pieces, chunksize=1)
            job.wait()
            times.append(sum(task.cpu_s or 0.0 for task in job.stats()))
    return statistics.median(times)


def pieces_of(view: View, method: Method) -> list[Piece]:
    """A view in pieces of half a million points, all by one method."""
    parts = tiles(view, 128, method)
    return [tuple(parts[start : start + 32]) for start in range(0, len(parts), 32)]


def whole(view: View, pieces: Sequence[Piece]) -> np.ndarray:
    return assemble(view, pieces, map(render, pieces))


def kernel() -> None:
    """Iterations are those that belong to the picture, whether computed or not: a point's count, or all."""
    print("\nkernel, 1920 x 1080, 800 iterations, on one worker; the bulbs' test is in both")
    print("  view  method     CPU s   Mpix·it/s   target   points that differ from plain")
    for name, view in VIEWS.items():
        plain = whole(view, pieces_of(view, "plain"))
        spent = iterations(plain, view.iters).sum()
        methods: tuple[Method, ...] = ("plain", "mariani")
        for method in methods:
            pieces = pieces_of(view, method)
            seconds = worker_cpu_s(pieces, ROUNDS)
            other = int((whole(view, pieces) != plain).sum())
            row = f"  {name:<6}{method:<9}{seconds:>7.3f}{spent / seconds / 1e6:>12,.0f}"
            print(f"{row}{TARGETS.get((name, method), ''):>9}{other:>10,}", flush=True)


def balance() -> None:
    print(f"\nposter, 7680 x 4320, 800 iterations, {TASKS} tasks; medians of {ROUNDS} a task")
    print("  view  CPU s   slowest/mean   target   planning   filled tiles")
    for name, view in VIEWS.items():
        poster = replace(view, width=7680, height=4320)
        planning = cpu_s(lambda poster=poster: plan(poster, TASKS), 3)
        pieces = plan(poster, TASKS)
        # Round by round, so that a slow moment of the machine does not fall on one task alone.
        rounds = [[cpu_s(lambda piece=piece: render(piece), 1) for piece in pieces] for _ in range(ROUNDS)]
        times = [statistics.median(taken) for taken in zip(*rounds, strict=True)]
        parts = list(itertools.chain.from_iterable(pieces))
        filled = sum(tile.method == "mariani" for tile in parts) / len(parts)
        row = f"  {name:<5}{sum(times):>6.2f}{max(times) / statistics.mean(times):>15.2f}{1.3:>9}"
        print(f"{row}{planning / sum(times):>10.1%}{filled:>15.0%}", flush=True)


def share(pieces: Sequence[Piece], following: "Synchronized[int]") -> None:
    """Render pieces until none is left."""
    while True:
        with following.get_lock():
            number = following.value
            following.value += 1
        if number >= len(pieces):
            return
        render(pieces[number])


def bare_processes(pieces: Sequence[Piece]) -> None:
    """The same tasks by processes that share a counter and nothing else; what they render is dropped."""
    context = multiprocessing.get_context("fork")
    following = context.Value("l", 0)
    processes = [context.Process(target=share, args=(pieces, following)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def poster() -> None:
    view = replace(VIEWS["D"], width=7680, height=4320)
    pieces = plan(view, TASKS)
    with wrenlite.Executor.local(WORKERS, progress=False) as executor:
        executor.map(render, pieces[-WORKERS:]).results()
        run(
            f"the poster of D on {WORKERS} workers, counts returned; peer / ours at least 0.95",
            {
                "wrenlite": lambda: executor.map(render, pieces).results(),
                "two bare processes": lambda: bare_processes(pieces),
            },
            ROUNDS,
            scale=1.0,
            unit="s",
        )


def deep() -> None:
    pieces = [(tile,) for tile in tiles(DEEP_VIEW, 256)]
    print(
        f"\ndeep frame, {DEEP_VIEW.radius} wide, {DEEP_VIEW.width} x {DEEP_VIEW.height}, {DEEP_VIEW.iters:,} iterations"
    )
    field = whole(DEEP_VIEW, pieces)
    seconds = worker_cpu_s(pieces, 3)
    spent = iterations(field, DEEP_VIEW.iters).sum()
    print(f"  CPU {seconds:.2f} s, {spent / seconds / 1e6:,.0f} Mpix·it/s")
    places = np.random.default_rng(1).integers((0, 0), field.shape, (SAMPLES, 2))
    worst = max(exact.differences(DEEP_VIEW, field, places))
    print(f"  worst of {SAMPLES} points: {worst:.4f} iterations from exact arithmetic", flush=True)
    print(f"  a unit of the field is {DEEP_VIEW.iters / (INSIDE - 1):.4f} iterations")


def batch() -> None:
    """All systems as the original draws them, and their collage: map_reduce, and the kernels alone."""
    print(f"\nall {len(SYSTEMS)} L-systems at the original's iterations, with their collage; medians")
    print(f"  side   kernels' CPU s   map_reduce on {WORKERS} workers, s")
    with wrenlite.Executor.local(WORKERS, progress=False) as executor:
        for side in (128, 256, 640):
            fractals = [Fractal(name, system.iterations, side) for name, system in SYSTEMS.items()]
            draw_batch(executor, fractals).result()
            alone = cpu_s(lambda some=fractals: collage((each.label, draw(each)) for each in some), ROUNDS)
            walls = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                draw_batch(executor, fractals).result()
                walls.append(time.perf_counter() - start)
            print(f"  {side:>4}{alone:>17.3f}{statistics.median(walls):>16.3f}", flush=True)


def main() -> None:
    """Run everything."""
    start = time.perf_counter()
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}; medians")
    kernel()
    balance()
    poster()
    deep()
    batch()
    print(f"\nthe whole run took {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
