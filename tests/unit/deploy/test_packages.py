"""Layers, from an index that is a folder: nothing leaves this machine."""

import io
import marshal
import re
import sys
import tarfile
import traceback
import zipfile

import cloudpickle
import pytest

import wrenlite
from tests.aws.wheels import wheel
from wrenlite.deploy import packages
from wrenlite.storage.archives import read_index


@pytest.fixture(autouse=True)
def wheels(index):
    """One package, which needs another one."""
    wheel(index, "little", "1.0", {"__init__.py": "", "tests/test_it.py": "", "it.pyi": ""}, needs="smaller")
    wheel(index, "smaller", "2.0", {"__init__.py": "x = 1\n" * 500})


OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = "3.13" if OWN == "3.12" else "3.12"
"""A Python whose byte code this one cannot make."""


@pytest.fixture
def build(tmp_path):
    def made(*wanted, python=OTHER, architecture="arm64"):
        return packages.build(
            wanted, python=python, architecture=architecture, archives=tmp_path / "archives"
        )

    return made


def names(layer):
    with zipfile.ZipFile(io.BytesIO(layer.content)) as archive:
        return archive.namelist()


def test_a_layer_is_the_same_each_time_and_holds_what_tasks_need(build):
    one = build("little==1.0")
    assert build("little==1.0") == one
    assert names(one) == [
        "python/little-1.0.dist-info/METADATA",
        "python/little-1.0.dist-info/RECORD",
        "python/little-1.0.dist-info/WHEEL",
        "python/little/__init__.py",
        "python/smaller-2.0.dist-info/METADATA",
        "python/smaller-2.0.dist-info/RECORD",
        "python/smaller-2.0.dist-info/WHEEL",
        "python/smaller/__init__.py",
    ]
    assert 3_000 < one.unpacked_bytes < 4_000
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        record = archive.read("python/little-1.0.dist-info/RECORD").decode()
    assert record.splitlines() == [
        f"{name},,"
        for name in ("little-1.0.dist-info/METADATA", "little-1.0.dist-info/WHEEL", "little/__init__.py")
    ]


def test_byte_code_for_the_runtime_is_added_where_there_is_room_for_it(build, index, monkeypatch):
    wheel(index, "templates", "1.0", {"__init__.py": "x = 1\n", "template.py": "class {name}: pass\n"})
    one = build("templates", python=OWN)
    assert build("templates", python=OWN) == one
    compiled = f"python/templates/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
    assert [name for name in names(one) if "__pycache__" in name] == [compiled], "not of what is no Python"
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        content = archive.read(compiled)
        assert sum(entry.file_size for entry in archive.infolist()) == one.unpacked_bytes
    assert content[4] == 1, "without looking at the source"
    assert marshal.loads(content[16:]).co_filename == "/opt/python/templates/__init__.py"
    monkeypatch.setattr(packages, "LAYER_BYTES", one.unpacked_bytes - 1)
    assert not any(name.endswith(".pyc") for name in names(build("templates", python=OWN)))


def test_tests_are_left_out_unless_other_code_imports_them(build, index):
    files = {
        "__init__.py": "from needy.tests.runner import TestRunner\n",
        "tests/__init__.py": "",
        "tests/runner.py": "",
        "part/tests/test_part.py": "",
        "part/deep/helpers.py": "def f():\n    from ..tests2 import x\n    from ...other.tests import y\n",
        "other/tests/__init__.py": "",
        "other/latest/tests/test_it.py": "import needy.latests\n",
        "testing/__init__.py": "",
        "test/__init__.py": "",
        "test/client.py": "",
        "unit/test/test_it.py": "",
    }
    wheel(index, "needy", "1.0", files)
    kept = {name.removeprefix("python/needy/") for name in names(build("needy")) if "/needy/" in name}
    assert kept == {
        "__init__.py",
        "tests/__init__.py",
        "tests/runner.py",
        "part/deep/helpers.py",
        "other/tests/__init__.py",
        "testing/__init__.py",
        "test/__init__.py",
        "test/client.py",
    }


