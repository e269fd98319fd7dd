"""Generating the synthetic archive: by a map, by several at once, and what remains after a failure."""

import os
import threading
import time

import pytest

from wrenlite.errors import ConfigError, StoreError
from wrenlite.gallery.landsat import catalog
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.places import PLACES

NAPA = PLACES["napa"]


@pytest.fixture
def few(monkeypatch):
    """Make the archive one of two small scenes."""
    two = [archive.Pass("napa", day, side=64) for day in NAPA.dates[:2]]
    monkeypatch.setattr(archive, "passes", lambda: two)
    return two


def test_an_archive_generated_by_a_map_and_one_that_fails(few, tmp_path):
    with pytest.raises(ZeroDivisionError):
        archive.ensure_archive(tmp_path / "bad", run=lambda pairs: 1 / 0)
    assert list(tmp_path.iterdir()) == []
    made = archive.ensure_archive(
        tmp_path / "good", run=lambda pairs: [archive.write_scene(*pair) for pair in pairs]
    )
    assert len(catalog.stored(str(made))) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["good"]
    assert made.stat().st_mode == tmp_path.joinpath("good/collection02").stat().st_mode


def test_a_full_disk_is_reported_and_no_file_remains(script, tmp_path):
    done = script(
        """
        import resource
        import signal
        from pathlib import Path

        from wrenlite.errors import StoreError
        from wrenlite.gallery.synthetic import archive

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for size in (0, 20, 2_000, 20_000):  # allow none of the files, and then some of them
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                archive.ensure_archive(Path("cache", "archive"))
            except StoreError as error:
                print(error, list(Path("cache").iterdir()))
        """
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("cannot write ") and line.endswith("File too large []") for line in lines)


def test_a_folder_that_cannot_be_made(few, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for folder in ("file", "file/archive", "file/cache/archive"):
        with pytest.raises(StoreError, match=r"Not a directory|is a file"):
            archive.ensure_archive(tmp_path / folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"cannot use the folder .*Not a directory"):
        archive.ensure_archive()
    with pytest.raises(StoreError, match="cannot write to"):
        archive.whole_scene(tmp_path / "file" / "scene", side=64)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_late_worker_does_not_create_the_folder_again(few, tmp_path):
    tasks = []

    def fails(pairs):
        tasks.extend(pairs)
        archive.write_scene(*pairs[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.ensure_archive(tmp_path / "archive", run=fails)
    with pytest.raises(StoreError, match="No such file or directory"):
        archive.write_scene(*tasks[1])
    assert list(tmp_path.iterdir()) == []


def test_an_archive_generated_by_several_threads_at_once(few, tmp_path):
    barrier = threading.Barrier(3)

    def run(pairs):
        barrier.wait(30)  # all threads have begun, in their own folders
        return [archive.write_scene(*pair) for pair in pairs]

    made = []
    threads = [
        threading.Thread(target=lambda: made.append(archive.ensure_archive(tmp_path / "archive", run=run)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [tmp_path / "archive"] * 3
    assert [each.name for each in tmp_path.iterdir()] == ["archive"]
    assert len(catalog.stored(str(tmp_path / "archive"))) == 2


def test_an_archive_that_another_process_publishes_meanwhile(few, tmp_path):
    folder = tmp_path / "archive"

    def run(pairs):
        made = [archive.write_scene(*pair) for pair in pairs]
        archive.ensure_archive(folder)
        return made

    assert archive.ensure_archive(folder, run=run) == folder
    assert [each.name for each in tmp_path.iterdir()] == ["archive"]


def test_folders_of_killed_runs_are_removed_after_an_hour(few, tmp_path):
    names = []

    def run(pairs):
        names.append(next(tmp_path.iterdir()).name)
        return [archive.write_scene(*pair) for pair in pairs]

    archive.ensure_archive(tmp_path / "archive", run=run)
    old, young = (tmp_path / f"{names[0]}{number}" for number in range(2))
    mine = tmp_path / ".archive.mine"
    for folder in (old, young, mine):
        (folder / "archive").mkdir(parents=True)
    for folder in (old, mine):
        os.utime(folder, (time.time() - 4000,) * 2)
    (tmp_path / "archive").rename(tmp_path / "elsewhere")
    archive.ensure_archive(tmp_path / "archive")
    assert {each.name for each in tmp_path.iterdir()} == {"archive", "elsewhere", young.name, mine.name}


def test_a_folder_with_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"has other files and no items\.json"):
        archive.ensure_archive(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
