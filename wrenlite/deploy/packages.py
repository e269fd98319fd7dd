"""The layer: the packages that tasks import, for Lambda's platform, in the versions that are installed here.

uv resolves and fetches (pip of some ages picks older wheels for a foreign platform). What no task needs is
left out: tests, type stubs, byte code, static libraries. Libraries are never stripped: that breaks numpy's.

A layer is known by what was asked for, so that nothing has to be fetched to see that there is nothing to do;
what was built is kept in the user's cache.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wrenlite.errors import ConfigError

DEFAULT = ("cloudpickle", "numpy", "pillow", "rasterio")
"""What the showcase notebooks import, and what nearly everybody needs."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Lambda's runtimes that wrenlite runs on, as of November 2026."""
UNPACKED_BYTES = 250 * 2**20
"""What function and layers may have together, unpacked."""
_FUNCTION_BYTES = 2 * 2**20
"""More than the function's own zip has."""
_RECIPE = 1
"""Another number for another way of building makes another layer."""
_KEPT = 4
"""Layers in the cache."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TESTS = ("tests", "test")
_IMPORTS_TESTS = re.compile(r"^\s*(from|import)\s+[\w.]*\.tests?\b", re.MULTILINE)
_LEFT_OUT_SUFFIXES = (".pyc", ".pyi", ".pxd", ".a", ".c", ".h")
_LEFT_OUT_NAMES = (".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
"""What says how it was installed, where and when."""
_UV_S = 600.0

_OLD = "Lambda's Python 3.11 is on Amazon Linux 2 (glibc 2.26)"


class Layered(NamedTuple):
    """A layer, ready to be uploaded."""

    content: bytes
    """The zip."""
    unpacked: int
    """Bytes."""


@dataclass(frozen=True)
class Packages:
    """What is to be in a layer."""

    requirements: tuple[str, ...]
    """Such as ``numpy==2.2.6``, sorted."""
    python: str
    """Minor version of the function's Python, such as ``3.12``."""
    architecture: str
    """``x86_64`` or ``arm64``."""
    notices: tuple[str, ...] = ()
    """What is not as it is here, in words."""

    @property
    def digest(self) -> str:
        """Of what was asked for, hexadecimal."""
        asked = [_RECIPE, self.requirements, self.python, self.architecture]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the packages."""
        return tuple(_key(parse(requirement)) for requirement in self.requirements)

    def cached(self, folder: Path) -> Layered | None:
        """The layer where it was built before; None where it was not."""
        try:
            content = (folder / f"{self.digest}.zip").read_bytes()
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return Layered(content, sum(entry.file_size for entry in archive.infolist()))
        except (OSError, zipfile.BadZipFile):
            return None

    def layer(self, folder: Path) -> Layered:
        """The layer, from that cache or built and put there.

        Raises ConfigError where there is no such wheel, or too much of it, or no room on the disk.
        """
        found = self.cached(folder)
        if found is None:
            try:
                found = build(self.requirements, python=self.python, architecture=self.architecture)
                _keep(folder, self.digest, found.content)
            except OSError as error:
                raise _cannot_write(folder, error) from error
        return found


def choose(extra: Sequence[str], *, python: str, architecture: str) -> Packages:
    """The default packages and further ones, in the versions that are installed here.

    Args:
        extra: requirements; one for a default package stands in its place.
        python: minor version of the function's Python.
        architecture: ``x86_64`` or ``arm64``.

    Raises ConfigError for a Python that Lambda does not have, and for what is no requirement.
    """
    if python not in PYTHONS:
        raise ConfigError(
            f"Lambda runs Python {', '.join(PYTHONS)}, and this is {python}: functions cannot be pickled for "
            "another Python. Run wrenlite and wrenlite-setup in an environment with one of them"
        )
    asked = {name: Requirement(name) for name in DEFAULT}
    asked |= {_key(requirement): requirement for requirement in map(parse, extra)}
    notices = []
    if python == "3.11":
        notices.append(
            f"{_OLD}: packages come in the newest versions that run there, not in those installed here"
        )
        if architecture == "arm64" and not asked["rasterio"].specifier:
            del asked["rasterio"]
            notices.append(f"no rasterio: {_OLD}, and it has no wheel for that on arm64. Python 3.12 has one")
    exactly = "<=" if python == "3.11" else "=="
    wanted = sorted(_pinned(requirement, exactly) for requirement in asked.values())
    return Packages(tuple(wanted), python, architecture, tuple(notices))


def parse(text: str) -> Requirement:
    """A requirement from its text. Raises ConfigError."""
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(
            f"--package {text!r}: must be a package's name, perhaps with a version: scipy, or scipy==1.17.0"
        ) from error


def _key(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pinned(requirement: Requirement, exactly: str) -> str:
    """In the version that is installed here; as it is where none is, or where it says one."""
    version = None if requirement.specifier or requirement.url else _installed(requirement.name)
    return str(requirement) if version is None else f"{requirement}{exactly}{version}"


def _keep(folder: Path, digest: str, content: bytes) -> None:
    """Write it to the cache, and let go of the oldest."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, folder / f"{digest}.zip")
        except BaseException:
            os.unlink(file.name)
            raise
    for old in sorted(folder.glob("*.zip"), key=lambda path: -path.stat().st_mtime)[_KEPT:]:
        old.unlink(missing_ok=True)


