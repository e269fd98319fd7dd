"""Tasks on every backend compute the same NDVI from scenes in a bucket."""

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
    """The clearest scene on disk, and the same scene in a bucket."""
    clearest = min(catalog.stored(str(landsat_archive)), key=lambda scene: scene.cloud)
    folder = landsat_archive / clearest.product.key
    client = Session().create_client("s3")
    client.create_bucket(Bucket="landsat")
    for file in folder.iterdir():
        client.put_object(Bucket="landsat", Key=f"{clearest.product.key}/{file.name}", Body=file.read_bytes())
    return clearest, *catalog.by_ids("s3://landsat", [clearest.product.id])


def test_tiles_and_points_are_the_same_as_in_this_process(scenes, executor):
    on_disk, in_bucket = scenes
    place = next(each for each in PLACES.values() if each.path == int(on_disk.product.path))
    tiles = windows(tasks.grid_of(on_disk), 256)
    joined = mosaic(executor.map(partial(tasks.ndvi_tile, in_bucket), tiles).results(timeout=60))
    assert len(tiles) == 4
    np.testing.assert_array_equal(
        joined.values, mosaic([tasks.ndvi_tile(on_disk, window) for window in tiles]).values
    )
    (point,) = executor.map(tasks.ndvi_point, [in_bucket], args=(place.lon, place.lat)).results(timeout=60)
    assert point.value == tasks.ndvi_point(on_disk, place.lon, place.lat).value
    assert point.value == pytest.approx(
        place.truth(on_disk.date), abs=0.05
    )  # haze and the sensor's noise change it
