"""Tasks that write each run into a file, and the reader of that file.

This module travels to workers: it must not import pytest.
"""

import os
import time
from collections import Counter

ONCE = Counter({str(number): 1 for number in range(12)})
"""What ``Runs`` counts when each of twelve tasks has run once."""


class Runs:
    """A counter of the runs of each task. Tasks write to the file ``path``; a call returns the counts."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self):
        if not os.path.exists(self.path):
            return Counter()
        with open(self.path) as file:
            return Counter(file.read().split())


LARGE = os.urandom(40_000)
"""An argument with which a function is too large to travel inside requests: workers fetch it."""


def record(item, path, weight=b""):
    with open(path, "a") as file:
        file.write(f"{item}\n")
    return item * item


def nap(item):
    time.sleep(0.3)
    return item


def squares(executor, runs, count, **options):
    """Start a job whose tasks record their runs and return the squares of the numbers below ``count``."""
    return executor.map(record, range(count), args=(runs.path,), **options)


def longest_request(aws, job):
    """Return the price of the longest request of a job on the bed, as seen from here."""
    longest_s = max(one.finished - one.dispatched for one in job.stats() if one.state == "done")
    return aws.backend.prices.request_dollars(longest_s)


def wait_until(holds, timeout_s=60.0):
    """Wait until something holds, and fail where it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
