"""Waiting before another attempt, in simulated time."""

import pytest

from wrenlite.backoff import Patience, pause_s, retry


class Failing:
    """A function that fails a number of times, each after some seconds, on a clock of its own."""

    def __init__(self, failures, takes_s=0.0):
        self.failures = failures
        self.takes_s = takes_s
        self.calls = 0
        self.now = 0.0
        self.slept = []

    def __call__(self):
        self.calls += 1
        self.now += self.takes_s
        if self.calls <= self.failures:
            raise ConnectionError(str(self.calls))
        return "done"

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def retry(self, patience, transient=True):
        return retry(
            self, lambda _: transient, patience, clock=lambda: self.now, sleep=self.sleep, jitter=lambda: 1.0
        )


def test_pauses_double_up_to_a_hundred_times_the_first_and_are_random():
    assert [pause_s(failures, 0.1, 1.0) for failures in (0, 1, 2, 7, 1000)] == [0.1, 0.2, 0.4, 10.0, 10.0]
    assert pause_s(3, 0.1, 0.5) == pytest.approx(0.4)


def test_what_fails_for_a_moment_is_called_again():
    function = Failing(4)
    assert function.retry(Patience(60.0, 0.1)) == "done"
    assert function.slept == [0.1, 0.2, 0.4, 0.8]


def test_no_attempt_begins_after_the_deadline_and_the_last_error_is_raised():
    function = Failing(1000)
    with pytest.raises(ConnectionError, match=r"^13$"):
        function.retry(Patience(60.0, 0.1))
    assert function.now == pytest.approx(60.0)


def test_what_hangs_longer_than_the_deadline_gets_its_least_attempts():
    function = Failing(1000, takes_s=70.0)
    with pytest.raises(ConnectionError):
        function.retry(Patience(60.0, 0.1, least_attempts=3))
    assert function.calls == 3
    assert function.slept == [0.1, 0.2]


@pytest.mark.parametrize("takes_s", [0.0, 3600.0])
def test_an_hour_in_which_the_machine_sleeps_uses_up_no_patience(takes_s):
    function = Failing(6)

    def sleep(seconds):
        function.sleep(seconds)
        function.now += 3600.0 * (len(function.slept) == 3)
        function.takes_s = takes_s * (len(function.slept) == 4)

    assert retry(
        function,
        lambda _: True,
        Patience(60.0, 0.1),
        clock=lambda: function.now,
        sleep=sleep,
        jitter=lambda: 1.0,
    )
    assert len(function.slept) == 6


def test_other_errors_are_raised_at_once():
    function = Failing(1000)
    with pytest.raises(ConnectionError):
        function.retry(Patience(60.0), transient=False)
    assert function.calls == 1
