"""Local modules: which ones travel, and how a worker imports them."""

import contextlib
import importlib
import importlib.resources
import io
import os
import pkgutil
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from wrenlite.errors import LocalExtension
from wrenlite.serialize import modules, package_data
from wrenlite.serialize.bundle_importer import BundleImporter
from wrenlite.serialize.class_table import modules_imported_by


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function that writes local modules into a folder at the start of sys.path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@contextlib.contextmanager
def on_a_worker(bundle, folder, monkeypatch):
    """Import from a bundle only, as a worker does, whose sys.path has not the caller's folder."""
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.startswith(str(folder))])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    importer = BundleImporter(bundle.blob)
    importer.install()
    try:
        yield importer
    finally:
        importer.remove()


def collected_names(*roots):
    bundle = modules.collect(roots)
    return set(bundle.names) if bundle else set()


def test_installed_modules_do_not_travel():
    assert (
        modules.collect(
            ["json", "numpy.linalg", "sys", "click", "wrenlite.serialize.pickling", "no_such_module"]
        )
        is None
    )


def test_imports_are_followed_even_inside_functions(folder):
    folder(
        {
            "wl_a.py": "import json, wl_b\ndef f():\n    from wl_pkg.deep import thing",
            "wl_b.py": "if False:\n    import wl_c",
            "wl_c.py": "",
            "wl_unused.py": "",
            "wl_pkg/__init__.py": "from . import side",
            "wl_pkg/side.py": "from .. import nothing",
            "wl_pkg/deep.py": "from .other import *\nthing = 1",
            "wl_pkg/other.py": "",
        }
    )
    assert collected_names("wl_a") == {
        *("wl_a", "wl_b", "wl_c", "wl_pkg", "wl_pkg.side", "wl_pkg.deep", "wl_pkg.other"),
    }


def test_modules_are_found_without_importing_them(folder):
    folder({"wl_boom.py": "raise SystemExit", "wl_pack/__init__.py": "1/0", "wl_pack/mod.py": ""})
    assert collected_names("wl_boom", "wl_pack.mod") == {"wl_boom", "wl_pack", "wl_pack.mod"}


def test_imports_that_leave_the_top_level_package_name_no_module(folder):
    text = "try:\n    from {0} import wl_up\n    from {0}wl_up import x\nexcept ImportError:\n    pass"
    folder(
        {
            "wl_up.py": "",
            "wl_script.py": text.format("."),
            "wl_pkg/__init__.py": text.format(".."),
            "wl_pkg/mod.py": text.format("....."),
        }
    )
    # pytest's own finder, which is in sys.meta_path here, raises ValueError for an empty name.
    assert collected_names("wl_script", "wl_pkg.mod", "", ".") == {"wl_script", "wl_pkg", "wl_pkg.mod"}

    def imports():
        from ...three import four  # noqa: F401
        from .. import two  # noqa: F401
        from . import one  # noqa: F401

    code = imports.__code__
    assert modules_imported_by(code, None) == modules_imported_by(code, "") == set()
    assert modules_imported_by(code, "a.b") == {"a.b", "a.b.one", "a", "a.two"}


def test_a_module_whose_finder_raises_is_no_module(folder, monkeypatch):
    class Blocker:
        def find_spec(self, name, path, target=None):
            if name == "wl_blocked":
                raise ImportError("not here")

    folder({"wl_asks.py": "try:\n    import wl_blocked.part\nexcept ImportError:\n    pass"})
    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    assert collected_names("wl_asks") == {"wl_asks"}


def test_equal_sources_make_equal_bytes(folder, tmp_path):
    folder({"wl_x.py": "x = 1", "wl_y.py": "import wl_x"})
    first = modules.collect(["wl_y", "wl_x"])
    (tmp_path / "wl_x.py").touch()
    assert modules.collect(["wl_x", "wl_y"]) == first
    (tmp_path / "wl_x.py").write_text("x = 22")
    assert modules.collect(["wl_y"]) != first


def test_compiled_local_modules_are_refused_by_name(folder, tmp_path):
    folder({"wl_needs.py": "import wl_fast"})
    suffix = next(s for s in __import__("importlib.machinery").machinery.EXTENSION_SUFFIXES)
    (tmp_path / f"wl_fast{suffix}").write_bytes(b"")
    with pytest.raises(LocalExtension, match="'wl_fast' is compiled"):
        modules.collect(["wl_needs"])


def test_modules_that_pip_installed_into_a_folder_do_not_travel(folder, tmp_path):
    folder({"wl_vendored.py": "", "wl_vendored-1.0.dist-info/METADATA": ""})
    assert collected_names("wl_vendored") == set()


