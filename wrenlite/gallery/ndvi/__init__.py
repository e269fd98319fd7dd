"""NDVI of rasters from any sensor: grids, reading, masks, mosaics, time series and figures.

=================  ====================================================================================
``grid``           windows, points and boxes on a scene's grid
``projection``     any projection with an EPSG code; ``utm`` is the usual one, in numpy (pure)
``target``         grids that are declared, for scenes of several projections (pure)
``warped``         reads scenes on a declared grid
``indices``        NDVI from stored integers, exact, and its coding as int16 (pure)
``results``        the records that NDVI tasks return
``bands``          the interface between tasks and readers
``reader``         rasters through GDAL, from disk, S3 and web servers
``gdal_errors``    GDAL's errors translated into wrenlite's, with the fix (pure)
``mosaic``         tiles joined into one picture, and the median of several days
``provenance``     what a picture was made from, for its file (pure)
``cog``            writes cloud-optimised GeoTIFF
``xarrays``        arrays with coordinates, as rioxarray has them
``polygons``       areas from GeoJSON, and the pixels within them
``zonal``          statistics of areas, their table and its files (pure)
``thinned``        which pixels of overviews stand for the cells of a thinned picture (pure)
``periods``        months, seasons and years (pure)
``series``         a place's values over the years: table and smoothing curve
``spline``         the smoothing spline, its stiffness by cross-validation, and its band (pure)
``harmonisation``  NDVI of older sensors as the newer ones would show it (pure)
``figures``        seasons, scenes in true colour, maps of NDVI, places on the globe
``land``           the land of the world, for the globe
``month_table``    the table of a year, by place and month
=================  ====================================================================================

Workers need numpy and rasterio; pandas, scipy and matplotlib are imported only where the client uses them.
"""
