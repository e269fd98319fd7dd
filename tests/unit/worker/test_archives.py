"""Packages in archives: unpacked when they are imported, and nothing is used that was changed."""

import importlib
import importlib.metadata
import importlib.resources
import sys
from pathlib import Path

import pytest

import wrenlite
from wrenlite.deploy.archives import Distribution, write_archive
from wrenlite.storage import archives as stored
from wrenlite.storage.archives import ArchivesPlace, archive_key, write_index
from wrenlite.storage.base import Span
from wrenlite.storage.local import LocalStore
from wrenlite.worker import archives as unpacking

PACKAGES = {
    "archived": (
        {"archived/__init__.py": "import archived_needs.part\n", "archived/data.txt": "hello"},
        ["needs"],
    ),
    "needs": ({"archived_needs/part.py": "PART = 1\n"}, []),
    "other-part": ({"archived_needs/other.py": "PART = 2\n"}, []),
    "damaged": ({"archived_damaged/__init__.py": "", "archived_damaged/rest.txt": "7" * 100}, []),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Archives in a store, each of pieces of 128 bytes."""
    for module in (stored, unpacking, sys.modules["wrenlite.deploy.archives"]):
        monkeypatch.setattr(module, "PIECE_BYTES", 128)
    store, index = LocalStore(tmp_path / "store"), []
    for name, (texts, needs) in PACKAGES.items():
        about = f"{name.replace('-', '_')}-1.0.dist-info/METADATA"
        files = {**texts, about: f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"}
        content = {file: text.encode() for file, text in files.items()}
        one = Distribution(name, "1.0", tuple(files), frozenset(needs))
        archive = write_archive(tmp_path / "built", one, content, needs)
        store.put(archive_key("fn", archive.digest), (tmp_path / "built" / archive.digest).read_bytes())
        index.append(archive)
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "wrenlite-archives.json").write_bytes(write_index(index))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "layer")])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield ArchivesPlace(store, "fn", stored.find_index(sys.path), str(tmp_path / "tmp"))
    for name in [name for name in sys.modules if name.startswith("archived")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def key_of(place, name):
    archives = stored.read_index(Path(place.index_file).read_bytes())
    return next(archive_key("fn", archive.digest) for archive in archives if archive.name == name)


def unpacked(tmp_path):
    return sorted(path.name for path in (tmp_path / "tmp").iterdir() if path.name != "lock")


def test_a_package_is_unpacked_with_what_it_needs_when_it_is_imported(place, tmp_path):
    finder = unpacking.install(place)
    reports = []
    finder.report = reports.append
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("in_no_archive")
    assert (reports, finder.waited_s) == ([], 0.0)
    archived = importlib.import_module("archived")
    assert archived.archived_needs.part.PART == 1
    assert importlib.resources.files("archived").joinpath("data.txt").read_text() == "hello"
    assert importlib.metadata.version("archived") == "1.0"
    assert (reports[0], reports[-1]) == (True, False)
    assert 0 < finder.waited_s < 60
    del reports[:]
    assert importlib.import_module("archived_needs.other").PART == 2, "a namespace may be in several archives"
    assert reports[-1] is False
    del reports[:]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("archived.there_is_none")
    assert reports == [], "what is unpacked is not fetched again"
    assert unpacked(tmp_path) == ["done", "site"]


def test_another_worker_of_the_sandbox_finds_what_is_unpacked(place):
    unpacking.install(place)
    importlib.import_module("archived")
    place.store.delete([key_of(place, "archived"), key_of(place, "needs")])
    del sys.modules["archived"], sys.modules["archived_needs"], sys.modules["archived_needs.part"]
    finder = unpacking.install(place)
    assert importlib.import_module("archived").archived_needs.part.PART == 1
    assert finder.waited_s == 0.0


def change_the_last_byte(store, key):
    store.put(key, store.get(key)[:-1] + b"!")


def cut_it(store, key):
    store.put(key, store.get(key, Span(0, 200)))


def take_another(store, key):
    (other,) = [entry.key for entry in store.list("packages/") if entry.key != key][:1]
    store.put(key, store.get(other))


@pytest.mark.parametrize("change", [change_the_last_byte, cut_it, take_another])
def test_a_changed_archive_is_refused_with_its_name(place, tmp_path, change):
    change(place.store, key := key_of(place, "damaged"))
    unpacking.install(place)
    for _ in range(2):
        with pytest.raises(
            wrenlite.IntegrityError, match=r"package damaged \(packages/fn/.*Run wrenlite-setup"
        ) as caught:
            importlib.import_module("archived_damaged")
        assert key in str(caught.value)
        assert unpacked(tmp_path) == ["done", "site"]
        assert list((tmp_path / "tmp" / "site").iterdir()) == []
    assert importlib.import_module("archived").archived_needs.part.PART == 1, "the others can be used"


def test_an_archive_that_is_gone_is_named(place):
    place.store.delete([key_of(place, "archived")])
    unpacking.install(place)
    with pytest.raises(wrenlite.NotFound, match=r"package archived .* is gone\. Run wrenlite-setup"):
        importlib.import_module("archived")


def test_what_a_killed_worker_left_is_completed_or_removed(place, tmp_path):
    first = unpacking.install(place)
    importlib.import_module("archived")
    (folder, site) = (tmp_path / "tmp", tmp_path / "tmp" / "site")
    (needs,) = [archive for archive in first._archives.values() if archive.name == "needs"]
    complete = folder / f"unpacked-{needs.digest}"
    complete.mkdir()
    (site / "archived_needs").rename(complete / "archived_needs")  # as if it was killed before it moved it
    (folder / "done" / needs.digest).unlink()
    (folder / "part-of-one").mkdir()
    (folder / "part-of-one" / "file").write_text("half of it")
    place.store.delete([key_of(place, "needs")])
    for name in ("archived", "archived_needs", "archived_needs.part"):
        del sys.modules[name]
    unpacking.install(place)
    assert unpacked(tmp_path) == ["done", "site"]
    assert importlib.import_module("archived").archived_needs.part.PART == 1
