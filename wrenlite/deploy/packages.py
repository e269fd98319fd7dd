"""Build the layer: the packages that tasks import, for Lambda's platform, in the versions installed here.

uv resolves and downloads the packages; older versions of pip choose older wheels for a platform other than
their own. Files that no task needs are left out: tests, type stubs, static libraries. Libraries are never
stripped, since that breaks numpy's. Byte code is added where there is room for it: without it every cold
worker compiles what it imports, as the folder of a layer is read-only.

A layer is identified by its requirements, so that a run with nothing to do downloads nothing. Layers that
were built are kept in the user's cache.
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

from wrenlite.deploy import bytecode
from wrenlite.errors import ConfigError
from wrenlite.serialize.zips import make_zip

DEFAULT_PACKAGES = ("cloudpickle", "numpy", "pillow", "rasterio")
"""The packages that the showcase notebooks import, and that most users need."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Lambda's Python runtimes on which wrenlite runs, as of November 2026."""
UNPACKED_BYTES = 250 * 2**20
"""The most that the function and its layers may have together, unpacked."""
_FUNCTION_BYTES = 4 * 2**20
"""Bytes that are kept for the function's own zip, which has fewer."""
_RECIPE = 2
"""Version of the way in which layers are built. Another number gives each layer another digest."""
_CACHED_LAYERS = 4
"""Layers at most that the cache keeps."""
_FOLDER = "python"
"""The folder of a layer that Python imports from, which is in /opt on Lambda."""
_TEST_FOLDERS = ("tests", "test")
_IMPORTS_TESTS = re.compile(r"^\s*(from|import)\s+[\w.]*\.tests?\b", re.MULTILINE)
_LEFT_OUT_SUFFIXES = (".pyc", ".pyi", ".pxd", ".a", ".c", ".h")
_LEFT_OUT_NAMES = (".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
"""Files that record how, where and when a package was installed: they differ between two equal layers."""
_UV_TIMEOUT_S = 600.0

_OLD_PLATFORM = "Lambda's Python 3.11 is on Amazon Linux 2 (glibc 2.26)"


class BuiltLayer(NamedTuple):
    """A layer, ready to be uploaded."""

    content: bytes
    """The zip."""
    unpacked_bytes: int


@dataclass(frozen=True)
class Packages:
    """The packages of a layer, as they were requested."""

    requirements: tuple[str, ...]
    """Sorted requirements, such as ``numpy==2.2.6``."""
    python: str
    """Minor version of the function's Python, such as ``3.12``."""
    architecture: str
    """``x86_64`` or ``arm64``."""
    notices: tuple[str, ...] = ()
    """How the layer differs from the packages installed here, in words."""

    @property
    def digest(self) -> str:
        """SHA-256 of the request, in hexadecimal."""
        request = [_RECIPE, self.requirements, self.python, self.architecture]
        return hashlib.sha256(json.dumps(request).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Normalised names of the packages."""
        return tuple(_normalised_name(parse(requirement)) for requirement in self.requirements)

    def cached(self, folder: Path) -> BuiltLayer | None:
        """Return the layer from a cache; None where it was not built before.

        Args:
            folder: the cache.
        """
        try:
            content = (folder / f"{self.digest}.zip").read_bytes()
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return BuiltLayer(content, sum(entry.file_size for entry in archive.infolist()))
        except (OSError, zipfile.BadZipFile):
            return None

    def resolve(self) -> None:
        """Check that versions of all packages exist for Lambda. Only their metadata is downloaded.

        Raises:
            ConfigError: a package cannot be had.
        """
        with tempfile.TemporaryDirectory(prefix="wrenlite-layer-") as name:
            _install(self.requirements, self.python, self.architecture, Path(name), "--dry-run")

    def layer(self, folder: Path) -> BuiltLayer:
        """Return the layer from a cache; build it and put it there where it is missing.

        Args:
            folder: the cache.

        Raises:
            ConfigError: a package has no wheel for Lambda, the layer is too large, or the disk is full.
        """
        layer = self.cached(folder)
        if layer is None:
            try:
                layer = build(self.requirements, python=self.python, architecture=self.architecture)
                _write_to_cache(folder, self.digest, layer.content)
            except OSError as error:
                raise _write_error(folder, error) from error
        return layer


def choose(extra: Sequence[str], *, python: str, architecture: str) -> Packages:
    """Return the default packages and further ones, in the versions that are installed here.

    Args:
        extra: further requirements; a requirement for a default package replaces it.
        python: minor version of the function's Python.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        ConfigError: Lambda has no such Python, or a text is not a requirement.
    """
    if python not in PYTHONS:
        raise ConfigError(
            f"Lambda runs Python {', '.join(PYTHONS)}, and this is {python}: functions cannot be pickled for "
            "another Python. Run wrenlite and wrenlite-setup in an environment with one of them"
        )
    chosen = {name: Requirement(name) for name in DEFAULT_PACKAGES}
    chosen |= {_normalised_name(requirement): requirement for requirement in map(parse, extra)}
    notices = []
    if python == "3.11":
        notices.append(
            f"{_OLD_PLATFORM}: packages are in the newest versions that run there, not in the versions "
            "installed here"
        )
        if architecture == "arm64" and not chosen["rasterio"].specifier:
            del chosen["rasterio"]
            notices.append(
                f"no rasterio: {_OLD_PLATFORM}, and rasterio has no wheel for that on arm64. It has one for "
                "Python 3.12"
            )
    operator = "<=" if python == "3.11" else "=="
    requirements = sorted(_pin(requirement, operator) for requirement in chosen.values())
    return Packages(tuple(requirements), python, architecture, tuple(notices))


def parse(text: str) -> Requirement:
    """Return a requirement from its text. Raises ConfigError where the text is not a requirement."""
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(
            f"--package {text!r}: must be a package's name, perhaps with a version: scipy, or scipy==1.17.0"
        ) from error


def build(wanted: Sequence[str], *, python: str, architecture: str) -> BuiltLayer:
    """Download packages with their dependencies, and zip them as a layer.

    Args:
        wanted: requirements, such as ``numpy==2.2.6``.
        python: minor version of the function's Python, such as ``3.12``.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        ConfigError: a package has no wheel for Lambda, or the layer is too large.
    """
    with tempfile.TemporaryDirectory(prefix="wrenlite-layer-") as name:
        folder = Path(name)
        _install(wanted, python, architecture, folder)
        files = dict(_kept_files(folder))
        files |= dict(_shortened_records(folder, files))
    sizes = Counter[str]()
    for path, data in files.items():
        sizes[path.split("/")[0].partition("-")[0].removesuffix(".libs")] += len(data)
    room = UNPACKED_BYTES - _FUNCTION_BYTES - sizes.total()
    if room < 0:
        raise ConfigError(_size_message(sizes))
    files = {f"{_FOLDER}/{path}": data for path, data in files.items()}
    if bytecode.is_for(python):
        compiled = dict(bytecode.compiled(files, "/opt"))
        if sum(map(len, compiled.values())) <= room:
            files |= compiled
    layer = make_zip(files, compress=True, mode=_mode)
    return BuiltLayer(layer, sum(map(len, files.values())))


def platform(python: str, architecture: str) -> str:
    """Return uv's name for the platform that Lambda runs a Python on.

    It is Amazon Linux 2023 (glibc 2.34), and before Python 3.12 Amazon Linux 2 (glibc 2.26).

    Args:
        python: minor version of the Python.
        architecture: ``x86_64`` or ``arm64``.
    """
    machine = "aarch64" if architecture == "arm64" else "x86_64"
    glibc = "2_28" if tuple(map(int, python.split("."))) >= (3, 12) else "2_17"
    return f"{machine}-manylinux_{glibc}"


def _normalised_name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _pin(requirement: Requirement, operator: str) -> str:
    """Return a requirement with the version that is installed here.

    It stays as it is where it has a version or a URL of its own, or where the package is not installed here.

    Args:
        requirement: the requirement.
        operator: ``==`` for exactly the installed version, ``<=`` for at most that one.
    """
    if requirement.specifier or requirement.url:
        return str(requirement)
    try:
        return f"{requirement}{operator}{importlib.metadata.version(requirement.name)}"
    except importlib.metadata.PackageNotFoundError:
        return str(requirement)


def _write_to_cache(folder: Path, digest: str, content: bytes) -> None:
    """Write a layer to the cache, and remove the oldest layers there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, folder / f"{digest}.zip")
        except BaseException:
            os.unlink(file.name)
            raise
    newest_first = sorted(folder.glob("*.zip"), key=lambda path: -path.stat().st_mtime)
    for path in newest_first[_CACHED_LAYERS:]:
        path.unlink(missing_ok=True)


def _write_error(folder: Path, error: OSError) -> ConfigError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfigError(
            f"the disk has no room to build the layer, in {tempfile.gettempdir()} and {folder}: that takes "
            "about 1 GB for a moment"
        )
    return ConfigError(
        f"cannot build the layer: {error}. XDG_CACHE_HOME and TMPDIR choose other folders for it"
    )


def _install(wanted: Sequence[str], python: str, architecture: str, folder: Path, *more: str) -> None:
    """Install packages for Lambda's platform into a folder.

    Args:
        wanted: requirements.
        python: minor version of the function's Python.
        architecture: ``x86_64`` or ``arm64``.
        folder: the folder.
        *more: further options of uv.
    """
    from uv import find_uv_bin

    options = ["--quiet", "--only-binary", ":all:", "--no-compile-bytecode", "--target", str(folder), *more]
    target = ["--python-version", python, "--python-platform", platform(python, architecture)]
    command = [find_uv_bin(), "pip", "install", *options, *target, *wanted]
    try:
        # In the root folder: the settings of a project around the working folder must not choose packages.
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_UV_TIMEOUT_S, cwd=folder.anchor
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"uv did not download the packages of the layer within {_UV_TIMEOUT_S:.0f} s. Is the package "
            "index reachable?"
        ) from error
    if ended.returncode:
        raise ConfigError(
            f"these packages cannot be had for Python {python} on {architecture}: {', '.join(wanted)}. "
            f"uv, which reads UV_DEFAULT_INDEX and not pip's settings, says: {ended.stderr.strip()[-1500:]}"
        )


