"""L-system curves, the Mandelbrot set and Julia sets, drawn by tasks that an executor maps.

==================  =====================================================================
``lsystems``        The 26 curves and their rules; ``listing`` reads a CSV list of them
``curve_drawing``   A curve as a picture
``batch``           Many curves as one ``map_reduce``, with a ``collage`` of them
``view``            Views of the complex plane, and rectangular tiles of a view
``escape``          The kernel: how soon each point escapes
``sets``            The sets that can be drawn: one function each
``perturbation``    The same for deep zooms; ``bilinear`` jumps over steps
``derivative``      Orbits with their derivative, for light
``light``           Slopes, field lines and traps: computed by workers, shaded here
``places``          Deep places that are worth a large picture
``compiled``        All of them in compiled code, from the sources in ``kernel``
``mandelbrot``      The counts of one tile or of several; ``encoding`` sends them in few bytes
``tiling``          A view cut into tasks of about equal cost
``poster``          A whole picture: counts from workers, colours here; ``forecast`` says how long it takes
``poster_metrics``  What a poster took: time, memory, bytes
``scaling``         How a poster scales with workers, as a table and a figure
``picture_files``   Files of pictures, which say how they were made; ``png16`` writes 16 bits
``video``           A zoom from keyframes (``zoom_frames``) and a morph; ``encoder`` writes the file
``pyramid``         A picture of any size as tiles for browsers (DZI)
``explorer``        A view in a notebook that zooms where it is clicked; ``exploration`` decides
``buddhabrot``      Where escaping orbits go: a ``map_reduce`` that adds up images
``palettes``        Palettes, and counts in their colours; ``colours`` has the arithmetic
``demo``            The work of ``wrenlite demo``
==================  =====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.gallery.fractals.explorer import Explorer


def explore(executor: Executor, **options: Any) -> Explorer:
    """Show a set in a notebook, and zoom where the picture is clicked.

    A coarse picture comes at once; tasks of the executor then compute the view, and another click cancels
    them. A click zooms in, dragging a rectangle shows it, and a click with Shift goes back. Below the picture
    are the command and the call that show the same view again. The limit of iterations rises while zooming
    in, where the counts come near it.

    Args:
        executor: runs the tasks. Their jobs have no panel.
        options: as for ``wrenlite demo mandelbrot`` and ``PosterOptions``: ``xpos``, ``ypos``, ``radius``,
            ``iters``, ``palette``, ``kind``, ``julia``, ``width``, ``height``, ``smoothness`` and ``step``.
            By default the Mandelbrot set is shown as a whole, with 640 x 400 pixels.

    Returns:
        The explorer, which a notebook shows where it is the last line of a cell.

    Raises:
        ConfigError: an option is unknown or cannot be used.
        PackageMissing: a package of ``wrenlite[lab]`` is missing.
    """
    from wrenlite.gallery.fractals.explorer import Explorer

    return Explorer(executor, **options)
