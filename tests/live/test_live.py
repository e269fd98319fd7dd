"""Checks on a real AWS account that Lambda and S3 behave as the test bed does.

`pytest -m aws` runs them; continuous integration never does.
"""

import os
import socket
import threading
import time

import pytest

import wrenlite
from wrenlite.backends.aws import transport
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


def test_code_that_has_expired_is_put_again(live):
    """For a missing key, S3 must answer 404 and not 403 to the function's role, too."""
    marker = os.urandom(40_000)  # too large to travel inside requests
    live.map(lambda n: (n, marker), [1]).results(timeout=60)
    large = [entry for entry in live.backend.store.list("code/") if entry.size > 40_000]
    newest = max(large, key=lambda entry: entry.modified)
    live.backend.store.delete([newest.key, code_key("0" * 64)])
    jobs = live.map(lambda n: (n, marker), range(200), chunksize=1)  # some tasks run in new sandboxes
    assert jobs.results(timeout=120) == [(n, marker) for n in range(200)]


def test_a_conditional_put_keeps_an_existing_blob(live):
    store = live.backend.store
    assert store.put("refs/live-test", b"one", if_absent=True)
    try:
        assert not store.put("refs/live-test", b"two", if_absent=True)
    finally:
        store.delete(["refs/live-test"])


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
