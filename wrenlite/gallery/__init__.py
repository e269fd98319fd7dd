"""What the notebooks and ``wrenlite demo`` show. The core of wrenlite never imports this package.

===============  ====================================================================
``commands``     ``wrenlite demo`` and its commands; ``options`` are those they share
                 (``fractal_commands`` has those for videos and large pictures)
``ndvi_command`` The command ``wrenlite demo ndvi``
``preflight``    Checks of memory and folders before anything is sent
``fractals``     L-systems, Mandelbrot and Julia sets
``ndvi``         Vegetation indices of rasters; no sensor is known there
``landsat``      Scenes of Landsat: ids, catalogues, quality bits, tasks
``synthetic``    An archive of invented scenes whose true NDVI is known
``area_survey``  The same of areas, and composites
``ndvi_survey``  The work of ``wrenlite demo ndvi``: a place's season and a map
===============  ====================================================================
"""
