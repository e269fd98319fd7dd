"""Statistics of areas in scenes, their table, and its files."""

import re
import sys

import geopandas
import numpy as np
import pandas
import pytest
from shapely.geometry import MultiPolygon, Polygon, box, mapping

import wrenlite
from tests.landsat import BRUMADINHO, real_pixels, write_ground
from wrenlite.errors import ConfigError, PackageMissing, StoreError
from wrenlite.gallery.landsat import areas as zonal_areas
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.areas import area_stats, survey_areas
from wrenlite.gallery.landsat.passes import passes
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices, projection
from wrenlite.gallery.ndvi.grid import Grid, OutsideScene
from wrenlite.gallery.ndvi.polygons import read_areas
from wrenlite.gallery.ndvi.zonal import area_table, write_table

CLOUD, SHADOW, CLEAR = 21824 | 1 << 3, 21824 | 1 << 4, 21824
SIDE = 300


def own_grid(epsg, lon=-120.0, lat=38.0):
    x, y = (float(number[0]) for number in projection.forward(epsg, lon, lat))
    west, north = x // 30 * 30 + 15 - SIDE // 2 * 30, y // 30 * 30 + 15 + SIDE // 2 * 30
    return Grid(epsg, west, north, (30.0, 30.0), SIDE, SIDE)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Three scenes: two of zone 11, one of zone 10; the first with clouds and shadows."""
    root = tmp_path_factory.mktemp("areas")
    rng = np.random.default_rng(2)
    hidden = rng.choice([CLEAR, CLOUD, SHADOW], (SIDE, SIDE), p=[0.6, 0.3, 0.1]).astype(np.uint16)
    days = (
        ("042", "20220105", 32611, hidden),
        ("042", "20220121", 32611, None),
        ("043", "20220114", 32610, None),
    )
    return [
        write_ground(root, f"LC08_L2SP_{path}033_{day}_{day}_02_T1", own_grid(epsg), hidden=bits, shift=shift)
        for shift, (path, day, epsg, bits) in zip((0.0, 0.1, 0.05), days, strict=True)
    ]


FIELD = Polygon(
    [(-120.02, 37.98), (-119.99, 37.985), (-119.985, 38.01), (-120.01, 38.02)],
    [[(-120.01, 37.99), (-120.0, 37.99), (-120.0, 38.0), (-120.01, 38.0)]],
)


def expected_of(scene, polygon):
    """The usable values within a polygon, and the number of all, by shapely for each pixel."""
    import shapely

    grid = tasks.grid_of(scene)
    columns, rows = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    x, y = grid.west + columns * 30, grid.north - rows * 30
    lon, lat = projection.inverse(grid.epsg, x.ravel(), y.ravel())
    within = shapely.contains_xy(polygon, lon, lat).reshape(x.shape)
    values = indices.to_float(tasks.ndvi_tile(scene, grid.window).values)[within]
    return values[~np.isnan(values)], int(within.sum())


def test_statistics_are_those_of_the_pixels_within(archive):
    (area,) = read_areas(FIELD)
    for scene in archive:
        stats = area_stats(scene, area)
        values, count = expected_of(scene, FIELD)
        assert stats.pixels == count
        assert stats.usable == pytest.approx(len(values) / count)
        assert stats.mean == pytest.approx(
            values.mean(dtype=np.float64), abs=5e-5
        )  # tiles are rounded to 1e-4
        found = (stats.p5, stats.p25, stats.median, stats.p75, stats.p95)
        expected = np.percentile(values.astype(np.float64), (5, 25, 50, 75, 95))
        assert found == pytest.approx(expected, abs=1e-4)  # one step, where both round a tie
        assert (stats.level, stats.sensor, stats.area) == (2, "OLI", "the area")
    assert area_stats(archive[1], area).hidden.total == 0
    hidden = area_stats(archive[0], area).hidden
    assert hidden.cloud == pytest.approx(0.3, abs=0.02)
    assert hidden.shadow == pytest.approx(0.1, abs=0.02)
    assert hidden.total == pytest.approx(1 - area_stats(archive[0], area).usable)


def test_large_areas_are_read_window_by_window(archive, monkeypatch):
    (area,) = read_areas(box(-121, 37, -119, 39))
    whole = area_stats(archive[0], area)
    monkeypatch.setattr(zonal_areas, "TILE", 256)
    cut = area_stats(archive[0], area)
    assert cut.pixels == whole.pixels > 30_000_000
    assert (cut.median, cut.hidden) == (whole.median, whole.hidden)
    assert cut.mean == pytest.approx(whole.mean)
    assert whole.hidden.fill == pytest.approx(1 - SIDE * SIDE / whole.pixels)


def test_an_area_half_beyond_the_scene_has_fill(archive):
    bounds = tasks.grid_of(archive[1]).bounds
    width = 0.02
    (area,) = read_areas(box(bounds.east - width, 37.99, bounds.east + width, 38.01))
    stats = area_stats(archive[1], area)
    assert stats.hidden.fill == pytest.approx(0.5, abs=0.05)  # the scene is turned in its bounds
    assert stats.usable == pytest.approx(1 - stats.hidden.fill)
    (outside,) = read_areas(box(bounds.east + 1, 37.99, bounds.east + 2, 38.01))
    with pytest.raises(OutsideScene, match=r"the area 'the area', which covers .* has no pixel in LC08"):
        area_stats(archive[1], outside)
    (far,) = read_areas(box(20, 37, 21, 38))
    with pytest.raises(OutsideScene, match="the area 'the area' is far from the scene"):
        area_stats(archive[1], far)


def test_an_area_between_the_centres_of_pixels_has_statistics_of_no_pixel(archive):
    tiny = box(-120.00001, 38.00001, -120.0, 38.00002)
    stats = area_stats(archive[1], tiny)
    assert (stats.pixels, stats.usable, stats.point().hidden) == (0, 0.0, "fill")
    assert np.isnan([stats.mean, stats.median, stats.p5]).all()
    with wrenlite.Executor.inline() as executor:
        found = survey_areas(executor, archive, [tiny])
    assert [each.pixels for each in found] == [0, 0, 0]
    assert found.notes == (
        "no pixel has its centre within area 1: areas smaller than a pixel have no statistics",
    )
    bounds = tasks.grid_of(archive[1]).bounds
    with pytest.raises(OutsideScene, match="has no pixel"):
        area_stats(archive[1], box(bounds.east + 1, 38, bounds.east + 1.00001, 38.00001))


def test_an_area_that_reaches_too_far_leaves_the_others_alone(archive):
    world = box(-160, 10, 10, 60)
    with wrenlite.Executor.inline() as executor:
        found = survey_areas(executor, archive, [FIELD, world, box(20, 37, 21, 38), box(-100, 37, -99, 38)])
        assert {each.area for each in found} == {"area 1"}
        assert any("'area 2' reaches too far" in note for note in found.notes)
        assert found.notes[-1].startswith("no scene shows area 3, area 4: search scenes")
        with pytest.raises(ConfigError, match="'the area' reaches too far"):
            survey_areas(executor, archive, world)


def test_a_part_on_another_continent_is_left_out_with_a_note(archive):
    both = MultiPolygon([FIELD, box(20, 37, 21, 38)])
    alone, stats = area_stats(archive[1], FIELD), area_stats(archive[1], both)
    assert (stats.pixels, stats.mean, stats.hidden) == (alone.pixels, alone.mean, alone.hidden)
    assert (alone.left_out, stats.left_out) == (0, 1)
    with wrenlite.Executor.inline() as executor:
        found = survey_areas(executor, archive, [both, FIELD])
    assert [each.area for each in found] == ["area 1"] * 3 + ["area 2"] * 3
    assert found.notes == ("some polygons are too far from a scene to be counted there: of area 1",)


@pytest.mark.parametrize("given", [[1], 1, "stats", None], ids=repr)
def test_a_table_of_something_else_is_refused(tmp_path, given):
    with pytest.raises(ConfigError, match="is no AreaStats"):
        area_table(given)
    with pytest.raises(ConfigError, match="is no table of areas: give what"):
        write_table(given, tmp_path / "table.csv")
    with pytest.raises(ConfigError, match="give the path of a file that ends in"):
        write_table(area_table([]), 3)


def test_many_areas_are_one_task_for_each_scene(archive, monkeypatch):
    monkeypatch.setattr(zonal_areas, "MOST_AREAS", 2)
    fields = [box(-120 + 0.001 * step, 38, -119.999 + 0.001 * step, 38.001) for step in range(5)]
    with wrenlite.Executor.inline() as executor:
        job = zonal_areas.map_areas(executor, archive, fields)
        assert len(job) == 3 * len(archive)
        found = zonal_areas.gather(read_areas(fields), job.results())
    assert [each.area for each in found] == [f"area {1 + n // 3}" for n in range(15)]
    assert found[4].pixels == area_stats(archive[2], fields[1]).pixels


@pytest.mark.parametrize("other", [32611, 32610], ids=["one zone", "two zones"])
def test_scenes_of_one_pass_are_joined(tmp_path, other):
    """Two rows that overlap by half; in the overlap, half of the pixels of the first are under cloud."""
    upper = own_grid(32611, lat=38.0)
    x, y = upper.west + SIDE * 15, upper.north - SIDE * 30
    lon, lat = (float(each[0]) for each in projection.inverse(32611, x, y))
    lower = own_grid(other, lon, lat)
    hidden = np.full((SIDE, SIDE), CLEAR, np.uint16)
    hidden[SIDE // 2 :, ::2] = CLOUD
    rows = [
        write_ground(tmp_path, f"LC08_L2SP_0420{row}_20220105_20220112_02_T1", grid, hidden=bits, cloud=cloud)
        for row, grid, bits, cloud in (("33", upper, hidden, 10.0), ("34", lower, None, 30.0))
    ]
    (area,) = read_areas(box(lon - 0.02, lat - 0.03, lon + 0.02, lat + 0.06))
    with wrenlite.Executor.inline() as executor:
        (joined,) = survey_areas(executor, rows[::-1], area)
        apart = [area_stats(scene, area) for scene in rows]
    assert joined.product == " + ".join(scene.product.id for scene in rows)
    assert (joined.cloud, joined.pixels) == (30.0, apart[0].pixels)
    assert joined.usable == pytest.approx(1.0, abs=0.002)  # of two zones, a seam of turned edges
    assert apart[0].hidden.cloud > 0.1
    assert apart[0].hidden.fill > 0.1
    assert passes([*rows, rows[0]]) == [rows, rows[:1]]  # a row is joined with itself never
    truth = area_stats(write_ground(tmp_path / "whole", rows[0].product.id, big_grid(upper)), area)
    assert joined.mean == pytest.approx(truth.mean, abs=1e-3 if other == 32610 else 1e-6)


def big_grid(upper):
    """A grid with the same pixels that has both rows."""
    return Grid(upper.epsg, upper.west - 3000, upper.north + 3000, upper.pixel, SIDE + 200, SIDE * 2)


def test_swapped_coordinates_are_named(tmp_path):
    product = "LC08_L2SP_188025_20220105_20220112_02_T1"
    scene = write_ground(tmp_path, product, own_grid(32634, lon=20.0, lat=50.0))
    swapped = box(49.99, 19.99, 50.01, 20.01)
    with pytest.raises(OutsideScene, match="look swapped: GeoJSON has the longitude first"):
        area_stats(scene, swapped)
    with wrenlite.Executor.inline() as executor:
        assert survey_areas(executor, scene, box(19.99, 49.99, 20.01, 50.01))[0].pixels > 3000
        with pytest.raises(ConfigError, match="no scene shows the area: longitude and latitude look swapped"):
            survey_areas(executor, scene, swapped)


def test_a_survey_is_a_table_with_a_row_for_each_area_and_date(archive, tmp_path):
    sources = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {"name": name}, "geometry": mapping(shape)}
            for name, shape in (
                ("vineyard", FIELD),
                ("elsewhere", box(0, 0, 1, 1)),
                ("a", box(-120, 38, -119.99, 38.01)),
            )
        ],
    }
    with wrenlite.Executor.local(2, progress=False) as executor:
        found = survey_areas(executor, archive, sources)
    table = area_table(found[::-1])
    assert table["name"].tolist() == ["a"] * 3 + ["vineyard"] * 3  # in the order in which they come
    assert area_table(found)["name"].tolist() == ["vineyard"] * 3 + ["a"] * 3
    assert table["date"].is_monotonic_increasing is False
    assert table["date"].dt.strftime("%d").tolist() == ["05", "14", "21"] * 2
    assert table["hidden_cloud"].iloc[0] > 0.2
    means = table.set_index(["name", "date"])["mean"].loc["vineyard"].tolist()
    assert means[2] - means[0] == pytest.approx(0.1, abs=0.01)  # over zones, too
    assert means[1] - means[0] == pytest.approx(0.05, abs=0.01)

    write_table(table, tmp_path / "areas.csv")
    again = pandas.read_csv(tmp_path / "areas.csv", parse_dates=["date"])
    assert again["date"].iloc[0] == table["date"].iloc[0]
    assert again["mean"].tolist() == pytest.approx(table["mean"].tolist(), rel=1e-5)  # 6 digits
    assert re.fullmatch(r"0\.\d{1,6}", (tmp_path / "areas.csv").read_text().splitlines()[1].split(",")[10])
    write_table(table, tmp_path / "areas.parquet", sources)
    frame = geopandas.read_parquet(tmp_path / "areas.parquet")
    assert frame.crs.to_epsg() == 4326
    assert frame.geometry.iloc[-1].equals(read_areas_shape(FIELD))
    assert frame["median"].tolist() == table["median"].tolist()


def read_areas_shape(polygon):
    from shapely.geometry import shape

    return shape(read_areas(polygon)[0])


def test_points_of_areas_make_a_season(archive):
    (area,) = read_areas(FIELD)
    shown = area_stats(archive[1], area)
    assert shown.point().value == shown.mean
    assert shown.point().hidden is None
    from wrenlite.gallery.ndvi.masks import Hidden

    hidden = type(shown)(**{**vars(shown), "hidden": Hidden(cloud=0.5, out_of_range=0.2)})
    assert np.isnan(hidden.point().value)
    assert hidden.point().hidden == "cloud"


def test_tables_that_cannot_be_written(archive, tmp_path, monkeypatch):
    (area,) = read_areas(FIELD)
    table = area_table([area_stats(archive[1], area)])
    with pytest.raises(ConfigError, match=r"areas\.xlsx has no known format: give a name that ends in \.csv"):
        write_table(table, tmp_path / "areas.xlsx")
    with pytest.raises(ConfigError, match="GeoParquet needs the polygons of 'the area'"):
        write_table(table, tmp_path / "areas.parquet")
    with pytest.raises(ConfigError, match="give areas= with all areas of the table, not only area 1"):
        write_table(table, tmp_path / "areas.parquet", [FIELD])
    with pytest.raises(StoreError, match="cannot write"):
        write_table(table, tmp_path / "none" / "areas.csv")
    with pytest.raises(StoreError, match="cannot write"):
        write_table(table, tmp_path / "none" / "areas.parquet", [area])
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(PackageMissing, match=r"GeoParquet needs geopandas: pip install 'wrenlite\[areas\]'"):
        write_table(table, tmp_path / "areas.geoparquet", [area])
    write_table(table, tmp_path / "areas.csv")
    assert area_table([]).columns.tolist() == table.columns.tolist()


def test_levels_are_not_mixed_and_something_must_be_seen(archive):
    other = Scene.at("/nowhere", "LC08_L1TP_042033_20220105_20220112_02_T1")
    with wrenlite.Executor.inline() as executor:
        with pytest.raises(ConfigError, match="mixed=True"):
            survey_areas(executor, [*archive, other], FIELD)
        with pytest.raises(ConfigError, match="no scene shows the area: search scenes of that place"):
            survey_areas(executor, archive, box(0, 0, 1, 1))
        with pytest.raises(ConfigError, match="there is no index"):
            survey_areas(executor, archive, FIELD, index="X")
        with pytest.raises(ConfigError, match="there are no scenes"):
            survey_areas(executor, [], FIELD)
        with pytest.raises(ConfigError, match="'a' is no scene"):
            survey_areas(executor, "a", FIELD)
        assert len(survey_areas(executor, archive[0], FIELD)) == 1
    with pytest.raises(ConfigError, match="there are 2 areas where one is needed: area 1, area 2"):
        area_stats(archive[0], [FIELD, FIELD])


def test_real_pixels_agree_with_the_picture_of_the_same_box():
    scene = Scene.at(str(real_pixels()), BRUMADINHO[0], quality=False)
    bounds = tasks.grid_of(scene).bounds
    (area,) = read_areas(box(*bounds))
    stats = area_stats(scene, area)
    picture = tasks.ndvi_area(scene, bounds, 4096)
    assert stats.median == pytest.approx(float(np.nanmedian(picture.values)), abs=1e-4)
    assert stats.mean == pytest.approx(float(np.nanmean(picture.values, dtype=np.float64)), abs=1e-6)
    assert stats.median == pytest.approx(0.785, abs=0.001)
