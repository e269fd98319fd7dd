"""Landsat scenes: product ids, the addresses of their files, and the number of the red band of each sensor.

Layouts and ids are those of Collection 2 (USGS LSDS-1656, "Landsat Collection 2 Data Dictionary").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.ndvi.bands import redact_address
from wrenlite.gallery.ndvi.indices import Calibration

_ID = re.compile(
    r"(?P<instrument>L[COTEM])(?P<satellite>[0-9]{2})_L(?P<level>[0-9])(?P<correction>[A-Z]{2})"
    r"_(?P<path>[0-9]{3})(?P<row>[0-9]{3})_(?P<acquired>[0-9]{8})_(?P<processed>[0-9]{8})"
    r"_(?P<collection>[0-9]{2})_(?P<tier>[0-9A-Z]{2})"
)
_CORRECTIONS = {"1": ("TP", "GT", "GS"), "2": ("SP", "SR")}
"""Kinds of processing, by level. Level 2 has ST too, which is surface temperature without reflectance."""
_PATHS, _ROWS = 233, 248
"""Numbers of paths and rows of Landsat 4 and later (the Worldwide Reference System, WRS-2)."""
_TEMPERATURE, _IMPOSSIBLE = "surface temperature only", "an impossible product id"
"""Reasons to leave a product out."""
_FIRST_YEARS = {4: 1982, 5: 1984, 7: 1999, 8: 2013, 9: 2021}
"""Year of the first scene, by satellite."""


class Unusable(ConfigError):
    """NDVI cannot be computed from what an id, an item or a metadata file describes."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        """Create an error.

        Args:
            message: says what cannot be used, and why.
            reason: the reason alone, under which a catalogue counts what it leaves out.
        """
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Sensor:
    """An instrument, with its name in the archive's keys and the numbers of its bands."""

    name: str
    folder: str
    """The part of the keys that names the instrument."""
    bands: Mapping[str, int] = field(hash=False)
    """Numbers of the reflective bands, by the common name that STAC gives them."""

    def saturation_bits(self, names: Iterable[str]) -> int:
        """Return the bits of QA_RADSAT for saturation in some bands: band n has bit n - 1."""
        return sum(1 << (self.bands[name] - 1) for name in set(names))


OLI = Sensor("OLI", "oli-tirs", {"blue": 2, "green": 3, "red": 4, "nir": 5, "swir1": 6, "swir2": 7})
_TM_BANDS = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir1": 5, "swir2": 7}
TM = Sensor("TM", "tm", _TM_BANDS)
ETM = Sensor("ETM+", "etm", _TM_BANDS)


