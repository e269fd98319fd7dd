"""Why a pixel has no index: the reasons, how many pixels each hides, and which of them a caller masks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError

Reasons = NDArray[np.uint8]
"""A ``Reason`` for each pixel."""
Counts = NDArray[np.int64]
"""A number of pixels for each ``Reason``."""


class Reason(IntEnum):
    """Why a pixel cannot be used. Where several are true, the first in this order counts."""

    USABLE = 0
    FILL = 1
    """The sensor's swath does not cover the pixel, or the pixel lies beyond the scene."""
    CLOUD = 2
    """Cloud, thin cloud (cirrus), or the border of a cloud."""
    SHADOW = 3
    """The shadow of a cloud."""
    SNOW = 4
    """Snow or ice, which is no vegetation."""
    SATURATED = 5
    """A band is saturated, the pixel was lost in transmission, or terrain hides it."""
    OUT_OF_RANGE = 6
    """A reflectance is not above 0, is above 1, or the two are too dark for their ratio; see ``Masking``."""

    @property
    def text(self) -> str:
        """Return the reason in words, such as ``out of range``."""
        return self.name.lower().replace("_", " ")


class Hidden(NamedTuple):
    """The share of all pixels that each reason hides, 0 to 1."""

    fill: float = 0.0
    cloud: float = 0.0
    shadow: float = 0.0
    snow: float = 0.0
    saturated: float = 0.0
    out_of_range: float = 0.0

    @property
    def total(self) -> float:
        """Return the share of pixels that cannot be used."""
        return sum(self)

    @classmethod
    def of(cls, counts: Counts) -> Hidden:
        """Return the shares for the numbers of pixels that ``count`` gives; 0 where there is no pixel."""
        size = max(1, int(counts.sum()))
        return cls(*(float(number) / size for number in counts[1:]))

    @classmethod
    def joined(cls, parts: Iterable[tuple[Hidden, int]]) -> Hidden:
        """Return the shares in several pictures together, each with its number of pixels."""
        parts = list(parts)
        pixels = max(1, sum(count for _, count in parts))
        sums = (sum(part[number] * count for part, count in parts) for number in range(len(cls._fields)))
        return cls(*(total / pixels for total in sums))

    @property
    def text(self) -> str:
        """Return the reasons with their shares, the greatest first, such as ``cloud 12 %, shadow 3 %``."""
        named = [
            (share, reason.text) for share, reason in zip(self, list(Reason)[1:], strict=True) if share > 0
        ]
        named.sort(key=lambda pair: -pair[0])
        return ", ".join(f"{name} {_percent(share)}" for share, name in named)


def no_counts() -> Counts:
    """Return the counts of no pixel, to which others are added."""
    return np.zeros(len(Reason), np.int64)


def count(reasons: Reasons) -> Counts:
    """Return the number of pixels with each reason; the first number is that of the usable pixels."""
    counts = no_counts()
    if reasons.any():
        for reason in range(int(reasons.min()), int(reasons.max()) + 1):
            counts[reason] = np.count_nonzero(reasons == reason)  # four times as fast as np.bincount
    else:
        counts[Reason.USABLE] = reasons.size
    return counts


def _percent(share: float) -> str:
    """Return a share in whole percent; one that is not 0 is never shown as 0."""
    return "< 1 %" if share < 0.005 else f"{share:.0%}".replace("%", " %")


_OPTIONAL = frozenset(reason.text for reason in (Reason.CLOUD, Reason.SHADOW, Reason.SNOW, Reason.SATURATED))


@dataclass(frozen=True)
class Masking:
    """Which pixels are masked. By default every reason masks.

    Raises:
        ConfigError: a reason to keep is none of cloud, shadow, snow and saturated, or the floor is not
            between 0 and 1.
    """

    keep: Collection[str] = frozenset()
    """Reasons that do not mask, as texts such as ``{"snow"}``; a text alone is one reason.

    Fill and reflectances out of range always mask.
    """
    floor: float = 0.05
    """Least sum of the two surface reflectances of a normalised difference.

    Below it the pixel is out of range, since the ratio is mostly noise: with the uncertainty of 0.005 that
    USGS gives for each dark band (LSDS-1619), NDVI of a sum of 0.05 is uncertain by 0.14. Clear water and
    deep shadow are that dark. 0 masks none of them. Level 1 has no floor: haze brightens its dark pixels.
    """

    def __post_init__(self) -> None:
        known = f"give some of {', '.join(sorted(_OPTIONAL))}, such as keep={{'snow'}}"
        try:
            given = [self.keep] if isinstance(self.keep, str) else self.keep
            keep = frozenset(each.text if isinstance(each, Reason) else each for each in given)
        except TypeError:
            raise ConfigError(f"keep={self.keep!r} is no set of reasons: {known}") from None
        for reason in keep - _OPTIONAL:
            raise ConfigError(f"{reason!r} is no reason for which pixels can be kept: {known}")
        # A bool is a number in Python, but floor=True means nothing.
        if not isinstance(self.floor, Real) or isinstance(self.floor, bool) or not 0 <= self.floor < 1:
            raise ConfigError(f"floor={self.floor!r} is no reflectance: give a number from 0 to below 1")
        object.__setattr__(self, "keep", keep)
        object.__setattr__(self, "floor", float(self.floor))

    def text(self, unseen: Collection[str] = ()) -> str:
        """Return what is masked in words, such as for the tag of a file.

        Args:
            unseen: reasons that nothing tells of; see ``SceneNdvi.unseen``.
        """
        wanted = [reason.text for reason in Reason if reason and self.masks(reason)]
        parts = [", ".join(name for name in wanted if name not in unseen)]
        if self.floor:
            parts.append(f"a sum of reflectances below {self.floor:g} is out of range")
        if missing := ", ".join(name for name in wanted if name in unseen):
            parts.append(f"not masked, because the scene has no quality band for it: {missing}")
        return "; ".join(parts)

    def masks(self, reason: Reason) -> bool:
        """Return whether pixels with this reason are masked."""
        return reason.text not in self.keep


def check_masking(masking: object) -> None:
    """Check that an argument is a masking.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(masking, Masking):
        raise ConfigError(
            f"masking={masking!r} is no masking: give one such as masks.Masking(keep={{'snow'}})"
        )
