"""Areas from GeoJSON and from other libraries' objects."""

import functools
import json

import geopandas
import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box, shape

from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.ndvi.grid import Box, Grid, OutsideScene, Window
from wrenlite.gallery.ndvi.polygons import Area, count_pixels, covered, read_areas
from wrenlite.gallery.ndvi.target import declare_grid

SQUARE = [[[10.0, 20.0], [10.2, 20.0], [10.2, 20.1], [10.0, 20.1], [10.0, 20.0]]]
HOLE = [[10.05, 20.02], [10.1, 20.02], [10.1, 20.05], [10.05, 20.05], [10.05, 20.02]]
NAN = float("nan")
POLYGON = {"type": "Polygon", "coordinates": SQUARE}


def feature(geometry=POLYGON, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features, **more):
    return {"type": "FeatureCollection", "features": list(features), **more}


def test_areas_come_from_files_dicts_and_objects(tmp_path):
    file = tmp_path / "fields.geojson"
    file.write_text(json.dumps(collection(feature(name="north"), feature(), {**feature(), "id": 7})))
    assert [area.name for area in read_areas(file)] == ["north", "area 2", "7"]
    assert [area.name for area in read_areas(str(file))] == ["north", "area 2", "7"]
    assert [area.name for area in read_areas([POLYGON, box(1, 2, 3, 4)])] == ["area 1", "area 2"]
    assert read_areas(json.dumps(POLYGON)) == read_areas(POLYGON)
    assert read_areas(POLYGON)[0].bounds == Box(10.0, 20.0, 10.2, 20.1)
    frame = geopandas.GeoDataFrame(
        {"name": ["a", "a"]}, geometry=[box(1, 2, 3, 4), box(5, 6, 7, 8)], crs=4326
    )
    areas = read_areas(frame)
    assert [area.name for area in areas] == ["a", "a (2)"]
    assert read_areas(areas) == areas
    again = [feature(name=name) for name in ("a", "a (2)", "a")]
    assert [area.name for area in read_areas(again)] == ["a", "a (2)", "a (3)"]
    assert areas[1].bounds == Box(5, 6, 7, 8)
    assert shape(areas[0]).equals(MultiPolygon([box(1, 2, 3, 4)]))
    assert "5 corners" in repr(areas[0])