@dataclass(frozen=True)
class Product:
    """The content of a product id."""

    id: str
    satellite: str
    """Such as ``Landsat 8``."""
    sensor: Sensor
    level: int
    """1 is calibrated radiance, 2 is surface reflectance."""
    path: str
    row: str
    """Path and row in WRS-2, with three digits each."""
    acquired: date
    tier: str

    @classmethod
    def parse(cls, text: str) -> Product:
        """Return the product with an id such as ``LC08_L2SP_008059_20191201_20200825_02_T1``.

        Raises:
            Unusable: this is not an id, or not one of a product from which NDVI can be computed.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise Unusable(
                f"{text!r} is not a Landsat product id, which looks like"
                " LC08_L2SP_008059_20191201_20200825_02_T1",
                reason="not a Landsat product",
            )
        collection, level = match["collection"], match["level"]
        if level not in _CORRECTIONS or collection != "02":
            raise Unusable(
                f"{text}: level {level} of collection {collection} cannot be read; take level 1 or 2 of"
                " collection 02",
                reason=f"level {level}" if collection == "02" else f"Collection {int(collection)}",
            )
        satellite = int(match["satellite"])
        sensor = _sensor(text, match["instrument"], satellite)
        acquired = _acquisition_date(text, match["acquired"], match["processed"])
        corrections = _CORRECTIONS[match["level"]]
        if match["correction"] not in corrections:
            raise Unusable(
                f"{text}: level {level} with reflectance is {' or '.join(corrections)}, not"
                f" {match['correction']}",
                reason=_TEMPERATURE if match["correction"] == "ST" else _IMPOSSIBLE,
            )
        if not (1 <= int(match["path"]) <= _PATHS and 1 <= int(match["row"]) <= _ROWS):
            raise Unusable(f"{text}: paths are 001 to {_PATHS}, and rows 001 to {_ROWS}", reason=_IMPOSSIBLE)
        if acquired.year < _FIRST_YEARS[satellite]:
            raise Unusable(
                f"{text}: Landsat {satellite} took no scene before {_FIRST_YEARS[satellite]}",
                reason=_IMPOSSIBLE,
            )
        return cls(
            id=text,
            satellite=f"Landsat {satellite}",
            sensor=sensor,
            level=int(match["level"]),
            path=match["path"],
            row=match["row"],
            acquired=acquired,
            tier=match["tier"],
        )

    @property
    def synthetic(self) -> bool:
        """Return whether wrenlite generated the product; no real tier is called SY."""
        return self.tier == "SY"

    @property
    def processed(self) -> str:
        """Return the day on which the product was made, as its id has it; the newest sorts last."""
        return self.id.split("_")[4]

    @property
    def key(self) -> str:
        """Return the product's folder in the archive."""
        return (
            f"collection02/level-{self.level}/standard/{self.sensor.folder}/{self.acquired.year}"
            f"/{self.path}/{self.row}/{self.id}"
        )

    @property
    def types(self) -> tuple[str, ...]:
        """Return the types of the numbers in the product's files: of level 1 of TM and ETM+, bytes as well.

        Source: ``DATA_TYPE_BAND_n`` in the products' metadata files.
        """
        return ("uint16",) if self.level == 2 or self.sensor is OLI else ("uint16", "uint8")

    def file(self, suffix: str) -> str:
        """Return the name of one of the product's files, such as ``file("QA_PIXEL.TIF")``."""
        return f"{self.id}_{suffix}"

    def band_file(self, number: int) -> str:
        """Return the name of a reflective band's file."""
        return self.file(f"SR_B{number}.TIF" if self.level == 2 else f"B{number}.TIF")


def _acquisition_date(text: str, acquired: str, processed: str) -> date:
    """Return the day on which a scene was taken.

    Raises:
        Unusable: one of the two is no date, or the scene was processed before it was taken.
    """
    try:
        taken_on, processed_on = (datetime.strptime(day, "%Y%m%d").date() for day in (acquired, processed))
    except ValueError as error:
        raise Unusable(f"{text}: there is no such date: {error}", reason=_IMPOSSIBLE) from error
    if processed_on < taken_on:
        raise Unusable(
            f"{text}: processed on {processed_on}, before it was taken on {taken_on}", reason=_IMPOSSIBLE
        )
    return taken_on


def _sensor(text: str, instrument: str, satellite: int) -> Sensor:
    """Return the sensor of a scene. TM and TIRS share the letter T; the satellite tells which of them it is.

    Raises:
        Unusable: there is no such instrument, or it has no red and near-infrared bands that can be used.
    """
    sensors = {"LC": (OLI, (8, 9)), "LO": (OLI, (8, 9)), "LE": (ETM, (7,)), "LT": (TM, (4, 5))}
    if instrument in sensors and satellite in sensors[instrument][1]:
        return sensors[instrument][0]
    why, reason = f"Landsat {satellite} has no such instrument", _IMPOSSIBLE
    if instrument == "LM":
        why = reason = "NDVI of MSS does not agree with that of the other sensors"
    elif instrument == "LT" and satellite in sensors["LC"][1]:
        why = reason = "TIRS measures heat only"
    raise Unusable(
        f"{text} cannot be used for NDVI: {why}; take OLI (LC, LO: 08, 09), ETM+ (LE07) or TM (LT04, LT05)",
        reason=reason,
    )


