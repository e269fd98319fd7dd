"""A column of a table whose first rows can be forgotten, while the others keep their numbers."""

from __future__ import annotations

from typing import Any


class Window:
    """A list, array or bytearray that is numbered from 0, and of which the first rows are forgotten.

    One thread writes to it and forgets. Others may read meanwhile: they find a row, or that it is forgotten.
    """

    def __init__(self, column: Any, forgotten: object) -> None:
        """Wrap a column.

        Args:
            column: the rows.
            forgotten: what is read in place of a row that is forgotten.
        """
        # The two are replaced together, so that a reader finds what belongs together.
        self._rows: tuple[int, Any] = (0, column)
        self._forgotten = forgotten

    def __len__(self) -> int:
        first, column = self._rows
        return first + len(column)

    def __bytes__(self) -> bytes:
        return bytes(self._rows[1])

    def __getitem__(self, key: Any) -> Any:
        first, column = self._rows
        if isinstance(key, slice):
            return column[_shifted(key, first)]
        return column[key - first] if key >= first else self._forgotten

    def __setitem__(self, key: Any, value: Any) -> None:
        first, column = self._rows
        if isinstance(key, slice):
            column[_shifted(key, first)] = value[max(0, first - key.start) :]
        elif key >= first:
            column[key - first] = value

    def append(self, row: object) -> None:
        """Add one row."""
        self._rows[1].append(row)

    def extend(self, rows: Any) -> None:
        """Add rows."""
        self._rows[1].extend(rows)

    def forget_before(self, number: int) -> None:
        """Forget the rows before this one."""
        first, column = self._rows
        self._rows = (number, column[number - first :])


def _shifted(key: slice, first: int) -> slice:
    """Return the slice of the rows that are left."""
    stop = None if key.stop is None else max(0, key.stop - first)
    return slice(max(0, (key.start or 0) - first), stop)
