import importlib.metadata
import importlib.util
import io
import platform
import runpy
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wrenlite.deploy.code_zip import function_zip
from wrenlite.gallery.fractals import compiled, perturbation
from wrenlite.gallery.fractals.escape import escape, escape_numpy
from wrenlite.gallery.fractals.mandelbrot import Tile, View, counts, render, tiles
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW

ROOT = Path(__file__).parents[3]
BUILD = runpy.run_path(str(ROOT / ".ci" / "build_kernel.py"))
PROCESSORS = BUILD["PROCESSORS"]

needs_kernel = pytest.mark.skipif(compiled.find_kernels() is None, reason="no library for this machine")


def random_points(count, size=1.5):
    rng = np.random.default_rng(count)
    return size * (rng.normal(size=count) + 1j * rng.normal(size=count))


def error_bound(counts):
    """Return four units in the last place of a count, or of 16: both kernels add logarithms of up to 10."""
    return 4 * np.spacing(np.maximum(counts, 16.0))


def assert_equal_but_for_logarithms(z, c, step, iters):
    """Compare both kernels. A wrong bit of z would change counts by far more than the bound."""
    ours, numpys = escape(z, c, step, iters), escape_numpy(z, c, step, iters)
    inside = np.isinf(numpys)
    assert (np.isinf(ours) == inside).all()
    assert (np.abs(ours[~inside] - numpys[~inside]) <= error_bound(numpys[~inside])).all()


@needs_kernel
@pytest.mark.parametrize("count", [0, 1, 2, 15, 33, 1000, 40001])
@pytest.mark.parametrize("iters", [1, 2, 7, 300])
def test_the_compiled_kernel_has_the_counts_of_numpy(count, iters):
    points = random_points(count)
    assert_equal_but_for_logarithms(points, points, 1, iters)
    assert_equal_but_for_logarithms(points, np.full_like(points, -0.12 + 0.74j), 0, iters)


GRIDS = {
    "whole": View(-0.75, 0, 3.5, 200, 130, 300),
    "beside the bulbs": View(-0.743643, 0.131825, 0.01, 133, 71, 900),
    "a column": View(-0.5, 0.6, 2, 1, 150, 100),
    "a row": View(-0.5, 0.6, 0.02, 700, 1, 100),
    "a point": View(-0.5, 0.6, 2, 1, 1, 100),
    "one iteration": View(-0.75, 0, 1900, 60, 50, 1),
    "two iterations": View(-0.75, 0, 1900, 60, 50, 2),
    "far away": View(0, 0, 1900, 61, 50, 40),
    "inside": View(-0.1, 0.1, 0.01, 64, 64, 200),
    "inside a bulb that is not known": View(-0.125, 0.745, 0.2, 77, 99, 200),
    "one iteration of a Julia set": View(0, 0, 1900, 50, 50, 1, seed=0.3j),
    "a Julia set": View(0, 0, 3, 150, 99, 500, seed=-0.12 + 0.74j),
    "a Julia set far away": View(0, 0, 1900, 61, 50, 40, seed=99j),
}