def test_shipped_modules_import_and_name_their_files(folder, tmp_path, monkeypatch):
    folder(
        {
            "wl_pkg/__init__.py": "",
            "wl_pkg/mod.py": "def f():\n    raise KeyError(1)",
            "wl_ns/leaf.py": "v = 5",
        }
    )
    bundle = modules.collect(["wl_pkg.mod", "wl_ns.leaf"])
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    shipped = BundleImporter(bundle.blob)
    shipped.install()
    try:
        import wl_ns.leaf
        import wl_pkg.mod

        assert wl_ns.leaf.v == 5
        assert wl_pkg.mod.__file__ == str(tmp_path / "wl_pkg" / "mod.py")
        assert wl_pkg.mod.f.__code__.co_filename == wl_pkg.mod.__file__
        assert "KeyError" in shipped.get_source("wl_pkg.mod")
    finally:
        shipped.remove()
    assert "wl_pkg.mod" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        import wl_ns.leaf


def test_a_program_sends_on_the_modules_that_were_sent_to_it(folder, tmp_path, monkeypatch):
    folder(
        {
            "wl_pkg/__init__.py": "",
            "wl_pkg/mod.py": "import wl_other\n",
            "wl_pkg/tables/t.csv": "1,2\n",
            "wl_other.py": "import json\n",
        }
    )
    bundle = modules.collect(["wl_pkg.mod"], data=True)
    shutil.rmtree(tmp_path / "wl_pkg")
    (tmp_path / "wl_other.py").write_text("changed = 1\n")
    with on_a_worker(bundle, tmp_path, monkeypatch):
        import wl_pkg.mod

        assert (Path(wl_pkg.mod.__file__).parent / "tables" / "t.csv").read_text() == "1,2\n"
        assert modules.collect(["wl_pkg.mod"], data=True) == bundle
        assert modules.surely_imported(["wl_pkg.mod"], bundle.names) >= {"wl_pkg", "wl_other", "json"}
        monkeypatch.syspath_prepend(tmp_path / "more")
        folder({"more/wl_new.py": "import wl_other\n"})
        both = modules.collect(["wl_new"], data=True)
    assert both.names == bundle.names | {"wl_new"}
    assert BundleImporter(both.blob).get_source("wl_other") == "import json\n"


