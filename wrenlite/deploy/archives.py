"""Make archives of the packages that do not fit into a layer: see ``storage.archives``.

Which packages those are is chosen by who needs them: a package that stays in the layer needs none that does
not. So what many others import is in the layer, and only who imports the others waits until they are fetched.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wrenlite.cost import processors
from wrenlite.storage.archives import PIECE_BYTES, Archive

_MB = 2**20
_LAMBDA = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
"""Values of markers in requirements on Lambda."""
_LEVEL = 6
"""Of the compression. Higher ones take several times as long, and save few percent."""
_MOST_EPHEMERAL_MB = 10_240
"""The most ephemeral storage that Lambda gives a function."""
_EPHEMERAL_STEP_MB = 512
_UNPACKED_BYTES_PER_S = 10e6
"""Compressed bytes that one processor checks and unpacks in a second. Measured from a local disk, on a
machine with other work: 9 to 12 MB per second of processor time. The network is taken to be faster."""
_ZIPPED_SHARE = 1 / 3
"""Size of a layer's zip, as a share of what it has unpacked: about that of layers that are made here."""


class Distribution(NamedTuple):
    """A package that was downloaded, with what it needs."""

    name: str
    """Normalised."""
    version: str
    files: tuple[str, ...]
    """Names of its files that are kept."""
    needs: frozenset[str]
    """Names of the distributions that it needs, and that these need."""

    @property
    def about(self) -> frozenset[str]:
        """Those of its files that describe it."""
        return frozenset(name for name in self.files if ".dist-info/" in name)

    @property
    def modules(self) -> tuple[str, ...]:
        """The top-level names that can be imported from it."""
        tops = {name.partition("/")[0].partition(".")[0] for name in self.files if name not in self.about}
        return tuple(sorted(top for top in tops if top.isidentifier()))


def read_distributions(folder: Path, kept: Iterable[str], python: str) -> list[Distribution]:
    """Return the distributions that were installed into a folder, sorted by name.

    Args:
        folder: the folder.
        kept: the names of the files that are kept.
        python: minor version of the function's Python.
    """
    installed = {
        canonicalize_name(each.name): each for each in importlib.metadata.distributions(path=[str(folder)])
    }
    requirements: dict[str, list[Requirement]] = {
        name: [Requirement(text) for text in each.requires or ()] for name, each in installed.items()
    }
    unowned, found = set(kept), []
    for name, each in sorted(installed.items()):
        files = {file.as_posix() for file in each.files or ()} & unowned
        unowned -= files
        needs = frozenset(_needed(requirements[name], requirements, python) - {name})
        found.append(Distribution(name, each.version, tuple(sorted(files)), needs))
    return found


def _needed(
    roots: Iterable[Requirement], found: Mapping[str, Sequence[Requirement]], python: str
) -> set[str]:
    """Return the names of packages and of all that they need."""
    names: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    unvisited = [(requirement, frozenset[str]()) for requirement in roots]
    while unvisited:
        requirement, of_extras = unvisited.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        environments = ({**_LAMBDA, "python_version": python, "extra": extra} for extra in ("", *of_extras))
        is_needed = requirement.marker is None or any(map(requirement.marker.evaluate, environments))
        if not is_needed or (name, extras) in seen or name not in found:
            continue
        seen.add((name, extras))
        names.add(name)
        unvisited += ((need, extras) for need in found[name])
    return names


def choose_archived(
    distributions: Sequence[Distribution], sizes: Mapping[str, int], room_bytes: int
) -> list[Distribution]:
    """Return the distributions that do not stay in the layer, so that the rest fits.

    Those that few others need go first, and of these the large ones. Those of them that still fit afterwards
    stay after all. What a package that stays needs stays.

    Args:
        distributions: all of them.
        sizes: the size of each file, in bytes.
        room_bytes: what the layer may have.
    """

    def size(one: Distribution) -> int:
        return sum(sizes[name] for name in one.files)

    def moved_bytes(one: Distribution) -> int:
        return size(one) - sum(sizes[name] for name in one.about)

    needed_by = {one.name: sum(one.name in other.needs for other in distributions) for one in distributions}
    archived, left_bytes = [], sum(sizes.values())
    for one in sorted(distributions, key=lambda one: (needed_by[one.name], -size(one))):
        if left_bytes <= room_bytes:
            break
        archived.append(one)
        left_bytes -= moved_bytes(one)
    for one in reversed(list(archived)):
        others = {other.name for other in archived if other is not one}
        if left_bytes + moved_bytes(one) <= room_bytes and others.isdisjoint(one.needs):
            archived.remove(one)
            left_bytes += moved_bytes(one)
    return archived


