"""The functions that are mapped; in a module of their own, so that every peer can import them."""

import math

import numpy as np

ARRAY_BYTES = 8 * 2**20


def array(seed: int) -> np.ndarray:
    """An array of 8 MB."""
    return np.full(ARRAY_BYTES // 8, seed, dtype=np.float64)


def burn(rounds: int) -> float:
    """Work that only costs processor time."""
    total = 0.0
    for n in range(rounds):
        total += math.sqrt(n)
    return total


UNEVEN = [200_000 + 150_000 * (n * 7 % 32) for n in range(32)]
"""Rounds of 32 tasks, the longest 24 times the shortest, in no order."""
