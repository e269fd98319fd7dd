"""Starts of published jobs on Lambda: however the driver ends, and however often an event comes."""

import pytest

from tests.aws.published import PublishedJob
from tests.aws.tasks import Runs
from wrenlite.serving.publication import Objects

pytestmark = pytest.mark.e2e

ON_CSV = Objects("watched-bed", "in/", ".csv")


@pytest.fixture
def publish(driven, bed):
    """A function that publishes one of ours, with a deployment that has a driver."""
    made = []

    def make(function, on=ON_CSV, **options):
        job = PublishedJob(bed, function, on, **options)
        made.append(job)
        if isinstance(on, Objects):
            job.watch()
        return job

    yield make
    for job in made:
        job.remove()


def squares(path, count=10, seconds=0.0, pause=0.0):
    """A function that maps, and says when it is called and when its tasks run."""

    def work(n):
        import time

        with open(path, "a") as file:
            file.write(f"{n}\n")
        time.sleep(seconds)
        return n * n

    def start(event):
        import time

        import wrenlite

        with open(path, "a") as file:
            file.write("called\n")
        found = wrenlite.Executor().map(work, range(count), chunksize=1).results()
        time.sleep(pause)
        wrenlite.current_start().outputs.put("sum", str(sum(found)).encode())
        return {"sum": sum(found), "key": event.key}

    return start


def test_an_object_starts_the_function_and_its_maps_run_as_detached_jobs(publish, shared_path):
    runs = Runs(shared_path / "runs")
    job = publish(squares(runs.path))
    job.upload("in/a b.csv")
    (status,) = job.ended()
    assert status["status"] == "done", status
    assert status["result"] == {"sum": 285, "key": "in/a b.csv"}
    assert status["tasks"] == {"total": 10, "done": 10, "failed": 0}
    assert status["jobs"] == [f"{status['id']}-1"]
    assert status["files"] == ["sum"]
    assert status["dollars"] > 0
    assert job.outputs() == {f"{status['id']}/sum": b"285"}
    assert runs() == {"called": 1, **{str(n): 1 for n in range(10)}}
