"""The fractal kernels: speed of a core, balance of a poster's tasks, a deep zoom: ``make bench-fractals``."""

import functools
import itertools
import multiprocessing
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.sharedctypes import Synchronized
from unittest import mock

import numpy as np

import wrenlite
from benchmarks.contest import run
from tests import exact
from wrenlite.gallery.fractals import compiled, perturbation
from wrenlite.gallery.fractals.batch import draw_batch
from wrenlite.gallery.fractals.collage import collage
from wrenlite.gallery.fractals.curve_drawing import draw
from wrenlite.gallery.fractals.light import Light
from wrenlite.gallery.fractals.light import render as render_lit
from wrenlite.gallery.fractals.lsystems import SYSTEMS, Fractal
from wrenlite.gallery.fractals.mandelbrot import Method, Tile, View, counts, render, tiles, total_iterations
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.tiling import Piece, assemble, plan

VIEWS = {
    "A": View(-0.0091275, 0.7899912, 0.01401245, 1920, 1080, 800),
    "D": View(-0.00275, 0.78912, 0.125689, 1920, 1080, 800),
    "F": View(-0.75, 0, 3.5, 1920, 1080, 800),
}
"""A: the view of the original's README. D: the original's defaults. F: the whole set."""
TARGETS = {"A": 1400, "D": 4500, "F": 12_000}
"""Wanted speed of one core with the compiled kernel and filling, in Mpix·it/s (millions of points times
iterations per second)."""
MAX_IMBALANCE = 1.1
"""Wanted time of the slowest task divided by the mean."""
TASKS = 64
WORKERS = 2
ROUNDS = 5
STEEPEST = 100
"""Points of a view that are compared with exact arithmetic: those beside which counts differ most."""
DEEP_VIEWS = {
    DEEP_VIEW: 1.3,
    View("-1.768667862837488812627419470", "0.001645580546820209430325900", "12e-22", 960, 540, 50_000): 5.0,
}
"""Deep views, and their wanted CPU seconds."""


def median_cpu_s(work: Callable[[], object], rounds: int) -> float:
    """Return the median processor time of some calls."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def pieces_of(view: View, method: Method) -> list[Piece]:
    """Cut a view into pieces of half a million points, all computed by one method."""
    parts = tiles(view, 128, method)
    return [tuple(parts[start : start + 32]) for start in range(0, len(parts), 32)]


def whole_field(view: View, pieces: Sequence[Piece]) -> np.ndarray:
    """Return the counts of a whole view, computed in this process."""
    return assemble(view, pieces, map(render, pieces))


def least_cpu_s(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the least processor time of each of some calls, which take turns."""
    times = [[median_cpu_s(work, 1) for work in works] for _ in range(rounds)]
    return [min(each) for each in zip(*times, strict=True)]


def with_numpy(work: Callable[[], object]) -> object:
    """Call a function that finds no compiled kernel."""
    with mock.patch.object(compiled, "find_kernels", return_value=None):
        return work()


def kernel() -> None:
    """Print the speed of both kernels and both methods on one core.

    The iterations that are counted are those of the picture, whether they were computed or not: the count of
    each point that escapes, and the limit for each point inside.
    """
    load = os.getloadavg()[0]
    print(f"\nkernels, 1920 x 1080, 800 iterations, in this process, in Mpix·it/s; load {load:.1f}")
    print("  both skip the main bulbs; best of", ROUNDS, "rounds in which they take turns")
    print("  view  method      numpy   compiled   target   points that differ: from numpy, from plain")
    for name, view in VIEWS.items():
        plain = whole_field(view, pieces_of(view, "plain"))
        total = total_iterations(plain, view.iters) / 1e6
        methods: tuple[Method, ...] = ("plain", "mariani")
        for method in methods:
            pieces = pieces_of(view, method)
            work = functools.partial(whole_work, pieces)
            numpy_s, compiled_s = least_cpu_s([functools.partial(with_numpy, work), work], ROUNDS)
            row = f"  {name:<6}{method:<9}{total / numpy_s:>8,.0f}{total / compiled_s:>11,.0f}"
            target = f"{TARGETS[name]:,}" if method == "mariani" else ""
            field = whole_field(view, pieces)
            others = (with_numpy(functools.partial(whole_field, view, pieces)), plain)
            numbers = [int((~np.isclose(field, other, rtol=1.3e-4, atol=1e-2)).sum()) for other in others]
            print(f"{row}{target:>9}{numbers[0]:>20,}{numbers[1]:>16,}", flush=True)