def test_the_worker_path_has_no_folder_of_the_caller(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = modules.worker_path()
    assert str(tmp_path) not in path
    assert any(entry.endswith("site-packages") for entry in path)


def test_a_module_may_have_any_name(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "__init__.py").write_text("")
    (tmp_path / "files" / "json.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    bundle = modules.collect(["files.json"])
    assert bundle.names == {"files", "files.json"}
    assert BundleImporter(bundle.blob).get_source("files.json") == "x = 1\n"


PACKAGE_WITH_DATA = {
    "wl_pkg/__init__.py": "MORE = 'wl_pkg.more'",
    "wl_pkg/mod.py": (
        "from pathlib import Path\ndef read():\n    return (Path(__file__).parent / 'a.csv').read_text()"
    ),
    "wl_pkg/a.csv": "1,2",
    "wl_pkg/tables/deep/b.csv": "3,4",
    "wl_pkg/more/__init__.py": "",
    "wl_pkg/more/c.csv": "5,6",
    "wl_pkg/unused/__init__.py": "",
    "wl_pkg/unused/not_asked_for.csv": "",
    **dict.fromkeys(
        ("wl_pkg/.git/config", "wl_pkg/.env", "wl_pkg/__pycache__/x.bin", "wl_pkg/fast.so"), "no"
    ),
}


def read_in_every_way(package):
    files = importlib.resources.files
    with importlib.resources.as_file(files(package) / "a.csv") as path:
        assert path.read_text() == "1,2"
    assert (files(package) / "tables" / "deep" / "b.csv").read_text() == "3,4"
    assert files(f"{package}.tables.deep").joinpath("b.csv").read_text() == "3,4"
    assert files(f"{package}.more").joinpath("c.csv").read_bytes() == b"5,6"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.11 and 3.12
        with importlib.resources.open_text(f"{package}.more", "c.csv") as stream:
            assert stream.read() == "5,6"
    assert pkgutil.get_data(package, "tables/deep/b.csv") == b"3,4"
    with pytest.raises(FileNotFoundError):
        pkgutil.get_data(package, "no.csv")
    with pytest.raises(FileNotFoundError):
        (files(package) / "no.csv").read_text()


def test_data_files_of_packages_travel(folder, tmp_path, monkeypatch):
    folder(PACKAGE_WITH_DATA)
    bundle = modules.collect(["wl_pkg.mod"], data=True)
    assert bundle.names == {"wl_pkg", "wl_pkg.mod", "wl_pkg.more"}
    assert bundle.left_out == ()
    with zipfile.ZipFile(io.BytesIO(bundle.blob)) as archive:
        data = {name.partition("/")[2] for name in archive.namelist() if name.startswith(modules.DATA)}
    assert data == {"wl_pkg/a.csv", "wl_pkg/tables/deep/b.csv", "wl_pkg/more/c.csv"}
    (tmp_path / "wl_pkg").rename(tmp_path / "gone")  # as on another machine
    with on_a_worker(bundle, tmp_path, monkeypatch):
        read_in_every_way("wl_pkg")
        mod = importlib.import_module("wl_pkg.mod")
        assert mod.read() == "1,2"
        assert mod.read.__code__.co_filename == str(tmp_path / "wl_pkg" / "mod.py")
        unpacked = Path(mod.__file__).parent
    assert not unpacked.exists()


def test_data_files_are_read_in_place_where_the_callers_folder_is_there(folder, tmp_path, monkeypatch):
    folder({**PACKAGE_WITH_DATA, "wl_pkg/plug.py": ""})
    bundle = modules.collect(["wl_pkg.mod"])
    with zipfile.ZipFile(io.BytesIO(bundle.blob)) as archive:
        assert not [name for name in archive.namelist() if name.startswith(modules.DATA)]
    with on_a_worker(bundle, tmp_path, monkeypatch):
        read_in_every_way("wl_pkg")
        assert importlib.import_module("wl_pkg.mod").read() == "1,2"
        assert importlib.resources.files("wl_pkg") == tmp_path / "wl_pkg"
        package = importlib.import_module("wl_pkg")
        assert "plug" in {module.name for module in pkgutil.iter_modules(package.__path__)}
        with pytest.raises(ModuleNotFoundError, match="it was not sent"):
            importlib.import_module("wl_pkg.plug")


def test_modules_and_data_in_a_zip_travel(folder, tmp_path, monkeypatch):
    folder({"wl_uses.py": "import wl_pkg.mod, wl_ns.leaf"})
    for suffix in ("pyz", "zip", "egg"):
        place = tmp_path / f"packed.{suffix}"
        with zipfile.ZipFile(place, "w") as archive:
            files = {**PACKAGE_WITH_DATA, "wl_ns/": "", "wl_ns/leaf.py": "", "wl_ns/d.txt": "7"}
            for name, text in files.items():
                archive.writestr(name, text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(place)
            bundle = modules.collect(["wl_uses"])
            assert bundle.names == {"wl_uses", "wl_pkg", "wl_pkg.mod", "wl_pkg.more", "wl_ns.leaf"}
            assert str(place) not in modules.worker_path()
            with on_a_worker(bundle, tmp_path, patch):
                read_in_every_way("wl_pkg")
                assert importlib.resources.files("wl_ns").joinpath("d.txt").read_text() == "7"
                code = importlib.import_module("wl_pkg.mod").read.__code__
                assert code.co_filename == str(place / "wl_pkg" / "mod.py")


def test_data_files_that_are_too_large_or_too_many_are_named(folder, tmp_path, monkeypatch):
    folder({"wl_pkg/__init__.py": "", "wl_pkg/small.txt": "small", "wl_many/__init__.py": ""})
    with open(tmp_path / "wl_pkg" / "large.bin", "wb") as stream:
        stream.truncate(2 << 30)  # it takes no room on the disk
    (tmp_path / "wl_pkg" / "link").symlink_to(tmp_path)
    (tmp_path / "wl_pkg" / os.fsdecode(b"\xff")).touch()
    os.mkfifo(tmp_path / "wl_pkg" / "pipe")
    monkeypatch.setattr(package_data, "_PACKAGE_FILES", 4)
    folder({f"wl_many/{number}.txt": "" for number in range(5)})
    bundle = modules.collect(["wl_pkg", "wl_many"], data=True)
    assert set(bundle.left_out) == {
        f"{tmp_path / 'wl_pkg' / 'large.bin'} (2,048.0 MB)",
        f"{tmp_path / 'wl_pkg'}/\\udcff (its name is not UTF-8)",
        f"{tmp_path / 'wl_pkg' / 'link'} (a link to a folder)",
        f"all files in {tmp_path / 'wl_many'} (more than 4)",
    }
    assert len(bundle.blob) < 2_000
    assert b"data/wl_pkg/small.txt" in bundle.blob


def test_namespace_packages_in_each_other_are_found_without_importing_them(folder):
    folder({"wl_outer/inner/leaf.py": "from wl_outer.other import x", "wl_outer/other/__init__.py": "x = 1"})
    assert collected_names("wl_outer.inner.leaf") == {"wl_outer.inner.leaf", "wl_outer.other"}
