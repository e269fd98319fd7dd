"""The compiled kernels, where there is a library for this machine.

The libraries are in the package, for Linux on x86-64 with AVX2 and FMA (since 2013) and on 64-bit ARM.
``make kernel`` compiles them from the sources in ``kernel``. They need no other library.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.fractals.bilinear import JumpOrbit

Points = NDArray[np.complex128]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


class _Orbit(ctypes.Structure):
    """A ``struct Orbit`` of ``kernel/bla.c``."""

    _fields_ = (
        ("positions", ctypes.c_void_p),
        ("jumps", ctypes.c_void_p),
        ("last", ctypes.c_int64),
        ("levels", ctypes.c_int64),
        ("starts", ctypes.c_int64 * 32),
    )

    @classmethod
    def of(cls, orbit: JumpOrbit) -> _Orbit:
        """Return a structure that refers to the arrays of an orbit, which must outlive it."""
        assert orbit.z.flags.c_contiguous
        assert orbit.z.size > 1
        starts = (ctypes.c_int64 * 32)(*orbit.starts)
        places = orbit.z.ctypes.data, orbit.jumps.ctypes.data
        return cls(*places, orbit.z.size - 1, len(orbit.starts), starts)


class Kernels:
    """The functions of a library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Declare the functions of a library that this processor supports."""
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._escape, self._escape_perturbed = library.escape, library.escape_perturbed
        self._escape.restype = self._escape_perturbed.restype = None
        self._escape.argtypes = [pointer, pointer, number, number, number, pointer]
        self._escape_perturbed.argtypes = [pointer, number, pointer, pointer, *[number] * 3, pointer]
        self._escape_tile = library.escape_tile
        self._escape_tile.restype = ctypes.c_double
        self._escape_tile.argtypes = [
            pointer,
            number,
            pointer,
            number,
            pointer,
            *[ctypes.c_int] * 2,
            number,
            pointer,
        ]
        self._escape_jumping = library.escape_jumping
        self._escape_jumping.restype = number
        self._escape_jumping.argtypes = [*[pointer] * 4, number, number, ctypes.c_double, *[pointer] * 2]
        self._with_derivative = library.escape_with_derivative
        self._with_derivative.restype = None
        doubles = [ctypes.c_double] * 2
        self._with_derivative.argtypes = [*[pointer] * 3, *[number] * 4, *doubles, *[pointer] * 3]

    def escape(self, z: Points, c: Points, step: int, iters: int) -> Floats:
        """Return what ``escape.escape`` returns."""
        z, c = (np.ascontiguousarray(points, np.complex128) for points in (z, c))
        assert z.shape == c.shape == (z.size,)
        counts = np.empty(z.size)
        self._escape(z.ctypes.data, c.ctypes.data, z.size, step, iters, counts.ctypes.data)
        return counts

    def escape_tile(
        self, x: Floats, y: Floats, seed: complex | None, bulbs: bool, fill: bool, iters: int, counts: Singles
    ) -> float:
        """Compute the smooth counts of a Mandelbrot or Julia set on a grid; infinite without escape.

        Args:
            x: real parts, one per column.
            y: imaginary parts, one per row.
            seed: what a Julia set adds to each square; None for the Mandelbrot set.
            bulbs: do not iterate the points of the Mandelbrot set's main bulbs.
            fill: nor the points that its lattice encloses (see ``mandelbrot``).
            iters: number of iterations after which to stop.
            counts: where the counts are written, shape (rows, columns).

        Returns:
            The iterations that were computed.
        """
        x, y = (np.ascontiguousarray(each, np.float64) for each in (x, y))
        assert counts.shape == (y.size, x.size)
        assert counts.dtype == np.float32
        assert counts.flags.c_contiguous
        added = None if seed is None else np.array([seed.real, seed.imag])
        places = [None if each is None else each.ctypes.data for each in (x, y, added, counts)]
        return float(
            self._escape_tile(places[0], x.size, places[1], y.size, places[2], bulbs, fill, iters, places[3])
        )

    def escape_perturbed(self, orbit: Points, offsets: Points, together: int, iters: int) -> Floats:
        """Return the smooth counts of points that follow a reference orbit; infinite without escape.

        Args:
            orbit: the positions of the orbit, from 0 on; at least two.
            offsets: distances of the points from the centre of the view, shape (points,).
            together: number of first steps in which no point is rebased or escapes, a multiple of
                ``STEPS_PER_CHECK`` and less than the index of the orbit's last position.
            iters: number of iterations after which to stop.
        """
        orbit, c = (np.ascontiguousarray(points, np.complex128) for points in (orbit, offsets))
        last = orbit.size - 1
        assert 0 <= together < last
        z, counts = np.empty_like(c), np.empty(c.size)
        places = [array.ctypes.data for array in (orbit, z, c, counts)]
        self._escape_perturbed(places[0], last, *places[1:3], c.size, together, iters, places[3])
        return counts

    def escape_jumping(
        self,
        orbits: tuple[JumpOrbit, JumpOrbit],
        offsets: Points,
        c: Points,
        iters: int,
        added: float | None = None,
    ) -> tuple[Floats, int, Points | None]:
        """Return the smooth counts of points that jump on an orbit.

        Args:
            orbits: the one that the points follow at first, and the one that they are rebased to.
            offsets: distances of the points from the first position of the first orbit, shape (points,).
            c: distances of their c from that of the orbits, shape (points,).
            iters: number of iterations after which to stop.
            added: what each step adds to the derivative of z, which is 0 at first. None: no derivative.

        Returns:
            Counts; jumps and steps; z and its derivative at the first step beyond the bail-out, shape
            (points, 2), where wanted.
        """
        offsets, c = (np.ascontiguousarray(points, np.complex128) for points in (offsets, c))
        assert offsets.shape == c.shape == (c.size,)
        counts = np.empty(c.size)
        both = [ctypes.byref(_Orbit.of(orbit)) for orbit in orbits]
        places = [array.ctypes.data for array in (offsets, c, counts)]
        numbers = (c.size, iters, added or 0.0)
        ends = None if added is None else np.zeros((c.size, 2), np.complex128)
        place = None if ends is None else ends.ctypes.data
        steps = self._escape_jumping(*both, *places[:2], *numbers, places[2], place)
        return counts, int(steps), ends

    def escape_with_derivative(
        self,
        z: Points,
        c: Points,
        orbit: Points | None,
        step: int,
        iters: int,
        derivative: float,
        added: float,
    ) -> tuple[Floats, Points, Floats]:
        """Return how the orbits of some points end: see ``derivative.Start`` and ``derivative.Escapes``.

        Returns:
            Steps, shape (points,); z and its derivative, shape (points, 2); traps, shape (points, 2).
        """
        z, c = (np.ascontiguousarray(points, np.complex128) for points in (z, c))
        assert z.shape == c.shape == (z.size,)
        followed = None if orbit is None else np.ascontiguousarray(orbit, np.complex128)
        last = 0 if followed is None else followed.size - 1
        assert followed is None or last > 0
        found = np.empty(z.size), np.zeros((z.size, 2), np.complex128), np.zeros((z.size, 2))
        places = [None if array is None else array.ctypes.data for array in (z, c, followed, *found)]
        numbers = (last, z.size, step, iters, derivative, added)
        self._with_derivative(*places[:3], *numbers, *places[3:])
        return found


@functools.cache
def find_kernels() -> Kernels | None:
    """Return the kernels; None where the package has no library for this machine, or it cannot be loaded."""
    path = Path(__file__).with_name("kernel") / f"fractals-{platform.machine()}.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None  # there is none, it is for another system, or the folder may not contain programs
    return Kernels(library) if library.supported() else None
