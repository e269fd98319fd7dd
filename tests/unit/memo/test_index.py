"""The index of kept values, its files and bounds."""

import os
import sqlite3
import stat
import warnings

import pytest

from wrenlite.memo.cache import unwanted
from wrenlite.memo.index import NAME, Entry, Index
from wrenlite.memo.why import why


def entry(number, size=4):
    return Entry(bytes([number]) * 20, 1, b"digest", size, b"blob")


@pytest.fixture
def index(tmp_path):
    made = Index(tmp_path / "kept")
    yield made
    made.close()


def test_the_entry_that_came_first_stays(index):
    index.add([entry(1), entry(2)])
    index.add([entry(1)._replace(blob=b"other"), entry(3)])
    found = index.look_up([entry(number).key for number in (1, 3, 4)])
    assert found == {entry(1).key: entry(1), entry(3).key: entry(3)}
    index.forget([entry(1).key])
    assert not index.look_up([entry(1).key])


def test_many_keys_are_looked_up_at_once(index):
    keys = [number.to_bytes(20, "big") for number in range(2_000)]
    index.add([entry(1)._replace(key=key) for key in keys])
    assert len(index.look_up(keys)) == 2_000


def test_only_the_user_can_read_and_write_it(index):
    index.add([entry(1)])
    assert stat.S_IMODE(index.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in index.folder.iterdir()} == {0o600}
    index.close()
    index.folder.chmod(0o777)
    index.look_up([])
    assert stat.S_IMODE(index.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("why_aside", ["damaged", "newer"])
def test_a_file_that_cannot_be_used_is_set_aside(index, why_aside):
    index.add([entry(1)])
    index.close()
    path = index.folder / NAME
    if why_aside == "newer":
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        path.write_bytes(os.urandom(3_000))
    with pytest.warns(UserWarning, match="a new one begins") as caught:
        assert index.look_up([entry(1).key]) == {}
    assert ("newer wrenlite" in str(caught[0].message)) == (why_aside == "newer")
    assert len(list(index.folder.glob(f"{NAME}.{why_aside}-*"))) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add([entry(2)])
        assert index.look_up([entry(2).key])


def test_a_deleted_folder_is_made_again(index):
    index.add([entry(1)])
    for path in index.folder.iterdir():
        path.unlink()
    index.folder.rmdir()
    assert not index.look_up([entry(1).key])
    index.add([entry(2)])
    assert index.look_up([entry(2).key])


def test_definitions_are_known_by_their_digest(index):
    name = index.add_definitions("[]")
    assert index.definitions(name) == "[]"
    index.close()
    connection = sqlite3.connect(index.folder / NAME)
    connection.execute("UPDATE definitions SET text = '[1]'")
    connection.commit()
    connection.close()
    assert index.definitions(name) is None


def test_what_was_not_used_for_the_longest_time_is_unwanted_first():
    rows = [(b"a", 50, 100), (b"b", 30, 200), (b"c", 40, 300), (b"d", 0, 400)]
    assert unwanted(rows, 400, most_bytes=120, longest_s=300) == []
    assert unwanted(rows, 401, most_bytes=120, longest_s=300) == [b"a"]
    assert unwanted(rows, 400, most_bytes=100, longest_s=300) == [b"a"]
    assert unwanted(rows, 400, most_bytes=70, longest_s=300) == [b"a", b"b"]
    assert unwanted(rows, 10_000, most_bytes=100, longest_s=300) == [b"a", b"b", b"c", b"d"]


def test_why_says_what_has_changed_since_the_last_run_of_the_function(index):
    first = index.call("a", "main.py:f", '{"function main.py:f": "1", "package numpy": "2.1.3"}')
    second = index.call("b", "main.py:f", '{"function main.py:f": "1", "package numpy": "2.2.0"}')
    other = index.call("c", "main.py:g", "{}")
    for job, call, tasks, cached in [
        ("f-1", first, 10, 0),
        ("g-1", other, 3, 0),
        ("f-2", second, 10, 0),
        ("f-3", second, 12, 10),
    ]:
        index.add_run(job, call, tasks, cached)
    runs = index.runs()
    assert str(why(runs, "f-1")) == "No earlier run of main.py:f is known.\nf-1: 10 tasks, 0 cached, 10 ran."
    assert "2.1.3" in str(why(runs, "f-2"))
    assert [change.name for change in why(runs, "f-2").changes] == ["numpy"]
    assert "Nothing has changed since f-2" in str(why(runs, "f-3"))
    assert "2 items of 12 are new" in str(why(runs, "f-3"))
    with pytest.raises(LookupError, match="several jobs: f-3, f-2, f-1"):
        why(runs, "f-")
    with pytest.raises(LookupError, match="no job with cache=True"):
        why(runs, "h")
