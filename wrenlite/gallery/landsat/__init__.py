"""NDVI from Landsat Collection 2: scenes to points, tiles and areas, as tasks that an executor can map.

=============  =====================================================================================
``scene``      product ids, keys, bands by sensor: what a task is given
``mtl``        a product's metadata file, read by section
``catalog``    finds scenes: a STAC service, a folder or bucket of items, known product ids
``grid``       pure: windows, points and boxes on a scene's UTM grid; ``utm`` projects
``ndvi``       pure: exact forms, masks, int16
``tasks``      ``ndvi_point``, ``ndvi_tile``, ``ndvi_area``: what runs on the workers
``bands``      the seam between tasks and readers
``reader``     rasters through GDAL, from disk or S3: the only module that knows either
``refusals``   pure: GDAL's errors in wrenlite's, with the mend
``mosaic``     tiles back into one cloud-optimised GeoTIFF
``points``     a place's values over the years: table and smoothing spline
``landscape``  pure: an invented country with terrain, rivers and fields; ``weather`` its clouds
``places``     four places with such countries, and their seasons, which are the truth
``synthetic``  the archive made of them, in Collection 2's layout; ``papers`` its metadata
=============  =====================================================================================

Workers need numpy and rasterio; pandas, pystac-client and scipy are imported where the client calls for them.
"""
