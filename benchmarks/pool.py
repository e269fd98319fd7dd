"""``wrenlite.Pool`` beside ``multiprocessing.Pool``, two workers each: ``python -m benchmarks.pool``."""

import multiprocessing
from typing import Any

import wrenlite
from benchmarks.contest import run

CALLS, ITEMS, CHUNKED = 2_000, 20_000, 2_000


def apply_async(pool: Any) -> list[int]:
    """Make many calls, and wait for their values."""
    results = [pool.apply_async(abs, (-n,)) for n in range(CALLS)]
    return [result.get() for result in results]


def unordered(pool: Any) -> int:
    """Read the values of ``imap_unordered`` with its default, a chunksize of 1."""
    return sum(pool.imap_unordered(abs, range(-ITEMS, 0)))


def in_order(pool: Any) -> int:
    """Read the values of ``imap`` with its default, a chunksize of 1."""
    return sum(pool.imap(abs, range(-ITEMS, 0)))


def mapped(pool: Any) -> int:
    """Map without a chunksize."""
    return sum(pool.map(abs, range(-ITEMS, 0)))


def single_chunks(pool: Any) -> int:
    """Map with a chunksize of 1, which is taken at its word."""
    return sum(pool.map(abs, range(-CHUNKED, 0), chunksize=1))


def calls_in_turn(pool: Any) -> None:
    """Make calls one after the other."""
    for n in range(200):
        pool.apply(abs, (-n,))


if __name__ == "__main__":
    titles = {
        f"{CALLS:,} x apply_async of a no-op": apply_async,
        f"imap_unordered of {ITEMS:,} no-ops, chunksize 1": unordered,
        f"imap of {ITEMS:,} no-ops, chunksize 1": in_order,
        f"map of {ITEMS:,} no-ops": mapped,
        f"map of {CHUNKED:,} no-ops, chunksize=1": single_chunks,
        "200 x apply of a no-op": calls_in_turn,
    }
    with (
        multiprocessing.Pool(2) as theirs,
        wrenlite.Pool(executor=wrenlite.Executor.local(2, progress=False)) as ours,
    ):
        for title, work in titles.items():
            assert work(ours) == work(theirs)
            run(
                title,
                {
                    "wrenlite.Pool": lambda work=work: work(ours),
                    "multiprocessing.Pool": lambda work=work: work(theirs),
                },
                7,
            )
