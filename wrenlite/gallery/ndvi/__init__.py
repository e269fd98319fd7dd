"""Vegetation indices of rasters: grids, reading, masks, mosaics, series. No sensor is known here."""
