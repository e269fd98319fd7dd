"""Detached jobs on Lambda: the driver function keeps them, however it ends, and whoever else writes there."""

import base64
import json
import os
import random
import time
from dataclasses import replace
from functools import partial

import pytest

import wrenlite
from tests.aws.tasks import Runs
from wrenlite import keys
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.driver import Driver
from wrenlite.durable import attach, tokens
from wrenlite.protocol import cancel_key, reply_key, values_prefix
from wrenlite.serialize import framing

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))


def work(n, path, seconds):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    time.sleep(seconds)
    return n * n


def say(n):
    print(f"this is {n}")
    if n == 5:
        raise ValueError(n)


def fail_once(n, path):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    with open(path) as file:
        if n % 3 == 0 and file.read().split().count(str(n)) == 1:
            raise ValueError(n)
    return n


def place_of(job):
    """Where a job is kept."""
    return tokens.find_place(job.token)


def test_a_job_goes_on_without_its_client_and_is_attached_to_elsewhere(driven, shared_path, monkeypatch):
    runs = Runs(shared_path / "runs")
    job = driven.map(work, range(40), args=(runs.path, 0.05), detach=True)
    monkeypatch.setenv("WRENLITE_JOURNAL", "off")  # as on another machine
    with pytest.raises(wrenlite.ConfigError, match="setting journal is"):
        wrenlite.attach(job.id)
    there = wrenlite.attach(job.token)
    assert there.results(timeout=60) == [n * n for n in range(40)]
    assert there.cost.dollars > 0
    assert there[3].stats().worker
    assert set(runs().values()) == {1}
    with pytest.raises(wrenlite.JobNotFound, match="no token") as caught:
        wrenlite.attach(job.token[:-4])
    assert job.token[:20] not in str(caught.value), "it has the key"


def test_all_semantics_of_a_job_hold(driven, shared_path):
    path = str(shared_path / "runs")
    total = driven.map_reduce(fail_once, range(12), sum, args=(path,), retries=1, detach=True)
    assert total.result(timeout=60) == sum(range(12))
    counts = Runs(path)()
    assert {n: counts[str(n)] for n in range(12)} == {n: 2 if n % 3 == 0 else 1 for n in range(12)}


def test_a_job_outlasts_its_drivers(driven, shared_path, bed):
    runs = Runs(shared_path / "runs")
    job = driven.map(work, range(16), args=(runs.path, 3.0), chunksize=1, detach=True)
    assert job.results(timeout=90) == [n * n for n in range(16)]
    events = bed.wait_for_events()
    assert len(events) >= 2, "each driver lives for ten seconds"
    assert {event["state"] for event in events} == {"done"}
    assert set(runs().values()) == {1}


def test_the_journal_has_a_job_that_is_kept_elsewhere(driven):
    job = driven.map(say, range(6), chunksize=1, detach=True)
    [record] = wrenlite.jobs()
    assert record.state == "running"
    job.wait(timeout=60)
    job = job.retry_failed()
    job.wait(timeout=60)
    [record] = [found for found in wrenlite.jobs() if found.state != "running"]
    assert (record.id, record.state, record.counts.done) == (job.id, "failed", 5)
    assert record.logs(3) == "this is 3\n"
    assert set(record.errors()) == {5}
    kinds = [event.kind for event in record.events()]
    assert {"queued", "sent", "started", "finished", "received", "resumed", "failed", "over"} <= set(kinds)
    assert len(record.requests(5)) == 2, "the second one is of retry_failed"


def test_a_driver_that_is_killed_is_followed_by_another(driven, shared_path, bed):
    runs = Runs(shared_path / "runs")
    job = driven.map(work, range(24), args=(runs.path, 0.5), chunksize=1, detach=True)
    job[3].result(timeout=60)
    bed.kill_sandboxes("kept-driver")
    assert job.results(timeout=60) == [n * n for n in range(24)]
    assert set(runs().values()) == {1}, "what runs at that moment goes on, and its reply is found"


