"""Landsat scenes: product ids, where their files lie, and which band is red on which sensor.

Layouts and ids are those of Collection 2 (USGS LSDS-1656, "Landsat Collection 2 Data Dictionary").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import date, datetime

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.ndvi.bands import shown
from wrenlite.gallery.ndvi.indices import Form

USGS = "s3://usgs-landsat"
"""The public archive: region us-west-2, and whoever reads it pays for the requests."""

_ID = re.compile(
    r"(?P<kind>L[COTEM])(?P<craft>[0-9]{2})_L(?P<level>[0-9])(?P<correction>[A-Z]{2})"
    r"_(?P<path>[0-9]{3})(?P<row>[0-9]{3})_(?P<acquired>[0-9]{8})_(?P<processed>[0-9]{8})"
    r"_(?P<collection>[0-9]{2})_(?P<tier>[0-9A-Z]{2})"
)
_CORRECTIONS = {"1": ("TP", "GT", "GS"), "2": ("SP", "SR")}
"""Of each level: what was done to it. Level 2's ST would be temperature without reflectance."""
_PATHS, _ROWS = 233, 248
"""Of the grid of Landsat 4 and later (WRS-2)."""
_FLOWN = {4: 1982, 5: 1984, 7: 1999, 8: 2013, 9: 2021}
"""Satellites, and the years of their first scenes."""


@dataclass(frozen=True)
class Sensor:
    """An instrument, as the archive files it."""

    folder: str
    """Its part of the keys."""
    red: int
    nir: int
    """Band numbers."""

    @property
    def saturated(self) -> int:
        """The bits of QA_RADSAT that say red or near infrared is saturated: bit n-1 is band n's."""
        return 1 << (self.red - 1) | 1 << (self.nir - 1)


OLI = Sensor("oli-tirs", 4, 5)
TM = Sensor("tm", 3, 4)
ETM = Sensor("etm", 3, 4)


@dataclass(frozen=True)
class Product:
    """What a product id says."""

    id: str
    sensor: Sensor
    level: int
    """1: calibrated radiance; 2: surface reflectance."""
    path: str
    row: str
    """Of the orbits' grid, three digits each."""
    acquired: date
    tier: str

    @classmethod
    def parse(cls, text: str) -> Product:
        """Read an id such as ``LC08_L2SP_008059_20191201_20200825_02_T1``. Raises ConfigError."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"{text!r} is not a Landsat product id; one is like LC08_L2SP_008059_20191201_20200825_02_T1"
            )
        if found["level"] not in _CORRECTIONS or found["collection"] != "02":
            raise ConfigError(
                f"{text}: level {found['level']} of collection {found['collection']} cannot be read;"
                " levels 1 and 2 of collection 02 can"
            )
        craft = int(found["craft"])
        sensor = _sensor(text, found["kind"], craft)
        acquired = _acquired(text, found["acquired"], found["processed"])
        known = _CORRECTIONS[found["level"]]
        if found["correction"] not in known:
            raise ConfigError(f"{text}: level {found['level']} with reflectance is {' or '.join(known)}")
        if not (1 <= int(found["path"]) <= _PATHS and 1 <= int(found["row"]) <= _ROWS):
            raise ConfigError(f"{text}: paths are 001 to {_PATHS}, and rows 001 to {_ROWS}")
        if acquired.year < _FLOWN[craft]:
            raise ConfigError(f"{text}: Landsat {craft} took no scene before {_FLOWN[craft]}")
        return cls(text, sensor, int(found["level"]), found["path"], found["row"], acquired, found["tier"])

    @property
    def synthetic(self) -> bool:
        """Whether wrenlite invented it: no real tier has this name."""
        return self.tier == "SY"

    @property
    def key(self) -> str:
        """The product's folder in the archive."""
        return (
            f"collection02/level-{self.level}/standard/{self.sensor.folder}/{self.acquired.year}"
            f"/{self.path}/{self.row}/{self.id}"
        )

    def file(self, what: str) -> str:
        """The name of one of its files: ``file("QA_PIXEL.TIF")``."""
        return f"{self.id}_{what}"

    def band(self, number: int) -> str:
        """The name of a reflective band's file."""
        return self.file(f"SR_B{number}.TIF" if self.level == 2 else f"B{number}.TIF")