def test_multipolygons_holes_and_collections():
    geometry = {"type": "MultiPolygon", "coordinates": [[*SQUARE, HOLE], [[[1, 1], [2, 1], [2, 2], [1, 1]]]]}
    both = {"type": "GeometryCollection", "geometries": [POLYGON, geometry]}
    (area,) = read_areas(feature(both, title="mixed"))
    assert (area.name, len(area.polygons), len(area.polygons[1])) == ("mixed", 3, 2)
    assert area.bounds == Box(1, 1, 10.2, 20.1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "the area is a Point, and not an area"),
        (Point(1, 2), "is a Point, and not an area"),
        (
            collection(feature(), feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]})),
            "area 2 is a Line",
        ),
        (feature(None, name="north"), "there are no areas: .* left out, without a polygon: north"),
        (collection(), "there are no areas"),
        ([], "there are no areas"),
        (collection(POLYGON), "its member 1 is not a Feature"),
        ({"type": "Polygon", "coordinates": []}, "left out, without a polygon: the area"),
        (Polygon(), "left out, without a polygon: the area"),
        ({"type": "GeometryCollection", "geometries": []}, "left out, without a polygon"),
        (
            {"type": "GeometryCollection", "geometries": 5},
            "a GeometryCollection whose geometries are no list",
        ),
        ({"type": "FeatureCollection", "features": 3}, "a FeatureCollection whose features are no list"),
        ({"type": "FeatureCollection", "features": {"a": 1}}, "whose features are no list"),
        ({**feature(), "properties": [1]}, "the area has properties that are no object"),
        ({**feature(), "properties": "x"}, "the area has properties that are no object"),
        (
            {"type": "Polygon", "coordinates": [[[10**400, 2], [3, 4], [5, 6], [10**400, 2]]]},
            "no list of long",
        ),
        pytest.param('{"a":' + "[" * 100_000, "nested too deeply", id="nested"),
        (functools.reduce(lambda inner, _: [inner], range(5000), POLYGON), "nested too deeply"),
        ("a\0b", "is no path of a file"),
        ({"type": "MultiPolygon", "coordinates": [[]]}, "is a MultiPolygon without coordinates"),
        ({"type": "Polygon", "coordinates": [SQUARE[0][:-1]]}, "not closed"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}, "not closed"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, 6], [1, 2]]]}, "without extent"),
        ({"type": "Polygon", "coordinates": [[["a", 2], [3, 4], [5, 6], ["a", 2]]]}, "no list of longitudes"),
        ({"type": "Polygon", "coordinates": [[1, 2, 3, 4]]}, "no list of longitudes"),
        (box(38.0, -123.0, 39.0, -122.0), "look swapped: GeoJSON has the longitude first"),
        (box(179.0, 0.0, 181.0, 1.0), "between -180 and 180 degrees, also across the antimeridian"),
        (box(500_000, 4_000_000, 501_000, 4_001_000), r"not in degrees: reproject it .* to_crs\(4326\)"),
        (
            {"type": "Polygon", "coordinates": [[[0, NAN], [3, 4], [5, 7], [0, NAN]]]},
            "latitude nan",
        ),
        (
            {"type": "Polygon", "coordinates": [[[-120, 80], [0, 80], [120, 80], [-120, 80]]]},
            "goes round a pole",
        ),
        ({"type": "Polygon", "coordinates": 5}, "without coordinates"),
        ({"type": "MultiPolygon", "coordinates": 5}, "without coordinates"),
        ({"type": "MultiPolygon", "coordinates": [5]}, "without coordinates"),
        ({"type": "Polygon", "coordinates": "abcd"}, "without coordinates"),
        ({"type": "Polygon", "coordinates": [5]}, "no list of longitudes"),
        ({"type": "Polygon"}, "without coordinates"),
        ({}, "is no geometry"),
        ("{not json", "the text is not GeoJSON"),
        (7, "7 is no area: give a GeoJSON file"),
        (
            geopandas.GeoSeries([box(0, 0, 1, 1)], crs=32610),
            r"areas are in EPSG:32610, .*areas.to_crs\(4326\)",
        ),
        (
            collection(
                feature(), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32610"}}
            ),
            "is in urn:ogc:def:crs:EPSG::32610, and not in degrees",
        ),
        *(
            (collection(feature(), crs=crs), f"is in {words}.*, and not in degrees")
            for crs, words in (
                ("EPSG:32610", "EPSG:32610"),
                ({"type": "name", "properties": {"name": "EPSG:14326"}}, "EPSG:14326"),
                ({"type": "EPSG", "properties": {"code": 32610}}, "32610"),
                ({"type": "name", "properties": "EPSG:3857"}, "{'type'"),
                ({"type": "link", "properties": {"href": "http://x/4326"}}, "{'type'"),
                (["EPSG:4326"], r"\['EPSG"),
            )
        ),
    ],
)
def test_what_is_no_area(source, words):
    with pytest.raises(ConfigError, match=words):
        read_areas(source)


def test_features_without_a_geometry_are_left_out_and_named():
    hollow = {"type": "GeometryCollection", "geometries": []}
    found = read_areas(collection(feature(name="a"), feature(None, name="b"), feature(hollow, name="c")))
    assert [area.name for area in found] == ["a"]
    assert found.notes == ("left out, without a polygon: b, c",)
    assert read_areas(found).notes == found.notes
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=[box(1, 2, 3, 4), None], crs=4326)
    assert read_areas(frame).notes == ("left out, without a polygon: b",)


def test_a_property_names_areas():
    file = collection(
        feature(parcel="p 1", name="x"), feature(parcel=7), feature(parcel=None), feature(parcel=NAN)
    )
    assert [area.name for area in read_areas(file, "parcel")] == ["p 1", "7", "area 3", "area 4"]
    with pytest.raises(ConfigError, match="area 2 has no property 'name' to name it by: it has id, parcel"):
        read_areas(file, name="name")
    with pytest.raises(ConfigError, match=r"name=\['parcel'\] is no property"):
        read_areas(file, name=["parcel"])


def test_an_area_of_a_metre_is_an_area():
    (area,) = read_areas(Point(-122.36, 38.435).buffer(1e-7))
    assert area.bounds == pytest.approx(Box(-122.36, 38.435, -122.36, 38.435), abs=2e-7)


def test_tables_of_geopandas_are_in_any_degrees_and_have_rows():
    frame = geopandas.GeoDataFrame(
        {"name": ["a", "b"]}, geometry=[box(1, 2, 3, 4), box(5, 6, 7, 8)], crs=4326
    )
    expected = list(read_areas(frame))
    assert read_areas(frame.to_crs("OGC:CRS84")) == expected
    assert read_areas(frame.set_crs(4269, allow_override=True))[1].bounds == pytest.approx(Box(5, 6, 7, 8))
    assert read_areas(frame.iloc[1]) == expected[1:]
    assert read_areas(frame.itertuples()) == expected
    for name in ("urn:ogc:def:crs:EPSG::4269", "http://www.opengis.net/def/crs/OGC/1.3/CRS84", "EPSG:4326"):
        assert len(read_areas({**POLYGON, "crs": {"type": "name", "properties": {"name": name}}})) == 1
    assert len(read_areas({**POLYGON, "crs": {"type": "EPSG", "properties": {"code": 4326}}})) == 1