def test_a_job_whose_client_was_killed_before_it_started_a_driver_is_resumed(
    driven, shared_path, monkeypatch
):
    runs = Runs(shared_path / "runs")
    with monkeypatch.context() as killed:
        killed.setattr(Driver, "start", lambda *_: None)  # what the client wrote is all that it did
        job = driven.map(work, range(6), args=(runs.path, 0.0), detach=True)
    # At first it looks as if a driver were on its way.
    assert wrenlite.attach(job.token, resume=True).results(timeout=60) == [n * n for n in range(6)]
    assert set(runs().values()) == {1}


def test_two_drivers_of_a_job_run_nothing_twice(driven, shared_path, bed):
    runs = Runs(shared_path / "runs")
    bed.fault("Invoke kept-driver", "twice")
    job = driven.map(work, range(24), args=(runs.path, 0.3), chunksize=1, detach=True)
    place_of(job).invoke_driver()
    assert job.results(timeout=60) == [n * n for n in range(24)]
    assert set(runs().values()) == {1}


@pytest.mark.full
def test_tasks_are_cancelled_from_anywhere(driven, shared_path):
    job = driven.map(work, range(40), args=(str(shared_path / "runs"), 0.5), chunksize=1, detach=True)
    job[0].result(timeout=60)
    assert wrenlite.attach(job.token).cancel() > 0
    assert job.wait(timeout=30)
    assert job.snapshot().cancelled > 0
    assert job[0].result() == 0


def test_a_running_job_is_handed_over_to_the_driver(driven, shared_path):
    runs = Runs(shared_path / "runs")
    job = driven.map(work, range(30), args=(runs.path, 0.2), chunksize=1)
    job[5].result(timeout=60)
    job.detach()
    assert wrenlite.attach(job.token).results(timeout=60) == [n * n for n in range(30)]
    assert job.results(timeout=60) == [n * n for n in range(30)]
    assert set(runs().values()) == {1}


@pytest.mark.full
def test_detach_does_not_wait_for_the_end_of_long_tasks(driven, shared_path):
    runs = Runs(shared_path / "runs")
    limits = driven.backend.limits._replace(persist_after_s=0.5)
    soon = wrenlite.Executor(replace(driven.backend, limits=limits), progress=False)
    job = soon.map(work, range(6), args=(runs.path, 8.0), chunksize=1)
    while len(runs()) < 4:
        time.sleep(0.05)
    begun = time.monotonic()
    job.detach()
    assert time.monotonic() - begun < 6, "the tasks take eight seconds"
    assert job.snapshot().done == 0
    assert job.results(timeout=60) == [n * n for n in range(6)]
    assert set(runs().values()) == {1}
    while (record := wrenlite.jobs()[0]).state == "running":
        time.sleep(0.1)
    assert (record.state, record.counts.done) == ("done", 6)
    finished = [task for event in record.events() if event.kind == "finished" for task in event.tasks]
    assert sorted(first for first, _ in finished) == list(range(6)), "also of what was in flight"


def total(values, path):
    with open(path, "a") as file:
        file.write("sum\n")
    time.sleep(14)
    return sum(values)


@pytest.mark.full
def test_a_reduction_outlasts_its_driver(driven, shared_path):
    path = str(shared_path / "runs")
    reduced = driven.map_reduce(work, range(3), partial(total, path=path), args=(path, 0.0), detach=True)
    assert reduced.result(timeout=90) == 0 + 1 + 4
    assert Runs(path)() == {"0": 1, "1": 1, "2": 1, "sum": 1}


@pytest.mark.full
def test_a_second_driver_of_a_job_that_is_over_leaves_nothing_behind(driven, bed):
    job = driven.map(say, range(6), chunksize=1, detach=True)
    job.wait(timeout=60)
    bed.wait_for_events()
    place = place_of(job)
    place.invoke_driver()
    assert [event["state"] for event in bed.wait_for_events()][-1] == "done"
    assert not place.is_kept()
    job.retry_failed().wait(timeout=60)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_driver_that_is_killed_at_any_point_loses_nothing(driven, shared_path, bed):
    seed = random.randrange(10**6)
    rng, again = random.Random(seed), 0
    for number in range(10):
        runs = Runs(shared_path / f"runs-{number}")
        job = driven.map(work, range(200), args=(runs.path, 0.05), detach=True)
        time.sleep(rng.uniform(0, 6))
        bed.kill_sandboxes("kept-driver")
        known = wrenlite.attach(job.token)
        finished = [task for task in range(200) if known.state(task) == "done"]
        if number % 2:
            bed.kill_sandboxes("kept")
        for _ in range(2):  # beside the one that Lambda itself starts again
            place_of(job).invoke_driver()
        assert job.results(timeout=90) == [n * n for n in range(200)]
        counts = runs()
        assert all(counts[str(task)] == 1 for task in finished), f"seed {seed}"
        assert max(counts.values()) <= 3, f"seed {seed}: {counts.most_common(3)}"
        again += sum(counts.values()) - 200
        bed.wait_for_events()
    print(f"seed {seed}: 10 points, {again} runs of {10 * 200} tasks were not needed, none of a finished one")


