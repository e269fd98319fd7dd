"""The counts of Mandelbrot and Julia sets. Workers compute them tile by tile; the client adds the colours.

Compiled code computes a tile as a whole (``compiled``). Where there is none, and for other sets, the points
of several tiles are iterated together (``escape``, ``sets``). Where floats are too coarse, perturbation is
used (``perturbation``).

If a tile asks for it, the Mariani-Silver method saves some of the work. The set of points that have not
escaped after n iterations has no holes. So if no point on the edge of a rectangle escapes, no point inside it
escapes either, and the inside need not be computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.fractals import compiled, perturbation
from wrenlite.gallery.fractals.encoding import Encoded, Field, encode
from wrenlite.gallery.fractals.escape import Floats, Indices, Points
from wrenlite.gallery.fractals.sets import SETS
from wrenlite.gallery.fractals.view import Method as Method
from wrenlite.gallery.fractals.view import Tile as Tile
from wrenlite.gallery.fractals.view import View as View
from wrenlite.gallery.fractals.view import tiles as tiles
from wrenlite.gallery.fractals.view import zoom as zoom

_MESH = 24
"""Points between two lines of the lattice. A mesh of the lattice is filled where its whole edge is inside. A
second, finer lattice in the other meshes saves no time, and misses more filaments."""

_BATCH_POINTS = 2**18
"""Points that are iterated together, with some 100 bytes for each. More gain nothing, and for larger arrays
the allocator may ask for fresh pages each time, which takes as long as a fifth of the work."""


class Part(NamedTuple):
    """The value of a task that computed a part of a view."""

    counts: Encoded
    """Counts of the points, shape (points,): tile after tile, each row by row."""
    computed: float
    """Iterations that were computed. Those of points in the main bulbs and in filled rectangles were not."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the counts."""
        return self.counts.codes.nbytes


def counts(tile: Tile) -> Field:
    """Return how soon each point of a tile escapes, shape (height, width); infinite for points inside.

    The values of a plain tile are the same however its view is cut. With ``mariani`` they are the same except
    near filaments: a filament of escaping points that passes between two neighbouring points of a mesh's edge
    is not noticed, and its points in the mesh are counted as inside.
    """
    field = np.empty((tile.height, tile.width), np.float32)
    _compute((tile,), (field,))
    return field