def test_of_equal_shared_libraries_the_one_that_is_loaded_is_kept(build, index):
    library, other = "ELF\0libone.so.2\0", "ELF\0libtwo\0"
    copies = dict.fromkeys(("libone.so", "libone.so.2", "libone.so.2.1"), library)
    others = dict.fromkeys(("libtwo.so", "libtwo.so.1"), other)
    more = {"more/libone.so": library, "libno.a": "", "no.pyi": ""}
    wheel(index, "native", "1.0", {**copies, **others, **more})
    kept = [name.removeprefix("python/native/") for name in names(build("native")) if "/native/" in name]
    assert kept == ["libone.so.2", "libtwo.so", "libtwo.so.1", "more/libone.so"]


def test_settings_around_the_working_folder_decide_nothing(build, index, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "uv.toml").write_text('[pip]\nfind-links = ["/nowhere"]\nno-index = true\n')
    (tmp_path / "home" / "uv").mkdir(parents=True)
    (tmp_path / "uv.toml").rename(tmp_path / "home" / "uv" / "uv.toml")
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "project")
    assert "python/little/__init__.py" in names(build("little"))


def asked(*requirements, python="3.12", architecture="arm64"):
    return packages.Packages(requirements, python, architecture)


def test_a_layer_is_known_by_what_was_asked_for_and_built_once(tmp_path, monkeypatch):
    one, cache = asked("little==1.0"), tmp_path / "cache"
    others = [
        asked("smaller"),
        asked("little==1.0", python="3.13"),
        asked("little==1.0", architecture="x86_64"),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 4
    lock = one.resolve()
    assert lock.versions == ("little==1.0", "smaller==2.0")
    assert lock.cached(cache) is None
    built = lock.layer(cache)
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "there-is-none"))
    assert lock.layer(cache) == built
    (cached,) = cache.iterdir()
    cached.write_bytes(cached.read_bytes()[:-1] + b"!")
    with pytest.raises(wrenlite.ConfigError, match=r"cannot be had for .*: little==1\.0, smaller==2\.0\."):
        lock.layer(cache)


def test_another_wheel_of_the_same_version_is_another_layer(index, tmp_path):
    one = asked("smaller").resolve()
    built = one.layer(tmp_path / "cache")
    wheel(index, "smaller", "2.0", {"__init__.py": "x = 2\n"})
    assert one.versions == ("smaller==2.0",)
    other = asked("smaller").resolve(one.versions)
    assert other.cached(tmp_path / "cache") is None
    assert other.layer(tmp_path / "cache") != built
    wheel(index, "smaller", "3.0", {"__init__.py": ""})
    assert asked("smaller").resolve().versions == ("smaller==3.0",)
    assert asked("smaller").resolve(one.versions).versions == one.versions, "as it was deployed"


