import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from wrenlite.backends.local import connect_inline
from wrenlite.cost import Prices
from wrenlite.errors import ConfigError
from wrenlite.gallery.commands import demo
from wrenlite.gallery.fractals.forecast import Forecast, forecast
from wrenlite.gallery.fractals.light import Light
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.poster import Poster, render
from wrenlite.gallery.fractals.tiling import multiple_of_preview, preview
from wrenlite.gallery.fractals.view import View

VIEW = View("-0.7465", "0.1079", "0.0082", 640, 360, 800)


@pytest.mark.parametrize(
    "view", [VIEW, View(7, 7, 1, 640, 360, 100), replace(DEEP_VIEW, width=320, height=180)]
)
def test_a_view_costs_as_many_times_its_preview_as_it_has_more_points(view):
    multiple = multiple_of_preview(view, preview(view))
    assert 0.5 * 256 <= multiple <= 1.2 * 256  # filled rectangles cost less


@pytest.mark.parametrize("light", [None, Light((135.0, 45.0))])
def test_what_is_free_has_no_price_and_what_is_not_has_one(light):
    backend, poster = connect_inline(), Poster(VIEW, smoothness=1, light=light)
    free, previewed = forecast(backend, poster, 8)
    assert (free.gb_s, free.dollars, free.at_once) == (None, None, 1)
    assert np.array_equal(previewed, preview(VIEW))
    paid, _ = forecast(replace(backend, prices=Prices(0.01, 0.5, 2.0, 900)), poster, 8)
    assert paid.gb_s == pytest.approx(2 * paid.cpu_s)
    assert paid.dollars == pytest.approx(8 * 0.5 + 0.01 * paid.gb_s)


def test_a_forecast_is_one_line():
    assert str(Forecast(300.0, 40.0, 8, "local worker", None, None)) == (
        "about 40 s on 8 local workers: 5 min 0 s of CPU time"
    )
    assert str(Forecast(300.0, 5.0, 64, "request", 600.0, 0.0123)) == (
        "about 5.0 s with 64 requests at once: 5 min 0 s of CPU time, 600.0 GB-s, $0.012"
    )


def test_an_estimate_computes_and_writes_nothing(tmp_path):
    command = ["mandelbrot", "--estimate", "--workers", "1", "--width", "64", "--height", "48", "--out"]
    result = CliRunner().invoke(demo, [*command, str(tmp_path / "a.png")])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("about ")
    assert result.output.count("\n") == 1
    as_json = CliRunner().invoke(demo, [*command, str(tmp_path / "a.png"), "--json"])
    assert json.loads(as_json.stdout)["unit"] == "local worker"
    refused = CliRunner().invoke(demo, [*command, str(tmp_path / "a.png"), "--metrics"])
    assert "--metrics has no effect with --estimate" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_too_large_is_refused_before_its_preview():
    with pytest.raises(ConfigError, match="1,000,000 x 1,000,000 points"):
        forecast(connect_inline(), Poster(replace(VIEW, width=10**6, height=10**6), smoothness=1), 8)


def test_an_orbit_that_is_too_long_for_a_worker_is_refused_before_anything_is_sent():
    small = replace(connect_inline(), memory_bytes=121 << 20)
    view = View(-2, 0, "1e-20", 16, 9, 20_000)  # its centre never escapes
    with pytest.raises(ConfigError, match="with an orbit of up to 20,000 positions"):
        render(_With(small), Poster(view, smoothness=1), 2)


class _With:
    """An executor that has a backend, and would fail if anything were sent."""

    def __init__(self, backend):
        self.backend = backend
