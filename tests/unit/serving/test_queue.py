"""Which starts of a published job run, and which wait."""

import pytest

from wrenlite.serving.queue import Queue
from wrenlite.serving.starts import Record
from wrenlite.storage.local import LocalStore


@pytest.fixture
def running():
    """The ids of the starts that run."""
    return set()


@pytest.fixture
def queue(tmp_path, running):
    return Queue(LocalStore(tmp_path), 2, running.__contains__)


def ids(queue):
    return [each.start for each in queue.first()]


def start(number, at):
    return Record(f"work-{number:012x}", 1, {}, "", "", "", at)


def test_the_oldest_run_and_the_others_follow(queue):
    first, second, third = start(9, 10.5), start(3, 100.25), start(1, 1e9)
    assert [queue.enter(each) for each in (first, second, third)] == [True, True, False]
    assert ids(queue) == [first.id, second.id]
    assert queue.enter(first), "it has its place already"
    queue.leave(first)
    queue.leave(first)
    assert ids(queue) == [second.id, third.id]
    assert queue.enter(third)


def test_one_that_comes_later_with_an_earlier_time_waits_for_those_that_run(queue, running):
    first, second, earlier = start(1, 10.0), start(2, 11.0), start(3, 9.0)
    running |= {each.id for each in (first, second) if queue.enter(each)}
    assert len(running) == 2
    assert not queue.enter(earlier)
    assert ids(queue) == [first.id], "the one that is among the first, and runs already"
    queue.leave(first)
    running.discard(first.id)
    assert ids(queue) == [earlier.id, second.id]
    assert queue.enter(earlier)


def test_published_jobs_of_a_deployment_share_the_list(queue, tmp_path, running):
    other = Queue(LocalStore(tmp_path), 1, running.__contains__)
    assert queue.enter(start(1, 1.0))
    assert not other.enter(start(2, 2.0)), "it lets one run, whichever it is"
    assert queue.enter(start(2, 2.0))
    queue.drop(queue.first()[0])
    assert ids(other) == [start(2, 2.0).id]


def test_without_a_limit_nothing_is_written(tmp_path):
    store = LocalStore(tmp_path)
    queue = Queue(store, 0, {}.__contains__)
    assert queue.enter(start(1, 1.0))
    assert queue.first() == []
    queue.leave(start(1, 1.0))
    assert list(store.list("")) == []
