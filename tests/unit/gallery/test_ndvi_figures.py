"""Figures and tables of NDVI: what can be compared in them, and what can be read."""

import io
import re
from datetime import date, timedelta

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import figures, series
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.masks import Hidden, Reason
from wrenlite.gallery.ndvi.month_table import month_table
from wrenlite.gallery.ndvi.results import PointNdvi, Timing
from wrenlite.gallery.synthetic.places import PLACES

GRID = Grid(epsg=32610, west=15, north=15, pixel=(30.0, 30.0), width=100, height=50)  # 3 km x 1.5 km


def point(day, value, cloud=0.0, hidden="cloud", **facts):
    timing = Timing(open_s=0, read_s=0, compute_s=0)
    hidden = hidden if value is np.nan else None
    return PointNdvi(product="p", date=day, value=value, cloud=cloud, hidden=hidden, timing=timing, **facts)


def season(*values, **facts):
    days = [date(2022, 1, 1) + timedelta(20 * number) for number in range(len(values))]
    points = [point(day, value, **facts) for day, value in zip(days, values, strict=True)]
    return figures.Season(points, series.smooth(points))


def maps_of(figure):
    """Return the axes with a picture in them."""
    return [axes for axes in figure.axes if axes.images and axes.get_title("left")]


def test_all_seasons_have_the_axis_of_the_largest_so_that_a_flat_one_looks_flat():
    flat, large = season(0.20, 0.21, 0.20, 0.22, 0.2), season(0.1, 0.5, 0.9, 0.5, np.nan, 0.1)
    figure = figures.seasons({"flat": flat, "large": large}, "both")
    assert [axes.get_title("left") for axes in figure.axes] == ["flat", "large"]
    assert {axes.get_ylim() for axes in figure.axes} == {(0.0, 1.0)}
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    marked = [
        [line.get_label() for line in axes.lines if "hidden" in line.get_label()] for axes in figure.axes
    ]
    assert marked == [[], ["hidden: cloud"]]


def test_a_season_alone_has_the_same_axis_which_goes_below_zero_where_values_do():
    flat, water = season(0.20, 0.21, 0.20, 0.22, 0.2), season(-0.3, -0.25, -0.3, -0.3, -0.2)
    assert figures.season(flat.points, flat.curve, "flat").axes[0].get_ylim() == (0.0, 1.0)
    assert figures.season(water.points, water.curve, "water").axes[0].get_ylim() == pytest.approx((-0.35, 1))


def legend_of(figure):
    """Return the labels of a figure's legend, and the note above them."""
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()], legend.get_title().get_text()


def test_hidden_days_are_marked_by_reason_and_unknown_cloud_is_drawn_as_the_worst():
    days = [date(2022, 1, 1) + timedelta(16 * number) for number in range(12)]
    reasons = [reason.text for reason in Reason][1:]
    points = [point(day, 0.4, cloud=30.0) for day in days[:5]] + [point(days[5], 0.4, cloud=None)]
    points += [point(day, np.nan, hidden=reason) for day, reason in zip(days[6:], reasons, strict=True)]
    figure = figures.season(points, series.smooth(points), "title")
    labels, _ = legend_of(figure)
    assert [label for label in labels if label.startswith("hidden")] == [
        f"hidden: {name}" for name in reasons
    ]
    assert "cloud not known" in labels
    assert sorted({bar.get_height() for bar in figure.axes[1].patches}) == [0.0, 30.0, 100.0]
    marks = [line for line in figure.axes[1].lines if line.get_label().startswith("hidden")]
    assert len({line.get_marker() for line in marks}) == len(reasons)


def test_sensors_have_their_own_markers_and_the_figure_says_whether_they_are_harmonised():
    days = [date(2022, 1, 1) + timedelta(16 * number) for number in range(10)]
    points = [point(day, 0.5, satellite="Landsat 8", sensor="OLI") for day in days[::2]]
    points += [point(day, 0.5, satellite="Landsat 7", sensor="ETM+") for day in days[1::2]]
    for harmonise, words, drawn in (
        (False, "Landsat 7 ETM+ and 8 OLI, not harmonised.", 0.5),
        (True, "Landsat 7 ETM+ and 8 OLI, harmonised to OLI (Roy et al. 2016).", 0.0235 + 0.9723 * 0.5),
    ):
        figure = figures.season(points, series.smooth(points, harmonise=harmonise), "title")
        labels, note = legend_of(figure)
        assert {"Landsat 7 ETM+", "Landsat 8 OLI"} <= set(labels)
        assert note.startswith(words)
        etm = next(each for each in figure.axes[0].collections if each.get_label() == "Landsat 7 ETM+")
        assert np.asarray(etm.get_offsets())[:, 1] == pytest.approx(drawn)