def render(piece: Sequence[Tile]) -> Part:
    """Return the counts of some tiles of one view.

    The counts are one array, since one large array is sent to the client without being copied.
    """
    ends = list(itertools.accumulate(tile.width * tile.height for tile in piece))
    joined = np.empty(ends[-1] if ends else 0, np.float32)
    flat = zip(np.split(joined, ends[:-1]), ends, piece, strict=True) if piece else ()
    targets = [(part.reshape(tile.height, tile.width), end, tile) for part, end, tile in flat]
    computed = 0.0
    for _, batch in itertools.groupby(targets, lambda target: (target[1] - 1) // _BATCH_POINTS):
        fields, _, some = zip(*batch, strict=True)
        computed += _compute(some, fields)
    return Part(encode(joined), computed)


def _compute(piece: Sequence[Tile], fields: Sequence[Field]) -> float:
    """Write the counts of each of some tiles of one view to its field, and return the iterations."""
    view = piece[0].view
    if view.deep:
        for tile, field in zip(piece, fields, strict=True):
            field[:] = perturbation.escape(tile)
        return sum(total_iterations(field, view.iters) for field in fields)
    kernels = compiled.find_kernels()
    if kernels is None or view.kind != "mandelbrot":
        return _compute_together(piece, fields)
    added, computed = None if view.seed is None else view.julia, 0.0
    for tile, field in zip(piece, fields, strict=True):
        x, y = _coordinates(tile)
        fill = tile.method == "mariani"
        computed += kernels.escape_tile(x, y, added, view.has_bulbs, fill, view.iters, field)
    return computed


def _compute_together(piece: Sequence[Tile], fields: Sequence[Field]) -> float:
    """Do what ``_compute`` does with numpy, or for other sets.

    The tiles are iterated together, since a few large batches cost less than many small ones.
    """
    view, grids, computed = piece[0].view, [_Grid(tile) for tile in piece], 0.0
    for unknown_points in (_Grid.lattice, _Grid.rest):
        wanted = [unknown_points(grid) for grid in grids]
        points = np.concatenate([grid.points(indices) for grid, indices in zip(grids, wanted, strict=True)])
        values = SETS[view.kind](points, view)
        computed += total_iterations(values, view.iters)
        ends = np.cumsum([indices.size for indices in wanted])
        for grid, indices, part in zip(grids, wanted, np.split(values, ends[:-1]), strict=True):
            grid.counts.reshape(-1)[indices] = part
    for grid, field in zip(grids, fields, strict=True):
        field[:] = grid.counts
    return computed


def _coordinates(tile: Tile) -> tuple[Floats, Floats]:
    """Return x of each column of a tile and y of each row."""
    across, up = tile.offsets()
    return float(tile.view.xpos) + across, float(tile.view.ypos) + up


def total_iterations(counts: Floats | Field, iters: int) -> float:
    """Return the sum of the iterations of some points, ``iters`` for each point inside."""
    return float(np.minimum(counts, iters).sum(dtype=np.float64))


class _Grid:
    """The points of a tile, and the counts that are known so far.

    All points of the lattice are iterated together: a single rectangle has too few points for numpy.
    """

    def __init__(self, tile: Tile) -> None:
        """Create the grid of a tile. Only the points of the main bulbs are known."""
        x, y = _coordinates(tile)
        self._plane = np.empty((tile.height, tile.width), np.complex128)
        self._plane.real, self._plane.imag = x, y[:, np.newaxis]
        self._fills = tile.method == "mariani"
        self.counts = np.full((tile.height, tile.width), np.nan)
        """Smooth counts; infinite for points inside, NaN for points that are not known yet."""
        self.counts[known_inside(tile)] = np.inf

    def lattice(self) -> Indices:
        """Return flat indices of the unknown points on the lattice; none if the tile is not to be filled."""
        wanted = np.zeros(self.counts.shape, np.bool_)
        if self._fills:
            rows, columns = map(_lattice_lines, self.counts.shape)
            wanted[rows] = wanted[:, columns] = True
            wanted &= np.isnan(self.counts)
        return np.flatnonzero(wanted)

    def rest(self) -> Indices:
        """Fill the meshes, and return flat indices of the points that are still unknown."""
        if self._fills:
            self._fill_meshes()
        return np.flatnonzero(np.isnan(self.counts))

    def points(self, indices: Indices) -> Points:
        """Return some points as complex numbers."""
        if indices.size == self._plane.size:
            return self._plane.ravel()
        return np.asarray(self._plane.ravel()[indices])

    def _fill_meshes(self) -> None:
        """Mark the points of a mesh as inside where its whole edge is inside."""
        rows, columns = map(_lattice_lines, self.counts.shape)
        inside = self.counts == np.inf
        across = np.logical_and.reduceat(inside[rows], columns[:-1], axis=1)
        down = np.logical_and.reduceat(inside[:, columns], rows[:-1], axis=0)
        meshes = across[:-1] & across[1:] & down[:, :-1] & down[:, 1:]
        meshes &= inside[np.ix_(rows[1:], columns[1:])]  # the other corners are in those parts of the edge
        enclosed = np.repeat(np.repeat(meshes, np.diff(rows), axis=0), np.diff(columns), axis=1)
        # This includes the upper and left edges of the meshes, which are inside already.
        self.counts[:-1, :-1][enclosed] = np.inf


def _lattice_lines(length: int) -> Indices:
    """Return the positions of the lattice's lines; the last is the last point, so no mesh leaves the tile."""
    return np.append(np.arange(0, length - 1, _MESH), length - 1)


def known_inside(tile: Tile) -> NDArray[np.bool_]:
    """Return which points of a tile are inside for certain, without iteration, shape (height, width)."""
    if tile.view.deep or not tile.view.has_bulbs:
        return np.zeros((tile.height, tile.width), np.bool_)
    x, y = _coordinates(tile)
    return in_bulbs(x, y[:, np.newaxis])


def in_bulbs(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return which points are in the main cardioid or in the disc to the left of it, and so inside the set.

    The cardioid is c = w/2 - w²/4 for ``|w| < 1``, the disc is ``|c + 1| < 1/4``.

    Args:
        x: real parts.
        y: imaginary parts; ``x`` and ``y`` are broadcast.
    """
    if np.abs(y).min() > 0.65 or x.min() > 0.375 or x.max() < -1.25:
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)  # most views are beside both
    yy = y * y
    q = (x - 0.25) ** 2 + yy
    cardioid = q * (q + (x - 0.25)) <= 0.25 * yy
    disc = (x + 1) ** 2 + yy <= 0.0625
    return np.asarray(cardioid | disc)