def whole_work(pieces: Sequence[Piece]) -> None:
    """Compute the counts of all pieces, and drop them."""
    for piece in pieces:
        render(piece)


def balance() -> None:
    """Print how equal the tasks of a poster are, and how long planning them takes."""
    print(f"\nposter, 7680 x 4320, 800 iterations, {TASKS} tasks; median of {ROUNDS} rounds for each task")
    print("  view  CPU s   slowest/mean   target   planning   filled tiles")
    for name, view in VIEWS.items():
        poster = replace(view, width=7680, height=4320)
        planning_s = median_cpu_s(lambda poster=poster: plan(poster, TASKS), 3)
        pieces = plan(poster, TASKS)
        # Round by round, so that a slow moment of the machine does not affect one task alone.
        rounds = [
            [median_cpu_s(lambda piece=piece: render(piece), 1) for piece in pieces] for _ in range(ROUNDS)
        ]
        times = [statistics.median(task_times) for task_times in zip(*rounds, strict=True)]
        parts = list(itertools.chain.from_iterable(pieces))
        filled = sum(tile.method == "mariani" for tile in parts) / len(parts)
        row = f"  {name:<5}{sum(times):>6.2f}{max(times) / statistics.mean(times):>15.2f}{MAX_IMBALANCE:>9}"
        print(f"{row}{planning_s / sum(times):>10.1%}{filled:>15.0%}", flush=True)


def render_remaining(pieces: Sequence[Piece], next_piece: "Synchronized[int]") -> None:
    """Render pieces until none is left.

    Args:
        pieces: all pieces.
        next_piece: number of the next piece to render, shared with the other processes.
    """
    while True:
        with next_piece.get_lock():
            number = next_piece.value
            next_piece.value += 1
        if number >= len(pieces):
            return
        render(pieces[number])


