"""Many random rounds, to find rare failures; ``make full`` runs them."""

import os
import random
import signal
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

import wrenlite

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]


def nap(n):
    time.sleep(0.001 * (n % 4))
    return n


def test_random_tasks_are_cancelled(pool):
    rng = random.Random(1)
    for _ in range(300):
        job = pool.map(nap, range(20), chunksize=rng.choice([None, 1, 5]))
        time.sleep(rng.random() * 0.02)  # anywhere in the job
        for index in rng.sample(range(20), 4):
            job[index].cancel()
        for index, value in enumerate(job.results(return_exceptions=True)):
            assert value == index or isinstance(value, CancelledError)


def test_random_workers_are_killed(pool):
    def pid(_):
        return os.getpid()

    rng = random.Random(2)
    for _ in range(100):
        workers = set(pool.map(pid, range(8), chunksize=1, retries=9).results())
        job = pool.map(nap, range(40), retries=9)
        time.sleep(rng.random() * 0.02)  # anywhere in the job
        for worker in workers:
            if rng.random() < 0.5:
                os.kill(worker, signal.SIGKILL)
        assert job.results() == list(range(40))
        assert max(stats.attempts for stats in job.stats()) <= 3


def test_threads_map_and_cancel_at_once(pool):
    def use(seed):
        rng = random.Random(seed)
        for _ in range(20):
            job = pool.map(nap, range(rng.randrange(1, 30)))
            if rng.random() < 0.3:
                job.cancel()
                assert job.wait(60)
            else:
                assert job.results(timeout=60) == list(range(len(job)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))


def test_many_executors_start_and_shut_down():
    for round_ in range(100):
        with wrenlite.Executor.local(2, progress=False) as executor:
            job = executor.map(nap, range(10))
            if round_ % 3 == 0:
                executor.shutdown(wait=round_ % 2 == 0, cancel_futures=True)
        assert job.wait(60)
