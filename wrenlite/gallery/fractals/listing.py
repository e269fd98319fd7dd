"""Fractals from a CSV list: a header ``name,iterations,size``, and a row for each picture."""

from __future__ import annotations

import csv
import io

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.lsystems import Fractal

COLUMNS = ("name", "iterations", "size")
_SHOWN = 20
"""Bad rows that an error tells one by one."""


def parse(data: bytes, source: str) -> list[Fractal]:
    """The fractals of a list, in order.

    Args:
        data: CSV in UTF-8, with or without a byte order mark. The columns may stand in any order; blank
            lines are skipped.
        source: a name of the list for messages, such as its path.

    Raises:
        ConfigError: not UTF-8, a header that is not ``name,iterations,size``, no rows, or bad rows: each
            with its line and the reason.
    """
    rows = csv.reader(io.StringIO(_text(data, source), newline=""), skipinitialspace=True, strict=True)
    fractals: list[Fractal] = []
    bad: list[str] = []
    columns: list[str] | None = None
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if columns is None:
                columns = _columns(cells, source)
                continue
            try:
                fractals.append(_fractal(cells, columns))
            except ConfigError as reason:
                bad.append(f"line {rows.line_num}: {reason}")
    except csv.Error as reason:
        bad.append(f"line {rows.line_num}: {reason}; nothing after it was read")
    if bad:
        raise ConfigError(_complaint(bad, source))
    if not fractals:
        raise ConfigError(
            f"{source} has no fractals; it needs the header {','.join(COLUMNS)} and rows below it"
        )
    return fractals


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(error.object)  # the mark at the beginning counts
        line = data.count(b"\n", 0, place) + 1
        raise ConfigError(
            f"{source} is not UTF-8: byte {place}, in line {line}, is 0x{data[place]:02x}; save it as UTF-8"
        ) from None


def _columns(header: list[str], source: str) -> list[str]:
    if sorted(header) == sorted(COLUMNS):
        return header
    wanted = ",".join(COLUMNS)
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in header]
    if not missing:
        what = f"has more columns than it may: {', '.join(unknown or header)}"
    elif len(missing) == len(COLUMNS):
        what = f"begins with {','.join(header)!r}"
    else:
        what = f"has no column {' or '.join(missing)}"
    raise ConfigError(f"{source} {what}; its first line must be {wanted}")


def _fractal(cells: list[str], columns: list[str]) -> Fractal:
    if len(cells) != len(columns):
        raise ConfigError(f"{len(cells)} cells instead of {len(columns)}")
    row = dict(zip(columns, cells, strict=True))
    return Fractal(row["name"], _whole("iterations", row), _whole("size", row))


def _whole(column: str, row: dict[str, str]) -> int:
    if not (row[column].isascii() and row[column].removeprefix("-").isdigit()) or len(row[column]) > 9:
        raise ConfigError(f"{column} must be a whole number, not {row[column][:40]!r}")
    return int(row[column])


def _complaint(bad: list[str], source: str) -> str:
    lines = bad[:_SHOWN]
    if len(bad) > _SHOWN:
        lines.append(f"and {len(bad) - _SHOWN} more")
    count = "1 bad row" if len(bad) == 1 else f"{len(bad)} bad rows"
    return "\n    ".join([f"{source} has {count}:", *lines])
