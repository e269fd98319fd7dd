"""NDVI of older sensors made comparable with that of newer ones, by published transformations. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.results import PointNdvi, SceneNdvi, results_in

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
        ConfigError: a point is of another index, or of a sensor without a published transformation, or
            something is no point.
    """
    return [_harmonised(point) for point in results_in(points, PointNdvi)]


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


def sensors_named(results: Iterable[SceneNdvi]) -> str:
    """Return the sensors of results, such as ``Landsat 7 ETM+ and 8 OLI``; empty where none is known."""
    names = sorted({f"{each.satellite} {each.sensor}".strip() for each in results if each.sensor})
    if not names:
        return ""
    mission, _, _ = names[0].partition(" ")
    names[1:] = [name.removeprefix(f"{mission} ") for name in names[1:]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def comparability(points: Iterable[PointNdvi]) -> str:
    """Return in words what must be known to compare points of several sensors or levels; often nothing.

    Such as ``Landsat 7 ETM+ and 8 OLI, not harmonised``.
    """
    points = [point for point in points if not np.isnan(point.value)]
    facts = []
    if len({point.level for point in points}) > 1:
        facts.append("levels 1 and 2 mixed")
    others = [point for point in points if point.sensor and point.sensor != REFERENCE]
    harmonised = sum(point.harmonised for point in others)
    if harmonised:
        part = "" if harmonised == len(others) else "partly "
        facts.append(f"{part}harmonised to {REFERENCE} ({SOURCE})")
    elif others and any(point.sensor == REFERENCE for point in points):
        facts.append("not harmonised")
    return ", ".join([sensors_named(points), *facts]) if facts else ""
