"""The compiled escape-time kernel, where there is a library for this machine.

The libraries are in the package, for Linux on x86-64 with AVX2 and FMA (since 2013) and on 64-bit ARM.
``make kernel`` compiles them from ``kernel/escape.c``. They need no other library.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Kernel = Callable[[NDArray[np.complex128], NDArray[np.complex128], int, int], NDArray[np.float64]]
"""A function with the arguments and the result of ``escape.escape``."""


@functools.cache
def find_kernel() -> Kernel | None:
    """Return the kernel; None where the package has no library for this machine, or it cannot be loaded."""
    path = Path(__file__).with_name("kernel") / f"escape-{platform.machine()}.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None  # there is none, it is for another system, or the folder may not contain programs
    if not library.supported():
        return None
    function = library.escape
    function.restype = None
    function.argtypes = [*[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]

    def escape(
        z: NDArray[np.complex128], c: NDArray[np.complex128], step: int, iters: int
    ) -> NDArray[np.float64]:
        z, c = (np.ascontiguousarray(points, np.complex128) for points in (z, c))
        assert z.shape == c.shape == (z.size,)
        counts = np.empty(z.size)
        function(z.ctypes.data, c.ctypes.data, z.size, step, iters, counts.ctypes.data)
        return counts

    return escape