def _kept_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file that a layer keeps of a folder of packages."""
    with_tests = _packages_that_import_their_tests(folder)
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not _is_left_out(name, with_tests):
            yield name.as_posix(), path.read_bytes()


def _shortened_records(folder: Path, kept: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield each package's list of files for ``importlib.metadata``: only the kept files, without hashes."""
    for record in folder.glob("*.dist-info/RECORD"):
        names = [
            row[0] for row in csv.reader(record.read_text("utf-8").splitlines()) if row and row[0] in kept
        ]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([name, "", ""] for name in sorted(names))
        yield record.relative_to(folder).as_posix(), text.getvalue().encode()


def _is_left_out(name: Path, with_tests: set[str]) -> bool:
    in_tests = name.parts[0] not in with_tests and any(part in _TEST_FOLDERS for part in name.parts[:-1])
    is_unused = "__pycache__" in name.parts or name.parts[0] == "bin"
    return in_tests or is_unused or name.suffix in _LEFT_OUT_SUFFIXES or name.name in _LEFT_OUT_NAMES


def _packages_that_import_their_tests(folder: Path) -> set[str]:
    """Return the packages whose ``__init__`` imports from their tests, such as astropy: they keep them."""
    inits = folder.glob("*/__init__.py")
    return {path.parent.name for path in inits if _IMPORTS_TESTS.search(path.read_text(errors="replace"))}


def _mode(name: str) -> int:
    return 0o755 if ".so" in name else 0o644


def _size_message(sizes: Counter[str]) -> str:
    listed = "\n".join(f"  {size / 2**20:8.1f} MB  {name}" for name, size in sizes.most_common(12))
    total = f"{sizes.total() / 2**20:,.0f} MB"
    return (
        f"the packages of the layer are {total} unpacked; together with the function Lambda takes 250 MB. "
        f"The largest:\n{listed}"
    )
