"""Access to the public archives: the S3 twin of web addresses, signatures, and the reader used by default."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from wrenlite.gallery.landsat.scene import Scene, Unusable

if TYPE_CHECKING:
    from wrenlite.gallery.ndvi.reader import GdalReader

USGS = "s3://usgs-landsat"
"""The public archive; whoever reads it pays for the requests."""
_REGIONS = {"usgs-landsat": "us-west-2"}
_LASTING = frozenset(_REGIONS)
"""A scene that is processed again has another id, so that no object of the archive is replaced."""
_WEB = re.compile(
    r"(?i:https?://(?:landsatlook\.usgs\.gov(?::443)?/data"
    r"|usgs-landsat\.s3(?:\.dualstack)?(?:[.-]us-west-2)?\.amazonaws\.com(?::443)?"
    r"|s3(?:\.dualstack)?[.-]us-west-2\.amazonaws\.com(?::443)?/usgs-landsat))"
    r"(/collection02/[^?#]+)"
)
"""Addresses of the archive's files on the web. All of them require a login, or say nothing of who pays.

Source: the items of landsatlook's STAC service, each of which has both addresses.
"""
_SIGNED_HOST = "landsateuwest.blob.core.windows.net"
"""The host of Planetary Computer's copy, which answers unsigned requests with 409."""


def s3_twin(href: str) -> str | None:
    """Return the address on S3 of a file of the public archive on the web; None where it has none."""
    match = _WEB.match(href)
    return match and USGS + match[1]


def needs_signature(href: str) -> bool:
    """Return whether an address is one of Planetary Computer, and has no signature."""
    parts = urlsplit(href)
    return parts.hostname == _SIGNED_HOST and "sig" not in parse_qs(parts.query)


def signed(scene: Scene) -> Scene:
    """Return a scene with signed addresses, where it is one of Planetary Computer.

    Raises:
        Unusable: the package planetary-computer is not installed, or its service gives no signature.
    """
    if not needs_signature(scene.red):
        return scene
    try:
        sign_url = importlib.import_module("planetary_computer").sign_url
    except ImportError as error:
        raise Unusable(
            f"{scene.product.id}: files of Planetary Computer can be read with a signature only: pip install"
            " planetary-computer, or search the public archive of USGS",
            reason="signing for Planetary Computer needs: pip install planetary-computer",
        ) from error

    def sign(href: str | None) -> str | None:
        return str(sign_url(href)) if href and needs_signature(href) else href

    try:
        return replace(
            scene,
            bands={name: str(sign(href)) for name, href in scene.bands.items()},
            qa_pixel=sign(scene.qa_pixel),
            qa_radsat=sign(scene.qa_radsat),
            mtl=sign(scene.mtl),
        )
    except Exception as error:  # the package raises errors of requests, pydantic and its own
        raise Unusable(
            f"{scene.product.id}: Planetary Computer gives no signature: {type(error).__name__}: {error}",
            reason=f"Planetary Computer gives no signature ({type(error).__name__})",
        ) from error


def default_reader(requester_pays: bool = True) -> GdalReader:
    """Return a reader that knows the region of the public archive.

    Args:
        requester_pays: tell S3 that this account pays for the requests; the public archive refuses them
            otherwise.

    Raises:
        PackageMissing: rasterio is not installed.
    """
    from wrenlite.gallery.ndvi.reader import GdalReader  # imported here, so that planning needs no rasterio

    return GdalReader(requester_pays=requester_pays, regions=_REGIONS, lasting=_LASTING)
