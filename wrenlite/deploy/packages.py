"""Build the layer: the packages that tasks import, for Lambda's platform, in the versions installed here.

uv resolves and downloads the packages; older versions of pip choose older wheels for a platform other than
their own. Files that no task needs are left out. Byte code is added where there is room for it: without it
every cold worker compiles what it imports, as the folder of a layer is read-only. What does not fit becomes
archives.

Requirements are resolved before anything is shown, to exact versions of the packages and of all that these
need. The function records them beside the digest of the request, so that a run with nothing to do asks no
package index. Layers that were built are kept in the user's cache, by the digests of the wheels in them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wrenlite.backends.aws.deployed import BASE_PACKAGES
from wrenlite.backends.aws.payload import LAMBDA_PYTHONS
from wrenlite.deploy import bytecode
from wrenlite.deploy.archives import (
    Distribution,
    choose_archived,
    read_distributions,
    room_beside,
    write_archive,
)
from wrenlite.deploy.layer_files import kept_files, shortened_records
from wrenlite.errors import ConfigError
from wrenlite.serialize.zips import make_zip
from wrenlite.storage.archives import FOLDER, INDEX_FILE, SITE, Archive, read_index, write_index

DEFAULT_PACKAGES = (*BASE_PACKAGES, "rasterio")
"""The packages where the user names none: those that the notebooks import."""
UNPACKED_BYTES = 250 * 2**20
"""The most that the function and its layers may have together, unpacked."""
LAYER_BYTES = UNPACKED_BYTES - 4 * 2**20
"""The most that the layer may have: the function's own zip has less than the rest."""
_RECIPE = 3
"""Version of the way in which layers are built. Another number gives each layer another digest."""
_CACHED_LAYERS = 4
"""Layers at most that the cache keeps."""
_FOLDER = "python"
"""The folder of a layer that Python imports from, which is in /opt on Lambda."""
_CREDENTIALS = re.compile(r"//\S*@")
_UV_TIMEOUT_S = 600.0
_COMPILE_OPTIONS = ("--no-header", "--no-annotate", "--generate-hashes")

OLD_PLATFORM = "Lambda's Python 3.11 is on Amazon Linux 2 (glibc 2.26)"
_WITH_OTHER_WHEELS = re.compile(r"Wheels are available for `([^`]+)`")
"""What uv says of a package that has wheels, but none for the platform that was asked for."""


class NoWheel(ConfigError):
    """The package index has not all packages for a platform."""

    def __init__(self, message: str, names: Sequence[str] = ()) -> None:
        """Create the error.

        Args:
            message: what happened, and what to do.
            names: the packages that the index has only for other platforms, as far as they are known.
        """
        super().__init__(message)
        self.names = tuple(names)


class BuiltLayer(NamedTuple):
    """A layer, ready to be uploaded."""

    content: bytes
    """The zip."""
    unpacked_bytes: int
    archives: tuple[Archive, ...] = ()
    """The packages that do not fit. The zip has their index."""


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
        return _digest(self.requirements, self.python, self.architecture)

    @property
    def names(self) -> tuple[str, ...]:
        """Normalised names of the packages."""
        return tuple(_normalised_name(parse(requirement)) for requirement in self.requirements)

    def layer_digest(self, content: Sequence[str]) -> str:
        """Return the digest by which a layer is known.

        Args:
            content: the exact versions of its packages, the digests of archives of those that do not fit, and
                the layers beside it.
        """
        return _digest(content, self.python, self.architecture)

    def resolve(self, versions: Sequence[str] | None = None) -> Lock:
        """Ask the package index for the exact versions, and for the digests of their wheels.

        Args:
            versions: exact versions that were resolved before; None: the newest that fit together.

        Raises:
            ConfigError: a package has no wheel for Lambda, or the index cannot be reached.
        """
        wanted = self.requirements if versions is None else versions
        return Lock(self, _uv("compile", wanted, self.python, self.architecture, _COMPILE_OPTIONS))


