"""Record how long the tasks of twenty uneven jobs take: the sets on which ``Executor.estimate`` is tested.

::

    python -m benchmarks.durations tests/durations.json

Each job is ordinary work, on data that this script makes or that comes with Python, in its natural order.
Each task is timed alone, by the processor time of this process.
"""

from __future__ import annotations

import ast
import bz2
import hashlib
import json
import math
import random
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wrenlite.estimate import amount_of
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.pickling import pack_items

Work = tuple[Callable[[Any], object], Sequence[Any]]
"""What is called for each item, and the items."""


def escape_tile(side: int, view: tuple[float, float, float], julia: complex | None = None) -> Work:
    """Count iterations in the tiles of a picture, until all points of a tile have escaped."""
    x, y, radius = view
    step = 2 * radius / side

    def count(tile: int) -> int:
        left, top = x - radius + tile % side * step, y - radius + tile // side * step
        axis = np.linspace(0, step, 64)
        z = left + axis[None, :] + 1j * (top + axis[:, None])
        c = z.copy() if julia is None else np.full_like(z, julia)
        z, c = z.ravel(), c.ravel()
        done = 0
        for _ in range(500):
            z = z * z + c
            inside = np.abs(z) < 2
            done += int(inside.sum())
            z, c = z[inside], c[inside]
            if not z.size:
                break
        return done

    return count, range(side * side)


def sources() -> list[str]:
    """Return the texts of Python's own modules."""
    folder = Path(ast.__file__).parent
    return [path.read_text(errors="replace") for path in sorted(folder.glob("*.py"))]


def largest_factor(number: int) -> int:
    """Return the largest prime factor, by trial division."""
    factor = 2
    while factor * factor <= number:
        if number % factor:
            factor += 1
        else:
            number //= factor
    return number


def queens(board: int) -> Work:
    """Count the solutions of the queens' problem for each pair of the first two columns."""

    def solve(columns: tuple[int, ...]) -> int:
        if len(columns) == board:
            return 1
        free = (row for row in range(board) if is_free(columns, row))
        return sum(solve((*columns, row)) for row in free)

    def is_free(columns: tuple[int, ...], row: int) -> bool:
        size = len(columns)
        return all(row != other and abs(row - other) != size - at for at, other in enumerate(columns))

    starts = [(a, b) for a in range(board) for b in range(board) if is_free((a,), b)]
    return solve, starts


def distance(pair: tuple[str, str]) -> int:
    """Return the edit distance of two texts."""
    first, second = pair
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def knapsack(seed: int) -> int:
    """Fill a knapsack by branch and bound."""
    rng = random.Random(seed)
    things = sorted(
        ((rng.randint(1, 100), rng.randint(1, 100)) for _ in range(34)),
        key=lambda t: t[0] / t[1],
        reverse=True,
    )
    best = 0

    def fill(at: int, room: int, value: int) -> None:
        nonlocal best
        best = max(best, value)
        bound, left = float(value), room
        for worth, weight in things[at:]:
            if weight > left:
                bound += worth * left / weight
                break
            bound, left = bound + worth, left - weight
        if at == len(things) or bound <= best:
            return
        worth, weight = things[at]
        if weight <= room:
            fill(at + 1, room - weight, value + worth)
        fill(at + 1, room, value)

    fill(0, rng.randint(200, 1200), 0)
    return best


