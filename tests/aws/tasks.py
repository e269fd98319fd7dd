"""Tasks that leave a trace, and what reads it. This travels to workers: it must not import pytest."""

import os
import time
from collections import Counter

ONCE = Counter({str(number): 1 for number in range(12)})
"""Twelve tasks that each ran once."""


class Runs:
    """Counts how often each task ran; ``path`` is for the tasks to write to."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self):
        if not os.path.exists(self.path):
            return Counter()
        with open(self.path) as file:
            return Counter(file.read().split())


def record(item, path):
    with open(path, "a") as file:
        file.write(f"{item}\n")
    return item * item


def nap(item):
    time.sleep(0.3)
    return item


def squares(executor, runs, count, **options):
    """A job of ``record``."""
    return executor.map(record, range(count), args=(runs.path,), **options)
