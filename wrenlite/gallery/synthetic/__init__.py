"""A synthetic archive of Landsat scenes whose true NDVI is known."""