@dataclass(frozen=True)
class Lock:
    """The packages of a layer with all that they need, as the package index resolved them."""

    packages: Packages
    text: str
    """A file of requirements: exact versions, and digests of the wheels."""

    @property
    def versions(self) -> tuple[str, ...]:
        """Requirements with exact versions, such as ``numpy==2.2.6``, sorted."""
        return tuple(sorted(_without_digests(self.text)))

    def _key(self, beside_bytes: int) -> str:
        beside = [str(beside_bytes)] if beside_bytes else []
        return _digest([self.text, *beside], self.packages.python, self.packages.architecture)

    def cached(self, folder: Path, beside_bytes: int = 0) -> BuiltLayer | None:
        """Return the layer from a cache; None where it was not built before, or its file is damaged.

        Args:
            folder: the cache.
            beside_bytes: see ``build``.
        """
        for path in folder.glob(f"{self._key(beside_bytes)}.*.zip"):
            with contextlib.suppress(OSError, zipfile.BadZipFile):
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == path.name.split(".")[1]:
                    layer = _opened(content)
                    if all((archives_folder(folder) / each.digest).exists() for each in layer.archives):
                        return layer
        return None

    def layer(self, folder: Path, beside_bytes: int = 0) -> BuiltLayer:
        """Return the layer from a cache; build it and put it there where it is missing.

        Args:
            folder: the cache.
            beside_bytes: see ``build``.

        Raises:
            ConfigError: a package cannot be fetched, or the disk is full.
        """
        layer = self.cached(folder, beside_bytes)
        if layer is None:
            packages = self.packages
            try:
                layer = build(
                    packages.requirements,
                    python=packages.python,
                    architecture=packages.architecture,
                    locked=self.text,
                    archives=archives_folder(folder),
                    beside_bytes=beside_bytes,
                )
                _write_to_cache(folder, self._key(beside_bytes), layer.content)
            except OSError as error:
                raise _write_error(folder, error) from error
        return layer


def name_packages(named: Sequence[str]) -> tuple[str, ...]:
    """Return the packages of a layer for which a user has named some: those, and the base packages.

    Args:
        named: requirements; one for a base package replaces it. None at all: the layer has no packages.

    Raises:
        ConfigError: a text is not a requirement.
    """
    chosen = {name: name for name in BASE_PACKAGES if named}
    return tuple((chosen | {_normalised_name(parse(text)): text for text in named}).values())


def leave_out(wanted: Sequence[str], left_out: Sequence[str]) -> tuple[str, ...]:
    """Return packages without some of them. A default package may be left out where it is not there.

    Args:
        wanted: requirements.
        left_out: names.

    Raises:
        ConfigError: a name is not among the packages.
    """
    unwanted = {canonicalize_name(name): name for name in left_out}
    kept = {_normalised_name(parse(text)): text for text in wanted}
    for normalised, name in unwanted.items():
        if normalised not in kept and normalised not in DEFAULT_PACKAGES:
            raise ConfigError(
                f"--without {name}: the packages that were asked for are {', '.join(kept) or 'none'}. What "
                "these need themselves cannot be left out"
            )
    return tuple(text for normalised, text in kept.items() if normalised not in unwanted)


def choose(wanted: Sequence[str], *, python: str, architecture: str) -> Packages:
    """Return packages in the versions that are installed here.

    Args:
        wanted: requirements.
        python: minor version of the function's Python.
        architecture: ``x86_64`` or ``arm64``.

    Raises:
        ConfigError: Lambda has no such Python, or a text is not a requirement.
    """
    if python not in LAMBDA_PYTHONS:
        raise ConfigError(
            f"Lambda runs Python {', '.join(LAMBDA_PYTHONS)}, and this is {python}: functions cannot be "
            "pickled for another Python. Run wrenlite and wrenlite-setup in an environment with one of them"
        )
    chosen = {_normalised_name(requirement): requirement for requirement in map(parse, wanted)}
    notices = []
    if python == "3.11":
        notices.append(
            f"{OLD_PLATFORM}: packages are in the newest versions that run there, not in the versions "
            "installed here"
        )
        if architecture == "arm64" and "rasterio" in chosen and not chosen["rasterio"].specifier:
            del chosen["rasterio"]
            notices.append(
                f"no rasterio: {OLD_PLATFORM}, and rasterio has no wheel for that on arm64. It has one for "
                "Python 3.12"
            )
    operator = "<=" if python == "3.11" else "=="
    requirements = sorted(_pin(requirement, operator) for requirement in chosen.values())
    return Packages(tuple(requirements), python, architecture, tuple(notices))


