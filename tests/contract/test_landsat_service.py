"""Searches through pystac-client, on a STAC service on this machine that pages, repeats itself and breaks."""

import http.server
import json
import threading

import pytest
from click.testing import CliRunner

from tests import downloads
from tests.stac_items import (
    INSIDE,
    LANDSAT_5,
    LANDSAT_7,
    LANDSAT_8,
    LANDSAT_9,
    MSS,
    earth_search,
    landsatlook,
    sentinel_2,
)
from wrenlite.cli import main
from wrenlite.errors import StoreError
from wrenlite.gallery.landsat import catalog
from wrenlite.gallery.landsat.catalog import Query


class _Handler(http.server.BaseHTTPRequestHandler):
    """A STAC service that returns all its items for every search, two on a page."""

    items: list
    asked: list
    status: int
    root: object
    """What the service's address answers; None: what that of a STAC service does."""

    def do_GET(self):
        api = "https://api.stacspec.org/v1.0.0"
        root = {
            "type": "Catalog",
            "id": "test",
            "stac_version": "1.0.0",
            "description": "a service for a test",
            "conformsTo": [f"{api}/core", f"{api}/item-search", f"{api}/item-search#sort"],
            "links": [
                {"rel": "self", "href": self.url(), "type": "application/json"},
                {"rel": "root", "href": self.url(), "type": "application/json"},
                *(
                    {
                        "rel": "search",
                        "href": f"{self.url()}search",
                        "method": method,
                        "type": "application/geo+json",
                    }
                    for method in ("GET", "POST")
                ),
            ],
        }
        self._answer(root if self.root is None else self.root)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(asked)
        start = asked.get("token", 0)
        page = {"type": "FeatureCollection", "features": self.items[start : start + 2], "links": []}
        if start + 2 < len(self.items):
            page["links"] = [
                {
                    "rel": "next",
                    "href": f"{self.url()}search",
                    "method": "POST",
                    "merge": True,
                    "body": {"token": start + 2},
                }
            ]
        self._answer(page)

    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/v1/"

    def _answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    """A running service, whose items and status a test sets."""
    handler = type("Handler", (_Handler,), {"items": [], "asked": [], "status": 200, "root": None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    handler.address = f"http://127.0.0.1:{server.server_port}/v1/"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.e2e
def test_pages_are_joined_and_open_ends_are_asked_for(service):
    service.items = [earth_search(each) for each in (LANDSAT_5, LANDSAT_7, LANDSAT_8, LANDSAT_8, LANDSAT_9)]
    found = catalog.search(Query(INSIDE, "1990-01-01"), url=service.address)
    assert [scene.product.id for scene in found] == [LANDSAT_7, LANDSAT_8, LANDSAT_9]
    assert found.left_out == {"another time": 1, "listed more than once": 1}
    first, *rest = service.asked
    assert first["datetime"] == "1990-01-01T00:00:00Z/.."
    assert first["collections"] == ["landsat-c2-l2"]
    assert first["limit"] == 100
    assert [asked["token"] for asked in rest] == [2, 4]
    catalog.search(Query(INSIDE), url=service.address)
    assert "datetime" not in service.asked[3]


def test_a_service_that_answers_with_an_error(service):
    service.status = 502
    with pytest.raises(
        StoreError, match=f"the STAC service {service.address} answered with the error 502: "
    ) as e:
        catalog.search(Query(INSIDE), url=service.address)
    assert "synthetic" not in str(e.value), "the network is not the cause"


@pytest.mark.parametrize("content", [[1], {"features": None}, {"type": "Catalog"}, "<html>"])
def test_an_address_that_is_not_one_of_a_service(service, content):
    service.root = content
    with pytest.raises(
        StoreError, match=r"gave an answer that is not one of a STAC service: .*; check its address"
    ):
        catalog.search(Query(INSIDE), url=service.address)


@pytest.mark.e2e
def test_the_demo_searches_any_service(service, tmp_path):
    folder = downloads.write(tmp_path / "in", LANDSAT_8)
    usable = earth_search(LANDSAT_8)
    for asset in usable["assets"].values():
        asset["href"] = f"{folder}/{asset['href'].rpartition('/')[2]}"
    service.items = [usable, landsatlook(MSS), sentinel_2(), {"id": "broken"}]
    command = ["demo", "ndvi", "--source", service.address, "--place=-75.0,1.5", "--json", "--workers", "2"]
    ended = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out")])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert [scene["product"] for scene in found["scenes"]] == [LANDSAT_8]
    assert found["scenes"][0]["ndvi"] == pytest.approx(downloads.NDVI, abs=1e-4)
    assert sum(found["left_out"].values()) == 3
    CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out"), "--collection", "mine"])
    assert service.asked[-1]["collections"] == ["mine"]
    service.items = [landsatlook(MSS)]
    ended = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out")])
    assert ended.exit_code == 1
    assert "1 item left out: NDVI of MSS does not agree" in ended.stderr