def _cannot_write(folder: Path, error: OSError) -> ConfigError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        places = f"{tempfile.gettempdir()} and {folder}"
        return ConfigError(
            f"no room on the disk to build the layer, in {places}: it takes about 1 GB for a moment"
        )
    return ConfigError(f"cannot build the layer: {error}. XDG_CACHE_HOME and TMPDIR name other folders")


def build(wanted: Sequence[str], *, python: str, architecture: str) -> Layered:
    """Fetch packages and what they need, and zip them as a layer.

    Args:
        wanted: requirements, such as ``numpy==2.2.6``.
        python: minor version of the function's Python, such as ``3.12``.
        architecture: ``x86_64`` or ``arm64``.

    Raises ConfigError where there is no such wheel, or too much of it.
    """
    with tempfile.TemporaryDirectory(prefix="wrenlite-layer-") as folder:
        _fetch(wanted, python, architecture, folder)
        kept = dict(_files(Path(folder)))
        files = dict(sorted([*kept.items(), *_records(Path(folder), kept)]))
    sizes = Counter[str]()
    for name, data in files.items():
        sizes[name.split("/")[0].partition("-")[0].removesuffix(".libs")] += len(data)
    if sizes.total() > UNPACKED_BYTES - _FUNCTION_BYTES:
        raise ConfigError(_too_much(sizes))
    return Layered(_zip(files), sizes.total())


def platform(python: str, architecture: str) -> str:
    """Uv's name of what Lambda runs: Amazon Linux 2023 (glibc 2.34); before Python 3.12, 2 (glibc 2.26)."""
    machine = "aarch64" if architecture == "arm64" else "x86_64"
    glibc = "2_28" if tuple(map(int, python.split("."))) >= (3, 12) else "2_17"
    return f"{machine}-manylinux_{glibc}"


def _fetch(wanted: Sequence[str], python: str, architecture: str, folder: str) -> None:
    from uv import find_uv_bin

    options = ["--quiet", "--only-binary", ":all:", "--no-compile-bytecode", "--target", folder]
    target = ["--python-version", python, "--python-platform", platform(python, architecture)]
    command = [find_uv_bin(), "pip", "install", *options, *target, *wanted]
    try:
        # In the root folder, or a project's settings around the working folder would decide what comes.
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_UV_S, cwd=Path(folder).anchor
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"uv did not fetch the packages within {_UV_S:.0f} s. Is the index reachable?"
        ) from error
    if done.returncode:
        raise ConfigError(
            f"these packages cannot be had for Python {python} on {architecture}: {', '.join(wanted)}. "
            f"uv, which reads UV_DEFAULT_INDEX and not pip's settings, says: {done.stderr.strip()[-1500:]}"
        )


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    kept = _import_their_tests(folder)
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not _left_out(name, kept):
            yield name.as_posix(), path.read_bytes()


def _records(folder: Path, kept: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """What each package consists of, for ``importlib.metadata``: of what is kept, without hashes."""
    for record in folder.glob("*.dist-info/RECORD"):
        names = [row[0] for row in csv.reader(record.read_text().splitlines()) if row and row[0] in kept]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([name, "", ""] for name in sorted(names))
        yield record.relative_to(folder).as_posix(), text.getvalue().encode()


def _left_out(name: Path, kept: set[str]) -> bool:
    in_tests = name.parts[0] not in kept and any(part in _TESTS for part in name.parts[:-1])
    unused = "__pycache__" in name.parts or name.parts[0] == "bin"
    return in_tests or unused or name.suffix in _LEFT_OUT_SUFFIXES or name.name in _LEFT_OUT_NAMES


def _import_their_tests(folder: Path) -> set[str]:
    """Packages whose ``__init__`` imports from their folder of tests, such as astropy: they need it."""
    inits = folder.glob("*/__init__.py")
    return {path.parent.name for path in inits if _IMPORTS_TESTS.search(path.read_text(errors="replace"))}


def _zip(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(f"python/{name}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if ".so" in name else 0o644) << 16
            archive.writestr(entry, data)
    return file.getvalue()


def _too_much(sizes: Counter[str]) -> str:
    listed = "\n".join(f"  {size / 2**20:8.1f} MB  {name}" for name, size in sizes.most_common(12))
    total = f"{sizes.total() / 2**20:,.0f} MB"
    return f"the packages are {total} unpacked; with the function Lambda takes 250 MB. The largest:\n{listed}"