def large(n):
    return bytes(7 << 20)


@pytest.mark.full
def test_what_has_expired_is_said(driven, bed):
    job = driven.map(large, [0], detach=True)
    job.wait(timeout=60)
    bed.wait_for_events()
    place = place_of(job)
    stored = [entry.key for entry in place.store.list(values_prefix(job.id)) if entry.size > 1 << 20]
    place.store.delete(stored)
    with pytest.raises(wrenlite.NotFound, match="task 0 of large") as seen:
        wrenlite.attach(job.token).results(timeout=30)
    assert "has expired" in str(seen.value)
    place.store.delete([place.name("manifest")])
    with pytest.raises(wrenlite.JobNotFound, match="deleted a few days after"):
        wrenlite.attach(job.token)


@pytest.mark.full
def test_a_driver_of_another_version_says_so(driven, bed, monkeypatch):
    job = driven.map(say, range(6), chunksize=1, detach=True)
    job.wait(timeout=60)
    bed.wait_for_events()
    others = {**payload.versions(), "wrenlite": "0.0.1"}
    monkeypatch.setattr(payload, "versions", lambda: others)
    again = job.retry_failed()
    with pytest.raises(wrenlite.KeeperDied, match=r"its driver has wrenlite .* started by 0\.0\.1"):
        again[5].result(timeout=60)


# The attacker, who may write to the bucket, and does not have the key of the job


class Touched:
    """Unpickling one of these leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A frame that makes a folder when it is unpickled; the path of that folder is ``trap.path``."""
    path = tmp_path / "unpickled"
    frame = framing.join(framing.frame(Touched(str(path))))
    yield frame
    assert not path.exists(), "something was unpickled that was not checked"


def test_what_was_not_written_with_the_key_of_the_job_is_not_used(driven, shared_path, bed, trap):
    runs = Runs(shared_path / "runs")
    other = driven.map(work, range(2), args=(runs.path, 0.0), detach=True)
    job = driven.map(work, range(100, 102), args=(runs.path, 0.0), detach=True)
    assert other.results(timeout=60) == [0, 1]
    assert job.results(timeout=60) == [10_000, 10_201]
    bed.wait_for_events()
    place, theirs = place_of(job), place_of(other)
    store, names = place.store, ("manifest", "lease", "table/00000000", "table/00000001")
    for name in names:
        kept, foreign = store.get(place.name(name)), store.get(theirs.name(name))
        own = "lease" if name == "manifest" else "manifest"
        for forged in (trap, keys.signed(b"guess", trap, job.id, name), foreign, store.get(place.name(own))):
            store.put(place.name(name), forged)
            if name == "lease":
                assert place.lease() is None
                continue
            with pytest.raises((wrenlite.JobNotFound, wrenlite.IntegrityError), match="was not written with"):
                wrenlite.attach(job.token)
        store.put(place.name(name), kept)
    assert wrenlite.attach(job.token).results(timeout=10) == [10_000, 10_201]


