"""Layers, from an index that is a folder: nothing leaves this machine."""

import io
import zipfile

import pytest

import wrenlite
from wrenlite.deploy import packaging


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A package index with one package, which needs another one."""
    wheel(
        tmp_path, "little", "1.0", {"__init__.py": "", "tests/test_it.py": "", "it.pyi": ""}, needs="smaller"
    )
    wheel(tmp_path, "smaller", "2.0", {"__init__.py": "x = 1\n" * 500})
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_CACHE", "1")


def wheel(folder, name, version, files, needs=None):
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {f"{name}/{file}": text for file, text in files.items()}
    content |= {f"{about}/METADATA": metadata, f"{about}/WHEEL": tag}
    record = "".join(f"{file},,\n" for file in [*content, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in {**content, f"{about}/RECORD": record}.items():
            archive.writestr(file, text)


def build(*wanted, python="3.12", architecture="arm64"):
    return packaging.build(wanted, python=python, architecture=architecture)


def names(layer):
    with zipfile.ZipFile(io.BytesIO(layer.content)) as archive:
        return archive.namelist()


def test_a_layer_is_the_same_each_time_and_holds_what_tasks_need():
    one = build("little==1.0")
    assert build("little==1.0") == one
    assert names(one) == [
        "python/little-1.0.dist-info/METADATA",
        "python/little-1.0.dist-info/WHEEL",
        "python/little/__init__.py",
        "python/smaller-2.0.dist-info/METADATA",
        "python/smaller-2.0.dist-info/WHEEL",
        "python/smaller/__init__.py",
    ]
    assert 3_000 < one.unpacked < 4_000
    assert build("smaller").digest != one.digest


def test_versions_are_those_that_are_installed_here():
    import cloudpickle

    assert packaging.requirements(["cloudpickle", "not-installed-here"]) == (
        f"cloudpickle=={cloudpickle.__version__}",
        "not-installed-here",
    )


def test_what_no_index_has_is_named():
    words = r"(?s)cannot be had for Python 3\.12 on x86_64: little==7\. uv says: .*little"
    with pytest.raises(wrenlite.ConfigError, match=words):
        build("little==7", architecture="x86_64")


def test_too_much_is_refused_with_what_weighs(monkeypatch):
    monkeypatch.setattr(packaging, "UNPACKED_BYTES", 1000)
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
    assert packaging.platform(python, architecture) == platform
