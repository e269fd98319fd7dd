"""STAC items as public services have them: names of assets, properties and addresses are theirs.

The structure is that of earth-search, of landsatlook in 2020 (STAC 0.7) and today, of Planetary Computer, and
of what lies beside Landsat in the same catalogues. Numbers are made up.
"""

from typing import Any

LANDSAT_8 = "LC08_L2SP_008059_20191201_20200825_02_T1"
LANDSAT_9 = "LC09_L2SP_008059_20220103_20220105_02_T1"
LANDSAT_7 = "LE07_L2SP_008059_20100109_20200911_02_T1"
LANDSAT_5 = "LT05_L2SP_008059_19860424_20200918_02_T1"
MSS = "LM05_L1GS_008059_19850524_20210918_02_T2"
COLLECTION_1 = "LC08_L1TP_008059_20191201_20191217_01_T1"

CORNERS = [[-75.7, 2.5], [-74.0, 2.1], [-74.4, 0.4], [-76.1, 0.8], [-75.7, 2.5]]
"""The corners of a scene, which is turned within its box."""
INSIDE = (-75.0, 1.5)
_FOLDERS = {"LC": "oli-tirs", "LE": "etm", "LT": "tm", "LM": "mss"}
_NAMES = {
    "LC": {"coastal": 1, "blue": 2, "green": 3, "red": 4, "nir08": 5, "swir16": 6, "swir22": 7},
    "LE": {"blue": 1, "green": 2, "red": 3, "nir08": 4, "swir16": 5, "swir22": 7},
    "LT": {"blue": 1, "green": 2, "red": 3, "nir08": 4, "swir16": 5, "swir22": 7},
    "LM": {"green": 1, "red": 2, "nir08": 3, "nir09": 4},
}
_INSTRUMENTS = {"LC": ["oli", "tirs"], "LE": ["etm+"], "LT": ["tm"], "LM": ["mss"]}


def key(product: str) -> str:
    """Return the folder of a product in the archive."""
    _, level, place, taken, *_ = product.split("_")
    return f"level-{level[1]}/standard/{_FOLDERS[product[:2]]}/{taken[:4]}/{place[:3]}/{place[3:]}/{product}"


def files(product: str) -> dict[str, str]:
    """Return the names of a product's files by the names that today's items give to them."""
    band = "SR_B" if "_L2" in product else "B"
    found = {name: f"{product}_{band}{number}.TIF" for name, number in _NAMES[product[:2]].items()}
    found |= {"qa_pixel": f"{product}_QA_PIXEL.TIF", "qa_radsat": f"{product}_QA_RADSAT.TIF"}
    return found | {"mtl.json": f"{product}_MTL.json", "mtl.txt": f"{product}_MTL.txt"}


def item(product: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return an item of a product with the properties that all services have."""
    taken = product.split("_")[3]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": product,
        "bbox": [-76.1, 0.4, -74.0, 2.5],
        "geometry": {"type": "Polygon", "coordinates": [CORNERS]},
        "properties": {
            "datetime": f"{taken[:4]}-{taken[4:6]}-{taken[6:]}T15:13:51.123456Z",
            "eo:cloud_cover": 8.0,
            "platform": f"landsat-{int(product[2:4])}",
            "instruments": _INSTRUMENTS[product[:2]],
            "landsat:collection_category": product[-2:],
            "landsat:correction": product.split("_")[1],
            **properties,
        },
        "assets": assets,
        "links": [],
    }


def earth_search(product: str, **properties: Any) -> dict[str, Any]:
    """Return an item of earth-search: addresses on S3, and an id without the processing date."""
    folder = f"s3://usgs-landsat/collection02/{key(product)}"
    made = item(product, {name: {"href": f"{folder}/{file}"} for name, file in files(product).items()})
    satellite, level, place, taken, _, collection, tier = product.split("_")
    made["properties"] |= properties
    return made | {
        "id": f"{satellite}_{level}_{place}_{taken}_{collection}_{tier}",
        "collection": "landsat-c2-l2",
    }


def _landsatlook_href(product: str, file: str) -> str:
    return f"https://landsatlook.usgs.gov/data/collection02/{key(product)}/{file}"


def landsatlook(product: str, **properties: Any) -> dict[str, Any]:
    """Return an item of landsatlook: addresses that require a login, with a twin on S3."""
    assets: dict[str, Any] = {"index": {"href": "https://landsatlook.usgs.gov/stac-browser/x"}}
    for name, file in files(product).items():
        on_s3 = f"s3://usgs-landsat/collection02/{key(product)}/{file}"
        alternate = {"s3": {"storage:platform": "AWS", "storage:requester_pays": True, "href": on_s3}}
        asset_name = name.replace("mtl.", "MTL.")
        assets[asset_name] = {"href": _landsatlook_href(product, file), "alternate": alternate}
    made = item(product, assets, platform=f"LANDSAT_{int(product[2:4])}", **properties)
    level_1 = "_L1" in product
    return made | {
        "id": product if level_1 else f"{product}_SR",
        "collection": "landsat-c2l1" if level_1 else "landsat-c2l2-sr",
    }


def landsatlook_2020(product: str, **properties: Any) -> dict[str, Any]:
    """Return an item of 2020, as it lies beside downloads: other names, a day without time, and no twin."""
    assets = {
        file.removeprefix(f"{product}_"): {"href": _landsatlook_href(product, file)}
        for file in files(product).values()
    }
    taken = product.split("_")[3]
    made = item(product, assets, datetime=f"{taken[:4]}-{taken[4:6]}-{taken[6:]}", **properties)
    return made | {"stac_version": "0.7.0", "collection": "landsat-c2l2-sr"}


def temperature_2020(product: str) -> dict[str, Any]:
    """Return the item of a product's surface temperature: it has the same id as that of its reflectance."""
    made = landsatlook_2020(product)
    band = "ST_B10.TIF" if product.startswith("LC") else "ST_B6.TIF"
    names = (band, "ST_QA.TIF", "MTL.txt", "QA_PIXEL.TIF", "QA_RADSAT.TIF")
    assets = {name: {"href": _landsatlook_href(product, f"{product}_{name}")} for name in names}
    return made | {"assets": assets, "collection": "landsat-c2l2-st"}


def planetary_computer(product: str, **properties: Any) -> dict[str, Any]:
    """Return an item of Planetary Computer, whose addresses have to be signed."""
    folder = f"https://landsateuwest.blob.core.windows.net/landsat-c2/{key(product)}"
    assets = {name: {"href": f"{folder}/{file}"} for name, file in files(product).items()}
    return earth_search(product, **properties) | {"assets": assets}


def collection_1() -> dict[str, Any]:
    """Return an item of Collection 1, whose assets are named B4 and B5."""
    folder = f"https://landsat-pds.s3.amazonaws.com/c1/L8/008/059/{COLLECTION_1}"
    assets = {f"B{n}": {"href": f"{folder}/{COLLECTION_1}_B{n}.TIF"} for n in range(1, 12)}
    return item(COLLECTION_1, assets | {"MTL": {"href": f"{folder}/{COLLECTION_1}_MTL.txt"}})


def sentinel_2() -> dict[str, Any]:
    """Return an item of Sentinel-2, which has bands of the same names."""
    folder = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs/18/N/VJ/2019/12"
    names = {"red": "B04", "nir": "B08", "nir08": "B8A", "scl": "SCL"}
    made = item(
        LANDSAT_8,
        {name: {"href": f"{folder}/S2A_18NVJ_20191201_0_L2A/{file}.tif"} for name, file in names.items()},
    )
    return made | {"id": "S2A_18NVJ_20191201_0_L2A"}
