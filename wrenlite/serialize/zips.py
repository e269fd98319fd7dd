"""Deterministic zips: equal files give equal bytes, whenever and wherever the zip is made."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

_EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip can hold. All entries carry it."""
_UNIX = 3
"""The system that all entries carry, on which file modes have a meaning."""
_LEVEL = 6


def make_zip(
    files: Mapping[str, bytes], *, compress: bool, mode: Callable[[str], int] = lambda name: 0o644
) -> bytes:
    """Return a zip of files, sorted by their names.

    Args:
        files: the content of each file, by its name in the zip.
        compress: compress the files. Their compressed bytes depend on the version of zlib; the bytes of a zip
            that is not compressed depend on nothing but the files.
        mode: returns the permissions of a file from its name.
    """
    import zipfile  # not at the start of a worker, which imports this module

    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EARLIEST_DATE)
            entry.create_system = _UNIX
            entry.external_attr = mode(name) << 16
            archive.writestr(entry, files[name], method, _LEVEL)
    return buffer.getvalue()
