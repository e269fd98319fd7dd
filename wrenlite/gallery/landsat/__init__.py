"""NDVI from Landsat Collection 2: scenes to points, tiles and areas, as tasks that an executor can map.

==============  =====================================================================================
``scene``       product ids, keys and bands of every sensor; a ``Scene`` is what a task is given
``query``       what scenes are asked for, and the list of those that are found
``metadata``    a product's metadata file (MTL), by group and name
``quality``     gains and offsets of the products, and which pixels are usable (pure)
``catalog``     finds scenes: in a STAC service, in a folder or bucket, or by product id
``items``       what a STAC item says of a scene
``folders``     folders of downloads, which have metadata files and need no items
``access``      the public archive of USGS, and the reader that tasks use by default
``tasks``       ``ndvi_point``, ``ndvi_tile`` and ``ndvi_area``, which run on the workers
``areas``       statistics over polygons, as tasks
``composites``  pictures of a month, season or year from many scenes, by tasks
==============  =====================================================================================

Grids, reading, mosaics, time series and figures, which depend on no sensor, are in ``wrenlite.gallery.ndvi``;
an archive of generated scenes, whose true NDVI is known, is in ``wrenlite.gallery.synthetic``.

Workers need numpy and rasterio; the client needs pystac-client where it searches a STAC service.
"""