@needs_kernel
@pytest.mark.parametrize("method", ["plain", "mariani"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_tile_has_the_counts_and_iterations_of_numpy(name, method, monkeypatch):
    view = GRIDS[name]
    part = render(tiles(view, 64, method))
    whole = counts(Tile(view, 0, 0, view.width, view.height, method))
    monkeypatch.setattr(compiled, "find_kernels", lambda: None)
    assert (whole == counts(Tile(view, 0, 0, view.width, view.height, method))).all()
    numpys = render(tiles(view, 64, method))
    assert (part.counts.codes == numpys.counts.codes).all()
    if view.iters > 1:  # else none is computed: without an iteration, no point is known to escape
        assert part.computed == pytest.approx(numpys.computed, rel=1e-6)  # sums of float32 in numpy


@needs_kernel
def test_points_of_chaos_have_the_counts_of_numpy_too():
    # Points 1e-15 apart at the boundary: one different bit of z changes their counts by whole iterations.
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 99, (2, 3000))
    points = -0.743643887037 + 0.131825904205j + 1e-15 * (x + 1j * y)
    assert_equal_but_for_logarithms(points, points, 1, 20000)
    counts = escape(points, points, 1, 20000)
    assert np.ptp(counts[np.isfinite(counts)]) > 1


@needs_kernel
@pytest.mark.parametrize("part", [0.0, 256.0, 256.0001, 1e5, 1e20, 1e150, 1e200, 1e300, np.inf])
def test_points_far_away_have_the_counts_of_numpy(part):
    points = np.array([complex(part, 0), complex(0, part), complex(-part, part), complex(part, np.nan)])
    with np.errstate(all="ignore"):
        assert_equal_but_for_logarithms(points, points, 0, 20)
        assert_equal_but_for_logarithms(points, np.zeros_like(points), 3, 9)


@needs_kernel
def test_no_count_depends_on_the_points_beside_it():
    points = random_points(500)
    together = escape(points, points, 1, 400)
    assert [escape(points[[i]], points[[i]], 1, 400)[0] for i in range(500)] == together.tolist()
    assert (escape(points[::-3], points[::-3], 1, 400) == together[::-3]).all()


@needs_kernel
def test_arguments_are_not_changed():
    points = random_points(100)
    before = points.copy()
    escape(points, points, 1, 50)
    assert (points == before).all()
    assert np.isinf(escape(points, points, 50, 50)).all()


@needs_kernel
@pytest.mark.parametrize(
    "view",
    [
        replace(DEEP_VIEW, width=40, height=30, iters=3000),
        replace(DEEP_VIEW, width=17, height=1, iters=400),  # the limit is before the first rebasing
        View("-1.768667862837488812627419470", "0.001645580546820209430325900", "12e-22", 20, 12, 9000),
        View(-2, 0, "1e-280", 20, 10, 2000),
        View(7, -3, "1e-13", 9, 7, 50),  # the orbit ends at once
        View("0.4", "0.3", "1e-13", 33, 5, 1500),
        View(-2, 0, "1e-20", 9, 9, 1),
    ],
)
def test_deep_counts_are_those_of_numpy(view, monkeypatch):
    tile = Tile(view, 0, 0, view.width, view.height)
    monkeypatch.setattr(perturbation, "useful_jumps", lambda view: None)
    ours = perturbation.escape(tile)
    monkeypatch.setattr(compiled, "find_kernels", lambda: None)
    numpys = perturbation.escape(tile)
    assert (np.isinf(ours) == np.isinf(numpys)).all()
    # Where |z| and |δ| are equal but for rounding, one kernel alone may rebase a point. Both are right,
    # differing by the rounding that numpy's counts have too: see test_perturbation.
    outside = np.isfinite(numpys)
    differences = np.abs(ours[outside] - numpys[outside])
    assert differences.max(initial=0.0) <= 1e-3
    assert (differences > error_bound(numpys[outside])).sum() <= 0.02 * tile.width * tile.height


@pytest.mark.parametrize("machine", ["riscv64", "AMD64", "", "../kernel"])
def test_numpy_computes_where_there_is_no_library(machine, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    compiled.find_kernels.cache_clear()
    try:
        assert compiled.find_kernels() is None
        points = random_points(50)
        assert (escape(points, points, 1, 40) == escape_numpy(points, points, 1, 40)).all()
    finally:
        compiled.find_kernels.cache_clear()


def test_numpy_computes_where_a_library_is_for_another_machine(monkeypatch):
    other = next(each for each in PROCESSORS if each != platform.machine())
    monkeypatch.setattr(platform, "machine", lambda: other)
    compiled.find_kernels.cache_clear()
    try:
        assert compiled.find_kernels() is None
    finally:
        compiled.find_kernels.cache_clear()


@pytest.mark.parametrize("processor", PROCESSORS)
def test_libraries_are_small_and_belong_to_their_source(processor):
    content = BUILD["library"](processor).read_bytes()
    assert len(content) < 40_000
    assert BUILD["build_digest"]().encode() in content, "run `make kernel`: the source or its options changed"


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="`make kernel` installs the compiler")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_compiling_again_gives_the_same_bytes(processor):
    assert f"ziglang=={importlib.metadata.version('ziglang')}" == BUILD["compiler"]()
    assert BUILD["build"](processor) == BUILD["library"](processor).read_bytes()


def test_the_zip_of_the_function_has_the_libraries():
    with zipfile.ZipFile(io.BytesIO(function_zip())) as archive:
        for processor in PROCESSORS:
            path = BUILD["library"](processor)
            assert archive.read(path.relative_to(ROOT).as_posix()) == path.read_bytes()


@needs_kernel
def test_the_kernel_computes_the_tiles_of_a_view(monkeypatch):
    view = View(-0.743643, 0.131825, 0.01, 64, 48, 300)
    tile = Tile(view, 0, 0, 64, 48)
    ours = counts(tile)
    monkeypatch.setattr(compiled, "find_kernels", lambda: None)
    assert (ours == counts(tile)).all()
