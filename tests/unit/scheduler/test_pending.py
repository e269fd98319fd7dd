from wrenlite.backends.base import Backend, BatchingPolicy
from wrenlite.job import Job
from wrenlite.protocol import Packed
from wrenlite.scheduler.pending import JobOptions, PendingJob

BACKEND = Backend("test", None, None, BatchingPolicy(0.02, 0.001, 2**20))


def test_what_a_job_holds_is_released_once_though_late_outcomes_come():
    released = []
    job = Job("job-1", "job", BACKEND, 2, (), None)
    options = JobOptions("code", None, {}, None, 0, None)
    work = PendingJob(job, [Packed(b"x")] * 2, options, lambda: released.append("now"))
    work.forget([0])
    assert released == []
    work.forget([1])
    work.forget([0, 1])  # as when a cancelled task's outcome was on its way
    assert released == ["now"]


def test_a_task_that_must_travel_alone_does():
    job = Job("job-1", "job", BACKEND, 6, (), None)
    work = PendingJob(job, [Packed(b"x")] * 6, JobOptions("code", None, {}, None, 0, None))
    assert work.take(4, 2**20) == [0, 1, 2, 3]
    work.put_back([0])
    work.put_back_alone([1, 2])
    assert work.take(6, 2**20) == [1]
    assert work.take(6, 2**20) == [2]
    assert work.take(6, 2**20) == [0, 4, 5]