def parse(text: str) -> Requirement:
    """Return a requirement from its text.

    Raises:
        ConfigError: the text is not a requirement, or has a user and a password in its address.
    """
    shown = _CREDENTIALS.sub("//…@", text)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(
            f"--package {shown!r}: must be a package's name, perhaps with a version: scipy, or scipy==1.17.0"
        ) from (error if shown == text else None)
    address = urlsplit(requirement.url or "")
    if address.password or (address.username and address.scheme.endswith(("http", "https"))):
        raise ConfigError(
            f"--package {shown!r}: the address has a user or a password, which everybody who may read the "
            "function's settings would see. Give the address without them, and put them into the file "
            "~/.netrc, which uv reads"
        )
    return requirement


def archives_folder(cache: Path) -> Path:
    """Return the folder of the archives in a cache, each under its digest."""
    return cache / "archives"


def build(
    wanted: Sequence[str],
    *,
    python: str,
    architecture: str,
    archives: Path,
    locked: str = "",
    beside_bytes: int = 0,
) -> BuiltLayer:
    """Download packages with their dependencies, and zip them as a layer; what does not fit, as archives.

    Args:
        wanted: requirements, such as ``numpy==2.2.6``.
        python: minor version of the function's Python, such as ``3.12``.
        architecture: ``x86_64`` or ``arm64``.
        archives: the folder for archives.
        locked: the text of their ``Lock``; empty: they are resolved now.
        beside_bytes: size of the zips of the function's other layers, to which it leaves room.

    Raises:
        ConfigError: a package has no wheel for Lambda.
    """
    room_bytes = room_beside(LAYER_BYTES, beside_bytes)
    index: tuple[Archive, ...] = ()
    with tempfile.TemporaryDirectory(prefix="wrenlite-layer-") as name:
        folder = Path(name)
        _download([locked] if locked else wanted, python, architecture, folder)
        files = kept_files(folder)
        files |= dict(shortened_records(folder, files))
        if sum(map(len, files.values())) > room_bytes:
            found = read_distributions(folder, files, python)
            archived = choose_archived(found, _compiled_sizes(files), room_bytes)
            index = tuple(_write_archives(archives, archived, files, python))
            moved = {name for one in archived for name in set(one.files) - one.about}
            files = {name: data for name, data in files.items() if name not in moved}
            files[INDEX_FILE] = write_index(index)
    files = {f"{_FOLDER}/{path}": data for path, data in files.items()}
    compiled = _compiled(files, python, "/opt")
    if sum(map(len, (*files.values(), *compiled.values()))) <= room_bytes:
        files |= compiled
    layer = make_zip(files, compress=True, mode=_mode)
    return BuiltLayer(layer, sum(map(len, files.values())), index)


def _write_archives(
    folder: Path, archived: Sequence[Distribution], files: Mapping[str, bytes], python: str
) -> Iterator[Archive]:
    """Write archives of distributions with their byte code, and yield them."""
    names = {one.name for one in archived}
    for one in archived:
        own = {name: files[name] for name in one.files}
        own |= _compiled(own, python, f"{FOLDER}/{SITE}")
        yield write_archive(folder, one, own, one.needs & names)


def _compiled(files: Mapping[str, bytes], python: str, root: str) -> dict[str, bytes]:
    """Return the byte code of files that are unpacked into a folder, if this Python can make it."""
    return dict(bytecode.compiled(files, root)) if bytecode.is_for(python) else {}


def _compiled_sizes(files: Mapping[str, bytes]) -> dict[str, int]:
    """Return the sizes of files, with their byte code, which is about as large as the sources."""
    return {name: len(data) * (2 if name.endswith(".py") else 1) for name, data in files.items()}


