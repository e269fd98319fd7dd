"""The metadata file (MTL) and the STAC item of a synthetic scene, in Collection 2's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wrenlite.gallery.landsat.scene import Product
from wrenlite.gallery.ndvi.grid import Grid

_GAIN, _OFFSET = 2.75e-05, -0.2


@dataclass(frozen=True)
class SceneMetadata:
    """The metadata of one scene."""

    product: Product
    grid: Grid
    cloud: float
    """Percent of the scene under cloud."""
    title: str
    """Title of the place."""
    notice: str
    """Text that says that the scene is synthetic."""

    def mtl(self) -> dict[str, Any]:
        """Return the metadata file. As in real ones, values are text, and level 1's gains come last."""
        product, grid = self.product, self.grid
        bands = (product.sensor.bands["red"], product.sensor.bands["nir"])
        files = {f"FILE_NAME_BAND_{band}": product.band_file(band) for band in bands}
        right, lower = grid.west + 30 * grid.width - 15, grid.north - 30 * grid.height + 15
        groups = {
            "PRODUCT_CONTENTS": {
                "ORIGIN": self.notice,
                "LANDSAT_PRODUCT_ID": product.id,
                "PROCESSING_LEVEL": "L2SP",
                "COLLECTION_NUMBER": "02",
                "COLLECTION_CATEGORY": product.tier,
                "OUTPUT_FORMAT": "GEOTIFF",
                **files,
                "FILE_NAME_QUALITY_L1_PIXEL": product.file("QA_PIXEL.TIF"),
                "FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION": product.file("QA_RADSAT.TIF"),
            },
            "IMAGE_ATTRIBUTES": {
                "SPACECRAFT_ID": "SYNTHETIC",
                "SENSOR_ID": "OLI_TIRS",
                "WRS_PATH": str(int(product.path)),
                "WRS_ROW": str(int(product.row)),
                "DATE_ACQUIRED": product.acquired.isoformat(),
                "CLOUD_COVER": f"{self.cloud:.2f}",
            },
            "PROJECTION_ATTRIBUTES": {
                "MAP_PROJECTION": "UTM",
                "DATUM": "WGS84",
                "UTM_ZONE": str(grid.epsg % 100),
                "GRID_CELL_SIZE_REFLECTIVE": "30.00",
                "REFLECTIVE_LINES": str(grid.height),
                "REFLECTIVE_SAMPLES": str(grid.width),
                "ORIENTATION": "NORTH_UP",
                **_corners(grid),
                # These corners are centres of pixels, half a pixel inside the raster's corners.
                "CORNER_UL_PROJECTION_X_PRODUCT": f"{grid.west + 15:.3f}",
                "CORNER_UL_PROJECTION_Y_PRODUCT": f"{grid.north - 15:.3f}",
                "CORNER_LR_PROJECTION_X_PRODUCT": f"{right:.3f}",
                "CORNER_LR_PROJECTION_Y_PRODUCT": f"{lower:.3f}",
            },
            "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": _gains(bands, f"{_GAIN:g}", f"{_OFFSET}"),
            "LEVEL1_RADIOMETRIC_RESCALING": _gains(bands, "2.0000E-05", "-0.100000"),
        }
        return {"LANDSAT_METADATA_FILE": groups}

    def mtl_text(self) -> str:
        """Return the metadata file in the text format."""
        lines = ["GROUP = LANDSAT_METADATA_FILE"]
        for group, pairs in self.mtl()["LANDSAT_METADATA_FILE"].items():
            values = [f'    {name} = "{value}"' for name, value in pairs.items()]
            lines += [f"  GROUP = {group}", *values, f"  END_GROUP = {group}"]
        return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])

    def item(self, folder: str) -> dict[str, Any]:
        """Return the STAC item.

        Args:
            folder: the files' folder relative to the item's, with a slash at its end.
        """
        product, grid = self.product, self.grid
        west, south, east, north = grid.bounds
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": f"{product.id}_SR",
            "bbox": [west, south, east, north],
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "title": f"{self.title} ({self.notice})",
                "description": self.notice,
                "datetime": f"{product.acquired.isoformat()}T12:00:00Z",
                "platform": "synthetic",
                "instruments": ["oli", "tirs"],
                "eo:cloud_cover": self.cloud,
                "proj:epsg": grid.epsg,
                "proj:shape": [grid.height, grid.width],
                "proj:transform": [30.0, 0.0, grid.west, 0.0, -30.0, grid.north],
                "landsat:wrs_path": product.path,
                "landsat:wrs_row": product.row,
                "landsat:collection_category": product.tier,
                "landsat:product_id": product.id,
            },
            "assets": self._assets(folder),
            "links": [],
        }

    def _assets(self, folder: str) -> dict[str, Any]:
        """Return the item's assets, which are the scene's files."""
        product = self.product
        band = {"type": "image/vnd.stac.geotiff; cloud-optimized=true", "roles": ["data"]}
        scaled = {"raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": _GAIN, "offset": _OFFSET}]}
        return {
            "red": {"href": folder + product.band_file(product.sensor.bands["red"]), **band, **scaled},
            "nir08": {"href": folder + product.band_file(product.sensor.bands["nir"]), **band, **scaled},
            "qa_pixel": {"href": folder + product.file("QA_PIXEL.TIF"), **band},
            "qa_radsat": {"href": folder + product.file("QA_RADSAT.TIF"), **band},
            "mtl.json": {"href": folder + product.file("MTL.json"), "type": "application/json"},
            "thumbnail": {"href": folder + product.file("thumb_small.jpeg"), "type": "image/jpeg"},
        }


def collection(items: Sequence[dict[str, Any]], notice: str) -> dict[str, Any]:
    """Return a STAC ItemCollection of all items."""
    return {"type": "FeatureCollection", "description": notice, "features": list(items)}


def _corners(grid: Grid) -> dict[str, str]:
    """Return the lines of a metadata file that give the corners in degrees."""
    west, south, east, north = grid.bounds
    corners = {"UL": (north, west), "UR": (north, east), "LL": (south, west), "LR": (south, east)}
    return {
        f"CORNER_{corner}_{axis}_PRODUCT": f"{degrees:.5f}"
        for corner, pair in corners.items()
        for axis, degrees in zip(("LAT", "LON"), pair, strict=True)
    }


def _gains(bands: Sequence[int], gain: str, offset: str) -> dict[str, str]:
    """Return the lines of a metadata file that give the bands' gains and offsets."""
    gains = {f"REFLECTANCE_MULT_BAND_{band}": gain for band in bands}
    return gains | {f"REFLECTANCE_ADD_BAND_{band}": offset for band in bands}
