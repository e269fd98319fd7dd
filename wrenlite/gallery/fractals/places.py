"""Places in the Mandelbrot set that are worth a large picture, chosen from many small ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wrenlite.gallery.fractals.colours import check_name

PLACES: dict[str, Mapping[str, Any]] = {
    "whirlpool": {
        "xpos": "-0.7756813533350454294",
        "ypos": "0.1364728311492632476",
        "radius": "3e-14",
        "iters": 4000,
        "palette": "Wren",
        "light": "135,45",
    },
    "rosette": {
        "xpos": "0.2549867288488306443188932199",
        "ypos": "-0.0005682529693819910601567543",
        "radius": "2.77e-23",
        "iters": 9000,
        "palette": "Wren",
        "light": "135,45",
    },
    "sunflower": {
        "xpos": "-0.101093970627980149963829094823",
        "ypos": "0.956288216729080588712872436020",
        "radius": "8.67e-25",
        "iters": 3000,
        "palette": "SummerBeach",
        "light": "135,45",
    },
}
"""Options of each place, as ``PosterOptions`` has them. In the middle of each is a copy of the whole set that
is too small to be seen: about 3e-17, 2e-27 and 1e-29 in size."""


def options_of_place(name: str) -> dict[str, Any]:
    """Return the options of a place. Raises ConfigError if there is no such place."""
    return dict(PLACES[check_name("place", name, PLACES)])
