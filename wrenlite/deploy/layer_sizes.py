"""What the packages of a layer weigh, and what leaving one of them out saves."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_MB = 2**20
_LAMBDA = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
"""Values of markers in requirements on Lambda."""


class _Distribution(NamedTuple):
    """A package that was downloaded for a layer."""

    size_bytes: int
    needs: tuple[Requirement, ...]


def saved_bytes(folder: Path, sizes: Mapping[str, int], wanted: Sequence[str], python: str) -> dict[str, int]:
    """Return what leaving out each of the wanted packages saves, in bytes.

    That is its own size and that of the packages that only it needs; nothing where another package needs it.

    Args:
        folder: where the packages were installed.
        sizes: the size of each file that the layer keeps, by its name in the folder.
        wanted: requirements.
        python: minor version of the function's Python.
    """
    found: dict[str, _Distribution] = {
        canonicalize_name(each.name): _Distribution(
            sum(sizes.get(file.as_posix(), 0) for file in each.files or ()),
            tuple(map(Requirement, each.requires or ())),
        )
        for each in importlib.metadata.distributions(path=[str(folder)])
    }
    roots = [Requirement(text) for text in wanted]

    def size(some: Iterable[Requirement]) -> int:
        return sum(found[name].size_bytes for name in _needed(some, found, python))

    return {root.name: size(roots) - size(one for one in roots if one is not root) for root in roots}


def too_large_message(size_bytes: int, limit_bytes: int, saved: Mapping[str, int]) -> str:
    """Return the message about packages that do not fit, with what to leave out and what that saves.

    Args:
        size_bytes: what they have together, unpacked.
        limit_bytes: what the function and its layers may have together.
        saved: what leaving out each of them saves.
    """
    by_size = sorted(saved.items(), key=lambda item: -item[1])
    lines = [f"\n  --without {name:<20} saves {size / _MB:6.1f} MB" for name, size in by_size if size]
    return (
        f"the packages of the layer are {size_bytes / _MB:,.1f} MB unpacked, and with the function Lambda "
        f"takes {limit_bytes / _MB:.0f} MB. Leave one out, or put it into another function "
        f"(--function NAME):{''.join(lines)}"
    )


def _needed(roots: Iterable[Requirement], found: Mapping[str, _Distribution], python: str) -> set[str]:
    """Return the names of packages and of all that they need."""
    names: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    unvisited = list(roots)
    while unvisited:
        requirement = unvisited.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen or name not in found:
            continue
        seen.add((name, extras))
        names.add(name)
        for need in found[name].needs:
            environments = ({**_LAMBDA, "python_version": python, "extra": extra} for extra in ("", *extras))
            if need.marker is None or any(map(need.marker.evaluate, environments)):
                unvisited.append(need)
    return names
