"""NDVI of older sensors made comparable with that of newer ones, by published transformations. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.results import PointNdvi, SceneNdvi

REFERENCE = "OLI"
"""The sensor whose values the others are transformed to."""


class Line(NamedTuple):
    """A transformation: intercept + slope x NDVI."""

    intercept: float
    slope: float


SOURCE = "Roy et al. 2016"
_TOP_OF_ATMOSPHERE, _SURFACE = Line(0.0490, 0.9352), Line(0.0235, 0.9723)
LINES = {
    (sensor, level): line
    for sensor in ("ETM+", "TM")
    for level, line in ((1, _TOP_OF_ATMOSPHERE), (2, _SURFACE))
}
"""Transformations of NDVI to that of OLI, by sensor and level.

=======================  ==============================  ====================================
level                    transformation                  fitted to
=======================  ==============================  ====================================
1, top of atmosphere     OLI = 0.0490 + 0.9352 ETM+      pixels of the United States, of winter
2, surface reflectance   OLI = 0.0235 + 0.9723 ETM+      and summer, with NDVI from 0 to 1
=======================  ==============================  ====================================

Source: Roy et al. 2016, Remote Sensing of Environment 185, 57-70, table 2, ordinary least squares. They are
used for TM too, whose bands are nearly those of ETM+, as by Robinson et al. 2017, Remote Sensing 9, 863.
"""


def harmonise(points: Iterable[PointNdvi]) -> list[PointNdvi]:
    """Return points whose NDVI of TM and ETM+ is transformed to that of OLI, as ``LINES`` has it.

    Points of OLI, hidden points, and points that are harmonised already stay as they are. The transformation
    was fitted to NDVI from 0 to 1; it is applied to values below 0, such as those of water, as well.

    Args:
        points: points of any sensor, and of level 1 or 2.

    Raises:
        ConfigError: a point is of another index, or of a sensor without a published transformation.
    """
    return [_harmonised(point) for point in points]


def _harmonised(point: PointNdvi) -> PointNdvi:
    if point.sensor == REFERENCE or point.harmonised or np.isnan(point.value):
        return point
    if point.index != "NDVI":
        raise ConfigError(
            f"{point.index} of {point.product} cannot be harmonised: {SOURCE} published a transformation of"
            " NDVI; leave harmonise=True out, or take scenes of OLI only"
        )
    line = LINES.get((point.sensor, point.level))
    if line is None:
        raise ConfigError(
            f"{point.product} cannot be harmonised: there is no published transformation of sensor"
            f" {point.sensor or 'unknown'}, level {point.level}, to {REFERENCE}"
        )
    return replace(point, value=line.intercept + line.slope * point.value, harmonised=True)


def sensors_text(results: Iterable[SceneNdvi], harmonised: bool = False) -> str:
    """Return the sensors of results in words, and whether they are comparable; empty where none is known.

    Such as ``Landsat 7 ETM+ and 8 OLI, not harmonised``.
    """
    results = [each for each in results if each.sensor]
    names = sorted({f"{each.satellite} {each.sensor}".strip() for each in results})
    if not names:
        return ""
    mission, _, _ = names[0].partition(" ")
    names[1:] = [name.removeprefix(f"{mission} ") for name in names[1:]]
    text = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    if len({each.level for each in results}) > 1:
        text += ", levels 1 and 2 mixed"
    if harmonised:
        return f"{text}, harmonised to {REFERENCE} ({SOURCE})"
    sensors = {each.sensor for each in results}
    return f"{text}, not harmonised" if REFERENCE in sensors and len(sensors) > 1 else text