def _opened(content: bytes) -> BuiltLayer:
    """Return a layer from its zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size, name = sum(entry.file_size for entry in archive.infolist()), f"{_FOLDER}/{INDEX_FILE}"
        return BuiltLayer(content, size, read_index(archive.read(name)) if name in archive.namelist() else ())


def has_old_platform(python: str) -> bool:
    """Return whether Lambda runs a Python on Amazon Linux 2 (glibc 2.26), as it does before Python 3.12.

    Args:
        python: minor version of the Python.
    """
    return tuple(map(int, python.split("."))) < (3, 12)


def platform(python: str, architecture: str) -> str:
    """Return uv's name for the platform that Lambda runs a Python on.

    It is Amazon Linux 2023 (glibc 2.34), or the old one.

    Args:
        python: minor version of the Python.
        architecture: ``x86_64`` or ``arm64``.
    """
    machine = "aarch64" if architecture == "arm64" else "x86_64"
    glibc = "2_17" if has_old_platform(python) else "2_28"
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


def _without_digests(text: str) -> Iterator[str]:
    """Yield the requirements in a file of requirements without the digests of their wheels."""
    for line in text.splitlines():
        if line[:1].isalnum():  # digests are in lines that are indented
            yield line.removesuffix("\\").strip()


def _digest(requirements: Sequence[str], python: str, architecture: str) -> str:
    request = [_RECIPE, list(requirements), python, architecture]
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def _write_to_cache(folder: Path, key: str, content: bytes) -> None:
    """Write a layer to the cache, and remove the oldest layers there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, folder / f"{key}.{hashlib.sha256(content).hexdigest()}.zip")
        except BaseException:
            os.unlink(file.name)
            raise
    newest_first = sorted(folder.glob("*.zip"), key=lambda path: -path.stat().st_mtime)
    for path in newest_first[_CACHED_LAYERS:]:
        path.unlink(missing_ok=True)
    kept = {
        each.digest for path in newest_first[:_CACHED_LAYERS] for each in _opened(path.read_bytes()).archives
    }
    for path in archives_folder(folder).glob("*"):
        if path.name not in kept:
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


def _download(wanted: Sequence[str], python: str, architecture: str, folder: Path) -> None:
    """Install packages for Lambda's platform into a folder."""
    options = ["--no-compile-bytecode", "--target", str(folder)]
    _uv("install", wanted, python, architecture, options)


def _uv(command: str, wanted: Sequence[str], python: str, architecture: str, options: Sequence[str]) -> str:
    """Let uv install packages, or resolve ("compile") their versions, for Lambda's platform.

    Args:
        command: of ``uv pip``.
        wanted: requirements.
        python: minor version of the function's Python.
        architecture: ``x86_64`` or ``arm64``.
        options: further options of the command.

    Returns:
        What uv prints.

    Raises:
        NoWheel: a package cannot be had for this platform.
        ConfigError: uv takes too long.
    """
    from uv import find_uv_bin

    target = ["--python-version", python, "--python-platform", platform(python, architecture)]
    # This Python, or else uv starts each one that it finds: 8 s where there are many.
    common = ["--quiet", "--only-binary", ":all:", "--python", sys.executable, *target]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", prefix="wrenlite-", encoding="utf-8") as file:
        file.write("\n".join(wanted))
        file.flush()
        given = [file.name] if command == "compile" else ["--requirement", file.name]
        try:
            # In the root folder: settings of a project around the working folder must not choose packages.
            ended = subprocess.run(
                [find_uv_bin(), "pip", command, *common, *options, *given],
                capture_output=True,
                text=True,
                check=False,
                timeout=_UV_TIMEOUT_S,
                cwd=Path(file.name).anchor,
            )
        except subprocess.TimeoutExpired as error:
            raise ConfigError(
                f"uv did not fetch the packages of the layer within {_UV_TIMEOUT_S:.0f} s. Is the package "
                "index reachable?"
            ) from error
    if ended.returncode:
        names = ", ".join(name for text in wanted for name in _without_digests(text))
        raise NoWheel(
            f"these packages cannot be had for Python {python} on {architecture}: {names}. "
            f"uv, which reads UV_DEFAULT_INDEX and not pip's settings, says: {ended.stderr.strip()[-1500:]}",
            _WITH_OTHER_WHEELS.findall(ended.stderr),
        )
    return ended.stdout


def _mode(name: str) -> int:
    return 0o755 if ".so" in name else 0o644
