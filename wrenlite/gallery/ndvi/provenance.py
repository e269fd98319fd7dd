"""What a picture was made from: the index, what was masked, the scenes and their levels. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from wrenlite import __version__
from wrenlite.gallery.ndvi.indices import NODATA, SCALE
from wrenlite.gallery.ndvi.results import SceneNdvi, check_one_level

T = TypeVar("T")


@dataclass(frozen=True)
class Provenance:
    """What the values of a mosaic or a composite were computed from."""

    index: str
    products: tuple[str, ...]
    """Ids of the scenes' products, each once."""
    levels: tuple[int, ...]
    sensors: tuple[str, ...]
    tiers: tuple[str, ...]
    masked: tuple[str, ...]
    """What was masked, in words; several where it was not the same in all scenes."""
    synthetic: bool = False
    """True where at least one of the scenes was generated, not observed."""

    @classmethod
    def of(cls, results: Iterable[SceneNdvi], *, mixed: bool = False) -> Provenance:
        """Return what results were made from, which become one picture.

        Args:
            results: at least one result.
            mixed: allow reflectances of both levels.

        Raises:
            ConfigError: the results are of several indices, or of both levels, which differ.
        """
        results = list(results)
        check_one_level(results, mixed)
        return cls(
            index=results[0].index,
            products=_distinct(result.product for result in results),
            levels=_distinct(result.level for result in results),
            sensors=_distinct(result.sensor for result in results),
            tiers=_distinct(result.tier for result in results),
            masked=_distinct(result.masking_text for result in results),
            synthetic=any(result.synthetic for result in results),
        )

    @property
    def description(self) -> str:
        """Return a sentence for people that says what the stored numbers are."""
        text = f"{self.index} x {SCALE}, nodata {NODATA}, by wrenlite from {', '.join(self.products)}"
        return f"SYNTHETIC, not observed: {text}" if self.synthetic else text

    def attributes(self) -> dict[str, str]:
        """Return the same facts as texts by name, for files and for arrays with attributes."""
        return {
            "index": self.index,
            "masked": ". In other scenes: ".join(self.masked),
            "level": _join(self.levels),
            "sensor": _join(self.sensors),
            "tier": _join(self.tiers),
            "products": _join(self.products),
            "software": f"wrenlite {__version__}",
            "synthetic": "yes: generated, not observed" if self.synthetic else "no",
        }

    def tags(self) -> dict[str, str]:
        """Return the tags of a GeoTIFF."""
        tags = {name.upper(): text for name, text in self.attributes().items()}
        return tags | {"TIFFTAG_IMAGEDESCRIPTION": self.description, "TIFFTAG_SOFTWARE": tags["SOFTWARE"]}


def _distinct(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _join(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
