"""Functions for benchmarks to map. They are in a module of their own, so that every peer can import them."""

import math

import numpy as np

ARRAY_BYTES = 8 * 2**20


def array(seed: int) -> np.ndarray:
    """Return an array of 8 MB."""
    return np.full(ARRAY_BYTES // 8, seed, dtype=np.float64)


def burn(rounds: int) -> float:
    """Use processor time and nothing else."""
    total = 0.0
    for n in range(rounds):
        total += math.sqrt(n)
    return total


UNEVEN = [200_000 + 150_000 * (n * 7 % 32) for n in range(32)]
"""Rounds of 32 tasks in mixed order; the longest takes 24 times as long as the shortest."""
