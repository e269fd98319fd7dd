import io
import zipfile

import pytest

import wrenlite
from wrenlite.deploy import packaging


def names(layer):
    with zipfile.ZipFile(io.BytesIO(layer.content)) as archive:
        return archive.namelist()


def test_a_layer_is_the_same_each_time_and_holds_what_tasks_need():
    wanted = packaging.requirements(["cloudpickle"])
    one = packaging.build(wanted, python="3.12", architecture="arm64")
    two = packaging.build(wanted, python="3.12", architecture="arm64")
    assert one == two
    assert "python/cloudpickle/__init__.py" in names(one)
    assert any(name.endswith("dist-info/METADATA") for name in names(one))
    assert not any("__pycache__" in name or name.endswith("RECORD") for name in names(one))
    assert 0 < one.unpacked < 2**20


def test_versions_are_those_that_are_installed_here():
    import cloudpickle

    assert packaging.requirements(["cloudpickle", "not-installed-here"]) == (
        f"cloudpickle=={cloudpickle.__version__}",
        "not-installed-here",
    )


def test_what_no_index_has_is_named():
    with pytest.raises(
        wrenlite.ConfigError, match=r"cannot be had for Python 3\.12 on x86_64: cloudpickle==0\.0\.1"
    ):
        packaging.build(["cloudpickle==0.0.1"], python="3.12", architecture="x86_64")


def test_too_much_is_refused_with_what_weighs(monkeypatch):
    monkeypatch.setattr(packaging, "UNPACKED_BYTES", 1000)
    with pytest.raises(wrenlite.ConfigError, match=r"(?s)Lambda takes 250 MB.*MB  cloudpickle"):
        packaging.build(packaging.requirements(["cloudpickle"]), python="3.12", architecture="x86_64")


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
