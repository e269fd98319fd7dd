"""Which processors a function has where the user names none."""

import pytest

import wrenlite
from tests.aws.wheels import wheel
from wrenlite.deploy.architectures import Resolved, choose_architecture, resolve_for_arm
from wrenlite.deploy.packages import NoWheel

LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:mine:1"


def unexpected():
    raise AssertionError("the package index is not asked")


def choose(**given):
    facts = {"explicit": None, "deployed": None, "python": "3.12", "layers": {}, "with_packages": True}
    return choose_architecture(**{**facts, "resolve": unexpected, **given})


@pytest.mark.parametrize(
    ("given", "architecture", "reason"),
    [
        ({"explicit": "x86_64", "deployed": "arm64"}, "x86_64", "your choice"),
        ({"explicit": "arm64", "python": "3.11"}, "arm64", "your choice"),
        ({"deployed": "x86_64"}, "x86_64", "that of the existing function"),
        ({"deployed": "arm64", "layers": {LAYER: ("x86_64",)}}, "arm64", "that of the existing function"),
        ({"python": "3.11", "with_packages": False}, "x86_64", "Amazon Linux 2 "),
        ({"layers": {LAYER: ("x86_64",)}}, "x86_64", f"the layer {LAYER} does not say"),
        ({"layers": {LAYER: ("arm64",), f"{LAYER}2": ()}}, "x86_64", f"the layer {LAYER}2 does not say"),
        ({"layers": {LAYER: ("x86_64", "arm64")}, "with_packages": False}, "arm64", "costs a fifth less"),
        ({"resolve": lambda: Resolved("the packages", "")}, "arm64", "every package has a wheel"),
        ({"resolve": lambda: Resolved("the packages", "mkl: there is none")}, "x86_64", "mkl: there is none"),
    ],
)
def test_arm64_is_chosen_where_nothing_speaks_against_it(given, architecture, reason):
    choice = choose(**given)
    assert choice.architecture == architecture
    assert reason in choice.reason
    assert choice.lock == ("the packages" if "resolve" in given else None)


def test_packages_are_looked_for_once_for_each_architecture(index):
    wheel(index, "everywhere", "1.0", {"__init__.py": ""})
    wheel(index, "only_intel", "1.0", {"__init__.py": ""}, platform="manylinux_2_17_x86_64")
    lock, refusal = resolve_for_arm(("everywhere",), "3.12")
    assert (lock.packages.architecture, lock.versions, refusal) == ("arm64", ("everywhere==1.0",), "")
    lock, refusal = resolve_for_arm(("everywhere", "only-intel"), "3.12")
    assert (lock.packages.architecture, refusal) == ("x86_64", "only-intel: there is no wheel for arm64")
    assert lock.versions == ("everywhere==1.0", "only-intel==1.0")


def test_what_fails_for_every_architecture_is_an_error(index, monkeypatch):
    with pytest.raises(NoWheel, match=r"cannot be had for Python 3\.12 on x86_64: nowhere\."):
        resolve_for_arm(("nowhere",), "3.12")
    monkeypatch.setenv("UV_CONFIG_FILE", str(index / "there-is-none"))
    with pytest.raises(wrenlite.ConfigError, match="there-is-none"):
        resolve_for_arm(("numpy",), "3.12")
