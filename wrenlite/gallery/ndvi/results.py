"""The records that tasks return: an index of one scene at a point, in a tile or over an area."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.indices import Stats
from wrenlite.gallery.ndvi.masks import Hidden, Masking


@dataclass(frozen=True)
class Timing:
    """Wall time of a task on its worker, by phase.

    Bands may be opened and read at the same time. The time of both phases together is then divided in the
    ratio of what opening and reading took, summed over the bands.
    """

    open_s: float
    read_s: float
    compute_s: float


@dataclass(frozen=True, kw_only=True)
class SceneNdvi:
    """What every result says of its scene."""

    product: str
    """Id of the scene's product."""
    date: date
    """Day on which the scene was taken, in UTC."""
    timing: Timing
    cloud: float | None = None
    """Percent of the scene under cloud, according to its metadata; None where it is not known."""
    satellite: str = ""
    """Such as ``Landsat 8``."""
    sensor: str = ""
    """Such as ``OLI``."""
    level: int = 2
    """1 is reflectance at the top of the atmosphere, 2 is reflectance of the surface."""
    tier: str = ""
    """Quality of the geometry, such as ``T1``."""
    index: str = "NDVI"
    """Name of the index."""
    masking: Masking = field(default_factory=Masking)
    """What was masked, as far as the scene's quality bands tell of it. The floor is 0 where none applies."""
    unseen: frozenset[str] = frozenset()
    """Reasons for which nothing is masked, such as ``cloud``, because the scene has no quality band."""
    synthetic: bool = False
    """True where the scene was generated, not observed; a file made from the result says so."""

    @property
    def masking_text(self) -> str:
        """Return in words what was masked, and what was not because the scene has no quality band."""
        return self.masking.text(self.unseen)


@dataclass(frozen=True, kw_only=True)
class PointNdvi(SceneNdvi):
    """NDVI, or another index, of one scene at one point."""

    value: float
    """The index; NaN where the pixel is hidden."""
    hidden: str | None = None
    """Why the pixel cannot be used, such as ``cloud`` (see ``masks.Reason``); None where it can."""
    harmonised: bool = False
    """Whether the value was transformed to that of another sensor; see ``harmonisation``."""

    @property
    def masked(self) -> bool:
        """Return whether the pixel cannot be used."""
        return self.hidden is not None


@dataclass(frozen=True, kw_only=True)
class PixelsNdvi(SceneNdvi):
    """What results of many pixels have in common."""

    grid: Grid
    """Grid of the values."""
    values: NDArray[Any]
    hidden: Hidden
    """Share of the pixels that cannot be used, by reason."""

    @property
    def masked(self) -> float:
        """Return the share of the pixels that cannot be used, including those without data."""
        return self.hidden.total

    @property
    def fill(self) -> float:
        """Return the share of the pixels without data, because the sensor's swath does not cover them."""
        return self.hidden.fill

    def to_xarray(self) -> Any:
        """Return the values as a DataArray with the dims y and x, and coordinates of the pixels' centres.

        Raises:
            PackageMissing: xarray is not installed.
        """
        from wrenlite.gallery.ndvi import xarrays

        return xarrays.of_result(self)


@dataclass(frozen=True, kw_only=True)
class TileNdvi(PixelsNdvi):
    """NDVI, or another index, of one window of a scene."""

    values: NDArray[np.int16]
    """The index x 10,000, of shape (height, width); ``indices.NODATA`` where hidden."""
    stats: Stats


@dataclass(frozen=True, kw_only=True)
class AreaNdvi(PixelsNdvi):
    """NDVI, or another index, of one scene over an area, as a picture."""

    values: NDArray[np.float32]
    """The index, of shape (height, width); NaN where hidden, and where the area reaches beyond the scene."""


R = TypeVar("R", bound=SceneNdvi)


def results_in(given: object, kind: type[R]) -> list[R]:
    """Return results as a list: one, or several.

    Args:
        given: what should be results.
        kind: their class.

    Raises:
        ConfigError: something else is among them.
    """
    results: list[R] = []
    for each in [given] if isinstance(given, kind | str) or not isinstance(given, Iterable) else given:
        if not isinstance(each, kind):
            raise ConfigError(
                f"a {type(each).__name__} is no {kind.__name__}: give what tasks have returned, such as"
                " job.results()"
            )
        results.append(each)
    return results


def cloud_or_worst(cloud: float | None) -> float:
    """Return the percent of a scene under cloud; 100 where it is not known, wherever scenes are compared."""
    return 100.0 if cloud is None else cloud


def check_one_level(results: Iterable[SceneNdvi], mixed: bool = False) -> None:
    """Check that results can be compared, before they are joined in one curve, mosaic or composite.

    NDVI of reflectance at the top of the atmosphere is lower than NDVI of surface reflectance of the same
    pixels, because air brightens red more than near infrared.

    Args:
        results: points, tiles or areas.
        mixed: whether levels 1 and 2 may be together. Different indices never may.

    Raises:
        ConfigError: the results are of several indices, or of levels 1 and 2, or something is no result.
    """
    results = results_in(results, SceneNdvi)
    for each in results[1:]:
        if each.index != results[0].index:
            raise ConfigError(
                f"{results[0].index} of {results[0].product} and {each.index} of {each.product} are different"
                " indices and cannot be joined: give results of one index"
            )
    example = {each.level: each.product for each in results}
    if len(example) > 1 and not mixed:
        named = " and ".join(f"{example[level]} of level {level}" for level in sorted(example))
        raise ConfigError(
            f"{named} cannot be joined, because level 1 is reflectance at the top of the atmosphere and level"
            " 2 is that of the surface: choose scenes of one level, with Query(levels=(2,)), or give"
            " mixed=True"
        )
