"""``Advice``: what a job would have taken and cost with other settings, as a value that shows itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from wrenlite.cost import processors
from wrenlite.texts import counted, duration, timed

_SAME = 0.02
"""Settings whose seconds differ by no more than this share are equally fast."""
_HEADS = (("workers", "time", ""), ("memory", "processors", "time", "cost", ""))
"""Heads of the table, without and with prices."""


class Setting(NamedTuple):
    """A setting, with what the job would have taken and cost."""

    seconds: float
    """From its submission to its last outcome."""
    dollars: float | None = None
    """None: it is free."""
    memory_mb: int | None = None
    """Memory of the Lambda function; None: it ran on this machine."""
    architecture: str | None = None
    """Architecture of the Lambda function."""
    chunksize: int | None = None
    """Tasks per batch; None: as they were."""
    workers: int | None = None
    """Local workers."""

    def __str__(self) -> str:
        cost = "" if self.dollars is None else f", {money(self.dollars)}"
        return f"{self.name}: {_time(self.seconds)}{cost}"

    @property
    def name(self) -> str:
        """The setting itself in words, such as ``1,769 MB``."""
        if self.memory_mb is None:
            return counted(self.workers or 1, "worker")
        memory = f"{self.memory_mb:,} MB"
        return f"{memory}, chunksize={self.chunksize}" if self.chunksize else memory


def fastest_of(settings: Sequence[Setting]) -> Setting:
    """Return the cheapest of the settings that are about as fast as any, or that with the fewest workers."""
    least_s = min(each.seconds for each in settings)
    fast = [each for each in settings if each.seconds <= least_s * (1 + _SAME)]
    return min(fast, key=lambda each: (each.dollars or 0.0, each.workers or 0))


@dataclass(frozen=True, repr=False, eq=False)
class Advice:
    """What a job would have taken and cost with other settings."""

    present: Setting
    """The setting that it had, with what it took and cost."""
    cheapest: Setting
    """The setting that would have cost least; on this machine, where nothing costs, the fastest one."""
    fastest: Setting
    """The setting that would have been fastest: of those that are about as fast as any, the cheapest one, on
    this machine that with the fewest workers."""
    settings: Sequence[Setting]
    """All settings that were compared, with the present one."""
    computing: float
    """Processors that each task used while it ran: below 1 it also waited, above 1 it had several threads."""
    title: str
    """The job, and what is known of it, in words."""
    notes: Sequence[str] = ()
    """What is not known, or was left out, and why."""

    def __repr__(self) -> str:
        rows = [self._heads, *map(self._row, self.settings)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        cells = [
            [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)] + [row[-1]]
            for row in rows
        ]
        return "\n".join([self.title, *("  " + "   ".join(row).rstrip() for row in cells), *self.notes])

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str, style: str = "") -> str:
            sides = ["right"] * (len(cells) - 1) + ["left"]
            return "".join(
                f"<{tag} style='text-align:{side}{style}'>{escape(cell)}</{tag}>"
                for cell, side in zip(cells, sides, strict=True)
            )

        rows = [
            row(self._row(each), "td", ";font-weight:bold" if self._marks(each) else "")
            for each in self.settings
        ]
        body = "".join(f"<tr>{cells}</tr>" for cells in rows)
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        head = f"<thead><tr>{row(self._heads, 'th')}</tr></thead>"
        return f"<div>{escape(self.title)}</div><table>{head}<tbody>{body}</tbody></table>{notes}"

    @property
    def _heads(self) -> tuple[str, ...]:
        return _HEADS[self.present.dollars is not None]

    def _marks(self, setting: Setting) -> list[str]:
        named = {"present": self.present, "fastest": self.fastest}
        if self.present.dollars is not None:
            named["cheapest"] = self.cheapest
        return [name for name, each in named.items() if each is setting]

    def _row(self, setting: Setting) -> tuple[str, ...]:
        marks = ", ".join(self._marks(setting))
        if setting.memory_mb is None or setting.dollars is None:
            return setting.name, _time(setting.seconds), marks
        share = f"{processors(setting.memory_mb):.2f}"
        return setting.name, share, _time(setting.seconds), money(setting.dollars), marks


def _time(seconds: float) -> str:
    return duration(seconds) if seconds >= 60 else timed(seconds)


def money(dollars: float) -> str:
    """Return an amount in words, with the digits that tell settings apart."""
    if dollars < 0.01:
        return f"${dollars:.6f}"
    return f"${dollars:.4f}" if dollars < 10 else f"${dollars:,.2f}"
