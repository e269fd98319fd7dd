"""Files stay open between tasks: few of them, not for ever, one task at a time, and not across a fork."""

import os
import threading

import pytest

from wrenlite.gallery.ndvi.open_files import OpenFiles


class File:
    """A file that counts how many are open."""

    open_count = 0

    def __init__(self) -> None:
        self.closed = 0
        type(self).open_count += 1

    def close(self) -> None:
        self.closed += 1
        type(self).open_count -= 1


@pytest.fixture(autouse=True)
def all_closed():
    """Every file is closed in the end."""
    File.open_count = 0
    made = []
    yield made
    for files in made:
        files.close()
    assert File.open_count == 0


@pytest.fixture
def files(all_closed):
    """Files that are kept, two at most."""
    kept = OpenFiles(limit=2, age_s=1000.0)
    all_closed.append(kept)
    return kept


def test_a_file_is_lent_again(files):
    with files.borrow("a", File) as first:
        pass
    with files.borrow("a", File) as second:
        assert second is first
        assert not first.closed
    with files.borrow("b", File) as other:
        assert other is not first


def test_a_file_in_use_is_not_lent_to_another(files):
    with files.borrow("a", File) as first, files.borrow("a", File) as second:
        assert first is not second


def test_those_used_last_stay_open(files):
    opened = {}
    for key in "abca":
        with files.borrow(key, File) as opened[key]:
            pass
    assert File.open_count == 2
    assert (opened["a"].closed, opened["b"].closed, opened["c"].closed) == (0, 1, 0)


def test_more_files_stay_open_for_a_while(files):
    with files.room_for_more():
        for key in range(10):
            with files.borrow(key, File):
                pass
        assert File.open_count == 10
        with files.borrow(0, File):
            assert File.open_count == 10
    assert File.open_count == 2
    with files.borrow(0, File):
        assert File.open_count == 2  # those used last are kept


def test_a_file_is_closed_after_an_error(files):
    with pytest.raises(ValueError, match="broken"), files.borrow("a", File) as first:
        raise ValueError("broken")
    assert first.closed == 1
    with files.borrow("a", File) as second:
        assert second is not first


def test_an_old_file_is_not_lent(all_closed):
    kept = OpenFiles(limit=2, age_s=0.0)
    all_closed.append(kept)
    with kept.borrow("a", File) as first:
        pass
    assert first.closed == 1
    with kept.borrow("a", File) as second:
        assert second is not first


def test_a_forked_process_opens_its_own(files):
    with files.borrow("a", File) as first:
        pass
    child = os.fork()
    if child == 0:
        with files.borrow("a", File) as other:
            os._exit(0 if other is not first and not first.closed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with files.borrow("a", File) as again:
        assert again is first


def test_many_threads_borrow_at_the_same_time(files):
    in_use = set()
    clashes = []

    def work():
        for number in range(200):
            with files.borrow(number % 3, File) as file:
                if id(file) in in_use or file.closed:
                    clashes.append(file)
                in_use.add(id(file))
                in_use.discard(id(file))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
    assert File.open_count <= 2
