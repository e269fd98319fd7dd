"""What can be imported without the packages of the extra ``landsat``."""


def test_planning_needs_numpy_only(script):
    done = script(
        """
        import sys

        for name in ("rasterio", "scipy", "pandas", "pystac_client", "PIL", "botocore"):
            sys.modules[name] = None
        from wrenlite.gallery.landsat import access, catalog, metadata, quality, scene, tasks
        from wrenlite.gallery.ndvi import bands, gdal_errors, grid, indices, mosaic, results, series, utm
        from wrenlite.gallery.synthetic import archive, clouds, landscape, places
        """
    )
    assert done.returncode == 0, done.stderr


def test_without_rasterio_the_reader_says_what_to_install(script):
    done = script(
        """
        import sys

        sys.modules["rasterio"] = None
        import wrenlite.gallery.ndvi.reader
        """
    )
    assert "PackageMissing: reading rasters needs rasterio: pip install 'wrenlite[landsat]'" in done.stderr
