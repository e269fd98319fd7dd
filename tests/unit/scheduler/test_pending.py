"""The tasks of one job that have not ended: its queue and its resources."""

from wrenlite.backends.base import Backend, BatchingPolicy
from wrenlite.job import Job
from wrenlite.protocol import Outcome, Packed
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.retry import RetryRule
from wrenlite.storage.uploads import JobCode

BACKEND = Backend("test", None, None, BatchingPolicy(0.02, 0.001, 2**20))
OPTIONS = JobOptions(code=JobCode("code"), env={}, chunksize=None, retries=RetryRule(0), timeout_s=None)


def test_what_a_job_holds_is_released_once_with_its_last_task():
    released = []
    job = Job("job-1", "job", BACKEND, 2, (), None)
    pending = PendingJob(job, [Packed(b"x")] * 2, OPTIONS, lambda: released.append("now"))
    assert not pending.release([0])
    job._end([Outcome.failed(0)], {})
    assert released == []
    assert pending.release([1])
    assert released == ["now"], "before the end of the job is recorded"
    assert not job._tasks.over


def test_a_task_that_was_requeued_alone_is_taken_alone():
    job = Job("job-1", "job", BACKEND, 6, (), None)
    pending = PendingJob(job, [Packed(b"x")] * 6, OPTIONS)
    assert list(pending.take(4, 2**20)) == [0, 1, 2, 3]
    pending.requeue([0])
    pending.requeue([1, 2], alone=True)
    assert pending.take(6, 2**20) == [1]
    assert pending.take(6, 2**20) == [2]
    assert pending.take(6, 2**20) == [0, 4, 5]


def test_a_task_that_has_ended_is_neither_queued_again_nor_taken():
    job = Job("job-1", "job", BACKEND, 3, (), None)
    pending = PendingJob(job, [Packed(b"x")] * 3, OPTIONS)
    assert list(pending.take(1, 2**20)) == [0]
    job._end_cancelled([0, 1])
    assert not pending.requeue([0])
    assert list(pending.take(3, 2**20)) == [2]
    assert pending.unfinished() == [2]
