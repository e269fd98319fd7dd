"""The zip of the Lambda function: this package, cloudpickle, and the handler.

Made deterministically: sorted entries, one date, one mode, nothing compressed (compressors differ between
versions of zlib). The same sources give the same bytes, from a checkout as from an installed wheel.
"""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import wrenlite
from wrenlite.errors import BackendError

HANDLER = "handler.handler"
"""What Lambda is to call: module and function."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def function_zip() -> bytes:
    """The function's code, as ``CreateFunction`` and ``UpdateFunctionCode`` take it."""
    entries = dict(_entries())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = _MODE
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, entries[name])
    return file.getvalue()


def _entries() -> Iterator[tuple[str, bytes]]:
    package = Path(wrenlite.__file__).parent
    handler = _handler(package)
    yield "handler.py", handler.read_bytes()
    for source in package.rglob("*.py"):
        if source != handler:
            yield source.relative_to(package.parent).as_posix(), source.read_bytes()
    yield from _cloudpickle()


def _handler(package: Path) -> Path:
    """In a wheel the handler lies in the package, in a checkout beside it."""
    for place in (package / "deploy" / "handler.py", package.parent / "lambda_function" / "handler.py"):
        if place.exists():
            return place
    raise BackendError(f"the handler of the Lambda function is missing in {package}: install wrenlite again")


def _cloudpickle() -> Iterator[tuple[str, bytes]]:
    """The version that is installed here, and what tells its version."""
    distribution = importlib.metadata.distribution("cloudpickle")
    if not distribution.files:
        raise BackendError(
            "cloudpickle is installed without a list of its files: pip install cloudpickle again"
        )
    for file in distribution.files:
        if file.suffix == ".py" or file.name == "METADATA":
            yield file.as_posix(), Path(str(distribution.locate_file(file))).read_bytes()
