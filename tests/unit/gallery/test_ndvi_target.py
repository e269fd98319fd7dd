"""Grids that are declared for a box."""

import numpy as np
import pytest
from rasterio.crs import CRS

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import projection
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.target import declare_grid, footprint

BOXES = {
    "Napa": (-122.5, 38.3, -122.2, 38.5),
    "two zones": (-120.3, 38.0, -119.7, 38.2),
    "south": (-44.3, -20.2, -44.0, -20.0),
    "antimeridian": (179.8, -17.0, -179.9, -16.8),
    "Greenland": (-45.0, 70.0, -44.5, 70.2),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize(
    ("epsg", "resolution"), [("auto", None), ("auto", 100.0), (4326, 0.001), (3857, 50.0), (3413, 30.0)]
)
def test_a_grid_covers_its_box_on_the_multiples_of_the_resolution(box, epsg, resolution):
    if epsg == 3413 and box[1] < 0:
        box = BOXES["Greenland"]
    made = declare_grid(box, epsg, resolution)
    side = resolution or 30.0
    assert made.pixel == (side, side)
    for edge in (made.west, made.north):
        assert edge / side == pytest.approx(round(edge / side), abs=1e-6)
    for lon in (box[0], box[2]):
        for lat in np.linspace(box[1], box[3], 5).tolist():
            columns, rows = made.fractional_pixels(lon, lat)
            assert -1e-6 <= columns[0] <= made.width + 1e-6
            assert -1e-6 <= rows[0] <= made.height + 1e-6
    assert made.window == grids.covering_window(made, box)


@pytest.mark.parametrize(
    ("box", "epsg"),
    [
        (BOXES["Napa"], 32610),
        (BOXES["two zones"], 32611),  # its middle is the zones' border, which belongs to the eastern one
        (BOXES["south"], 32623),
        (BOXES["antimeridian"], 32660),
        ((0, 85, 10, 86), 3413),
        ((-180, -85, 180, -80), 3031),
    ],
)
def test_the_projection_that_suits_a_box(box, epsg):
    assert declare_grid(box, resolution=1000.0).epsg == epsg


def test_a_grid_in_degrees_has_exactly_the_pixels_of_its_box():
    made = declare_grid((10.0, 10.0, 11.0, 11.0), 4326, 0.01)
    assert (made.width, made.height) == (100, 100)
    assert (made.west, made.north) == pytest.approx((10.0, 11.0))
    assert declare_grid((0, 0, 0.001, 0.001), 4326).pixel[0] == pytest.approx(30 / 111_319.49, rel=1e-6)
    assert declare_grid((-90.0, 40.0, -89.9, 40.1), 2263).pixel[0] == pytest.approx(30 / 0.3048006, rel=1e-6)


def test_grids_of_the_whole_earth_and_to_a_pole():
    world = declare_grid((-180, -90, 180, 90), 4326, 0.5)
    assert (world.west, world.north, world.width, world.height) == (-180.0, 90.0, 720, 360)
    assert declare_grid((10, 80, 11, 90), 32632, 1000).bounds.north < 85  # where UTM ends
    aleutians = declare_grid((170, 51, -170, 53), 3338, 300.0)
    assert aleutians.width * 0.3 == pytest.approx(1390, rel=0.05)
    with pytest.raises(ConfigError, match="far from the places"):
        declare_grid((10, 85, 11, 86), 32632)


@pytest.mark.parametrize("epsg", [4269, 3857, 3395, 6933])
def test_a_grid_across_the_antimeridian_is_as_narrow_as_its_box(epsg):
    box = (179.94, -17.0, -179.94, -16.8)
    made = declare_grid(box, epsg)
    width_m = made.width * made.pixel_m[0]
    assert width_m == pytest.approx(0.12 * 111_319 * np.cos(np.radians(16.9)), rel=0.01)
    assert np.abs(np.subtract(made.bounds, box)).max() < 0.001
    assert grids.pixel_at(made, 179.95, -16.9)[1] < made.width / 2 < grids.pixel_at(made, -179.95, -16.9)[1]


def test_a_grid_may_lie_across_the_edge_of_a_projection_elsewhere():
    made = declare_grid((-30.05, 10.0, -29.95, 10.1), 3832)  # Mercator's round 150 degrees east
    assert made.width * made.pixel_m[0] < 12_000
    world = declare_grid((-180, -60, 180, 60), 3832, 10_000.0)
    assert world.width * 10_000 == pytest.approx(40_075_017, abs=20_000)
    assert (world.bounds.west, world.bounds.east) == (-180.0, 180.0)


@pytest.mark.parametrize("epsg", ["EPSG:32610", "32610", "epsg:32610", 32610.0, CRS.from_epsg(32610)])
def test_ways_to_name_a_projection(epsg):
    assert declare_grid(BOXES["Napa"], epsg) == declare_grid(BOXES["Napa"], 32610)


def test_an_unknown_code_writes_nothing_to_standard_error(capfd):
    with pytest.raises(ConfigError, match="EPSG:99998 is not a projection"):
        declare_grid(BOXES["Napa"], 99998)
    assert capfd.readouterr().err == ""


def test_numbers_of_numpy_are_numbers():
    made = declare_grid(np.array(BOXES["Napa"]), np.int64(32610), np.float32(30))
    assert made == declare_grid(BOXES["Napa"], 32610, 30)
    assert type(made.epsg) is int


def test_a_grid_on_the_pixels_of_a_scene():
    scene = Grid(32618, 378_285.0, 275_715.0, (30.0, 30.0), 7591, 7741)
    made = declare_grid((-75.1, 1.4, -75.0, 1.5), like=scene)
    assert made == scene.part(grids.covering_window(scene, (-75.1, 1.4, -75.0, 1.5)))
    far = declare_grid((-71.0, 1.4, -70.9, 1.5), like=scene)  # beyond the scene, and beyond its zone
    offset = scene.offset_of(far)
    assert far == scene.part(Window(*offset, far.width, far.height))


@pytest.mark.parametrize(
    ("box", "options", "words"),
    [
        ((1, 2, 3), {}, "is not a box"),
        (None, {}, "None is not a box"),
        ((180, 1, -180, 2), {}, "and not the same"),
        ((38.3, -122.5, 38.5, -122.2), {}, "look swapped"),
        (BOXES["Napa"], {"epsg": 99999}, "EPSG:99999 is not a projection"),
        (BOXES["Napa"], {"epsg": "UTM"}, "'UTM' is not an EPSG code: give one such as 32618"),
        (BOXES["Napa"], {"epsg": 32610.5}, "is not an EPSG code"),
        (BOXES["Napa"], {"epsg": float("nan")}, "is not an EPSG code"),
        (BOXES["Napa"], {"epsg": 10**20}, "is not a projection"),
        (BOXES["Napa"], {"epsg": CRS}, "is not an EPSG code"),
        (BOXES["Napa"], {"epsg": CRS.from_string("+proj=moll")}, "is not an EPSG code"),
        (
            BOXES["Napa"],
            {"resolution": 1e-9},
            r"pixels of 1e-09 metres, .*: give a number from 0.01 to 111,319",
        ),
        (BOXES["Napa"], {"resolution": 1e9}, r"pixels of 1e\+09 metres"),
        (
            BOXES["Napa"],
            {"resolution": 30, "epsg": 4326},
            "30 degrees, the unit of EPSG:4326: .*; 30 m are 0.00026",
        ),
        (BOXES["Napa"], {"resolution": 1e6, "epsg": 2263}, "pixels of 1e.06 US survey foot"),
        (BOXES["antimeridian"], {"epsg": 8857}, "8857 of the grid is cut apart within .*'auto' or epsg=4326"),
        ((10, -20, -10, 20), {"epsg": 8857}, r"cut apart within the box \(10.*, -10.00000, 20.00000\)"),
        ((-30.1, 10, -29.9, 10.1), {"epsg": 8859}, "is cut apart"),
        (BOXES["Napa"], {"epsg": True}, "is not an EPSG code"),
        (BOXES["Napa"], {"like": BOXES["Napa"]}, "is not a grid: give one"),
        (BOXES["Napa"], {"resolution": 0}, "resolution=0 is not the size of a pixel"),
        (BOXES["Napa"], {"resolution": "30"}, "is not the size of a pixel"),
        (BOXES["Napa"], {"resolution": float("inf")}, "is not the size of a pixel"),
        (BOXES["Napa"], {"epsg": 32640}, "far from the places that the projection EPSG:32640"),
        ((-170, -10, 170, 10), {}, "reaches too far from the places that the projection EPSG:326"),
        (
            (-180, -80, 180, 80),
            {"epsg": 4326, "resolution": 0.0001},
            "GB of memory, .*: a larger",
        ),
        (BOXES["Napa"], {"like": Grid(32610, 0.0, 0.0, (9.0, 9.0), 1, 1), "epsg": 4326}, "either these, or"),
    ],
)
def test_what_is_no_grid(box, options, words):
    with pytest.raises(ConfigError, match=words):
        declare_grid(box, **options)


def test_the_footprint_of_a_scene_on_a_grid():
    grid = declare_grid((-120.3, 38.0, -119.7, 38.2), 5070, 30.0)
    for epsg in (32610, 32611, 4326):
        scene = declare_grid((-120.1, 38.05, -119.9, 38.25), epsg)
        window = footprint(scene, grid)
        columns, rows = np.meshgrid(np.arange(0.5, scene.width, 7), np.arange(0.5, scene.height, 7))
        x, y = scene.west + columns * scene.pixel[0], scene.north - rows * scene.pixel[1]
        places = projection.inverse(epsg, x.ravel(), y.ravel())
        columns, rows = (np.floor(each) for each in grid.fractional_pixels(*places))
        inside = (columns >= 0) & (columns < grid.width) & (rows >= 0) & (rows < grid.height)
        covered = (columns >= window.column) & (columns < window.column + window.width)
        covered &= (rows >= window.row) & (rows < window.row + window.height)
        assert inside.any()
        assert covered[inside].all()
        assert window.width < grid.width
    assert footprint(declare_grid((-110.1, 38.0, -110.0, 38.1)), grid) is None
    assert (
        footprint(declare_grid((20.1, 38.0, 20.2, 38.1)), declare_grid((-120.3, 38.0, -119.7, 38.2))) is None
    )
