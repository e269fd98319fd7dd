"""A synthetic archive of Landsat scenes whose true NDVI is known.

=============  =====================================================================================
``places``     four places and the seasons of what grows there, which are the truth
``landscape``  generated terrain, rivers and fields (pure)
``clouds``     clouds and their shadows, and the quality bits that report them (pure)
``metadata``   a scene's metadata file (MTL) and STAC item
``archive``    the archive on disk, in Collection 2's layout
=============  =====================================================================================
"""