def test_a_keeper_uses_no_forged_reply_and_no_forged_cancel(driven, shared_path, bed, trap):
    runs = Runs(shared_path / "runs")
    job = driven.map(work, range(20), args=(runs.path, 0.4), chunksize=1, detach=True)
    job[1].result(timeout=60)
    place, prefix = place_of(job), values_prefix(job.id)
    bed.kill_sandboxes("kept-driver")
    replies = [entry.key for entry in place.store.list(prefix) if entry.key.endswith("/reply")]
    genuine = place.store.get(replies[0])
    future = f"{int(1000 * time.time()):012x}{'0' * 8}"
    for blob, invocation in ((trap, future), (genuine, future[:-1] + "1")):  # forged, and replayed
        place.store.put(reply_key(job.id, invocation), blob)
    place.store.put(place.name("cancel", "forged"), json.dumps(list(range(20))).encode())
    place.store.put(cancel_key(job.id), b"{}")
    assert job.results(timeout=60) == [n * n for n in range(20)]
    assert set(runs().values()) == {1}


def test_the_key_of_a_job_is_neither_in_the_bucket_nor_readable_by_others(driven, shared_path, tmp_path, bed):
    job = driven.map(work, range(4), args=(str(shared_path / "runs"), 0.0), detach=True)
    job.results(timeout=60)
    place = place_of(job)
    secrets = [place.key, place.key.hex().encode(), base64.b64encode(place.key)]
    blobs = [place.store.get(entry.key) for entry in place.store.list("") if job.id in entry.key]
    assert len(blobs) > 5
    assert not [secret for secret in secrets for blob in blobs if secret in blob]
    [token] = (tmp_path / "journal").glob("detached/*/token")
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    assert place.key.hex() not in repr(job)


def test_who_waits_is_told_that_the_bucket_is_gone(driven, shared_path, monkeypatch):
    monkeypatch.setattr(attach, "REFUSED_S", 1.0)
    job = driven.map(work, range(2), args=(str(shared_path / "runs"), 20.0), detach=True)
    job._control.place.store.bucket = "destroyed-meanwhile"
    with pytest.raises(wrenlite.StoreError, match=r"does not follow.*no bucket 'destroyed-meanwhile'"):
        job.results(timeout=60)
    wrenlite.attach(job.token).cancel()


def test_profile_and_endpoint_are_remembered_on_this_machine_and_not_in_the_token(
    driven, monkeypatch, tmp_path
):
    del driven
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    lines = [f"{name.lower()} = {os.environ[name]}" for name in names]
    (tmp_path / "credentials").write_text("\n".join(["[work]", *lines]))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    for name in (*names, "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    options = {"profile": "work", "endpoint_url": endpoint, "progress": False}
    with wrenlite.Executor.aws(function="kept", max_concurrency=4, **options) as executor:
        job = executor.map(say, range(4, 6), detach=True)
    token = base64.urlsafe_b64decode(job.token.removeprefix("wrenlite-job-") + "==")
    assert endpoint.encode() not in token
    there = wrenlite.attach(job.id)
    assert there.wait(timeout=60)
    assert there.retry_failed().wait(timeout=60)
    assert [record.state for record in wrenlite.jobs()] == ["failed"]


def test_a_list_of_jobs_does_not_wait_for_a_bucket_that_cannot_be_reached(driven, shared_path, monkeypatch):
    path = str(shared_path / "runs")
    jobs = [driven.map(work, [number], args=(path, 20.0), detach=True) for number in range(3)]
    with monkeypatch.context() as offline:
        offline.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        begun = time.monotonic()
        assert [record.state for record in wrenlite.jobs()] == ["unknown"] * 3
        assert time.monotonic() - begun < 30, "the usual patience of 60 s is not for lists"
    assert {record.state for record in wrenlite.jobs()} == {"running"}
    for job in jobs:
        job.cancel()


def test_of_a_job_that_cannot_be_detached_nothing_is_left(driven, tmp_path):
    missing = replace(driven.backend, driver=driven.backend.driver._replace(function="missing"))
    executor = wrenlite.Executor(missing, progress=False)
    with pytest.raises(wrenlite.FunctionMissing, match="'missing'"):
        executor.map(say, range(2), detach=True)
    assert list((tmp_path / "journal" / "detached").iterdir()) == []


def test_a_job_is_detached_after_it_ran_without_a_journal(driven, shared_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", "off")
    job = driven.map(work, range(30), args=(str(shared_path / "runs"), 0.2), chunksize=1)
    job[5].result(timeout=60)
    job.detach()
    assert wrenlite.attach(job.token).results(timeout=60) == [n * n for n in range(30)]
