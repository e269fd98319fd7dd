"""Local modules: which ones travel, and how a worker imports them."""

import sys

import pytest

from wrenlite.errors import LocalExtension
from wrenlite.serialize import modules
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
    shipped = modules.BundleImporter(bundle.blob)
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
    assert modules.BundleImporter(bundle.blob).get_source("files.json") == "x = 1\n"
