"""Access to the public archive of USGS, and the reader that is used where none is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wrenlite.gallery.ndvi.reader import GdalReader

USGS = "s3://usgs-landsat"
"""The public archive; whoever reads it pays for the requests."""
_REGIONS = {"usgs-landsat": "us-west-2"}


def default_reader(requester_pays: bool = True) -> GdalReader:
    """Return a reader that knows the region of the public archive.

    Args:
        requester_pays: tell S3 that this account pays for the requests; the public archive refuses them
            otherwise.

    Raises:
        PackageMissing: rasterio is not installed.
    """
    from wrenlite.gallery.ndvi.reader import GdalReader  # imported here, so that planning needs no rasterio

    return GdalReader(requester_pays=requester_pays, regions=_REGIONS)