def test_pixels_of_overlapping_polygons_count_once():
    squares = [box(2, 2, 12, 12), box(7, 2, 17, 12)]
    rings = [[np.array(square.exterior.coords).T] for square in squares]
    assert count_pixels(rings) == 150
    wide = [[ring[0] * 1000] for ring in rings]
    assert count_pixels(wide) == pytest.approx(150_000_000, rel=0.002)  # by cells of 4 x 4 pixels
    assert count_pixels([[rings[0][0] / 1000]]) == 0


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(NotFound, match="there is no file"):
        read_areas(tmp_path / "none.geojson")
    for content in ("no json", "[1, 2]", ""):
        (tmp_path / "bad.geojson").write_text(content)
        with pytest.raises(ConfigError, match="is not GeoJSON"):
            read_areas(tmp_path / "bad.geojson")
    declared = collection(feature(), crs={"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}})
    (tmp_path / "plain.geojson").write_text(json.dumps(declared))
    assert len(read_areas(tmp_path / "plain.geojson")) == 1


@pytest.mark.parametrize("epsg", [32632, 4326, 3857])
def test_pixels_of_an_area_have_their_centre_within(epsg):
    (area,) = read_areas({"type": "Polygon", "coordinates": [*SQUARE, HOLE]})
    grid = declare_grid((9.9, 19.9, 10.3, 20.2), epsg, {4326: 0.002, 3857: 200.0}.get(epsg, 200.0))
    rings = area.pixel_rings(grid)
    found = covered(rings, grid.window)
    from wrenlite.gallery.ndvi import projection

    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.west + columns * grid.pixel[0], grid.north - rows * grid.pixel[1]
    lon, lat = (each.reshape(columns.shape) for each in projection.inverse(epsg, x.ravel(), y.ravel()))
    expected = (lon > 10) & (lon < 10.2) & (lat > 20) & (lat < 20.1)
    expected &= ~((lon > 10.05) & (lon < 10.1) & (lat > 20.02) & (lat < 20.05))
    assert np.count_nonzero(found != expected) <= 2  # centres on an edge
    assert count_pixels(rings) == pytest.approx(expected.sum(), rel=0.02)
    window = Window(7, 11, 40, 30)
    assert (covered(rings, window) == found[11:41, 7:47]).all()


@pytest.mark.parametrize(
    "coordinates",
    [
        [[[[179.9, 1], [-179.9, 1], [-179.9, 1.2], [179.9, 1.2], [179.9, 1]]]],
        [
            [[[179.9, 1], [180, 1], [180, 1.2], [179.9, 1.2], [179.9, 1]]],
            [[[-180, 1], [-179.9, 1], [-179.9, 1.2], [-180, 1.2], [-180, 1]]],
        ],
    ],
    ids=["one ring", "cut in two"],
)
def test_areas_across_the_antimeridian(coordinates):
    (area,) = read_areas({"type": "MultiPolygon", "coordinates": coordinates})
    assert area.bounds == pytest.approx(Box(179.9, 1.0, -179.9, 1.2))
    for epsg in (32660, 32601, 4326):
        grid = declare_grid(area.bounds, epsg, 0.001 if epsg == 4326 else 100.0)
        share = covered(area.pixel_rings(grid), grid.window).mean()
        assert share > 0.95


def test_an_area_round_the_earth_on_a_parallel():
    cap = [[[-180, -90], [180, -90], [180, -60], [-180, -60], [-180, -90]]]
    (area,) = read_areas({"type": "Polygon", "coordinates": cap})
    assert area.bounds == Box(-180.0, -90.0, 180.0, -60.0)
    grid = declare_grid(area.bounds, 3031, 20_000.0)
    share = covered(area.pixel_rings(grid), grid.window).mean()
    assert share == pytest.approx(np.pi / 4, abs=0.01)  # a circle in its square


def ring(west, south, east, north):
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


DATE_LINE = [[179, 0], [-179, 0], [-179, 2], [179, 2], [179, 0]]
CORNER = [[0, 0], [10, 0], [10, 1], [1, 1], [1, 10], [0, 10], [0, 0]]


@pytest.mark.parametrize(
    ("outline", "hole"),
    [
        (ring(0, 0, 9, 9), ring(20, 20, 21, 21)),
        (ring(0, 0, 9, 9), ring(8, 8, 10, 10)),
        (ring(4, 4, 5, 5), ring(0, 0, 9, 9)),
        (CORNER, ring(5, 5, 6, 6)),
        (DATE_LINE, ring(178, 0.5, 178.5, 1)),
    ],
)
def test_a_hole_outside_its_polygon_is_refused(outline, hole):
    for rings in ([outline, hole], [outline, ring(0.1, 0.1, 0.2, 0.2), hole]):
        with pytest.raises(ConfigError, match=r"^x has a hole that reaches out of its polygon"):
            read_areas(feature({"type": "Polygon", "coordinates": rings}, name="x"))


@pytest.mark.parametrize(
    ("outline", "hole"),
    [
        (ring(0, 0, 9, 9), ring(8, 8, 9, 9)),
        (ring(0, 0, 9, 9), ring(8, 8, 9.00005, 9)),
        (DATE_LINE, ring(179.2, 0.5, 179.8, 1)),
        (DATE_LINE, ring(-179.8, 0.5, -179.2, 1)),
        (DATE_LINE, [[179.5, 1], [-179.5, 1], [-179.5, 1.5], [179.5, 1.5], [179.5, 1]]),
    ],
)
def test_a_hole_may_touch_its_polygon_and_cross_the_antimeridian(outline, hole):
    (area,) = read_areas({"type": "Polygon", "coordinates": [outline, hole]})
    assert len(area.polygons[0]) == 2


@pytest.mark.parametrize(
    ("outline", "holes"),
    [
        (box(0, 0, 9, 9), [box(1, 1, 4, 4), box(2, 2, 5, 5)]),
        (box(0, 0, 9, 9), [box(1, 1, 4, 4), box(2, 2, 3, 3)]),
        (box(0, 0, 9, 9), [box(1, 1, 4, 4), box(1, 1, 4, 4)]),
        (box(0, 0, 9, 9), [box(0, 0, 9, 9)]),
        (box(0, 0, 9, 9).difference(box(3, 3, 6, 9)), [box(2, 4, 7, 5)]),  # from one arm of a U to the other
    ],
)
def test_no_hole_adds_pixels_or_undoes_another(outline, holes):
    grid = Grid(4326, 0.0, 10.0, (0.05, 0.05), 200, 200)
    rings = [list(each.exterior.coords) for each in (outline, *holes)]
    island = list(box(2.5, 2.5, 2.9, 2.9).exterior.coords)
    (area,) = read_areas({"type": "MultiPolygon", "coordinates": [rings, [island]]})
    expected = shapely.union_all([outline.difference(shapely.union_all(holes)), Polygon(island)])
    rows, columns = np.indices((200, 200))
    within = shapely.contains_xy(expected, (columns + 0.5) * 0.05, 10.0 - (rows + 0.5) * 0.05)
    assert (covered(area.pixel_rings(grid), Window(0, 0, 200, 200)) == within).all()
    part = Window(37, 61, 70, 80)
    assert (covered(area.pixel_rings(grid), part) == within[61:141, 37:107]).all()


def test_polygons_far_from_the_scene_are_left_out():
    grid = Grid(32632, 500_000.0, 5_000_000.0, (30.0, 30.0), 100, 100)  # at 9 degrees east, 45 north
    near, far, wide = ring(9, 45, 9.01, 45.01), ring(-100, 40, -99, 41), ring(60, 40, 120, 41)
    (whole,) = read_areas({"type": "MultiPolygon", "coordinates": [[far], [near], [wide]]})
    (alone,) = read_areas({"type": "Polygon", "coordinates": [near]})
    assert count_pixels(whole.pixel_rings(grid)) == count_pixels(alone.pixel_rings(grid)) > 0


def test_an_area_far_from_a_projection_is_outside():
    (area,) = read_areas(POLYGON)
    with pytest.raises(
        OutsideScene, match=r"the area 'the area' is far from the scene: its projection EPSG:32655"
    ):
        area.pixel_rings(Grid(32655, 0.0, 0.0, (30.0, 30.0), 10, 10))
    wide = Area("wide", (((((0.0, 0.0), (100.0, 0.0), (100.0, 5.0), (0.0, 0.0))),),))
    with pytest.raises(ConfigError, match=r"wide.* leave out the part that is far from the scenes"):
        wide.pixel_rings(Grid(32632, 0.0, 100.0, (30.0, 30.0), 10, 10))
