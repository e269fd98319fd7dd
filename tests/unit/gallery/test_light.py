"""Light on pictures: slopes and distances that are known, both kernels, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import compiled, light
from wrenlite.gallery.fractals.derivative import Start, follow
from wrenlite.gallery.fractals.encoding import decode
from wrenlite.gallery.fractals.light import Light
from wrenlite.gallery.fractals.mandelbrot import counts
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.picture_files import encoded, options_of, read_options
from wrenlite.gallery.fractals.places import PLACES, options_of_place
from wrenlite.gallery.fractals.poster import Poster, PosterOptions, join, picture, render_piece
from wrenlite.gallery.fractals.pyramid import Pyramid
from wrenlite.gallery.fractals.tiling import plan
from wrenlite.gallery.fractals.video import Zoom
from wrenlite.gallery.fractals.view import Tile, View, tiles

EVERYTHING = Light((135.0, 45.0), lines=True, trap="cross")
DISC = View(0, 0, 6, 90, 70, 400, seed=0j)
"""A view of the set of z ← z², which is the disc of radius 1."""
SEAHORSES = View("-0.7465", "0.1079", "0.0082", 64, 36, 300)


def points_of(view):
    across, up = Tile(view, 0, 0, view.width, view.height).offsets()
    offsets = across + 1j * up[:, np.newaxis]
    return offsets + complex(float(view.xpos), float(view.ypos))


def surface_of(view, wanted):
    """Return the surface of a view, shape (height, width)."""
    found = light.render([Tile(view, 0, 0, view.width, view.height)], wanted).surface
    return light.Surface(
        *(None if codes is None else codes.reshape(view.height, view.width) for codes in found)
    )


def drawn(poster):
    """Return the picture of a poster, computed in this process."""
    pieces = plan(poster.sampled, 3)
    field, surface = join(poster, pieces, [render_piece(piece, poster.light) for piece in pieces])
    return picture(field, poster, surface=surface)


def turned(codes, angles):
    """Return the differences between codes of slopes and angles, in radians."""
    return np.angle(np.exp(1j * (codes * (2 * np.pi / 1024) - angles)))


@pytest.mark.parametrize("view", [DISC, View(0, 0, 1e-3, 60, 40, 400, seed=0j)])
def test_the_slopes_and_distances_of_a_disc_are_radial(view):
    view = replace(view, xpos="0.8") if view.spacing < 1e-3 else view
    points = points_of(view)
    outside = (np.abs(points) > 1.0001) & (np.abs(points) < 200)
    surface = surface_of(view, Light((0.0, 45.0)))
    assert (
        np.abs(turned(surface.slopes[outside], np.angle(points[outside]))).max(initial=0)
        <= np.pi / 1024 + 1e-9
    )
    found = light.distances(surface.distances[outside])
    size = np.abs(points[outside])
    expected = size * np.log(size) / view.spacing  # the potential divided by its derivative
    inner = expected > light.distances(np.uint8(0))
    assert np.abs(found[inner] / expected[inner] - 1).max(initial=0) <= 0.03


def test_far_away_the_surface_of_the_mandelbrot_set_is_a_cone():
    view = View(100, 50, 300, 40, 30, 50)
    points = points_of(view)
    surface = surface_of(view, Light((0.0, 45.0)))
    far = np.abs(points) > 30
    # The set is within 2 of 0, so that the centre of its level lines is, too.
    assert np.abs(turned(surface.slopes[far], np.angle(points[far]))).max() <= 2 / 30


def test_field_lines_run_on_from_level_to_level():
    """Along a radius of the disc's surface, and around it, no line begins or ends at once."""
    radii = np.geomspace(1.02, 3, 4000)
    for angle in (0.1, 1.0, np.pi / 4, 2.9):
        points = radii * np.exp(1j * angle)
        found = follow(Start(points, np.zeros_like(points), 0, 1.0, 0.0), 400)
        lines = light.field_lines(found)
        assert np.abs(np.diff(lines)).max() < 0.05
        assert len(np.unique(found.steps)) > 5
    around = 1.2 * np.exp(1j * np.linspace(0, 2 * np.pi, 4000))
    lines = light.field_lines(follow(Start(around, np.zeros_like(around), 0, 1.0, 0.0), 400))
    assert lines.max() > 0.99
    assert lines.min() < 0.01


def test_traps_have_the_least_distance_of_the_orbit():
    view = replace(SEAHORSES, width=20, height=12)
    points = points_of(view).ravel()
    for name, distance in (("point", abs), ("cross", lambda z: min(abs(z.real), abs(z.imag)))):
        surface = surface_of(view, Light(trap=name))
        assert surface.slopes is surface.distances is surface.lines is None
        for point, code in zip(points.tolist(), surface.traps.ravel().tolist(), strict=True):
            z, nearest = point, np.inf
            for _ in range(view.iters):
                z = z * z + point
                if abs(z) > 256:
                    break
                if name == "point" or abs(z) <= 2:
                    nearest = min(nearest, distance(z))
            if abs(z) > 256:
                exact = np.clip(np.log2(nearest * 2**14) * 16, 0, 255)
                assert abs(exact - code) <= 0.501


@pytest.mark.skipif(compiled.find_kernels() is None, reason="no library for this machine")
@pytest.mark.parametrize(
    "view",
    [SEAHORSES, replace(DISC, seed=-0.8 + 0.156j), replace(DEEP_VIEW, width=32, height=18, iters=2000)],
    ids=["seahorses", "julia", "deep"],
)
def test_both_kernels_draw_the_same_picture(view, monkeypatch):
    poster = Poster(view, palette="Wren", smoothness=1, light=EVERYTHING)
    ours = np.asarray(drawn(poster))
    monkeypatch.setattr(compiled, "find_kernels", lambda: None)
    assert (np.asarray(drawn(poster)) == ours).all()


