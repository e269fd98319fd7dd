"""The Mandelbrot set and Julia sets in tiles: counts on the workers, colours on the client.

A tile's points are iterated in blocks (``escape``), or by perturbation where floats are too coarse
(``deep``). If a tile says so, Mariani and Silver's observation saves some: the points that have not escaped
after n iterations have no holes, so the inside of a rectangle whose edge does not escape does not
either, and need not be computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.fractals import perturbation
from wrenlite.gallery.fractals.escape import Floats, Places, Points, escape
from wrenlite.gallery.fractals.view import INSIDE as INSIDE
from wrenlite.gallery.fractals.view import Method as Method
from wrenlite.gallery.fractals.view import Tile as Tile
from wrenlite.gallery.fractals.view import View as View
from wrenlite.gallery.fractals.view import tiles as tiles
from wrenlite.gallery.fractals.view import zoom as zoom

_MESH = 24
"""Points from line to line of the lattice whose meshes are filled where their edge lies inside. A second,
finer lattice in the other meshes saves no time, and lets more filaments slip through."""

_TOGETHER = 2**18
"""Points that are iterated together, with some 100 bytes for each. More gain nothing, and for larger arrays
the allocator may ask for fresh pages each time, which takes as long as a fifth of the work."""


def counts(tile: Tile) -> NDArray[np.uint16]:
    """How soon each point of a tile escapes, shape (height, width).

    0 to 65,534 stand for 0 to ``view.iters``; ``INSIDE`` for the points that never escaped. A plain tile has
    the same values however its view is cut. With ``mariani`` they are the same but for filaments that
    pass between two neighbouring points of a mesh's edge: the points that these hide in the mesh are
    said to be inside.
    """
    return render((tile,)).reshape(tile.height, tile.width)


def render(piece: Sequence[Tile]) -> NDArray[np.uint16]:
    """The counts of some of one view's tiles, shape (points,): tile after tile, each row by row.

    They are iterated together: a long run costs less than many short ones. And they are one array, since one
    that is large travels without being copied.
    """
    ends = itertools.accumulate(tile.width * tile.height for tile in piece)
    batches = itertools.groupby(zip(ends, piece, strict=True), lambda pair: (pair[0] - 1) // _TOGETHER)
    fields = [field.ravel() for _, batch in batches for field in _rendered([tile for _, tile in batch])]
    return np.concatenate(fields) if fields else np.empty(0, np.uint16)


def _rendered(piece: Sequence[Tile]) -> list[NDArray[np.uint16]]:
    view = piece[0].view
    if view.deep:
        return [_encoded(perturbation.escape(tile), view.iters) for tile in piece]
    grids = [_Grid(tile) for tile in piece]
    for unknown in (_Grid.lattice, _Grid.rest):
        wanted = [unknown(grid) for grid in grids]
        points = np.concatenate([grid.points(places) for grid, places in zip(grids, wanted, strict=True)])
        counted = _escape(points, view)
        ends = np.cumsum([places.size for places in wanted])
        for grid, places, some in zip(grids, wanted, np.split(counted, ends[:-1]), strict=True):
            grid.counted.reshape(-1)[places] = some
    return [_encoded(grid.counted, view.iters) for grid in grids]


def _escape(points: Points, view: View) -> Floats:
    if view.seed is None:
        return escape(points, points, 1, view.iters)  # from 0 the first iteration leads to c
    return escape(points, np.full_like(points, view.seed), 0, view.iters)


def _encoded(counted: Floats, iters: int) -> NDArray[np.uint16]:
    scaled = np.rint(counted * ((INSIDE - 1) / iters))
    return np.minimum(scaled, INSIDE).astype(np.uint16)


class _Grid:
    """What is known of a tile's points.

    The lattice's points are iterated together: a single rectangle's would be too few for numpy.
    """

    def __init__(self, tile: Tile) -> None:
        across, up = tile.offsets()
        x, y = float(tile.view.xpos) + across, float(tile.view.ypos) + up[:, np.newaxis]
        self._plane = np.empty((tile.height, tile.width), np.complex128)
        self._plane.real, self._plane.imag = x, y
        self._fills = tile.method == "mariani"
        self.counted = np.full((tile.height, tile.width), np.nan)
        """Smooth counts, infinite inside; NaN where it is not known yet."""
        if tile.view.seed is None:
            self.counted[in_bulbs(x, y)] = np.inf

    def lattice(self) -> Places:
        """Flat places of the unknown points on the lattice's lines; none if the tile is not to be filled."""
        wanted = np.zeros(self.counted.shape, np.bool_)
        if self._fills:
            rows, columns = map(_lines, self.counted.shape)
            wanted[rows] = wanted[:, columns] = True
            wanted &= np.isnan(self.counted)
        return np.flatnonzero(wanted)

    def rest(self) -> Places:
        """Flat places of the points that are unknown when the meshes are filled."""
        if self._fills:
            self._fill()
        return np.flatnonzero(np.isnan(self.counted))

    def points(self, places: Places) -> Points:
        """Where they are in the plane."""
        if places.size == self._plane.size:
            return self._plane.ravel()
        return np.asarray(self._plane.ravel()[places])

    def _fill(self) -> None:
        """Say inside of the meshes whose whole edge is."""
        rows, columns = map(_lines, self.counted.shape)
        inside = self.counted == np.inf
        across = np.logical_and.reduceat(inside[rows], columns[:-1], axis=1)
        down = np.logical_and.reduceat(inside[:, columns], rows[:-1], axis=0)
        meshes = across[:-1] & across[1:] & down[:, :-1] & down[:, 1:]
        enclosed = np.repeat(np.repeat(meshes, np.diff(rows), axis=0), np.diff(columns), axis=1)
        self.counted[:-1, :-1][enclosed] = np.inf  # with the upper and left edges, which are


def _lines(length: int) -> Places:
    """Where the lines are: the last point has one too, so that no mesh reaches beyond the tile."""
    return np.append(np.arange(0, length - 1, _MESH), length - 1)


def in_bulbs(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Which points lie in the main cardioid or the disc left of it, and so inside.

    The cardioid is c = w/2 - w²/4 for ``|w| < 1``, the disc ``|c + 1| < 1/4``.

    Args:
        x: real parts.
        y: imaginary parts; the two broadcast.
    """
    if np.abs(y).min() > 0.65 or x.min() > 0.375 or x.max() < -1.25:
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)  # most views are beside both
    yy = y * y
    q = (x - 0.25) ** 2 + yy
    cardioid = q * (q + (x - 0.25)) <= 0.25 * yy
    disc = (x + 1) ** 2 + yy <= 0.0625
    return np.asarray(cardioid | disc)
