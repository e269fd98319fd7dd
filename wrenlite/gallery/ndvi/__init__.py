"""NDVI of rasters from any sensor: grids, reading, masks, mosaics, time series and figures.

===============  ====================================================================================
``grid``         windows, points and boxes on a scene's UTM grid (pure)
``utm``          the projection (pure)
``indices``      NDVI from stored integers, exact, and its coding as int16 (pure)
``results``      the records that NDVI tasks return
``bands``        the interface between tasks and readers
``reader``       rasters through GDAL, from disk, S3 and web servers: the only module that imports rasterio
``gdal_errors``  GDAL's errors translated into wrenlite's, with the fix (pure)
``mosaic``       tiles joined into one cloud-optimised GeoTIFF, and the median of several days
``series``       a place's values over the years: table and smoothing spline
``figures``      seasons, scenes in true colour, maps of NDVI, places on the globe
``land``         the land of the world, for the globe
``month_table``  the table of a year, by place and month
===============  ====================================================================================

Workers need numpy and rasterio; pandas, scipy and matplotlib are imported only where the client uses them.
"""