@dataclass(frozen=True)
class Scene:
    """The files of one product, and how its numbers become NDVI. It is small: tasks get it as argument."""

    product: Product
    bands: Mapping[str, str] = field(hash=False)
    """Paths or addresses (``s3://``, ``https://``) of the bands' files by common name: red, near infrared
    (``nir``), and the others that the scene has. The scene's repr shows no signature."""
    qa_pixel: str | None
    qa_radsat: str | None
    """Quality bands, None where missing; without both, only fill and invalid reflectances are masked."""
    cloud: float | None
    """Percent of the scene under cloud, according to its metadata; None where it is not known."""
    calibration: Calibration | None
    """Gains and offsets. None for level 1 of TM and ETM+, whose metadata have them: tasks read these."""
    mtl: str | None = None
    """Path or address of the metadata file (MTL), JSON or text; None where it is not known."""

    def __repr__(self) -> str:
        shown = {each.name: getattr(self, each.name) for each in fields(self)}
        shown["bands"] = {name: redact_address(href) for name, href in self.bands.items()}
        for name in ("qa_pixel", "qa_radsat", "mtl"):
            shown[name] = shown[name] and redact_address(shown[name])
        return f"Scene({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def red(self) -> str:
        """Return the address of the red band."""
        return self.bands["red"]

    @property
    def nir(self) -> str:
        """Return the address of the near-infrared band."""
        return self.bands["nir"]

    @classmethod
    def at(
        cls, root: str, product: str | Product, *, cloud: float | None = None, quality: bool = True
    ) -> Scene:
        """Return the scene of a product whose files are in the archive's layout; nothing is read.

        Args:
            root: a folder or ``s3://bucket`` that holds ``collection02/``.
            product: the product, or its id.
            cloud: percent of the scene under cloud, if known.
            quality: whether the files QA_PIXEL and QA_RADSAT are stored beside the bands.

        Raises:
            ConfigError: this is not a product id.
        """
        parsed = product if isinstance(product, Product) else Product.parse(product)
        folder = f"{root.rstrip('/')}/{parsed.key}"
        return cls(
            product=parsed,
            bands={
                name: f"{folder}/{parsed.band_file(number)}" for name, number in parsed.sensor.bands.items()
            },
            qa_pixel=f"{folder}/{parsed.file('QA_PIXEL.TIF')}" if quality else None,
            qa_radsat=f"{folder}/{parsed.file('QA_RADSAT.TIF')}" if quality else None,
            cloud=cloud,
            calibration=known_calibration(parsed),
            mtl=f"{folder}/{parsed.file('MTL.json')}",
        )

    def with_calibration(self, calibration: Calibration) -> Scene:
        """Return the same scene with the gains and offsets that ``metadata.calibration`` has read."""
        return replace(self, calibration=calibration)

    @property
    def date(self) -> date:
        """Return the day on which the scene was taken, in UTC."""
        return self.product.acquired


def check_daylight(product: Product, sun_elevation: Any) -> None:
    """Check that a scene was taken by day; without a sun elevation nothing is known.

    Raises:
        Unusable: the sun was below the horizon.
    """
    if (elevation := _number(sun_elevation)) is not None and elevation <= 0:
        raise Unusable(
            f"{product.id}: the sun was below the horizon ({elevation:g}°)", reason="taken at night"
        )


def cloud_percent(value: Any) -> float | None:
    """Return the percent of a scene under cloud as a catalogue has it.

    It is None where it is missing, -1 (not assessed), or no percentage.
    """
    percent = _number(value)
    return percent if percent is not None and 0 <= percent <= 100 else None


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def known_calibration(product: Product) -> Calibration | None:
    """Return a product's gains and offsets where its id is enough to know them, else None."""
    if product.level == 2:
        return LEVEL_2
    return LEVEL_1_OLI if product.sensor is OLI else None


def check_scenes(scenes: Iterable[Scene] | Scene) -> list[Scene]:
    """Return scenes as a list.

    Raises:
        ConfigError: there are none, or something is no scene.
    """
    given = [scenes] if isinstance(scenes, Scene) or not isinstance(scenes, Iterable) else list(scenes)
    for each in given:
        if not isinstance(each, Scene):
            raise ConfigError(
                f"{each!r} is no scene: give scenes that catalog.search or catalog.stored found"
            )
    if not given:
        raise ConfigError("there are no scenes: give at least one")
    return given
