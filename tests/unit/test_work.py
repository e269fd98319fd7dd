from wrenlite.job import Job
from wrenlite.protocol import Packed
from wrenlite.work import Options, Work


def test_what_a_job_holds_is_released_once_though_late_outcomes_come():
    released = []
    job = Job("job-1", "job", "test", 2, (), None)
    options = Options("code", None, {}, None, 0, None)
    work = Work(job, [Packed(b"x")] * 2, options, lambda: released.append("now"))
    work.forget([0])
    assert released == []
    work.forget([1])
    work.forget([0, 1])  # as when a cancelled task's outcome was on its way
    assert released == ["now"]
