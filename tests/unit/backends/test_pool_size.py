"""How many local workers may run at once: decisions as tables, as properties, and on a simulated machine."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrenlite.backends import pool_size
from wrenlite.backends.pool_size import PoolSize, Seen, after_stop, next_size, whom_to_stop
from wrenlite.memory import Memory

GB = 2**30
FULL = PoolSize(slots=8, allowed=8)


def seen(available, *, running=(), idle=(), task=0.0, now=100.0, total=16.0):
    """What is seen of a machine, in gigabytes."""
    held, unused = ([int(each * GB) for each in group] for group in (running, idle))
    return Seen(now, Memory(int(total * GB), int(available * GB)), held, unused, int(task * GB))


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        pytest.param(seen(12), 8, id="much is free"),
        pytest.param(seen(12, task=3), 3, id="nothing runs, and the tasks are known to be large"),
        pytest.param(seen(3, running=[3] * 4, task=3), 4, id="as many as fit"),
        pytest.param(seen(9, running=[1] * 4, task=3), 3, id="they will grow"),
        pytest.param(seen(1.5, running=[1] * 8, task=1), 8, id="those that run have all that they need"),
        pytest.param(
            seen(1.5, running=[1] * 8, task=1.5), 5, id="near the mark of 1.6 GB, and they will grow"
        ),
        pytest.param(
            seen(1.2, running=[0.01] * 2, task=0.03), 8, id="others use most of it; the tasks are small"
        ),
        pytest.param(seen(0.5, running=[0.02] * 8), 1, id="others use the memory"),
        pytest.param(seen(0, running=[]), 1, id="never none"),
        pytest.param(seen(4, running=[1], idle=[3, 3], task=3), 3, id="idle workers that hold memory"),
        pytest.param(seen(8, running=[1, 1], task=1), 8, id="a new worker takes what the last ones did"),
    ],
)
def test_fewer_run_at_once_where_memory_is_short(now, allowed):
    assert next_size(FULL, now).allowed == allowed


def test_more_run_again_step_by_step():
    size = next_size(FULL, seen(0.5, running=[0.02] * 8))
    counts = []
    for second in range(6):
        size = next_size(size, seen(15, running=[0.02] * size.allowed, now=100.5 + second))
        counts.append(size.allowed)
    assert counts == [1, 2, 3, 4, 6, 8]
    assert next_size(PoolSize(8, 1), seen(15)).allowed == 8, "at once where none runs"


@pytest.mark.parametrize(
    ("now", "place"),
    [
        (seen(0.3, running=[3, 3, 3]), 2),
        (seen(0.3, running=[6, 3, 0.1]), 1),
        (seen(0.3, running=[9]), None),
        (seen(0.3, running=[0.02] * 8), None),
        (seen(1.0, running=[5, 5]), None),
    ],
    ids=["the newest", "one that holds much", "the only one", "others use the memory", "enough is free"],
)
def test_the_newest_task_is_stopped_where_memory_runs_out(now, place):
    assert whom_to_stop(FULL, now) == place


def test_a_stopped_task_waits_until_another_one_has_ended():
    size = after_stop(FULL, running=3, now=100.0)
    later = seen(12, running=[1, 1, 1], now=110.0)
    assert whom_to_stop(size, seen(0.3, running=[4] * 3, now=100.1)) is None, "its memory is not free yet"
    assert next_size(size, later).allowed == 3
    assert next_size(size._replace(waits_for_end=False), later).allowed == 4
    assert next_size(size, seen(12, now=110.0)).allowed == 8, "none runs that could end"


def test_one_outlier_does_not_hold_back_all_tasks():
    assert pool_size.likely_bytes([]) == 0
    assert pool_size.likely_bytes([5, 9]) == 9
    assert pool_size.likely_bytes([5, 5, 90, 6]) == 6


def test_the_words():
    size, memory = PoolSize(8, 3), Memory(16 * GB, int(1.2 * GB))
    assert pool_size.in_words(size, memory) == "3 of 8 workers run, since 1.2 of 16.0 GB are free"
    assert pool_size.in_words(FULL, memory) == "all 8 workers run again, since 1.2 of 16.0 GB are free"
    small = Memory(512 << 20, 20 << 20)
    assert pool_size.in_words(size, small) == "3 of 8 workers run, since 20.0 of 512.0 MB are free"


amounts = st.floats(0, 20)


@given(
    slots=st.integers(1, 64),
    allowed=st.integers(1, 64),
    available=amounts,
    running=st.lists(amounts, max_size=64),
    idle=st.lists(amounts, max_size=8),
    task=amounts,
)
def test_the_number_stays_within_its_bounds(slots, allowed, available, running, idle, task):
    size = PoolSize(slots, min(slots, allowed))
    now = seen(available, running=running[:slots], idle=idle, task=task)
    assert 1 <= next_size(size, now).allowed <= slots
    more = now._replace(memory=now.memory._replace(available_bytes=now.memory.available_bytes + GB))
    assert next_size(size, more).allowed >= next_size(size, now).allowed
    place = whom_to_stop(size, now)
    assert place is None or 0 < place < len(now.running)


class Machine:
    """A machine in simulated time whose tasks grow evenly, hold their memory for a second, and end."""

    def __init__(self, peaks, total, others):
        self.waiting, self.total, self.others = list(peaks), total, others
        self.size = PoolSize(8, 8)
        self.running = []  # [peak, held]
        self.known = []
        self.now, self.stopped, self.most_running = 0.0, 0, 0

    def step(self):
        self.now += 0.1
        for task in self.running:
            task[1] += task[0] / 10
        for task in [each for each in self.running if each[1] > 2 * each[0]]:
            self.running.remove(task)
            self.known = [*self.known, int(task[0] * GB)][-16:]
            self.size = self.size._replace(waits_for_end=False)
        now = self._seen()
        self.size = next_size(self.size, now)
        if (place := whom_to_stop(self.size, now)) is not None:
            self.waiting.append(self.running.pop(place)[0])
            self.stopped += 1
            self.size = after_stop(self.size, len(self.running), self.now)
        while self.waiting and len(self.running) < self.size.allowed:
            self.running.append([self.waiting.pop(0), 0.02])
        self.most_running = max(self.most_running, len(self.running))

    def held(self):
        return [min(peak, held) for peak, held in self.running]

    def _seen(self):
        task = pool_size.likely_bytes(self.known) / GB
        free = self.total - self.others(self.now) - sum(self.held())
        return seen(max(0, free), running=self.held(), task=task, now=self.now, total=self.total)


def run(peaks, total=16.0, others=lambda now: 1.0):
    machine = Machine(peaks, total, others)
    while machine.waiting or machine.running:
        machine.step()
        assert machine.now < 20 * len(peaks), "the tasks make no progress"
    return machine


def test_a_machine_with_room_runs_all_slots():
    machine = run([1.0] * 40)
    assert machine.most_running == 8
    assert machine.stopped == 0


def test_a_job_whose_tasks_do_not_fit_all_at_once_ends():
    machine = run([3.0] * 40)
    assert machine.stopped <= 5, "only before the first tasks have ended, and are known"
    assert machine.now < 40 * 2.2 / 2.5, "three or four at once most of the time"


def test_one_of_280_tasks_that_needs_three_times_as_much_holds_nobody_up():
    peaks = [0.5] * 280
    peaks[100] = 6.0
    machine = run(peaks, total=8.0)
    assert machine.stopped <= 1
    assert machine.now < 280 * 2.2 / 6


@given(st.lists(st.floats(0.05, 10), min_size=1, max_size=40), st.floats(0, 5))
@settings(max_examples=30)
def test_every_job_ends(peaks, others):
    run(peaks, others=lambda now: others if now < 20 else 0.5)
