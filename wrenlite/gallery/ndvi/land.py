"""The land of the world as a matplotlib patch, from ``land.json``: nothing is downloaded.

The packages that draw coastlines download them when they are first used, or bring tens of megabytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline


def patch(**style: Any) -> PathPatch:
    """Return all land but Antarctica, in degrees of longitude and latitude.

    Args:
        style: colours and lines, as ``matplotlib.patches.Patch`` takes them.
    """
    content = json.loads(Path(__file__).with_name("land.json").read_text())
    rings = content["coordinates"]
    # Land that crosses the antimeridian goes on beyond 180 degrees, so it is drawn at both edges of a map.
    rings += [[(lon - 360, lat) for lon, lat in ring] for ring in rings if max(ring)[0] > 180]
    return PathPatch(Outline.make_compound_path(*(Outline(ring, closed=True) for ring in rings)), **style)