def bare_processes(pieces: Sequence[Piece]) -> None:
    """Render pieces in processes that share only a counter; the results are dropped."""
    context = multiprocessing.get_context("fork")
    next_piece = context.Value("l", 0)
    processes = [context.Process(target=render_remaining, args=(pieces, next_piece)) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def poster() -> None:
    """Time a poster on all workers beside bare processes."""
    view = replace(VIEWS["D"], width=7680, height=4320)
    pieces = plan(view, TASKS)
    with wrenlite.Executor.local(WORKERS, progress=False) as executor:
        executor.map(render, pieces[-WORKERS:]).results()
        run(
            f"the poster of D on {WORKERS} workers, counts returned; target: peer / ours >= 0.95",
            {
                "wrenlite": lambda: executor.map(render, pieces).results(),
                "two bare processes": lambda: bare_processes(pieces),
            },
            ROUNDS,
            scale=1.0,
            unit="s",
        )


def deep() -> None:
    """Print the time of deep views, with and without jumps along the reference orbit."""
    print(
        f"\ndeep views, 960 x 540, in this process, CPU s; best of {ROUNDS} rounds in which they take turns"
    )
    print("  width      iterations   steps alone   as chosen   target")
    for view, target in DEEP_VIEWS.items():
        tile = Tile(view, 0, 0, view.width, view.height)
        works = [functools.partial(without_jumps, tile), functools.partial(perturbation.escape, tile)]
        steps_s, chosen_s = least_cpu_s(works, ROUNDS)
        row = f"  {view.radius!s:<11}{view.iters:>10,}{steps_s:>14.2f}{chosen_s:>12.2f}{target:>9.1f}"
        print(row, flush=True)


def without_jumps(tile: Tile) -> np.ndarray:
    """Return the counts of a deep tile whose points take all steps one by one."""
    with mock.patch.object(perturbation, "useful_jumps", return_value=None):
        return perturbation.escape(tile)


def accuracy() -> None:
    """Print how far the steepest points of views are from exact arithmetic, for each kernel."""
    print(f"\nthe {STEEPEST} steepest points of views of 960 x 540, beside exact integers")
    print(
        "  off: by more than 0.1 iterations; chaos: moving the point by 0.001 pixels changes its exact count"
    )
    print("  by more than that; all other points that are off are errors")
    print("  width      kernel          off   chaos   errors   worst")
    plain = replace(VIEWS["A"], width=960, height=540, iters=5000)
    spiral = View("-0.743643887037151", "0.13182590420533", "1e-9", 960, 540, 20_000)
    for view in (plain, spiral, *DEEP_VIEWS):
        tile = Tile(view, 0, 0, view.width, view.height)
        kernels = {"perturbation": without_jumps, "with jumps": perturbation.escape}
        for name, work in (kernels if view.deep else {"plain": counts}).items():
            field = work(tile)
            found = exact.accuracy(view, field, exact.steepest(field, STEEPEST))
            row = (
                f"  {view.radius!s:<11}{name:<14}{found.off:>5}{found.off - found.errors:>8}{found.errors:>9}"
            )
            print(f"{row}{found.worst:>8.1f}", flush=True)


def light() -> None:
    """Print how much longer pictures with light take, and how many bytes their points have."""
    shown = Light((135.0, 45.0))
    views = {
        **{name: replace(view, width=960, height=540) for name, view in VIEWS.items()},
        "deep": DEEP_VIEW,
    }
    print(f"\nlight, 960 x 540, CPU s in this process; best of 3 rounds; load {os.getloadavg()[0]:.1f}")
    print("  view   without   with   bytes a point, compressed: counts   slopes and distances")
    for name, view in views.items():
        (piece,) = plan(view, 1)
        works = (functools.partial(render, piece), functools.partial(render_lit, piece, shown))
        without_s, with_s = least_cpu_s(works, 3)
        lit = render_lit(piece, shown)
        arrays = (lit.part.counts.codes, lit.surface.slopes, lit.surface.distances)
        sizes = [len(zlib.compress(array.tobytes(), 1)) / array.size for array in arrays]
        row = f"  {name:<6}{without_s:>8.2f}{with_s:>7.2f}{sizes[0]:>43.2f}{sum(sizes[1:]):>23.2f}"
        print(row, flush=True)


def batch() -> None:
    """Time all L-systems and their collage: the kernels alone, and ``map_reduce``."""
    print(f"\nall {len(SYSTEMS)} L-systems at the original's iterations, with their collage; medians")
    print(f"  side   kernels' CPU s   map_reduce on {WORKERS} workers, s")
    with wrenlite.Executor.local(WORKERS, progress=False) as executor:
        for side in (128, 256, 640):
            fractals = [Fractal(name, system.iterations, side) for name, system in SYSTEMS.items()]
            draw_batch(executor, fractals).result()
            kernels_s = median_cpu_s(
                lambda some=fractals: collage((each.label, draw(each)) for each in some), ROUNDS
            )
            walls = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                draw_batch(executor, fractals).result()
                walls.append(time.perf_counter() - start)
            print(f"  {side:>4}{kernels_s:>17.3f}{statistics.median(walls):>16.3f}", flush=True)


def main() -> None:
    """Run all benchmarks of the fractals."""
    start = time.perf_counter()
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}; medians")
    kernel()
    balance()
    poster()
    deep()
    accuracy()
    batch()
    print(f"\nthe whole run took {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