@pytest.mark.parametrize("method", ["plain", "mariani"])
def test_what_a_point_shows_does_not_depend_on_its_tile(method):
    view = View(-0.75, 0.1, 1.2, 60, 40, 200)
    whole = surface_of(view, EVERYTHING)
    outside = np.isfinite(counts(Tile(view, 0, 0, 60, 40)))
    for tile in tiles(view, 32, method):
        found = light.render([tile], EVERYTHING).surface
        known = np.isfinite(counts(tile)) & outside[tile.rows, tile.columns]
        assert known.any()
        for name in found._fields:
            codes = getattr(found, name).reshape(tile.height, tile.width)
            assert (codes[known] == getattr(whole, name)[tile.rows, tile.columns][known]).all()


def test_points_of_the_main_bulbs_are_not_iterated():
    tile = Tile(View(-0.1, 0, 0.2, 16, 9, 500), 0, 0, 16, 9)
    part, _ = light.render([tile], EVERYTHING)
    assert part.computed == 0
    assert np.isinf(decode(part.counts)).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_slopes_that_face_the_light_are_brighter(bits):
    poster = Poster(DISC, palette="AfternoonBlue", smoothness=1, bits=bits)
    dark = np.asarray(drawn(poster), float)
    lit = np.asarray(drawn(replace(poster, light=Light((90.0, 45.0)))), float)  # light from above
    upper, lower = (slice(2, 8), slice(40, 50)), (slice(-8, -2), slice(40, 50))
    assert (lit[upper] > dark[upper]).all()
    assert (lit[lower] < dark[lower]).all()
    inside = np.abs(points_of(DISC)) < 0.99
    assert (lit[inside] == 0).all()


def test_lines_darken_and_traps_glow():
    poster = Poster(SEAHORSES, palette="Wren", smoothness=1)
    plain, lines, trap = (
        np.asarray(drawn(replace(poster, light=each)), float)
        for each in (None, Light(lines=True), Light(trap="point"))
    )
    assert (lines <= plain).all()
    assert (lines < plain).any()
    assert (trap >= plain).all()
    assert (trap > plain).any()


@pytest.mark.parametrize("extension", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("shown", [EVERYTHING, Light((-30.25, 90.0)), Light(lines=True), Light(trap="point")])
def test_a_file_says_how_its_light_is_made_again(tmp_path, extension, shown):
    poster = Poster(SEAHORSES, palette="Wren", light=shown)
    file = tmp_path / f"lit{extension}"
    file.write_bytes(encoded(drawn(poster), extension, options_of(poster, 3)))
    options = read_options(file)
    again = PosterOptions(**{name: value for name, value in options.items() if name != "tasks"}).poster()
    assert again == poster
    assert encoded(drawn(again), extension, options_of(again, 3)) == file.read_bytes()


def test_a_picture_without_light_is_what_it_was():
    poster = PosterOptions(width=64, height=48).poster()
    assert poster.light is None
    assert not {"light", "lines", "trap"} & set(options_of(poster, 64))
    assert PosterOptions(width=64, height=48, light="none", trap="none").poster() == poster


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"light": "45"}, "azimuth and elevation in degrees, such as"),
        ({"light": "1,2,3"}, "azimuth and elevation"),
        ({"light": ""}, "azimuth and elevation"),
        ({"light": "45,0"}, "an elevation above 0, up to 90"),
        ({"light": "nan,45"}, "an azimuth in degrees"),
        ({"light": "inf,45"}, "an azimuth in degrees"),
        ({"light": "45,nan"}, "an elevation above 0"),
        ({"trap": "circle"}, "no trap is called 'circle': there are cross, point"),
        ({"lines": True, "kind": "newton"}, "newton has none here"),
        ({"light": "45,45", "kind": "burning-ship"}, "burning-ship has none here"),
        ({"trap": "cross", "kind": "burning-ship", "julia": "-0.5,0.1"}, "burning-ship has none here"),
        ({"lines": True, "radius": "1e-20", "julia": "-0.5,0.1"}, "choose a larger radius"),
    ],
)
def test_light_without_meaning_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PosterOptions(**options)


def test_what_cannot_show_light_refuses_it():
    lit = Poster(SEAHORSES, light=Light(lines=True))
    with pytest.raises(ConfigError, match="a video has no light"):
        Zoom(lit, 1, 10, "4")
    with pytest.raises(ConfigError, match="a pyramid have no light"):
        Pyramid(lit)
    with pytest.raises(ConfigError, match="give picture the surface that render returned"):
        picture(counts(Tile(lit.sampled, 0, 0, 8, 8)), lit)


@pytest.mark.parametrize("name", PLACES)
def test_each_place_is_a_deep_view_with_light_and_many_colours(name):
    options = options_of_place(name) | {"width": 64, "height": 36, "smoothness": 1}
    poster = PosterOptions(**options).poster()
    assert poster.view.deep
    assert poster.light is not None
    field = render_piece([Tile(poster.sampled, 0, 0, 64, 36)]).counts
    assert (field.codes == 65535).mean() < 0.01  # next to no point needs more iterations
    assert len(np.unique(np.asarray(drawn(poster)).reshape(-1, 3), axis=0)) > 1000


def test_an_unknown_place_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no place is called 'rosete': did you mean rosette"):
        options_of_place("rosete")
