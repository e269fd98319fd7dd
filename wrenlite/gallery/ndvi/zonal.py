"""Statistics of an index over areas: gathered in one pass, with little memory, and as a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, PackageMissing, StoreError
from wrenlite.gallery.ndvi import masks
from wrenlite.gallery.ndvi.indices import SCALE, Floats
from wrenlite.gallery.ndvi.masks import Hidden, Reason, Reasons
from wrenlite.gallery.ndvi.polygons import read_areas
from wrenlite.gallery.ndvi.results import PointNdvi, SceneNdvi, results_in
from wrenlite.texts import listed

if TYPE_CHECKING:
    import pandas

PERCENTILES = (5, 25, 50, 75, 95)
_CODES = 2**16
LEAST_USABLE = 0.5
"""Share of an area that must be usable for its mean to stand for the whole area, in ``AreaStats.point``."""
_EXTENSIONS = (".csv", ".parquet", ".geoparquet")


@dataclass(frozen=True, kw_only=True)
class AreaStats(SceneNdvi):
    """Statistics of an index over one area in one scene: of the usable pixels whose centre is in the area."""

    area: str
    """Name of the area."""
    pixels: int
    """Number of the area's pixels, also of those that are hidden or lie beyond the scene."""
    mean: float
    """The mean; NaN, as all statistics, where no pixel is usable."""
    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    """Percentiles, in steps of 0.0001; between two values they are interpolated."""
    hidden: Hidden
    """Share of the area's pixels that cannot be used, by reason; ``fill`` also lies beyond the scene.

    Of an area without a pixel, all is ``fill``.
    """
    left_out: int = 0
    """Number of the area's polygons that are not counted: they are too far for the scene's projection."""

    @property
    def usable(self) -> float:
        """Return the share of the area's pixels that are usable."""
        return max(0.0, 1 - self.hidden.total)

    def point(self) -> PointNdvi:
        """Return the area's mean as the value of a point, for curves and figures of seasons.

        Where less than half of the area is usable, it is hidden by the reason that hides most of it.
        """
        shown = self.usable >= LEAST_USABLE
        reason = max(zip(self.hidden, Hidden._fields, strict=True))[1].replace("_", " ")
        names = SceneNdvi.__dataclass_fields__
        return PointNdvi(
            value=self.mean if shown else float("nan"),
            hidden=None if shown else reason,
            **{name: getattr(self, name) for name in names},
        )


@dataclass
class Tally:
    """What is gathered of an area, window by window: counts of each value in steps of 0.0001."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_CODES, np.int64))
    reasons: NDArray[np.int64] = field(default_factory=masks.no_counts)
    total: float = 0.0
    left_out: int = 0
    """Number of polygons that are not counted."""

    def add(self, values: Floats, reasons: Reasons) -> None:
        """Add pixels of the area: their index, and why they are hidden."""
        shown = values[reasons == Reason.USABLE].astype(np.float64)
        codes = np.rint(shown * SCALE).astype(np.int64) + _CODES // 2
        self.counts += np.bincount(codes, minlength=_CODES)
        self.reasons += masks.count(reasons)
        self.total += float(shown.sum())

    @property
    def pixels(self) -> int:
        """Return the number of pixels so far."""
        return int(self.reasons.sum())

    def add_beyond(self, pixels: int) -> None:
        """Add pixels of the area that lie beyond the scene."""
        self.reasons[Reason.FILL] += pixels

    def statistics(self) -> dict[str, Any]:
        """Return the statistics by the names of the fields of ``AreaStats``."""
        used = int(self.counts.sum())
        percentiles = self._percentiles(used)
        return {
            "pixels": self.pixels,
            "mean": self.total / used if used else float("nan"),
            **{"median" if each == 50 else f"p{each}": percentiles[each] for each in PERCENTILES},
            "hidden": Hidden.of(self.reasons) if self.pixels else Hidden(fill=1.0),
            "left_out": self.left_out,
        }

    def _percentiles(self, used: int) -> dict[int, float]:
        """Return the percentiles as numpy does by default: interpolated between the two nearest values."""
        if not used:
            return dict.fromkeys(PERCENTILES, float("nan"))
        below = np.cumsum(self.counts)
        places = np.array(PERCENTILES) / 100 * (used - 1)
        low, high = (
            (np.searchsorted(below, ranks, side="right") - _CODES // 2) / SCALE
            for ranks in (np.floor(places), np.ceil(places))
        )
        values = low + (high - low) * (places - np.floor(places))
        return dict(zip(PERCENTILES, values.tolist(), strict=True))


def in_order(stats: Iterable[AreaStats]) -> list[AreaStats]:
    """Return statistics by area, in the order in which areas come first, and by date."""
    stats = list(stats)
    places = {name: place for place, name in enumerate(dict.fromkeys(each.area for each in stats))}
    return sorted(stats, key=lambda each: (places[each.area], each.date, each.product))


def area_table(stats: Iterable[AreaStats]) -> pandas.DataFrame:
    """Return a table with one row for each area and scene, in the order of the areas, and by date.

    Raises:
        ConfigError: something is no statistics of an area.
        PackageMissing: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise PackageMissing(f"tables need {error.name}: pip install 'wrenlite[landsat]'") from error
    first = ("date", "product", "satellite", "sensor", "level", "tier", "index", "cloud")
    numbers = ("pixels", "usable", "mean", "median", "p5", "p25", "p75", "p95")
    rows = [
        {
            "name": each.area,
            **{name: getattr(each, name) for name in first + numbers},
            **{f"hidden_{reason}": share for reason, share in each.hidden._asdict().items()},
            "polygons_left_out": each.left_out,
            "masked": each.masking_text,
            "synthetic": each.synthetic,
        }
        for each in in_order(results_in(stats, AreaStats))
    ]
    names = [
        "name",
        *first,
        *numbers,
        *(f"hidden_{reason}" for reason in Hidden._fields),
        "polygons_left_out",
        "masked",
        "synthetic",
    ]
    table = pandas.DataFrame(rows, columns=names)
    return table.astype({"date": "datetime64[s]", "cloud": "float64"})


