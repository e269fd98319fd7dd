"""Composites of several scenes by month, season or year, made by tasks."""

from datetime import date

import numpy as np
import pytest
import rasterio
import xarray

import wrenlite
from tests.landsat import BRUMADINHO, real_pixels, write_ground
from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.landsat import composites, tasks
from wrenlite.gallery.landsat.composites import composite
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import indices, projection
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.periods import Period, periods_of
from wrenlite.gallery.ndvi.reader import OPEN_FILES, GdalReader
from wrenlite.gallery.ndvi.target import declare_grid
from wrenlite.gallery.preflight import PYTHON_BYTES

CLOUD, CLEAR = 21824 | 1 << 3, 21824
SIDE = 300


def own_grid(epsg, lon=-120.0, shift=0):
    x, y = (float(number[0]) for number in projection.forward(epsg, lon, 38.0))
    west, north = x // 30 * 30 + 15 - 150 * 30 + shift * 30, y // 30 * 30 + 15 + 150 * 30 - shift * 30
    return Grid(epsg, west, north, (30.0, 30.0), SIDE, SIDE)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Seven scenes of two zones within two months and a year, with random clouds."""
    root = tmp_path_factory.mktemp("composites")
    rng = np.random.default_rng(5)
    days = ("20220105", "20220114", "20220121", "20220130", "20220206", "20220215", "20230105")
    scenes = []
    for number, day in enumerate(days):
        epsg, path = ((32611, "042"), (32610, "043"))[number % 2]
        hidden = np.where(rng.random((SIDE, SIDE)) < 0.4, CLOUD, CLEAR).astype(np.uint16)
        scene = write_ground(
            root,
            f"LC08_L2SP_{path}033_{day}_{day}_02_T1",
            own_grid(epsg, shift=number),
            shift=0.02 * number,
            hidden=hidden,
            cloud=float(40 - 5 * number),
        )
        scenes.append(scene)
    return scenes


@pytest.fixture(scope="module")
def grid(archive):
    return declare_grid((-120.04, 37.97, -119.96, 38.03), like=tasks.grid_of(archive[0]))


@pytest.fixture
def executor():
    with wrenlite.Executor.inline() as executor:
        yield executor


def stacked(scenes, grid):
    tiles = [tasks.ndvi_tile(scene, grid.window, grid=grid).values for scene in scenes]
    return np.stack([indices.to_float(tile) for tile in tiles])


def nanmedian(stack):
    ordered = np.sort(stack, axis=0)
    used = (~np.isnan(stack)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        places = np.maximum(used - 1, 0) // 2, np.minimum(used // 2, len(stack) - 1)
        low, high = (np.take_along_axis(ordered, place[None], axis=0)[0] for place in places)
        return np.where(used > 0, (low + high) / 2, np.nan), used


def test_the_median_of_each_month(archive, grid, monkeypatch):
    monkeypatch.setattr(composites, "_MAX_SIDE", 256)  # several tiles of a small grid
    with wrenlite.Executor.local(2, progress=False) as executor:
        made = composite(executor, archive[::-1], grid)
    assert [period.label for period in made.periods] == ["2022-01", "2022-02", "2023-01"]
    for number, part in enumerate((archive[:4], archive[4:6], archive[6:])):
        expected, used = nanmedian(stacked(part, grid))
        assert (made.used[number] == used).all()
        np.testing.assert_array_equal(np.isnan(expected), made.values[number] == indices.NODATA)
        difference = indices.to_float(made.values[number]) - expected
        assert np.nanmax(np.abs(difference)) < 5.1e-5  # the step of int16, halved by rounding
    assert made.provenance.products == tuple(scene.product.id for scene in archive)
    assert made.provenances[2].products == (archive[6].product.id,)


def test_the_best_pixel_is_that_of_the_clearest_scene(archive, grid, executor):
    made = composite(executor, archive, grid, "year", "best")
    first = stacked(sorted(archive[:6], key=lambda scene: scene.cloud), grid)
    expected = np.full(first.shape[1:], np.nan, np.float32)
    for tile in first:
        expected = np.where(np.isnan(expected), tile, expected)
    np.testing.assert_array_equal(indices.to_float(made.values[0]), expected)
    assert (made.used[0] == ~np.isnan(expected)).all()
    assert made.values.shape == (2, grid.height, grid.width)


def test_of_equally_cloudy_scenes_the_one_nearest_to_the_middle_is_best(tmp_path, executor):
    scenes = [
        write_ground(
            tmp_path, f"LC08_L2SP_042033_{day}_{day}_02_T1", own_grid(32611), shift=shift, cloud=None
        )
        for day, shift in (("20220101", 0.0), ("20220117", 0.1), ("20220131", 0.2))
    ]
    grid = tasks.grid_of(scenes[0])
    made = composite(executor, scenes, grid, "month", "best")
    assert (made.values[0] == tasks.ndvi_tile(scenes[1], grid.window).values).all()


def test_strips_give_the_same(archive, grid, executor):
    whole = composite(executor, archive, grid, None)
    recipe = composites.Recipe(grid, None, "median", indices.NDVI)
    places = [composites.place_of(scene, grid) for scene in archive]
    rows = composites.Work(recipe, tuple(archive), stack_bytes=7 * 2 * grid.width * 100)
    assert len(composites._strips(grid.window, 7, rows.stack_bytes)) == -(-grid.height // 100)
    tile = composites.composite_tile(composites.CompositeTile("all", grid.window), rows, places)
    assert (tile.values == whole.values[0]).all()
    assert (tile.used == whole.used[0]).all()
    assert whole.periods == (Period("all", date(2022, 1, 5), date(2023, 1, 5)),)


MB = 2**20


@pytest.mark.parametrize("memory", [None, 128 * MB, 512 * MB, 1769 * MB, 8192 * MB])
@pytest.mark.parametrize("count", [1, 12, 64, 300, 5000, 30_000])
def test_the_values_of_all_scenes_fit_into_a_worker(count, memory):
    stack_bytes = composites._stack_bytes(memory)
    side = composites._side(count, stack_bytes, 10**9)
    assert side in range(256, 1025, 256)
    strips = composites._strips(grids.Window(0, 0, side, side), count, stack_bytes)
    assert sum(strip.height for strip in strips) == side
    assert max(strip.height for strip in strips) * side * count * 2 <= stack_bytes
    if memory and memory > 192 * MB:  # less is refused
        assert stack_bytes + composites._READING_BYTES + PYTHON_BYTES < memory


@pytest.mark.parametrize(
    ("count", "memory", "slot_pixels", "side", "rows"),
    [
        (300, 1769 * MB, 10**9, 1024, 1024),
        (1000, 1769 * MB, 10**9, 1024, 256),
        (300, 512 * MB, 10**9, 1024, 256),
        (300, None, 10**9, 768, 256),
        (12, 2048 * MB, 700**2, 512, 512),
        (12, 2048 * MB, 10, 512, 512),
        (12, 2048 * MB, 800**2, 768, 768),
    ],
)
def test_tiles_are_as_large_as_memory_and_slots_allow(count, memory, slot_pixels, side, rows):
    stack_bytes = composites._stack_bytes(memory)
    assert composites._side(count, stack_bytes, slot_pixels) == side
    assert composites._strips(grids.Window(0, 0, side, side), count, stack_bytes)[0].height == rows


def test_files_are_opened_once_however_many_strips_there_are(archive, grid, monkeypatch):
    opened = []
    plain = GdalReader._open
    monkeypatch.setattr(GdalReader, "_open", lambda self, band: opened.append(band) or plain(self, band))
    work = composites.Work(composites.Recipe(grid, None, "median", indices.NDVI), tuple(archive), 2**18)
    OPEN_FILES.close()
    places = [composites.place_of(scene, grid) for scene in archive]
    composites.composite_tile(composites.CompositeTile("all", grid.window), work, places)
    assert len(opened) <= len(archive) * 5  # a red band, then the four of each scene
    assert len(OPEN_FILES._idle) <= 8


def test_the_number_of_tiles_is_known_before_anything_is_read(archive, grid):
    with wrenlite.Executor.local(1, progress=False) as executor:
        made = composites.start(executor, archive, composites.Recipe(grid, "month", "median", indices.NDVI))
        assert [len(job) for job in made.jobs] == [len(archive) + 1, 3]
        assert len(made.result().periods) == 3


def test_a_scene_that_cannot_be_read_is_named(archive, grid):
    missing = Scene.at("/nowhere", "LC08_L2SP_042033_20220105_20220112_02_T1")
    with (
        wrenlite.Executor.local(1, progress=False) as executor,
        pytest.raises(NotFound, match="LC08_L2SP_042033_20220105_20220112_02_T1"),
    ):
        composite(executor, [*archive, missing], grid)


def test_scenes_elsewhere_do_not_count(archive, grid, executor, tmp_path):
    far = write_ground(tmp_path, "LC08_L2SP_010033_20210405_20210405_02_T1", own_grid(32618, -75.0))
    made = composite(executor, [*archive[:2], far], grid, "month")
    assert [period.label for period in made.periods] == ["2022-01"]
    assert far.product.id not in made.provenance.products
    with pytest.raises(ConfigError, match=r"none of the 1 scenes reaches the grid, which covers \(-120"):
        composite(executor, [far], grid)


def test_arrays_and_files(archive, grid, executor, tmp_path):
    made = composite(executor, archive, grid, "season")
    data = made.to_xarray()
    assert data.NDVI.dims == data.used.dims == ("time", "y", "x")
    assert [str(time)[:10] for time in data.time.values] == ["2021-12-01", "2022-12-01"]
    assert data.time.attrs["bounds"] == "time_bnds"
    assert data.time_bnds.dims == ("time", "bnds")
    assert [[str(day)[:10] for day in pair] for pair in data.time_bnds.values] == [
        ["2021-12-01", "2022-03-01"],
        ["2022-12-01", "2023-03-01"],
    ]
    assert f'"EPSG","{grid.epsg}"' in data.spatial_ref.attrs["crs_wkt"]
    assert float(data.x[0]) == grid.west + 15
    assert data.NDVI.attrs["cell_methods"] == "time: median"
    np.testing.assert_array_equal(data.used.values, made.used)
    files = made.write(tmp_path)
    seasons = ("2022-1-DJF", "2023-1-DJF")
    assert [file.name for file in files] == [
        f"ndvi-{season}-median{end}.tif" for season in seasons for end in ("", "-used")
    ]
    with rasterio.open(files[0]) as dataset:
        assert (dataset.read(1) == made.values[0]).all()
        assert dataset.scales == (0.0001,)
        tags = dataset.tags()
    assert (tags["METHOD"], tags["PERIOD"]) == ("median", "2021-12-01 to 2022-02-28")
    assert tags["PRODUCTS"].count(",") == 5
    with rasterio.open(files[1]) as dataset:
        assert (dataset.read(1) == made.used[0]).all()
        assert (dataset.descriptions, dataset.nodata) == (("used",), None)
        assert dataset.tags()["TIFFTAG_IMAGEDESCRIPTION"].endswith("ndvi-2022-1-DJF-median.tif")


def test_the_files_of_both_methods_are_beside_each_other(archive, grid, executor, tmp_path):
    for method in composites.METHODS:
        made = composite(executor, archive[:2], grid, None, method)
        made.write(tmp_path)
        assert ("cell_methods" in made.to_xarray().NDVI.attrs) == (method == "median")
    assert len(list(tmp_path.iterdir())) == 4


def test_other_indices(archive, grid, executor):
    made = composite(executor, archive[:2], grid, None, index="savi")
    assert made.provenance.index == "SAVI"
    assert made.to_xarray().SAVI.attrs["long_name"] == "SAVI"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "mean"}, "method='mean' makes no composite: take median or best"),
        ({"period": "week"}, "period='week' is not known: take month, season, year, or None"),
        ({"period": 3}, "period=3 is not known"),
        ({"index": "XX"}, "there is no index 'XX'"),
    ],
)
def test_what_makes_no_composite(archive, grid, executor, options, words):
    with pytest.raises(ConfigError, match=words):
        composite(executor, archive, grid, **options)


def test_levels_and_sizes_are_checked_before_anything_is_read(archive, grid, executor):
    missing = Scene.at("/nowhere", "LC08_L1TP_042033_20220105_20220112_02_T1")
    with pytest.raises(ConfigError, match=r"cannot be joined, .*mixed=True"):
        composite(executor, [*archive, missing], grid)
    with pytest.raises(ConfigError, match="there are no scenes: give at least one"):
        composite(executor, [], grid)
    for wrong in (None, [1], "scenes"):
        with pytest.raises(ConfigError, match="is no scene: give scenes that"):
            composite(executor, wrong, grid)
    huge = Grid(32611, 0.0, 0.0, (30.0, 30.0), 10**6, 10**6)
    with pytest.raises(ConfigError, match=r"3 composites would have 1,000,000 x 6,000,000 pixels and take"):
        composite(executor, archive, huge)


def test_arrays_survive_a_file(archive, grid, executor, tmp_path):
    made = composite(executor, archive, grid).to_xarray()
    made.to_netcdf(tmp_path / "cube.nc", engine="scipy")
    again = xarray.open_dataset(tmp_path / "cube.nc", engine="scipy", decode_coords="all")
    np.testing.assert_allclose(again.NDVI.values, made.NDVI.values, atol=1e-7)
    assert (again.used.values == made.used.values).all()
    assert again.NDVI.encoding["dtype"].newbyteorder("=") == np.int16
    assert again.NDVI.encoding["grid_mapping"] == "spatial_ref"
    assert (again.time.values == made.time.values).all()
    assert (again.time_bnds.values == made.time_bnds.values).all()
    with xarray.open_dataset(tmp_path / "cube.nc", engine="scipy", decode_times=False) as raw:
        assert raw.time.attrs["bounds"] == "time_bnds"
        assert "bounds" not in raw.time_bnds.attrs
        # Bounds may lack units, which are then those of the time.
        assert raw.time_bnds.attrs.get("units", raw.time.attrs["units"]) == raw.time.attrs["units"]
        assert raw.time_bnds.values.tolist() == [[0, 31], [31, 59], [365, 396]]


def test_real_pixels_in_another_projection(executor):
    scenes = [Scene.at(str(real_pixels()), product, quality=False) for product in BRUMADINHO]
    own = tasks.grid_of(scenes[0])
    same = composite(executor, scenes, own, "month")
    tiles = [indices.to_float(tasks.ndvi_tile(scene, own.window, grid=own).values) for scene in scenes]
    both = ~np.isnan(tiles[0]) & ~np.isnan(tiles[1])
    expected = (tiles[0] + tiles[1]) / 2
    assert np.abs(indices.to_float(same.values[0]) - expected)[both].max() < 6e-5
    other = composite(executor, scenes, declare_grid(own.bounds, 32723), "month", "best")
    shown = other.values[0][other.values[0] != indices.NODATA]
    assert np.median(shown) / 10_000 == pytest.approx(0.785, abs=0.02)
    # 32723 is 32623 with another northing, 10,000,000 m: no pixel is turned, and nearly all are shown.
    assert abs(len(shown) / np.count_nonzero(same.values[0] != indices.NODATA) - 1) < 0.01


@pytest.mark.filterwarnings("ignore")  # of the peer's own packages
def test_composites_agree_with_odc_stac(archive, grid, executor):
    pytest.importorskip("odc.stac")
    from benchmarks.landsat_composites import agreement, odc_median

    one_zone = archive[:4:2]
    made = composite(executor, one_zone, grid)
    theirs = [array.values for array in odc_median(one_zone, grid)]
    assert agreement((indices.to_float(made.values[0])[None], made.used), theirs) == 1.0


def test_periods():
    days = [date(2020, 12, 31), date(2021, 1, 1), date(2021, 2, 28), date(2021, 6, 1), date(2021, 12, 1)]
    pairs = [(day, day) for day in days]
    assert {period.label: len(found) for period, found in periods_of(pairs, "season").items()} == {
        "2021-1-DJF": 3,
        "2021-3-JJA": 1,
        "2022-1-DJF": 1,
    }
    for kind in ("month", "season", "year"):
        for period, found in periods_of(pairs, kind).items():
            assert all(period.start <= day <= period.end for day in found)
    assert next(iter(periods_of(pairs, "season")))[1:] == (date(2020, 12, 1), date(2021, 2, 28))
    assert list(periods_of(pairs, "month"))[-1] == Period("2021-12", date(2021, 12, 1), date(2021, 12, 31))
    assert periods_of([], None) == {}
