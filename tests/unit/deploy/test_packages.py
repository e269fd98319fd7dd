"""Layers, from an index that is a folder: nothing leaves this machine."""

import io
import marshal
import re
import sys
import zipfile

import cloudpickle
import pytest

import wrenlite
from tests.aws.wheels import wheel
from wrenlite.deploy import packages


@pytest.fixture(autouse=True)
def wheels(index):
    """One package, which needs another one."""
    wheel(index, "little", "1.0", {"__init__.py": "", "tests/test_it.py": "", "it.pyi": ""}, needs="smaller")
    wheel(index, "smaller", "2.0", {"__init__.py": "x = 1\n" * 500})


OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = "3.13" if OWN == "3.12" else "3.12"
"""A Python whose byte code this one cannot make."""


def build(*wanted, python=OTHER, architecture="arm64"):
    return packages.build(wanted, python=python, architecture=architecture)


def names(layer):
    with zipfile.ZipFile(io.BytesIO(layer.content)) as archive:
        return archive.namelist()


def test_a_layer_is_the_same_each_time_and_holds_what_tasks_need():
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


def test_byte_code_for_the_runtime_is_added_where_there_is_room_for_it(index, monkeypatch):
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
    monkeypatch.setattr(packages, "UNPACKED_BYTES", 4 * 2**20 + one.unpacked_bytes - 1)
    assert not any(name.endswith(".pyc") for name in names(build("templates", python=OWN)))


def test_a_package_that_imports_its_own_tests_keeps_them(index):
    text = "from needy.tests.runner import TestRunner\n"
    wheel(index, "needy", "1.0", {"__init__.py": text, "tests/__init__.py": "", "tests/runner.py": ""})
    assert "python/needy/tests/runner.py" in names(build("needy"))


def test_settings_around_the_working_folder_decide_nothing(index, tmp_path, monkeypatch):
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
    assert one.cached(cache) is None
    built = one.layer(cache)
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "there-is-none"))
    assert one.layer(cache) == built
    (cache / f"{one.digest}.zip").write_bytes(b"cut sho")
    with pytest.raises(wrenlite.ConfigError, match="cannot be had"):
        one.layer(cache)


def test_the_cache_keeps_the_newest_layers(tmp_path):
    for number in range(6):
        asked("smaller", python=f"3.{number + 10}").layer(tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_cache_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(wrenlite.ConfigError, match=r"cannot build the layer: .*XDG_CACHE_HOME"):
        asked("smaller").layer(tmp_path / "file" / "cache")


def test_versions_are_those_that_are_installed_here():
    chosen = packages.choose(["not-installed-here", "NumPy==2.1"], python="3.12", architecture="x86_64")
    assert f"cloudpickle=={cloudpickle.__version__}" in chosen.requirements
    assert "not-installed-here" in chosen.requirements
    assert [name for name in chosen.requirements if "numpy" in name.lower()] == ["NumPy==2.1"]
    assert chosen.notices == ()


def test_what_python_3_11_has_on_lambda_is_said_in_words():
    chosen = packages.choose(["numpy==2.2.6"], python="3.11", architecture="x86_64")
    assert f"cloudpickle<={cloudpickle.__version__}" in chosen.requirements
    assert "numpy==2.2.6" in chosen.requirements
    (notice,) = chosen.notices
    assert re.search(r"glibc 2\.26.*the newest versions that run there", notice)
    chosen = packages.choose([], python="3.11", architecture="arm64")
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


def test_what_no_index_has_is_named():
    words = rf"(?s)cannot be had for Python {re.escape(OTHER)} on x86_64: little==7\. uv, .* says: .*little"
    with pytest.raises(wrenlite.ConfigError, match=words):
        build("little==7", architecture="x86_64")


def test_too_much_is_refused_with_what_weighs(monkeypatch):
    monkeypatch.setattr(packages, "UNPACKED_BYTES", 4 * 2**20 + 1000)
    with pytest.raises(wrenlite.ConfigError, match=r"(?s)Lambda takes 250 MB.*MB  smaller.*MB  little"):
        build("little")


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
