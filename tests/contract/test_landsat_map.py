"""NDVI of scenes in a bucket, by tasks on every backend: the same numbers."""

from functools import partial

import numpy as np
import pytest
from botocore.session import Session

from wrenlite.gallery.landsat import catalog, tasks
from wrenlite.gallery.ndvi.grid import windows
from wrenlite.gallery.ndvi.mosaic import mosaic
from wrenlite.gallery.synthetic.places import PLACES


@pytest.fixture
def scenes(bed, landsat_archive):
    """A clear scene on disk, and the same in a bucket."""
    clear = min(catalog.stored(str(landsat_archive)), key=lambda scene: scene.cloud)
    folder = landsat_archive / clear.product.key
    client = Session().create_client("s3")
    client.create_bucket(Bucket="landsat")
    for file in folder.iterdir():
        client.put_object(Bucket="landsat", Key=f"{clear.product.key}/{file.name}", Body=file.read_bytes())
    return clear, *catalog.known("s3://landsat", [clear.product.id])


def test_tiles_and_points_are_those_that_are_read_here(scenes, executor):
    here, there = scenes
    place = next(each for each in PLACES.values() if each.path == int(here.product.path))
    pieces = windows(tasks.grid_of(here), 256)
    laid = mosaic(executor.map(partial(tasks.ndvi_tile, there), pieces).results(timeout=60))
    assert len(pieces) == 4
    np.testing.assert_array_equal(
        laid.values, mosaic([tasks.ndvi_tile(here, piece) for piece in pieces]).values
    )
    (point,) = executor.map(tasks.ndvi_point, [there], args=(place.lon, place.lat)).results(timeout=60)
    assert point.value == tasks.ndvi_point(here, place.lon, place.lat).value
    assert point.value == pytest.approx(place.truth(here.date), abs=0.05)  # haze and the sensor's noise
