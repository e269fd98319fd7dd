"""Make the zip of the Lambda function: this package, cloudpickle, and the handler.

The zip is deterministic and not compressed: the same sources give the same bytes, from a checkout and from an
installed wheel. So the digest alone shows whether the deployed function is this version.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import wrenlite
from wrenlite.errors import BackendError
from wrenlite.serialize.zips import make_zip

HANDLER = "handler.handler"
"""What Lambda calls: the module and the function in it."""


def function_zip() -> bytes:
    """Return the function's code as a zip, for ``CreateFunction`` and ``UpdateFunctionCode``."""
    return make_zip(dict(_files()), compress=False)


def _files() -> Iterator[tuple[str, bytes]]:
    package = Path(wrenlite.__file__).parent
    handler = _find_handler(package)
    yield "handler.py", handler.read_bytes()
    for source in package.rglob("*.py"):
        if source != handler:
            yield source.relative_to(package.parent).as_posix(), source.read_bytes()
    yield from _cloudpickle_files()


def _find_handler(package: Path) -> Path:
    """Return the file of the handler: in a wheel it is in the package, in a checkout beside the package."""
    for path in (package / "deploy" / "handler.py", package.parent / "lambda_function" / "handler.py"):
        if path.exists():
            return path
    raise BackendError(f"the handler of the Lambda function is missing in {package}: install wrenlite again")


def _cloudpickle_files() -> Iterator[tuple[str, bytes]]:
    """Yield the sources of the cloudpickle that is installed here, and the file that holds its version."""
    distribution = importlib.metadata.distribution("cloudpickle")
    if not distribution.files:
        raise BackendError(
            "cloudpickle is installed without a list of its files: install it again with pip install "
            "--force-reinstall cloudpickle"
        )
    for file in distribution.files:
        if file.suffix == ".py" or file.name == "METADATA":
            yield file.as_posix(), Path(str(distribution.locate_file(file))).read_bytes()