def test_points_that_were_harmonised_before_are_said_to_be():
    days = [date(2022, 1, 1) + timedelta(16 * number) for number in range(10)]
    points = [point(day, 0.5, satellite="Landsat 8", sensor="OLI") for day in days[::2]]
    points += [point(day, 0.5, satellite="Landsat 7", sensor="ETM+") for day in days[1::2]]
    harmonised = series.harmonise(points)
    note = legend_of(figures.season(harmonised, series.smooth(harmonised), "title"))[1]
    assert note.startswith("Landsat 7 ETM+ and 8 OLI, harmonised to OLI (Roy et al. 2016).")


def test_long_titles_stay_in_the_figure():
    words = "A place with a name of many words that goes on and on, in a country far away, " * 2
    flat = season(0.5, 0.5, 0.5, 0.5, 0.5)
    values, picture = np.zeros((50, 100), np.float32), np.full((50, 100, 3), 90, np.uint8)
    for figure in (
        figures.season(*flat[:2], words),
        figures.seasons({words: flat}, words),
        figures.ndvi_map(values, GRID, words),
        figures.ndvi_maps({words[:50]: values, "b": values}, GRID, words),
        figures.true_colour({words[:70]: (picture, GRID), "b": (picture, GRID)}, words),
    ):
        figure.draw_without_rendering()
        texts = [figure._suptitle, *(axes._left_title for axes in figure.axes)]
        assert max(text.get_window_extent().x1 for text in texts) <= figure.bbox.x1


