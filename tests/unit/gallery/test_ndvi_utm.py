"""The projection, against PROJ."""

import numpy as np
import pytest
from rasterio.warp import transform

from wrenlite.gallery.ndvi import utm


@pytest.mark.parametrize("zone", [1, 18, 31, 60])
def test_projection_agrees_with_proj(zone):
    rng = np.random.default_rng(zone)
    lon = utm.central_meridian(zone) + rng.uniform(-20, 20, 200)
    lat = rng.uniform(-80, 83, 200)
    x, y = utm.forward(lon, lat, zone)
    theirs = transform("EPSG:4326", f"EPSG:{32600 + zone}", lon, lat)
    assert np.abs(np.array([x, y]) - theirs).max() < 1e-6
    relative_lon, inverse_lat = utm.inverse(x, y)
    assert np.abs(relative_lon - utm.unwrap(lon, zone)).max() < 1e-11
    assert np.abs(inverse_lat - lat).max() < 1e-11
