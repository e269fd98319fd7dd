"""Choose the processors of a function: arm64, which costs less, unless something needs x86_64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wrenlite.deploy.packages import OLD_PLATFORM, Lock, NoWheel, choose, has_old_platform


class Choice(NamedTuple):
    """An architecture, and why it is that one."""

    architecture: str
    """``x86_64`` or ``arm64``."""
    reason: str
    """What a plan says about it."""
    lock: Lock | None = None
    """The packages, where the package index was asked for them."""


class Resolved(NamedTuple):
    """What the package index has of some packages."""

    lock: Lock
    """Their versions for arm64, and where these do not exist, for x86_64."""
    refusal: str
    """Why there are none for arm64; an empty text where there are."""


def choose_architecture(
    *,
    explicit: str | None,
    deployed: str | None,
    python: str,
    layers: Mapping[str, Sequence[str]],
    with_packages: bool,
    resolve: Callable[[], Resolved],
) -> Choice:
    """Return the architecture of a function.

    Args:
        explicit: the user's choice; None: none was made.
        deployed: that of the existing function; None: there is none.
        python: minor version of the function's Python.
        layers: the architectures that each layer of the user's is made for, as far as that is known.
        with_packages: whether the function has a layer with packages.
        resolve: looks for the packages. It is only called where nothing else decides.

    Raises:
        ConfigError: ``resolve`` found the packages for no architecture.
    """
    if explicit is not None:
        return Choice(explicit, "your choice")
    if deployed is not None:
        return Choice(deployed, "that of the existing function")
    if has_old_platform(python):
        return Choice("x86_64", f"{OLD_PLATFORM}, for which several packages have no wheel for arm64")
    for layer, architectures in layers.items():
        if "arm64" not in architectures:
            return Choice("x86_64", f"the layer {layer} does not say that it is for arm64")
    if not with_packages:
        return Choice("arm64", "it costs a fifth less than x86_64")
    lock, refusal = resolve()
    if refusal:
        return Choice("x86_64", refusal, lock)
    return Choice("arm64", "every package has a wheel for it, and it costs a fifth less than x86_64", lock)


def resolve_for_arm(wanted: tuple[str, ...], python: str) -> Resolved:
    """Ask the package index for packages for arm64, and where it has not all of them, for x86_64.

    Args:
        wanted: requirements.
        python: minor version of the function's Python.

    Raises:
        ConfigError: it has them for neither, or cannot be reached.
    """
    try:
        return Resolved(choose(wanted, python=python, architecture="arm64").resolve(), "")
    except NoWheel as error:
        names = " and ".join(error.names) or "a package"
    lock = choose(wanted, python=python, architecture="x86_64").resolve()
    return Resolved(lock, f"{names}: there is no wheel for arm64")