def test_the_cache_keeps_the_newest_layers(tmp_path):
    for number in range(6):
        asked("smaller", python=f"3.{number + 10}").resolve().layer(tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_cache_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(wrenlite.ConfigError, match=r"cannot build the layer: .*XDG_CACHE_HOME"):
        asked("smaller").resolve().layer(tmp_path / "file" / "cache")


def test_versions_are_those_that_are_installed_here():
    wanted = ["not-installed-here", "NumPy==2.1", "cloudpickle"]
    chosen = packages.choose(wanted, python="3.12", architecture="x86_64")
    installed = f"cloudpickle=={cloudpickle.__version__}"
    assert chosen.requirements == ("NumPy==2.1", installed, "not-installed-here")
    assert chosen.notices == ()


def test_who_names_packages_gets_them_and_what_the_demo_needs():
    assert packages.name_packages(["scipy", "NumPy==2.1"]) == ("NumPy==2.1", "pillow", "scipy")
    assert packages.name_packages([]) == ()
    left = packages.leave_out(["numpy", "Pillow>9", "scipy"], ["pillow", "rasterio"])
    assert left == ("numpy", "scipy"), "rasterio was not there, as was wanted"
    with pytest.raises(wrenlite.ConfigError, match=r"--without scpy: the packages .* are numpy, scipy"):
        packages.leave_out(left, ["scpy"])


@pytest.mark.parametrize(
    "text",
    [
        "mine @ https://me:secret@host/mine.whl",
        "mine @ git+https://secret@host/mine",
        "https://me:secret@h/m",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(text):
    with pytest.raises(wrenlite.ConfigError, match=r"//…@h") as caught:
        packages.parse(text)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_what_python_3_11_has_on_lambda_is_said_in_words():
    chosen = packages.choose(["cloudpickle", "numpy==2.2.6"], python="3.11", architecture="x86_64")
    assert chosen.requirements == (f"cloudpickle<={cloudpickle.__version__}", "numpy==2.2.6")
    (notice,) = chosen.notices
    assert re.search(r"glibc 2\.26.*the newest versions that run there", notice)
    chosen = packages.choose(packages.DEFAULT_PACKAGES, python="3.11", architecture="arm64")
    assert not any(requirement.startswith("rasterio") for requirement in chosen.requirements)
    assert chosen.notices[1].startswith("no rasterio: ")


@pytest.mark.parametrize(
    ("package", "python", "words"),
    [
        ("numpy", "3.10", "Lambda runs Python 3.11, .*and this is 3.10"),
        ("no good", "3.12", "package 'no good': must be a package's name"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_fetched(package, python, words):
    with pytest.raises(wrenlite.ConfigError, match=words):
        packages.choose([package], python=python, architecture="x86_64")


def test_what_no_index_has_is_named(build):
    words = rf"(?s)cannot be had for Python {re.escape(OTHER)} on x86_64: little==7\. uv, .* says: .*little"
    with pytest.raises(wrenlite.ConfigError, match=words):
        build("little==7", architecture="x86_64")


def test_what_does_not_fit_becomes_archives_and_what_others_need_stays(build, index, tmp_path, monkeypatch):
    wheel(index, "large", "1.0", {"__init__.py": "y = 1\n" * 100_000}, needs="smaller")
    wheel(index, "extra", "1.0", {"__init__.py": "z = 1\n" * 4_000}, needs='large; extra == "all"')
    wheel(index, "small_tool", "1.0", {"__init__.py": ""}, needs="large")
    monkeypatch.setattr(packages, "LAYER_BYTES", 100_000)
    one = build("small-tool", "extra", "little", "smaller", python=OWN)
    assert build("small-tool", "extra", "little", "smaller", python=OWN) == one
    facts = [(each.name, each.version, each.modules, each.needs) for each in one.archives]
    assert facts == [
        ("small-tool", "1.0", ("small_tool",), ("large",)),
        ("large", "1.0", ("large",), ()),
    ], "who needs a package that is not in the layer is not there either; extra and little fit after all"
    assert {path.name for path in (tmp_path / "archives").iterdir()} == {each.digest for each in one.archives}
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        assert read_index(archive.read("python/wrenlite-archives.json")) == one.archives
        tops = {name.split("/")[1] for name in archive.namelist()}
    fit = {
        "smaller",
        "smaller-2.0.dist-info",
        "extra",
        "extra-1.0.dist-info",
        "little",
        "little-1.0.dist-info",
    }
    described = {"small_tool-1.0.dist-info", "large-1.0.dist-info"}
    assert tops == {*fit, "wrenlite-archives.json", *described}
    with tarfile.open(tmp_path / "archives" / one.archives[-1].digest) as archive:
        assert "large/__init__.py" in archive.getnames()
        (compiled,) = [name for name in archive.getnames() if name.endswith(".pyc")]
        content = archive.extractfile(compiled).read()
    assert marshal.loads(content[16:]).co_filename == "/tmp/wrenlite-packages/site/large/__init__.py"


@pytest.mark.parametrize(
    ("python", "architecture", "platform"),
    [
        ("3.13", "x86_64", "x86_64-manylinux_2_28"),
        ("3.12", "arm64", "aarch64-manylinux_2_28"),
        ("3.11", "x86_64", "x86_64-manylinux_2_17"),
    ],
)
def test_the_platform_of_lambdas_runtimes(python, architecture, platform):
    assert packages.platform(python, architecture) == platform
