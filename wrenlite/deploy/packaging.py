"""The layer: the packages that tasks import, for Lambda's platform, in the versions that are installed here.

uv resolves and fetches (pip of some ages picks older wheels for a foreign platform). What no task needs is
left out: tests, type stubs, byte code, static libraries. Libraries are never stripped: that breaks numpy's.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wrenlite.errors import ConfigError

DEFAULT = ("cloudpickle", "numpy", "pillow", "rasterio")
"""What the showcase notebooks import, and what nearly everybody needs."""
UNPACKED_BYTES = 250 * 2**20
"""What function and layers may have together, unpacked."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = ("__pycache__", "tests", "test", "bin")
_LEFT_OUT_SUFFIXES = (".pyc", ".pyi", ".pxd", ".a", ".c", ".h")
_LEFT_OUT_NAMES = (".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
"""What says how it was installed, where and when."""
_UV_S = 600.0


class Layered(NamedTuple):
    """A layer, ready to be uploaded."""

    content: bytes
    """The zip."""
    digest: str
    """SHA-256 over the names and contents of its files."""
    unpacked: int
    """Bytes."""


def requirements(names: Sequence[str] = DEFAULT) -> tuple[str, ...]:
    """These packages in the versions that are installed here; as they are where they are not, or have one."""
    found = []
    for name in names:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return tuple(sorted(found))


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
        files = dict(sorted(_files(Path(folder))))
    sizes = Counter[str]()
    for name, data in files.items():
        sizes[name.split("/")[0].partition("-")[0].removesuffix(".libs")] += len(data)
    if sizes.total() > UNPACKED_BYTES:
        raise ConfigError(_too_much(sizes))
    return Layered(_zip(files), _digest(files), sizes.total())


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
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_UV_S)
    if done.returncode:
        raise ConfigError(
            f"these packages cannot be had for Python {python} on {architecture}: {', '.join(wanted)}. "
            f"uv says: {done.stderr.strip()[-1500:]}"
        )


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not _left_out(name):
            yield name.as_posix(), path.read_bytes()


def _left_out(name: Path) -> bool:
    in_folder = any(part in _LEFT_OUT for part in name.parts[:-1])
    return in_folder or name.suffix in _LEFT_OUT_SUFFIXES or name.name in _LEFT_OUT_NAMES


def _digest(files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, data in files.items():
        whole.update(f"{name}\0{len(data)}\0".encode() + data)
    return whole.hexdigest()


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
    return f"the packages are {total} unpacked, and Lambda takes 250 MB. The largest:\n{listed}"
