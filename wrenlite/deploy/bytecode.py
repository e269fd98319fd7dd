"""Byte code for the function's zip and the layer. Their folders on Lambda are read-only.

Without it each cold worker compiles what it imports. Python takes this byte code without looking at the
sources ("unchecked hash"): no time stamp in it depends on when a zip was made or unpacked.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
import types
import warnings
from collections.abc import Iterator, Mapping

_UNCHECKED_HASH = (0b01).to_bytes(4, "little")
_WITHOUT_REFERENCES = 2
"""The last version of marshal's format whose bytes do not depend on what else refers to an object."""


def is_for(python: str) -> bool:
    """Return whether this process can compile for the runtime with this minor version, such as ``3.12``."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return python == own and sys.implementation.name == "cpython"


def compiled(files: Mapping[str, bytes], root: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of the byte code of each source.

    Args:
        files: contents by the names that they have in a zip. Those that are no sources are left out, and so
            is what this Python cannot compile, such as templates.
        root: the folder into which Lambda unpacks the zip. Tracebacks show it.
    """
    for name, source in files.items():
        folder, _, file = name.rpartition("/")
        if not file.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are about other people's sources
                code = compile(source, f"{root}/{name}", "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError):
            continue
        cache = f"{folder}/__pycache__" if folder else "__pycache__"
        yield (
            f"{cache}/{file[:-3]}.{sys.implementation.cache_tag}.pyc",
            importlib.util.MAGIC_NUMBER
            + _UNCHECKED_HASH
            + importlib.util.source_hash(source)
            + _marshalled(code),
        )


def _marshalled(code: types.CodeType) -> bytes:
    try:
        return marshal.dumps(code, _WITHOUT_REFERENCES)
    except ValueError:  # Python 3.14 has constants that only its own version of the format holds
        return marshal.dumps(code)
