"""Calling again, with a clock of the test's own."""

import pytest

from wrenlite.deploy.clients import retry


class Clock:
    """Sleeping moves it."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def attempts(*outcomes):
    """A call that returns or raises one after the other; the last one for ever."""
    left = list(outcomes)

    def call():
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


def again(clock, call, timeout_s=30.0, **given):
    return retry(call, timeout_s=timeout_s, sleep=clock.sleep, clock=lambda: clock.now, **given)


def passes(error):
    return isinstance(error, ValueError)


def test_what_succeeds_is_called_once(clock):
    assert again(clock, attempts("done"), timeout_s=0.0) == "done"
    assert clock.pauses == []


def test_pauses_grow_while_an_error_may_pass(clock):
    errors = [ValueError()] * 6
    assert again(clock, attempts(*errors, "done"), is_transient=passes) == "done"
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_an_error_that_does_not_pass_is_raised_at_once(clock):
    with pytest.raises(KeyError):
        again(clock, attempts(ValueError(), KeyError(), "done"), is_transient=passes)
    assert clock.pauses == [0.5]


def test_the_last_error_is_raised_when_the_time_is_up(clock):
    with pytest.raises(ValueError, match="still"):
        again(clock, attempts(ValueError("still")), timeout_s=4.0, is_transient=passes)
    assert clock.pauses == [0.5, 1.0, 2.0]


def test_a_result_that_is_not_ready_is_looked_at_again_and_returned_when_the_time_is_up(clock):
    assert again(clock, attempts(1, 2, 3), is_ready=lambda result: result == 3, first_pause_s=0.1) == 3
    assert clock.pauses == [0.1, 0.2]
    assert again(clock, attempts(1), timeout_s=1.0, is_ready=lambda result: False) == 1
