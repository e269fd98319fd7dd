"""The row of a job on a terminal."""

import pytest

from wrenlite.display.terminal import row
from wrenlite.futures import Snapshot

RUNNING = Snapshot(
    name="vegetation_index_of_a_whole_scene",
    backend="AWS Lambda (function wrenlite in eu-west-1)",
    total=20_000,
    queued=15_000,
    dispatched=1_000,
    running=800,
    done=3_950,
    failed=50,
    cancelled=0,
    seconds=75,
    dollars=1.2345,
)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (60, "3,950 of 20,000 done, 50 failed, $1.2345 | vegetation_in..."),
        (80, "3,950 of 20,000 done, 50 failed, $1.2345 | vegetation_index_of_a_w..."),
        (
            120,
            "3,950 of 20,000 done, 50 failed, $1.2345 | vegetation_index_of_a_whole_scene | "
            "1 min 15 s, 4 to 6 min left",
        ),
    ],
)
def test_what_matters_comes_first_and_is_never_cut(columns, shown):
    assert row(RUNNING, columns, (240, 360)) == shown


def test_a_cancelled_job_says_how_much_is_done():
    ended = RUNNING._replace(queued=0, dispatched=0, running=0, done=5, failed=0, cancelled=19_995)
    assert row(ended, 60) == "5 of 20,000 done, $1.2345, 19,995 cancelled | vegetation..."


def test_why_nothing_is_sent_comes_before_the_name_and_is_cut_to_the_room():
    blocked = RUNNING._replace(dollars=None, failed=0, note="the AWS credentials have expired: renew them")
    assert (
        row(blocked, 80) == "3,950 of 20,000 done | the AWS credentials have expired: renew them | vegeta..."
    )
    assert row(blocked, 60) == "3,950 of 20,000 done | the AWS credentials have expired:..."


def test_letters_of_east_asian_scripts_take_two_columns():
    wide = RUNNING._replace(name="植生指数", failed=0, dollars=None, total=9, done=0)
    assert row(wide, 24) == "0 of 9 done | 植生指数"
    assert row(wide, 23) == "0 of 9 done | 植生..."


def test_a_narrow_terminal_gets_what_matters():
    assert row(RUNNING, 5) == "3,950 of 20,000 done, 50 failed, $1.2345"
