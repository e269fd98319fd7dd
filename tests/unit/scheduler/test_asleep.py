"""A machine that sleeps for an hour, or a process that is stopped for one, in the middle of a job."""

import pytest

from tests.simulation import Case, simulate

HOUR_S = 3600.0


@pytest.mark.parametrize("asleep_at", [0.05, 0.5, 3.0, 7.5, 20.0])
@pytest.mark.parametrize("duration_s", [0.01, 2.0, 30.0])
def test_no_task_fails_because_the_machine_slept(asleep_at, duration_s):
    case = Case("asleep", [duration_s] * 400, 50, asleep_at=asleep_at)
    awake = simulate(case._replace(asleep_at=float("inf")))
    run = simulate(case)
    lost_s = run.makespan_s - HOUR_S - awake.makespan_s
    assert lost_s < 2 * duration_s + 30, "what ran when it fell asleep runs again, once the network is back"