def test_the_figure_says_what_the_band_does_not_cover():
    flat = season(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert "Haze that no mask flags lowers" in legend_of(figures.season(*flat[:2], "title"))[1]
    wet = season(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, index="NDWI")
    assert "Haze" not in legend_of(figures.season(*wet[:2], "title"))[1]  # which raises NDWI
    above = [flat._replace(truth=lambda day, above=above: 0.5 + above) for above in (0.011, 0.02)]
    assert (
        "Points are 0.011 below the truth" in legend_of(figures.season(*flat[:2], "title", above[0].truth))[1]
    )
    both = figures.seasons({"a": above[0], "b": above[1]}, "title")
    assert "Points are 0.011 to 0.020 below the truth on average" in legend_of(both)[1]
    bands = [each for each in both.axes[0].collections if each.get_label() == "95 % band"]
    assert len(bands) == 1


def test_figures_and_tables_name_another_index_and_draw_its_range():
    moisture = season(1.2, -0.3, -0.2, 1.3, -0.3, index="SAVI")
    axes = figures.season(*moisture[:2], "title").axes[0]
    assert axes.get_ylabel() == "SAVI"
    assert axes.get_ylim() == pytest.approx((-0.35, 1.3))
    assert figures.seasons({"a": moisture}, "title").axes[0].get_ylabel() == "SAVI"
    assert ">SAVI<" in month_table({"a": moisture.points}, 2022, "")._repr_html_()
    with pytest.raises(ConfigError, match="different indices"):
        month_table({"a": moisture.points, "b": season(0.1, 0.2, 0.1, 0.1, 0.3).points}, 2022, "")
    burnt = figures.ndvi_map(np.zeros((50, 100), np.float32), GRID, "title", index="NBR")
    assert burnt.axes[1].get_ylabel() == "NBR (grey: hidden)"
    low, high = burnt.axes[0].images[0].get_clim()
    assert low == -high
    many = figures.ndvi_maps({"a": np.zeros((50, 100), np.float32)}, GRID, "title", index="NDWI")
    assert many.axes[-1].get_ylabel() == "NDWI (grey: hidden)"


def test_scenes_without_quality_bands_are_said():
    unseen = frozenset({"cloud", "shadow", "snow"})
    blind = season(0.5, 0.5, 0.5, 0.5, 0.5, unseen=unseen)
    assert "Clouds are not masked in 1 scene: there is" in legend_of(figures.season(*blind[:2], "title"))[1]
    figure = figures.ndvi_map(np.zeros((50, 100), np.float32), GRID, "title", unseen=unseen)
    words = "km to the east\nnot masked, for lack of quality bands: cloud, shadow, snow"
    assert figure.axes[0].get_xlabel() == words


def test_level_1_is_said_in_figures_and_tables():
    top = season(0.5, 0.5, 0.5, 0.5, 0.5, level=1)
    label = "NDVI\ntop of atmosphere"
    assert figures.season(*top[:2], "title").axes[0].get_ylabel() == label
    assert figures.seasons({"a": top}, "title").axes[0].get_ylabel() == label
    values = np.zeros((50, 100), np.float32)
    for figure in (
        figures.ndvi_map(values, GRID, "title", level=1),
        figures.ndvi_maps({"a": values}, GRID, "title", level=1),
    ):
        assert figure.axes[-1].get_ylabel() == "NDVI (grey: hidden)\ntop of atmosphere"
    assert ">NDVI, top of atmosphere<" in month_table({"a": top.points}, 2022, "")._repr_html_()


def test_levels_together_are_said_and_are_in_a_table_only_when_asked_for():
    points = [point(date(2022, month, 1), 0.4, level=1 + month % 2, sensor="OLI") for month in range(1, 9)]
    figure = figures.season(points, series.smooth(points, mixed=True), "title")
    assert figure.axes[0].get_ylabel() == "NDVI\nlevels 1 and 2"
    assert "levels 1 and 2 mixed" in legend_of(figure)[1]
    with pytest.raises(ConfigError, match="mixed=True"):
        month_table({"a": points}, 2022, "")
    assert month_table({"a": points}, 2022, "", mixed=True).value == "NDVI, levels 1 and 2"


def test_a_map_tells_the_hidden_shares_by_reason():
    values = np.full((50, 100), 0.5, np.float32)
    hidden = Hidden.joined([(Hidden(cloud=0.2, snow=0.001), 100), (Hidden(cloud=0.0, shadow=0.1), 100)])
    figure = figures.ndvi_map(values, GRID, "title", hidden=hidden)
    label = "km to the east\nhidden: cloud 10 %, shadow 5 %, snow < 1 %"
    assert figure.axes[0].get_xlabel() == label
    assert figures.ndvi_map(values, GRID, "t", hidden=Hidden()).axes[0].get_xlabel() == "km to the east"


def test_every_map_has_kilometres_and_labels_on_both_axes():
    values = np.full((50, 100), 0.5, np.float32)
    picture = np.full((50, 100, 3), 90, np.uint8)
    one = figures.ndvi_map(values, GRID, "one")
    coloured = figures.true_colour({"a": (picture, GRID)}, "title")
    for axes in (one.axes[0], coloured.axes[0]):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("km to the east", "km to the south")
        assert list(axes.images[0].get_extent()) == [0.0, 3.0, 1.5, 0.0]
    many = figures.ndvi_maps({str(number): values for number in range(5)}, GRID, "many")
    assert [axes.get_title("left") for axes in maps_of(many)] == ["0", "1", "2", "3", "4"]
    assert (many.get_supxlabel(), many.get_supylabel()) == ("km to the east", "km to the south")
    assert {axes.images[0].get_clim() for axes in maps_of(many)} == {(figures.LOW, figures.HIGH)}


def test_true_colour_shows_no_data_as_such_and_brightens_dark_pictures():
    picture = np.full((4, 5, 3), 80, np.uint8)
    picture[:, 0] = 0
    drawn = figures.true_colour({"a": (picture, GRID)}, "title").axes[0].images[0].get_array()
    assert (drawn[:, 0, 3] == 0).all()
    assert (drawn[:, 1:, 3] == 1).all()
    assert drawn[0, 1, 0] == 80 / 160
    bright = np.full((4, 5, 3), 250, np.uint8)
    assert figures.true_colour({"a": (bright, GRID)}, "t").axes[0].images[0].get_array().max() == 1.0
    empty = figures.true_colour({"a": (np.zeros((4, 5, 3), np.uint8), GRID)}, "t")
    assert not empty.axes[0].images[0].get_array()[..., 3].any()


def test_a_picture_for_a_notebook_has_few_colours_and_its_size_on_the_page():
    gradient = np.linspace(-0.2, 0.9, 5000, dtype=np.float32).reshape(50, 100)
    png, size = figures.ndvi_map(gradient, GRID, "gradient")._repr_png_()
    assert size["width"] == 900
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.mode == "P"
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for value in (-0.15, 0.1, 0.4, 0.8):
        wanted = 255 * np.array(figures.COLOUR_MAP((value - figures.LOW) / 1.1)[:3])
        assert np.abs(colours - wanted).max(axis=1).min() < 8, "of 256 levels: hardly visible"


def labels_of(figure):
    """Return the box of each title and of each point in pixels, by title."""
    axes = figure.axes[0]
    titles = {text.get_text(): text for text in axes.texts}
    return {
        name: (text.get_window_extent(), axes.transData.transform(text.xy)) for name, text in titles.items()
    }


def distance(box, xy):
    """Return the distance of a point from a box in pixels."""
    x, y = xy
    return np.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


@pytest.mark.parametrize(
    "places",
    [
        {place.title: (place.lon, place.lat) for place in PLACES.values()},
        {"Auckland in the east": (174.8, -36.8), "Samoa in the west": (-172.0, -13.8)},
        {"one": (10.0, 50.0), "two": (14.0, 50.0), "three": (12.0, 47.0)},
    ],
    ids=["the notebook's", "at the edges", "close together"],
)
def test_on_the_globe_each_title_is_nearest_to_its_own_point_and_covers_no_other(places):
    figure = figures.globe(places)
    figure.draw_without_rendering()
    labels = labels_of(figure)
    assert set(labels) == set(places)
    for name, (box, own) in labels.items():
        others = [other for title, other in labels.items() if title != name]
        assert distance(box, own) < 15
        for other_box, other_point in others:
            assert distance(box, other_point) > distance(box, own)
            assert not box.overlaps(other_box)
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


def test_the_globe_has_land_where_there_is_land():
    axes = figures.globe({"here": (0.0, 0.0)}).axes[0]
    [land] = axes.patches
    path = land.get_path()
    for lon, lat in [place_at(name) for name in PLACES] + [(-150.0, 65.0), (179.0, 67.0), (-175.0, 66.5)]:
        assert path.contains_point((lon, lat)), (lon, lat)
    for lon, lat in [(-30.0, 0.0), (90.0, -30.0), (-150.0, 0.0), (51.0, 42.0)]:  # the last: the Caspian Sea
        assert sum(polygon_contains(ring, (lon, lat)) for ring in path.to_polygons()) % 2 == 0, (lon, lat)


def place_at(name):
    return PLACES[name].lon, PLACES[name].lat


def polygon_contains(ring, point):
    from matplotlib.path import Path

    return Path(ring).contains_point(point)


def contrast(one, other):
    """Return the contrast of two colours as WCAG 2.1 defines it."""

    def luminance(colour):
        parts = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)
        ]
        return np.dot(parts, (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_table_has_the_clearest_usable_scene_of_each_month():
    points = [
        point(date(2022, 1, 3), np.nan, cloud=1.0),
        point(date(2022, 1, 9), 0.61, cloud=80.0),
        point(date(2022, 1, 25), 0.34, cloud=12.0),
        point(date(2022, 3, 3), np.nan, cloud=70.0, hidden="snow"),
        point(date(2022, 3, 19), np.nan, cloud=90.0, hidden="cloud"),
        point(date(2021, 5, 3), 0.9),
    ]
    table = month_table({"a <place>": points}, 2022, "what & where")
    assert [line.split("\t")[:2] for line in repr(table).splitlines()[2:6]] == [
        ["Jan", "0.34"],
        ["Feb", "no scene"],
        ["Mar", "snow"],
        ["Apr", "no scene"],
    ]
    html = table._repr_html_()
    assert "a &lt;place&gt;" in html
    assert "what &amp; where" in html
    assert "12 %" in html


def test_a_hidden_cell_has_no_fill_and_every_value_can_be_read_on_its_fill():
    values = [None, np.nan, -0.4, -0.1, 0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0]
    points = [
        point(date(2022, month, 5), value) for month, value in enumerate(values, 1) if value is not None
    ]
    cells = re.findall(
        r'<td style="([^"]*)">([^<]*)</td>', month_table({"a": points}, 2022, "")._repr_html_()
    )
    shown = {text: style for style, text in cells if "%" not in text and text}
    for text in ("cloud", "no scene"):
        assert "background" not in shown.pop(text)
    assert len(shown) == 10
    for style in shown.values():
        fill, text_colour = re.findall(r"#\w{6}", style)
        assert contrast(fill, text_colour) >= 4.5
