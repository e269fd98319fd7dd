"""The packages that tasks find where they run: which a job lacks there, and which differ from those here."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RemotePackages:
    """The packages where tasks run."""

    versions: Mapping[str, str]
    """Versions by normalised name; empty where a version is not known."""
    always: frozenset[str]
    """Names of packages that are there in versions that are not known."""
    command: str
    """The command that puts these packages there. With ``--package NAME`` it adds another one."""
    complete: bool = True
    """Whether these are all. A layer of the user's own may have more."""

    def missing(self, modules: Iterable[str]) -> dict[str, str]:
        """Return the packages that are installed here, and not there.

        A module is passed over where it is not certain which package it belongs to, and all are where it
        is not known what is there.

        Args:
            modules: names of modules that tasks import.

        Returns:
            For each module that is missing, the name of its package.
        """
        found: dict[str, str] = {}
        if not self.complete:
            return found
        for module in sorted({name.partition(".")[0] for name in modules}):
            if module in sys.stdlib_module_names or self._has(module):
                continue
            owners = {normalised(name) for name in _packages_by_module().get(module, ())}
            if len(owners) == 1 and not any(map(self._has, owners)):
                found[module] = owners.pop()
        return found

    def with_packages(self, names: Sequence[str]) -> str:
        """Return the command that adds packages."""
        return " ".join([self.command, *(f"--package {name}" for name in names)])

    def differences(self, *, names: Iterable[str] | None = None, parts: int | None = None) -> Iterator[str]:
        """Yield a phrase for each package whose version there is another one than here.

        Args:
            names: the packages to compare; None: all of those there.
            parts: how many parts of the versions are compared: 1 for the major version; None: all.
        """
        for name in sorted(self.versions if names is None else names):
            there, here = self.versions.get(name, ""), installed_version(name)
            if there and here and there.split(".")[:parts] != here.split(".")[:parts]:
                yield f"{name} is {there} there and {here} here"

    def only_here(self, modules: Iterable[str]) -> Iterator[str]:
        """Yield a phrase for each package of these modules that is here, and not there."""
        for name in sorted(set(self.missing(modules).values())):
            yield f"{name} is not there and {installed_version(name)} here"

    def _has(self, name: str) -> bool:
        return normalised(name) in self.versions or normalised(name) in self.always


def normalised(name: str) -> str:
    """Return the name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_version(name: str) -> str:
    """Return the version of a package here; an empty text where it is not installed."""
    import importlib.metadata  # a local map starts without it

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _packages_by_module() -> Mapping[str, Sequence[str]]:
    """Return the names of the packages that have each module. Reading them takes about 0.1 s."""
    import importlib.metadata

    return importlib.metadata.packages_distributions()
