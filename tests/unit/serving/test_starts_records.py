"""The records of starts: an event begins one start, however often it comes, and one process runs it."""

import json

import pytest

import wrenlite
from wrenlite.durable.lease import Lease, Times
from wrenlite.serving.publication import Every, Http, Objects, Publication
from wrenlite.serving.starts import Starts, gets_further, summary
from wrenlite.storage.local import LocalStore

TIMES = Times(renew_s=0.0, lease_s=30.0, patience_s=60.0)
OBJECT = {"bucket": "b", "key": "in/a.csv", "version": None, "etag": "e1", "size": 3, "sequencer": "0A"}


@pytest.fixture
def starts(tmp_path):
    def make(on=Objects("b", "in/"), **changed):  # noqa: B008
        record = Publication("posters", on, "m:f", "f" * 64, "", "s3://out/posters")
        return Starts(LocalStore(str(tmp_path)), record._replace(**changed), TIMES)

    return make


def test_an_event_begins_a_start_once(starts):
    made = starts()
    first = made.begin(OBJECT)
    assert first.is_new
    again = made.begin({**OBJECT, "sequencer": "0B", "time": "later"})
    assert again == first._replace(is_new=False)
    assert made.status(first.record.id)["status"] == "queued"
    assert "kept" not in made.status(first.record.id)
    for other in ({"etag": "e2"}, {"key": "in/b.csv"}, {"version": "v1"}, {"bucket": "c"}):
        assert made.begin({**OBJECT, **other}).is_new


def test_the_version_of_an_object_counts_before_its_content(starts):
    made = starts()
    assert made.begin({**OBJECT, "version": "v1"}).is_new
    assert not made.begin({**OBJECT, "version": "v1", "etag": "other"}).is_new


def test_what_has_failed_begins_anew_with_a_newer_event_only(starts):
    made = starts()
    record = made.begin(OBJECT).record
    made.write({**made.queued(record), "status": "failed"})
    assert made.begin(OBJECT).is_over
    assert made.begin({**OBJECT, "sequencer": "9"}).is_over, "an older event that was delayed"
    new = {**OBJECT, "sequencer": "100"}
    again = made.begin(new)
    assert (again.is_new, again.record.run, again.record.event) == (True, 2, new)
    assert again.record.key != record.key
    assert made.status(record.id)["status"] == "queued"
    assert not made.begin(new).is_new


def test_a_second_run_that_was_begun_and_not_written_down_is_found(starts):
    made = starts()
    record = made.begin(OBJECT).record
    failed = {**made.queued(record), "status": "failed"}
    made.write(failed)
    new = {**OBJECT, "sequencer": "0B"}
    second = made.begin(new).record
    made.write(failed)  # as if the status had not been written
    assert made.begin(new).record == second


def test_a_key_is_for_one_request(starts):
    made = starts(Http())
    first = made.begin({"size": 1}, "key")
    assert not made.begin({"size": 1}, "key").is_new
    with pytest.raises(wrenlite.BadInput, match="Idempotency-Key"):
        made.begin({"size": 2}, "key")
    assert made.begin({"size": 1}).record.id != made.begin({"size": 1}).record.id != first.record.id


def test_a_schedule_starts_once_for_an_event(starts):
    made = starts(Every("rate(1 day)"))
    assert made.begin({"time": "t"}, "id-1").is_new
    assert not made.begin({"time": "t"}, "id-1").is_new
    assert made.begin({"time": "t"}, "id-2").is_new


def test_one_of_two_takes_a_start(starts):
    made = starts()
    start = made.begin(OBJECT).record.id
    first, second = made.holder(start), made.holder(start)
    assert first.try_to_take()
    assert not second.try_to_take()
    assert first.lost_because() == ""
    first.let_go(60)
    assert made.lease(start).holder == ""
    assert second.take()
    assert "another keeper" in first.lost_because()
    assert second.lost_because() == ""


def test_who_takes_a_start_whose_lease_has_run_out_ends_the_one_before(starts):
    made = starts()
    start = made.begin(OBJECT).record.id
    made.times = Times(renew_s=0.0, lease_s=0.1, patience_s=60.0)
    late, next_one = made.holder(start), made.holder(start)
    assert late.try_to_take()
    assert next_one.take()
    assert late.has_run_out()
    assert "run out" in late.lost_because()


def test_a_start_that_nobody_runs_any_more_has_failed(starts):
    made = starts()
    record = made.begin(OBJECT).record
    made.write({**made.queued(record), "status": "running"})
    holder = made.holder(record.id)
    holder.try_to_take()
    assert made.status(record.id)["status"] == "running"
    made.store.put(f"starts/{record.id}/lease/000002", json.dumps(Lease("x", 1.0, 2.0)).encode())
    status = made.status(record.id)
    assert status["status"] == "failed"
    assert "no other one came" in summary(status)[0]


def test_the_newest_starts_of_this_job_alone_are_listed(starts):
    made, other = starts(), starts(name="posters-2")
    ids = [made.begin({**OBJECT, "etag": str(number)}).record.id for number in range(3)]
    other.begin(OBJECT)
    found = [status["id"] for status in made.recent(10)]
    assert sorted(found) == sorted(ids)
    assert len(made.recent(2)) == 2


@pytest.mark.parametrize("start", ["posters-000000000000", "posters-2-000000000000", "../x", ""])
def test_there_is_no_status_of_another_start(starts, start):
    starts(name="posters-2").begin(OBJECT)
    assert starts().status(start) is None


def test_a_summary_says_how_a_start_has_ended(starts):
    made = starts()
    queued = made.queued(made.begin(OBJECT).record)
    rows = [{"line": 3, "field": "size", "error": "must be a number"}]
    done = {
        **queued,
        "status": "done",
        "seconds": 2.04,
        "files": ["a.png"],
        "rejected": rows,
        "rejected_rows": 1,
    }
    done["tasks"] = {"total": 10, "done": 9, "failed": 1}
    first, second = summary(done)
    assert first.endswith("done in 2.0 s, 10 tasks of which 1 failed, 1 file in " + queued["outputs"])
    assert second.endswith("line 3 was left out: size: must be a number")


@pytest.mark.parametrize(
    ("before", "now", "further"),
    [
        ((0, 0, 0), (0, 0, 0), False),
        ((0, 0, 0), (1, 10, 0), True),
        ((0, 0, 0), (1, 10, 10), True),
        ((1, 10, 10), (1, 10, 10), False),
        ((1, 10, 5), (1, 10, 5), True),
        ((1, 10, 10), (2, 10, 10), True),
        ((1, 10, 10), (2, 20, 20), True),
    ],
)
def test_a_start_is_handed_over_where_that_gets_further(before, now, further):
    assert gets_further({"kept": before}, {"kept": now}) == further
    assert not gets_further({}, {})
