"""Make the zip of the Lambda function: this package, cloudpickle, and the handler, with their byte code.

It has the package's compiled libraries for both architectures, so it does not depend on the function's.

The zip is deterministic and not compressed: the same sources and the same Python give the same bytes, from a
checkout and from an installed wheel. So the digest alone shows whether the deployed function is this version.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import wrenlite
from wrenlite.deploy.bytecode import compiled
from wrenlite.errors import BackendError
from wrenlite.serialize.zips import make_zip

HANDLER = "handler.handler"
"""What Lambda calls: the module and the function in it."""
DRIVER_HANDLER = "wrenlite.durable.driver.handler"
"""The same for the driver, whose zip is that of the function."""
_FOLDER = "/var/task"
"""Where Lambda unpacks the zip."""
_LEFT_OUT = ("cli.py", "__main__.py", "deploy", "display")
"""What no task needs. The rest is needed: tasks of the notebooks call the gallery, and a task may use its own
executor as a standard one or by PyWren's names, which is ``interop``."""


def function_zip() -> bytes:
    """Return the function's code as a zip, for ``CreateFunction`` and ``UpdateFunctionCode``.

    Its byte code is that of this Python, as is the function's runtime: see ``Settings.python``.
    """
    files = dict(_files())
    return make_zip(files | dict(compiled(files, _FOLDER)), compress=False)


def _files() -> Iterator[tuple[str, bytes]]:
    package = Path(wrenlite.__file__).parent
    handler = _find_handler(package)
    yield "handler.py", handler.read_bytes()
    for pattern in ("*.py", "*.so"):
        for file in package.rglob(pattern):
            if file != handler and file.relative_to(package).parts[0] not in _LEFT_OUT:
                yield file.relative_to(package.parent).as_posix(), file.read_bytes()
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