def cluster(seed: int) -> int:
    """Cluster points by Lloyd's iteration, until nothing changes."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(int(rng.integers(200, 3000)), 2))
    centres, steps = points[:8], 0
    while True:
        nearest = ((points[:, None] - centres) ** 2).sum(2).argmin(1)
        moved = np.array([points[nearest == each].mean(0) for each in range(8)])
        steps += 1
        if np.allclose(moved, centres) or steps == 300:
            return steps
        centres = moved


def simulate_until_precise(seed: int) -> int:
    """Average heavy-tailed numbers until the standard error is small."""
    rng, total, squares, count = random.Random(seed), 0.0, 0.0, 0
    while True:
        number = rng.lognormvariate(0, 1)
        total, squares, count = total + number, squares + number * number, count + 1
        if count > 50 and squares / count - (total / count) ** 2 < 0.01**2 * count * total / count:
            return count


def bounces(speed: float) -> int:
    """Integrate a bouncing ball until it rests."""
    height, steps = 0.0, 0
    while speed > 0.05:
        height, speed, steps = height + speed * 1e-3, speed - 9.81e-3, steps + 1
        if height < 0:
            height, speed = 0.0, -0.8 * speed
    return steps


def works() -> dict[str, Work]:
    """Return the jobs by name."""
    rng, texts = random.Random(1), sources()
    words = "".join(texts[:20])
    sizes = [int(10 ** rng.uniform(2, 5.3)) for _ in range(200)]
    cuts = [(rng.randint(10, 300), rng.randint(10, 300)) for _ in range(200)]
    blobs = [text.encode() for text in texts]
    return {
        "Mandelbrot set, all of it": escape_tile(16, (-0.6, 0.0, 1.6)),
        "Mandelbrot set, sea horses": escape_tile(14, (-0.745, 0.11, 0.01)),
        "Julia set": escape_tile(16, (0.0, 0.0, 1.5), -0.8 + 0.156j),
        "parse modules": (ast.parse, texts),
        "compile modules": (lambda text: compile(text, "module", "exec"), texts),
        "compress modules by zlib": (lambda blob: zlib.compress(blob, 9), blobs),
        "compress modules by bz2": (bz2.compress, blobs),
        "count words of modules": (lambda text: {w: text.count(w) for w in text.split()[:400]}, texts),
        "hash modules slowly": (lambda b: hashlib.pbkdf2_hmac("sha256", b, b"", 20 + len(b) // 200), blobs),
        "factor numbers": (largest_factor, [rng.randint(10**7, 10**11) for _ in range(200)]),
        "queens": queens(9),
        "sort arrays": (lambda n: np.sort(np.random.default_rng(n).random(n)), sizes),
        "sort lists": (lambda n: sorted(math.sin(i) for i in range(n)), [n // 4 for n in sizes]),
        "decompose growing matrices": (
            lambda n: np.linalg.svd(np.random.default_rng(n).random((n, n))),
            range(10, 210),
        ),
        "edit distances": (distance, [(words[a : a + b], words[b : b + a]) for a, b in cuts]),
        "knapsacks": (knapsack, range(200)),
        "clusters": (cluster, range(120)),
        "simulate until precise": (simulate_until_precise, range(150)),
        "bouncing balls": (bounces, [0.5 + 0.1 * n for n in range(200)]),
        "powers modulo": (lambda n: pow(3, 1 << (n % 200 * 8 + 500), (1 << 1200) - n), range(300)),
    }


def record(work: Work) -> dict[str, list[float]]:
    """Return the seconds of each task, to three digits, and what is known of its item before."""
    function, items = work
    amounts = [amount_of(packed) for packed in pack_items(items, ClassTable(grows=True))]
    function(items[0])  # imports and caches
    seconds = []
    for item in items:
        begun = time.process_time()
        function(item)
        seconds.append(float(f"{time.process_time() - begun:.3g}"))
    return {"seconds": seconds, "amounts": amounts}


if __name__ == "__main__":
    recorded = {name: record(work) for name, work in works().items()}
    Path(sys.argv[1]).write_text(json.dumps(recorded).replace("],", "],\n") + "\n")
    for name, columns in recorded.items():
        seconds = columns["seconds"]
        mean = sum(seconds) / len(seconds)
        spread = float(np.std(seconds)) / mean
        print(f"{name:32} {len(seconds):4} tasks {sum(seconds):8.2f} s  spread {spread:5.2f}")
