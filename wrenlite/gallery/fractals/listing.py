"""Reading a list of fractals from CSV: a header ``name,iterations,size``, and one row per picture."""

from __future__ import annotations

import csv
import io

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.lsystems import Fractal
from wrenlite.texts import counted, not_utf8

COLUMNS = ("name", "iterations", "size")
_MAX_ROWS_SHOWN = 20
"""Bad rows that an error message lists one by one."""


def parse(data: bytes, source: str) -> list[Fractal]:
    """Return the fractals of a list, in order.

    Args:
        data: CSV in UTF-8, with or without a byte order mark. The columns may be in any order; blank
            lines are skipped.
        source: a name of the list for messages, such as its path.

    Raises:
        ConfigError: the data is not UTF-8, its columns are not those of ``COLUMNS``, there are no rows, or
            some rows are bad; the message has the line of each bad row and the reason.
    """
    rows = csv.reader(io.StringIO(_decode(data, source), newline=""), skipinitialspace=True, strict=True)
    fractals: list[Fractal] = []
    errors: list[str] = []
    columns: list[str] | None = None
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = _check_header(cells, source)
                continue
            try:
                fractals.append(_fractal(cells, columns))
            except ConfigError as reason:
                errors.append(f"line {rows.line_num}: {reason}")
    except csv.Error as reason:
        errors.append(f"line {rows.line_num}: {reason}; nothing after it was read")
    if errors:
        raise ConfigError(_message(errors, source))
    if not fractals:
        raise ConfigError(
            f"{source} has no fractals; it needs the header {','.join(COLUMNS)} and rows below it"
        )
    return fractals


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(not_utf8(error, data, source)[0]) from None


def _check_header(header: list[str], source: str) -> list[str]:
    """Return the header if it has exactly the columns of ``COLUMNS``, in any order."""
    if sorted(header) == sorted(COLUMNS):
        return header
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in header]
    if not missing:
        problem = f"has more columns than it may: {', '.join(unknown or header)}"
    elif len(missing) == len(COLUMNS):
        problem = f"begins with {','.join(header)!r}"
    else:
        problem = f"has no column {' or '.join(missing)}"
    raise ConfigError(f"{source} {problem}; its first line must be {','.join(COLUMNS)}")


def _fractal(cells: list[str], columns: list[str]) -> Fractal:
    if len(cells) != len(columns):
        raise ConfigError(f"{counted(len(cells), 'cell')} instead of {len(columns)}")
    row = dict(zip(columns, cells, strict=True))
    return Fractal(row["name"], _integer("iterations", row), _integer("size", row))


def _integer(column: str, row: dict[str, str]) -> int:
    text = row[column]
    if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 9:
        raise ConfigError(f"{column} must be a whole number, not {text[:40]!r}")
    return int(text)


def _message(errors: list[str], source: str) -> str:
    """Return the message about all bad rows."""
    lines = errors[:_MAX_ROWS_SHOWN]
    if len(errors) > _MAX_ROWS_SHOWN:
        lines.append(f"and {len(errors) - _MAX_ROWS_SHOWN} more")
    return "\n    ".join([f"{source} has {counted(len(errors), 'bad row')}:", *lines])