def _acquired(text: str, acquired: str, processed: str) -> date:
    """The day a scene was taken. Raises ConfigError for a day that is none, or after the processing."""
    try:
        days = [datetime.strptime(day, "%Y%m%d").date() for day in (acquired, processed)]
    except ValueError as error:
        raise ConfigError(f"{text}: no such date: {error}") from error
    if days[1] < days[0]:
        raise ConfigError(f"{text}: processed on {days[1]}, before it was taken on {days[0]}")
    return days[0]


def _sensor(text: str, kind: str, craft: int) -> Sensor:
    """The instrument that took it: TM and TIRS share a letter, and the satellite tells them apart."""
    flew = {"LC": (OLI, (8, 9)), "LO": (OLI, (8, 9)), "LE": (ETM, (7,)), "LT": (TM, (4, 5))}
    if kind in flew and craft in flew[kind][1]:
        return flew[kind][0]
    why = f"Landsat {craft} has no such instrument"
    if kind == "LM":
        why = "MSS has no NDVI that agrees with the others'"
    elif kind == "LT" and craft in flew["LC"][1]:
        why = "TIRS sees heat only"
    raise ConfigError(
        f"{text}: no NDVI from it ({why}); take OLI (LC, LO: 08, 09), ETM+ (LE07) or TM (LT04, LT05)"
    )


@dataclass(frozen=True)
class Scene:
    """One product's files, and how its numbers are read: what a task is given. Small, and travels."""

    product: Product
    red: str
    nir: str
    """Paths, or addresses: ``s3://``, ``https://``. A signature in one is not shown."""
    qa_pixel: str | None
    qa_radsat: str | None
    """None: there is none, and only fill and impossible reflectances are masked."""
    cloud: float | None
    """Percent of the scene under cloud, as its metadata say; None where they do not."""
    form: Form | None
    """How numbers become NDVI; None for level 1 of TM and ETM+, until ``calibrated`` gives it."""

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        hidden = {name: shown(value) if isinstance(value, str) else value for name, value in values.items()}
        return f"Scene({', '.join(f'{name}={value!r}' for name, value in hidden.items())})"

    @classmethod
    def at(
        cls, root: str, product: str | Product, *, cloud: float | None = None, quality: bool = True
    ) -> Scene:
        """A scene by the archive's layout; nothing is read.

        Args:
            root: a folder or ``s3://bucket`` that holds ``collection02/``.
            product: its id. Raises ConfigError if it is none.
            cloud: percent, if known.
            quality: whether QA_PIXEL and QA_RADSAT lie beside the bands.
        """
        known = product if isinstance(product, Product) else Product.parse(product)
        folder = f"{root.rstrip('/')}/{known.key}"
        return cls(
            known,
            f"{folder}/{known.band(known.sensor.red)}",
            f"{folder}/{known.band(known.sensor.nir)}",
            f"{folder}/{known.file('QA_PIXEL.TIF')}" if quality else None,
            f"{folder}/{known.file('QA_RADSAT.TIF')}" if quality else None,
            cloud,
            form_of(known),
        )

    @property
    def mtl(self) -> str:
        """Where its metadata lie, as JSON: beside its red band, and signed as that is."""
        path, mark, query = self.red.partition("?") if "://" in self.red else (self.red, "", "")
        return f"{path.rpartition('/')[0]}/{self.product.file('MTL.json')}{mark}{query}"

    def calibrated(self, form: Form) -> Scene:
        """The same scene with the form that ``mtl.form`` read from its metadata."""
        return replace(self, form=form)

    @property
    def date(self) -> date:
        """The day it was taken, in UTC."""
        return self.product.acquired


def form_of(product: Product) -> Form | None:
    """How a product's numbers become NDVI, where its id alone tells."""
    if product.level == 2:
        return LEVEL_2
    return LEVEL_1_OLI if product.sensor is OLI else None
