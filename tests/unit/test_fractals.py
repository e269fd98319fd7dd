import numpy as np

from wrenlite.gallery.fractals import mandelbrot


def escape_time(c, iterations):
    """Textbook: the first step at which |z| exceeds 2."""
    z = 0
    for step in range(1, iterations + 1):
        z = z * z + c
        if abs(z) > 2:
            return step
    return None


def test_counts_agree_with_the_textbook():
    view = mandelbrot.View(-0.7, 0.0, 3.0, 48, 32, 200)
    (tile,) = mandelbrot.tiles(view, 64)
    field = mandelbrot.counts(tile)
    step = view.extent / view.width
    for row in range(0, 32, 3):
        for column in range(0, 48, 3):
            c = complex(view.x + step * (column + 0.5 - 24), view.y - step * (row + 0.5 - 16))
            expected = escape_time(c, 200)
            if expected is None:
                assert field[row, column] == mandelbrot.INSIDE
            else:
                smooth = int(field[row, column]) * 200 / 65534
                # from |z| > 2 to |z| > 256 it takes 3 to 4 more squarings; the fraction is below one
                assert expected + 1.5 < smooth < expected + 5.5


def test_tiles_join_without_a_seam():
    view = mandelbrot.View(-0.743643, 0.131825, 0.01, 150, 140, 300)
    whole = mandelbrot.counts(mandelbrot.Tile(view, 0, 0, 150, 140))
    joined = np.zeros_like(whole)
    for tile in mandelbrot.tiles(view, 64):
        rows, columns = slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width)
        joined[rows, columns] = mandelbrot.counts(tile)
    assert (joined == whole).all()


def test_counts_are_smooth():
    view = mandelbrot.View(-2.5, 0.0, 0.5, 400, 1, 100)
    field = mandelbrot.counts(mandelbrot.Tile(view, 0, 0, 400, 1))[0].astype(int)
    assert np.abs(np.diff(field)).max() < 65534 / 100 / 20  # no jump of even a twentieth of a step


def test_the_inside_is_black_and_the_outside_is_not():
    field = np.array([[mandelbrot.INSIDE, 100]], np.uint16)
    colours = mandelbrot.colour(field, 800)
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert colours[0, 1].any()