def write_archive(
    folder: Path, one: Distribution, files: Mapping[str, bytes], needs: Iterable[str]
) -> Archive:
    """Write the archive of a distribution. Equal files give equal bytes with the same zlib.

    Args:
        folder: the folder for the file, which is named after its digest.
        one: the distribution.
        files: contents by name.
        needs: names of the archives that it needs.

    Returns:
        The archive, for the index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        try:
            with (
                gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for name, content in sorted(files.items()):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    entry.mode = 0o755 if ".so" in name else 0o644
                    archive.addfile(entry, io.BytesIO(content))
            file.seek(0)
            whole, pieces = hashlib.sha256(), []
            while piece := file.read(PIECE_BYTES):
                whole.update(piece)
                pieces.append(hashlib.sha256(piece).hexdigest())
            size_bytes = file.tell()
            os.replace(file.name, folder / whole.hexdigest())
        except BaseException:
            os.unlink(file.name)
            raise
    unpacked = sum(map(len, files.values()))
    digest, needed = whole.hexdigest(), tuple(sorted(needs))
    return Archive(one.name, one.version, digest, size_bytes, unpacked, one.modules, needed, tuple(pieces))


def unpacked_mb(archives: Iterable[Archive]) -> int:
    """Return the ephemeral storage that unpacked archives take, with what blocks of a disk waste.

    Args:
        archives: the archives.
    """
    size_bytes = sum(archive.unpacked_bytes for archive in archives)
    return 0 if not size_bytes else int(1.05 * size_bytes / _MB) + 16


def ephemeral_mb(own_mb: int, packages_mb: int) -> int:
    """Return the ephemeral storage of a function, whose tasks and unpacked packages share it.

    Args:
        own_mb: what tasks have.
        packages_mb: what packages take.
    """
    if not packages_mb:
        return own_mb
    return -(-(own_mb + packages_mb) // _EPHEMERAL_STEP_MB) * _EPHEMERAL_STEP_MB


def does_not_fit(own_mb: int, archives: Sequence[Archive]) -> str:
    """Return the message about packages for which Lambda has no room; an empty text where it has room.

    Args:
        own_mb: ephemeral storage that tasks have.
        archives: the packages that are not in the layer.
    """
    packages_mb = unpacked_mb(archives)
    if ephemeral_mb(own_mb, packages_mb) <= _MOST_EPHEMERAL_MB:
        return ""
    by_size = sorted(archives, key=lambda one: -one.unpacked_bytes)
    lines = [f"\n  {one.name:<28} {one.unpacked_bytes / _MB:8,.1f} MB" for one in by_size]
    return (
        f"the packages that do not fit into a layer take {packages_mb:,} MB unpacked, and tasks have "
        f"{own_mb:,} MB (--ephemeral-storage): Lambda gives a function {_MOST_EPHEMERAL_MB:,} MB of "
        f"ephemeral storage. Leave one out (--without NAME), or divide them over two functions "
        f"(--function NAME):{''.join(lines)}"
    )


def fetch_s(size_bytes: int, memory_mb: int) -> float:
    """Return how long a sandbox takes to fetch archives and to unpack them, in seconds: an estimate.

    Args:
        size_bytes: size of the archives.
        memory_mb: memory of the function.
    """
    return size_bytes / _UNPACKED_BYTES_PER_S / min(1.0, processors(memory_mb))


def room_beside(room_bytes: int, zipped_bytes: int) -> int:
    """Return the room for packages beside the user's own layers, whose unpacked size AWS does not tell.

    Args:
        room_bytes: the room without them.
        zipped_bytes: size of their zips.
    """
    return max(0, room_bytes - int(zipped_bytes / _ZIPPED_SHARE))
