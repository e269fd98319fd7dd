"""Checks on a real AWS account that Lambda and S3 behave as the test bed does.

`pytest -m aws` runs them; continuous integration never does.
"""

import os
import socket
import threading
import time

import botocore.session
import pytest

import wrenlite
from wrenlite.backends.aws import transport
from wrenlite.deploy.buckets import BucketAccess, bucket_access
from wrenlite.deploy.clients import Clients
from wrenlite.protocol import code_key

pytestmark = pytest.mark.aws


def test_a_map_and_its_cost(live):
    job = live.map(lambda n: n * n, range(100))
    assert job.results(timeout=120) == [n * n for n in range(100)]
    assert job.cost.requests <= 100
    assert 0 < job.cost.gb_s < 100, "the REPORT line is read"


def test_a_warm_map_is_one_request(live):
    live.map(abs, [1]).results(timeout=60)
    job = live.map(abs, [1])
    job.results(timeout=60)
    assert job.cost.requests == 1


def test_warm_workers_serve_the_next_map(live):
    assert live.warm(5).workers == 5
    job = live.map(time.sleep, [0.5] * 5, chunksize=1)
    job.results(timeout=60)
    assert not any(stats.cold for stats in job.stats())


def test_an_estimate_holds_for_the_map_itself(live):
    estimate = live.estimate(time.sleep, [0.2] * 50)
    job = live.map(time.sleep, [0.2] * 50)
    job.results(timeout=120)
    low, high = estimate.at(50).dollars
    assert low < job.cost.dollars < high


def test_values_and_items_larger_than_a_request_go_through_the_store(live):
    assert live.map(len, [b"x" * 8_000_000]).results(timeout=120) == [8_000_000]
    assert len(live.map(lambda n: b"x" * n, [8_000_000]).results(timeout=120)[0]) == 8_000_000


def test_a_crash_and_a_lack_of_memory_are_reported(live):
    def crash(n):
        import os

        os._exit(3)

    with pytest.raises(wrenlite.WorkerDied, match="code 3"):
        live.map(crash, [1]).results(timeout=120)

    def fill(n):
        held = []
        while True:
            held.append(bytearray(b"x" * 2**24))

    with pytest.raises(wrenlite.OutOfMemory):
        live.map(fill, [1]).results(timeout=300)


def test_the_end_of_the_whole_sandbox_is_reported(live):
    def end(n):
        import os
        import signal

        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSTOP)

    with pytest.raises(wrenlite.WorkerDied, match="sandbox"):
        live.map(end, [1]).results(timeout=120)


def test_locks_of_multiprocessing_fail_with_a_note(live):
    """Lambda must have no ``/dev/shm``, and the error must come from ``multiprocessing`` itself."""

    def lock(n):
        import multiprocessing

        multiprocessing.Lock()

    error = live.map(lock, [1])[0].exception(timeout=120)
    assert isinstance(error, OSError)
    assert "Lambda has no /dev/shm" in error.__notes__[0]


def test_only_tmp_can_be_written_to(live):
    """The bed makes disks like this one."""

    def look(n):
        return [os.access(place, os.W_OK) for place in ("/", "/var/task", "/opt", "/tmp")]

    assert live.map(look, [1]).results(timeout=120) == [[False, False, False, True]]


def test_code_that_has_expired_is_put_again(live):
    """For a missing key, S3 must answer 404 and not 403 to the function's role, too."""
    marker = os.urandom(40_000)  # too large to travel inside requests
    live.map(lambda n: (n, marker), [1]).results(timeout=60)
    large = [entry for entry in live.backend.store.list("code/") if entry.size > 40_000]
    newest = max(large, key=lambda entry: entry.modified)
    live.backend.store.delete([newest.key, code_key("0" * 64)])
    jobs = live.map(lambda n: (n, marker), range(200), chunksize=1)  # some tasks run in new sandboxes
    assert jobs.results(timeout=120) == [(n, marker) for n in range(200)]


def test_what_is_cancelled_ends_soon_and_is_billed_to_then(live):
    """For the function's role: a key that is missing is 404, and one that the client writes can be read."""

    def begin(n):
        import time

        time.sleep(120)

    job = live.map(begin, range(3), chunksize=1)
    assert not job.wait(timeout=20)
    job.cancel()
    deadline = time.monotonic() + 60
    while job.cost.requests < 3 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert job.cost.requests == 3
    memory_gb = live.backend.memory_bytes / 2**30
    assert job.cost.gb_s < 3 * memory_gb * (20 + 15 + 10), "a cold start takes part of it"


def test_a_conditional_put_keeps_an_existing_blob(live):
    store = live.backend.store
    assert store.put("refs/live-test", b"one", if_absent=True)
    try:
        assert not store.put("refs/live-test", b"two", if_absent=True)
    finally:
        store.delete(["refs/live-test"])


def test_a_bucket_that_does_not_exist_is_told_from_one_that_may_not_be_looked_at(live):
    """HeadBucket answers 404 for the one and 403 for the other, also where the requester pays."""
    clients = Clients(botocore.session.Session(), "us-east-1")
    missing = f"wrenlite-{os.urandom(12).hex()}"
    assert bucket_access(clients, missing) is BucketAccess.MISSING
    assert bucket_access(clients, "usgs-landsat") is not BucketAccess.MISSING


def test_botocore_of_the_runtime_can_store_on_a_condition(live):
    """Settles whether the runtime's botocore is at least 1.35.2, which ``wrenlite doctor`` looks at."""

    def members(n):
        import botocore.session

        puts = botocore.session.get_session().get_service_model("s3").operation_model("PutObject")
        return botocore.__version__, "IfNoneMatch" in puts.input_shape.members

    version, conditional = live.map(members, [1]).results(timeout=60)[0]
    assert conditional, version


def test_the_packages_that_the_function_records_are_those_that_tasks_find(live):
    """Settles whether the layer comes before the packages of the runtime, such as botocore's urllib3."""
    packages = live.backend.packages
    assert packages is not None, "wrenlite-setup has deployed this function"

    def versions(name):
        import importlib.metadata

        return name, importlib.metadata.version(name)

    known = {name: version for name, version in packages.versions.items() if version}
    assert dict(live.map(versions, sorted(known)).results(timeout=120)) == known


def test_a_task_whose_connection_breaks_goes_on_and_begins_once(live, monkeypatch):
    """Lambda must not stop a function whose client is gone, and the function may write what it leaves."""
    live.map(abs, [1]).results(timeout=60)
    connections, send = [], transport.send_request

    def record(sock, *request):
        connections.append(sock)
        send(sock, *request)

    monkeypatch.setattr(transport, "send_request", record)
    job = live.map(time.sleep, [21])
    cut = threading.Timer(3.0, lambda: connections[-1].shutdown(socket.SHUT_RDWR))
    cut.start()
    assert job.results(timeout=120) == [None]
    assert (job.cost.requests, job.cost.unanswered) == (1, 0)
    assert len(connections) == 1, "no request was sent again"
