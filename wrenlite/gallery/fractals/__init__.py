"""L-system curves, the Mandelbrot set and Julia sets, drawn by tasks that an executor maps.

==================  =====================================================================
``lsystems``        The 26 curves and their rules; ``listing`` reads a CSV list of them
``curve_drawing``   A curve as a picture
``batch``           Many curves as one ``map_reduce``, with a ``collage`` of them
``view``            Views of the complex plane, and rectangular tiles of a view
``escape``          The kernel: how soon each point escapes
``sets``            The sets that can be drawn: one function each
``perturbation``    The same for deep zooms
``derivative``      Orbits with their derivative, for light
``compiled``        All of them in compiled code, from the sources in ``kernel``
``mandelbrot``      The counts of one tile or of several
``tiling``          A view cut into tasks of about equal cost
``poster``          A whole picture: counts from workers, colours here
``poster_metrics``  What a poster took: time, memory, bytes
``scaling``         How a poster scales with workers, as a table and a figure
``picture_files``   Files of pictures, which say how they were made; ``png16`` writes 16 bits
``video``           A zoom from keyframes (``zoom_frames``) and a morph; ``encoder`` writes the file
``pyramid``         A picture of any size as tiles for browsers (DZI)
``buddhabrot``      Where escaping orbits go: a ``map_reduce`` that adds up images
``palettes``        Palettes, and counts in their colours; ``colours`` has the arithmetic
``demo``            The work of ``wrenlite demo``
==================  =====================================================================
"""
