"""Connecting by name: how often a name is looked up, and which of its addresses is taken."""

import socket
import threading

import pytest

from wrenlite.backends.aws.addresses import Addresses, rotated

HOST = ("lambda.example", 443)
TCP = (socket.AF_INET, socket.SOCK_STREAM, 6, "")


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@pytest.fixture
def refusing():
    """An address on which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()


class Resolver:
    """Finds these addresses for every name, or fails."""

    def __init__(self, *places, error=None):
        self.calls = 0
        self.places = places
        self.error = error

    def __call__(self, *_):
        self.calls += 1
        if self.error is not None:
            raise self.error
        return [(*TCP, place) for place in self.places]


def test_a_name_is_looked_up_again_after_a_minute(listening):
    resolver, times = Resolver(listening), [0.0]
    addresses = Addresses(lambda: times[-1], resolver)
    for time, calls in ((0.0, 1), (59.0, 1), (61.0, 2)):
        times.append(time)
        addresses.connect(HOST, 5.0).close()
        assert resolver.calls == calls


def test_an_address_that_does_not_answer_is_left_out_for_a_minute(listening, refusing, monkeypatch):
    tried, real = [], socket.socket.connect
    monkeypatch.setattr(
        socket.socket, "connect", lambda sock, place: (tried.append(place), real(sock, place))
    )
    resolver, now = Resolver(refusing, listening), 0.0
    addresses = Addresses(lambda: now, resolver)
    for _ in range(4):
        addresses.connect(HOST, 5.0).close()
    assert tried == [refusing] + [listening] * 4
    now = 61.0
    for _ in range(2):
        addresses.connect(HOST, 5.0).close()
    assert tried.count(refusing) == 2
    assert resolver.calls == 2


def test_addresses_that_have_all_changed_are_looked_up_again(listening, refusing):
    resolver = Resolver(refusing)
    addresses = Addresses(lambda: 0.0, resolver)
    with pytest.raises(ConnectionRefusedError):
        addresses.connect(HOST, 5.0)
    resolver.places = (listening,)
    addresses.connect(HOST, 5.0).close()


def test_a_failure_of_the_resolver_counts_for_all_threads_that_wait_for_it(listening):
    now, reads, goes_on = 0.0, threading.Semaphore(0), threading.Event()

    def clock():
        reads.release()
        return now

    class Slow(Resolver):
        def __call__(self, *anything):
            goes_on.wait(30)
            return super().__call__(*anything)

    resolver = Slow(listening, error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    addresses = Addresses(clock, resolver)
    errors = []

    def connect():
        try:
            addresses.connect(HOST, 5.0).close()
        except OSError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(9):  # all have begun, and one of them looks the name up
        assert reads.acquire(timeout=30)
    now = 1.0
    goes_on.set()
    for thread in threads:
        thread.join(30)
    assert len(errors) == 8
    assert "not known" in errors[0]
    assert resolver.calls == 1
    now, resolver.error = 2.0, None
    addresses.connect(HOST, 5.0).close()


def test_addresses_of_the_family_that_works_here_come_first():
    six = [(socket.AF_INET6, place) for place in "abc"]
    four = [(socket.AF_INET, place) for place in "de"]
    assert rotated(six + four, 0) == six + four
    assert rotated(six + four, 4) == [six[1], six[2], six[0], *four]
    assert rotated(six + four, 5) == [six[2], six[0], six[1], four[1], four[0]]