def check_table_path(path: str | Path) -> Path:
    """Return the path of a table whose name says which format it has.

    Raises:
        ConfigError: it says neither CSV nor GeoParquet, or this is no path.
        PackageMissing: geopandas, which GeoParquet needs, is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path={path!r:.80}: give the path of a file that ends in {', '.join(_EXTENSIONS)}")
    target = Path(path)
    if target.suffix.lower() not in _EXTENSIONS:
        raise ConfigError(f"{target} has no known format: give a name that ends in {', '.join(_EXTENSIONS)}")
    if target.suffix.lower() != ".csv":
        _import_geopandas()
    return target


def write_table(table: pandas.DataFrame, path: str | Path, areas: Any = ()) -> None:
    """Write a table of areas as CSV, or as GeoParquet, which also has the areas' polygons.

    Args:
        table: the table that ``area_table`` returns.
        path: path of the file, whose name ends in ``.csv``, ``.parquet`` or ``.geoparquet``. In CSV,
            numbers have 6 significant digits.
        areas: the areas, for GeoParquet; anything that ``polygons.read_areas`` takes.

    Raises:
        ConfigError: the name has another ending, this is no table of areas, or an area of the table is not
            among the areas.
        PackageMissing: geopandas or pyarrow, which GeoParquet needs, is not installed.
        StoreError: the file cannot be written.
    """
    target = check_table_path(path)
    if "name" not in getattr(table, "columns", ()):
        raise ConfigError(f"{table!r:.80} is no table of areas: give what zonal.area_table returns")
    try:
        if target.suffix.lower() == ".csv":
            table.to_csv(target, index=False, date_format="%Y-%m-%d", float_format="%.6g")
        else:
            _with_polygons(table, areas).to_parquet(target, index=False)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
    except ImportError as error:
        raise PackageMissing(f"GeoParquet needs pyarrow: pip install 'wrenlite[areas]' ({error})") from error


def _with_polygons(table: pandas.DataFrame, areas: Any) -> Any:
    """Return the table as a GeoDataFrame in degrees.

    Raises:
        ConfigError: an area of the table is not among the areas.
    """
    geopandas = _import_geopandas()
    from shapely.geometry import shape

    given = [] if isinstance(areas, Sequence) and not areas else read_areas(areas)
    shapes = {area.name: shape(area) for area in given}
    missing = [name for name in table["name"] if name not in shapes]
    if missing:
        have = f", not only {listed(list(shapes))}" if shapes else ""
        raise ConfigError(
            f"GeoParquet needs the polygons of {missing[0]!r}: give areas= with all areas of the table{have}"
        )
    return geopandas.GeoDataFrame(table, geometry=[shapes[name] for name in table["name"]], crs="EPSG:4326")


def _import_geopandas() -> Any:
    try:
        import geopandas
    except ImportError as error:
        raise PackageMissing(f"GeoParquet needs {error.name}: pip install 'wrenlite[areas]'") from error
    return geopandas
