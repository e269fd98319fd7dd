"""Which files in a folder are complete, and when a schedule is due."""

import contextlib
import hashlib
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.aws.tasks import wait_until
from wrenlite.serving.local import next_time
from wrenlite.serving.publication import Every, parse_objects
from wrenlite.serving.watch import Settling, State, event_of, files_of, fits, state_of, watch

A = State(1, 1, 1)
B = State(2, 2, 1)


class Files(dict):
    """States of files by their paths, which a test changes."""

    def __call__(self, path):
        return self.get(path)


def test_a_file_is_complete_once_it_has_not_changed_for_two_seconds():
    files = Files(a=A)
    settling = Settling(files)
    settling.note("a", 0.0)
    assert settling.complete(1.9) == []
    files["a"] = B
    assert settling.complete(2.1) == []
    assert settling.complete(4.0) == []
    assert settling.complete(4.2) == [("a", B)]
    assert settling.complete(9.0) == []


def test_a_file_is_taken_again_once_it_has_changed():
    files = Files(a=A)
    settling = Settling(files)
    settling.note("a", 0.0)
    assert settling.complete(2.0) == [("a", A)]
    settling.note("a", 5.0)
    assert settling.complete(9.0) == []
    files["a"] = B
    settling.note("a", 10.0)
    settling.note("a", 11.0)
    assert settling.complete(12.0) == [("a", B)]


def test_a_file_that_is_gone_is_not_taken_and_counts_as_new_when_it_comes_back():
    files = Files(a=A, b=A)
    settling = Settling(files)
    settling.note("a", 0.0)
    settling.note("b", 0.0)
    del files["a"]
    assert settling.complete(3.0) == [("b", A)]
    del files["b"]
    settling.note("b", 4.0)
    files |= {"a": A, "b": A}
    settling.note("a", 5.0)
    settling.note("b", 5.0)
    assert settling.complete(7.0) == [("a", A), ("b", A)]


def test_a_file_that_changed_while_it_was_read_waits_again():
    files = Files(a=A)
    settling = Settling(files)
    settling.note("a", 0.0)
    assert settling.complete(2.0) == [("a", A)]
    files["a"] = B
    settling.forget("a", 3.0)
    assert settling.complete(4.0) == []
    assert settling.complete(5.0) == [("a", B)]


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=30))
def test_each_state_is_taken_once_and_only_after_two_seconds(steps):
    files, now, changed = Files(a=A), 0.0, 0.0
    settling = Settling(files)
    settling.note("a", now)
    taken = []
    for wait, changes in steps:
        now += wait
        if changes:
            files["a"] = State(files["a"].size + 1, 1, 1)
            changed = now
            settling.note("a", now)
        for _, state in settling.complete(now):
            assert state == files["a"]
            assert now - changed >= 2
            taken.append(state)
    assert len(taken) == len(set(taken))


@pytest.fixture
def folder(tmp_path):
    for name in ("a.csv", "sub/b.csv", "c.txt", ".hidden.csv", ".git/x.csv", "d.csv~", "e.csv.part", "f.CSV"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    return tmp_path


def test_the_files_that_fit_are_found_and_temporary_ones_are_not(folder):
    on = parse_objects(f"{folder}/*.csv")
    assert [os.path.relpath(path, folder) for path in files_of(on)] == ["a.csv", "pipe.csv", "sub/b.csv"]
    assert state_of(str(folder / "pipe.csv")) is None
    assert state_of(str(folder / "folder.csv")) is None
    assert state_of("/nowhere") is None
    everything = parse_objects(str(folder))
    assert not fits(everything, str(folder / "e.csv.part"))
    assert fits(everything, str(folder / "f.CSV"))


def test_the_event_of_a_file_has_its_digest_and_its_time(folder):
    on, path = parse_objects(f"{folder}/*.csv"), str(folder / "sub" / "b.csv")
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    state = state_of(path)
    event = event_of(on, path, state)
    assert event == {
        "bucket": str(folder),
        "key": "sub/b.csv",
        "version": None,
        "etag": hashlib.sha256(b"sub/b.csv").hexdigest(),
        "size": 9,
        "sequencer": f"{1_500_000_000_123_456_789:x}",
        "time": "2017-07-14T02:40:00+00:00",
    }
    assert event_of(on, path, state._replace(size=8)) is None


def test_files_that_are_there_and_files_that_come_begin_starts(folder, monkeypatch):
    monkeypatch.setattr("wrenlite.serving.watch.SETTLE_S", 0.1)
    on, begun, said, stop = parse_objects(f"{folder}/*.csv"), [], [], threading.Event()
    (folder / "nothing.csv").symlink_to("/nowhere")
    thread = threading.Thread(
        target=watch, args=(on, lambda event: begun.append(event["key"]), said.append, stop)
    )
    thread.start()
    try:
        wait_until(lambda: len(begun) == 2)
        (folder / "new.csv").write_text("1")
        wait_until(lambda: len(begun) == 3)
        (folder / "moved.part").write_text("2")
        (folder / "moved.part").rename(folder / "moved.csv")
        wait_until(lambda: len(begun) == 4)
        (folder / os.fsdecode(b"in \xff.csv")).write_text("3")
        wait_until(lambda: len(begun) == 5)
        (folder / "last.csv").write_text("4")
        wait_until(lambda: len(begun) == 6)
    finally:
        stop.set()
        thread.join()
    assert begun == ["a.csv", "sub/b.csv", "new.csv", "moved.csv", "in \udcff.csv", "last.csv"]


@pytest.mark.parametrize(
    ("rate", "now", "due"),
    [
        ("rate(15 minutes)", 0.0, 900.0),
        ("rate(15 minutes)", 899.9, 900.0),
        ("rate(15 minutes)", 900.0, 1800.0),
        ("rate(1 day)", 86_400.0 * 20_000 + 1, 86_400.0 * 20_001),
    ],
)
def test_a_schedule_has_its_times_whenever_it_was_begun(rate, now, due):
    assert next_time(Every(rate), now) == due


def test_an_unreadable_file_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr("wrenlite.serving.watch.SETTLE_S", 0.1)
    on, said, stop = parse_objects(f"{tmp_path}/*.csv"), [], threading.Event()
    (tmp_path / "a.csv").write_text("1")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wrenlite.serving.watch.event_of", refuse)
    thread = threading.Thread(target=watch, args=(on, None, said.append, stop))
    thread.start()
    with contextlib.ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(stop.set)
        wait_until(lambda: said)
    assert said == [f"{tmp_path}/a.csv cannot be read: Permission denied"]
