"""Scenes are read in the same way from a folder and from S3, on a simulated server and on a real one."""

import base64
import collections
import dataclasses
import http.server
import json
import pickle
import shutil
import threading
import traceback
import uuid
from pathlib import Path

import numpy as np
import pytest
import rasterio
from botocore.session import Session

import wrenlite
from tests.landsat import BRUMADINHO, COLOMBIA, real_pixels
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.errors import (
    AccessDenied,
    ConfigError,
    CredentialsError,
    CredentialsExpired,
    NotFound,
    StoreError,
)
from wrenlite.gallery.landsat import catalog, tasks
from wrenlite.gallery.landsat.access import default_reader
from wrenlite.gallery.landsat.scene import Product, Scene
from wrenlite.gallery.ndvi.bands import Band
from wrenlite.gallery.ndvi.cog import write_cog
from wrenlite.gallery.ndvi.grid import (
    Grid,
    OutsideScene,
    Window,
)
from wrenlite.gallery.ndvi.reader import GdalReader
from wrenlite.gallery.ndvi.target import declare_grid
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.places import PLACES

NAPA = PLACES["napa"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An archive of three scenes."""
    folder = tmp_path_factory.mktemp("small") / "archive"
    few = [archive.Pass("napa", day) for day in NAPA.dates[14:17]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "passes", lambda: few)
        return archive.ensure_archive(folder)


def upload(folder):
    """Make a bucket with all files of a folder, and return its address."""
    client = Session().create_client("s3")
    bucket = f"landsat-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    for file in folder.rglob("*"):
        if file.is_file():
            client.put_object(Bucket=bucket, Key=str(file.relative_to(folder)), Body=file.read_bytes())
    return f"s3://{bucket}"


@pytest.fixture(params=["local", "moto", "radosgw"])
def place(request, monkeypatch):
    """A function that puts a folder into the kind of store that is tested, and returns its address."""
    if request.param == "local":
        return str
    if request.param == "moto":
        request.getfixturevalue("bed")
    else:
        for name, value in request.getfixturevalue("radosgw").items():
            monkeypatch.setenv(name, value)
    return upload


def check_same(ours, theirs):
    """Check that two tasks returned the same, except for their timing."""
    for name in ("values", "grid", "hidden", "masked", "fill", "cloud", "product"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=name == "values"), name


def test_every_task_reads_the_same_from_every_store(place, small):
    root = place(small)
    here, there = catalog.stored(str(small)), catalog.stored(root)
    assert [scene.product for scene in there] == [scene.product for scene in here]
    for ours, theirs in zip(there, here, strict=True):
        assert ours.red.startswith(root)
        point = tasks.ndvi_point(ours, NAPA.lon, NAPA.lat)
        assert np.array_equal(point.value, tasks.ndvi_point(theirs, NAPA.lon, NAPA.lat).value, equal_nan=True)
        check_same(
            tasks.ndvi_tile(ours, Window(0, 0, 256, 200)), tasks.ndvi_tile(theirs, Window(0, 0, 256, 200))
        )
    box = (NAPA.lon - 0.08, NAPA.lat - 0.02, NAPA.lon + 0.01, NAPA.lat + 0.05)
    area = tasks.ndvi_area(there[0], box, 100)
    check_same(area, tasks.ndvi_area(here[0], box, 100))
    for epsg in ("auto", 5070):
        grid = declare_grid(box, epsg)
        window = Window(100, 100, 150, 120)
        tile = tasks.ndvi_tile(there[0], window, grid=grid)
        check_same(tile, tasks.ndvi_tile(here[0], window, grid=grid))
        assert tile.fill < 1
    assert area.timing.open_s > 0
    assert area.timing.read_s > 0


def test_real_pixels_are_the_same_from_every_store(place):
    pixels = real_pixels()
    root = place(pixels)
    for product, window in ((BRUMADINHO[0], Window(0, 0, 400, 300)), (COLOMBIA, Window(0, 0, 512, 512))):
        parsed = Product.parse(product)
        quality = product == COLOMBIA
        ours, theirs = (Scene.at(str(base), parsed, quality=quality) for base in (root, pixels))
        check_same(tasks.ndvi_tile(ours, window), tasks.ndvi_tile(theirs, window))


def test_a_missing_band_and_its_scene_are_named(place, small):
    scene = catalog.stored(place(small))[0]
    other = Scene.at(
        scene.red.partition("/collection02")[0], scene.product.id.replace("2021", "2020"), quality=False
    )
    with pytest.raises(NotFound, match=f"there is no band (red|nir) of {other.product.id} at"):
        tasks.ndvi_point(other, NAPA.lon, NAPA.lat)
    with pytest.raises(NotFound):
        GdalReader().fetch(other.mtl)


def test_digits_in_an_id_are_not_read_as_a_status(tmp_path):
    product = "LC08_L2SP_140040_20140403_20200404_02_T1"
    with pytest.raises(NotFound, match=f"no band red of {product}"):
        tasks.ndvi_point(Scene.at(str(tmp_path / "403"), product), 0.0, 0.0)


def test_a_point_outside_is_an_error(place, small):
    with pytest.raises(OutsideScene, match=r"LC08_L2SP_045033"):
        tasks.ndvi_point(catalog.stored(place(small))[0], 0.0, 51.5)


def test_metadata_are_fetched(place, small):
    scene = catalog.stored(place(small))[0]
    assert b"SYNTHETIC" in GdalReader().fetch(scene.mtl)


def test_tasks_map_on_workers(place, small):
    scenes = catalog.stored(place(small))
    with wrenlite.Executor.local(2, progress=False) as executor:
        found = executor.map(lambda scene: tasks.ndvi_point(scene, NAPA.lon, NAPA.lat), scenes).results()
    expected = [tasks.ndvi_point(scene, NAPA.lon, NAPA.lat).value for scene in scenes]
    assert np.array_equal([point.value for point in found], expected, equal_nan=True)


def test_the_archive_can_be_generated_by_a_map(tmp_path, monkeypatch):
    few = [archive.Pass("napa", day, side=64) for day in NAPA.dates[:3]]
    monkeypatch.setattr(archive, "passes", lambda: few)
    with wrenlite.Executor.local(2, progress=False) as executor:
        made = archive.ensure_archive(
            tmp_path / "mapped",
            run=lambda pairs: executor.map(lambda pair: archive.write_scene(*pair), pairs).results(),
        )
    assert len(catalog.stored(str(made))) == 3


def test_a_point_takes_few_requests_and_no_listing(bed, small):
    scene = catalog.stored(upload(small))[0]
    tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    bed.reset()
    tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    counts = bed.counts()
    assert set(counts) == {"GetObject"}  # a listing would be "GetBucketDelimiter…prefix"
    assert counts["GetObject"] <= 8  # the header and one block of four bands
    for epsg in (32610, 5070):
        grid = declare_grid((NAPA.lon - 0.01, NAPA.lat - 0.01, NAPA.lon + 0.01, NAPA.lat + 0.01), epsg)
        bed.reset()
        tasks.ndvi_tile(scene, Window(10, 10, 8, 8), grid=grid)
        assert set(bed.counts()) == {"GetObject"}
        assert bed.counts()["GetObject"] <= 8  # the same on a declared grid


def test_a_refusal_names_requester_pays_and_is_not_cached(bed, small):
    scene = catalog.stored(upload(small))[0]
    bed.error("GetObject", 403, "AccessDenied", "Access Denied", count=4)
    with pytest.raises(AccessDenied, match=rf"refuses band \w+ of {scene.product.id} .*requester pays"):
        tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    assert tasks.ndvi_point(scene, NAPA.lon, NAPA.lat).product == scene.product.id


class _Handler(http.server.BaseHTTPRequestHandler):
    """A handler that records its requests. It serves some files, by their names, or answers with an error."""

    asked: list
    files: dict
    error: tuple | None
    busy: int
    """How many of the next requests are answered with 503."""
    url: str

    def do_GET(self):
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if type(self).busy > 0:
            type(self).busy -= 1
            self._answer(503, body("SlowDown", "Please reduce your request rate."))
            return
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.error is not None or name not in self.files:
            self._answer(*(self.error or (404, b"")))
            return
        data = self.files[name]
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(200, data)
            return
        first, last = (int(each) for each in asked.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self._answer(206, part, f"bytes {first}-{first + len(part) - 1}/{len(data)}")

    do_HEAD = do_GET

    def _answer(self, status, body, span=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if span is not None:
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on this machine that stands for S3 and for other web servers."""
    handler = type("Handler", (_Handler,), {"asked": [], "files": {}, "error": None, "busy": 0})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", handler.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def listings(asked):
    """Return the requests that list a bucket."""
    return [path for path, _ in asked if "prefix=" in path or "list-type" in path or path.endswith("?")]


@pytest.mark.parametrize("pays", [True, False])
def test_requests_to_the_public_archive_have_its_region_and_say_who_pays(server, pays):
    scene, reader = Scene.at("s3://usgs-landsat", COLOMBIA), default_reader(requester_pays=pays)
    server.files[scene.product.file("MTL.json")] = b"{}"
    with pytest.raises(NotFound, match="check the product id"):
        tasks.ndvi_point(scene, -75.0, 1.5, reader=reader)
    bands = list(server.asked)
    server.asked.clear()
    assert reader.fetch(scene.mtl) == b"{}"
    for path, headers in (bands[0], *server.asked):
        assert path.startswith("/usgs-landsat/collection02/level-2/standard/oli-tirs/2019/008/059/")
        assert "/us-west-2/s3/" in headers["authorization"]
        assert headers.get("x-amz-request-payer") == ("requester" if pays else None)


def test_a_pickled_store_still_says_that_its_account_pays(server):
    server.files["a"] = b"one"
    store = S3Store("some", region="us-west-2", requester_pays=True)
    assert [each.get("a") for each in (store, pickle.loads(pickle.dumps(store)))] == [b"one"] * 2
    assert [headers["x-amz-request-payer"] for _, headers in server.asked] == ["requester"] * 2


def test_gdal_lists_a_missing_key_at_most_once(server):
    with pytest.raises(NotFound):
        tasks.ndvi_point(Scene.at("s3://usgs-landsat", COLOMBIA), -75.0, 1.5)
    asked = listings(server.asked)
    assert len(asked) == len(set(asked)) <= 4  # no option of GDAL prevents the one listing per band
    assert all(path.endswith(".TIF%2F") for path in asked)


def body(code, message):
    """Return the body of an error of S3."""
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "advice"),
    [
        (403, "AccessDenied", "Access Denied", AccessDenied, "requester pays"),
        (
            403,
            "AccessDenied",
            "User: arn:aws:iam::1:user/x is not authorized to perform: s3:GetObject on resource: "
            "&quot;arn:aws:s3:::b/k&quot; because no identity-based policy allows the s3:GetObject action",
            AccessDenied,
            "requester pays",
        ),
        (403, "AccessDenied", "", AccessDenied, "requester pays"),  # radosgw sends no message
        (
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            CredentialsError,
            "AWS does not know these credentials",
        ),
        (
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key"
            " and signing method.",
            CredentialsError,
            "aws configure",
        ),
        (400, "ExpiredToken", "The provided token has expired.", CredentialsExpired, "Sign in again"),
        (
            400,
            "InvalidToken",
            "The provided token is malformed or otherwise invalid.",
            CredentialsError,
            "Sign in again",
        ),
        (
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            CredentialsError,
            "clock is wrong",
        ),
        (404, "NoSuchKey", "The specified key does not exist.", NotFound, "check the product id"),
        (404, "NoSuchBucket", "The specified bucket does not exist", NotFound, "no bucket 'usgs-landsat'"),
        (400, "InvalidRequest", "Something else.", StoreError, "Something else"),
    ],
)
def test_an_error_of_s3_is_translated_with_advice(server, status, code, message, kind, advice):
    server.error = status, body(code, message)
    scene = Scene.at("s3://usgs-landsat", COLOMBIA, quality=False)
    with pytest.raises(kind, match=f"band red of {COLOMBIA} at s3://usgs-landsat/") as caught:
        tasks.ndvi_point(scene, -75.0, 1.5)
    assert type(caught.value) is kind
    assert advice in str(caught.value)


def test_without_credentials_the_message_says_how_to_get_some(server, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    scene = Scene.at("s3://usgs-landsat", COLOMBIA, quality=False)
    with pytest.raises(
        CredentialsError, match=f"no AWS credentials to read band red of {COLOMBIA}.*configure"
    ):
        tasks.ndvi_point(scene, -75.0, 1.5)
    assert server.asked == []


def reads(asked):
    """Return the requests for objects, by key: those that are no listings."""
    return collections.Counter(path for path, _ in asked if path not in listings(asked))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ((404, b""), NotFound),
        ((403, body("AccessDenied", "Access Denied")), AccessDenied),
        ((400, body("InvalidRequest", "Something else.")), StoreError),
    ],
)
def test_a_permanent_error_is_not_tried_again(server, error, kind):
    server.error = error
    scene = Scene.at("s3://usgs-landsat", COLOMBIA, quality=False)
    with pytest.raises(kind):
        tasks.ndvi_point(scene, -75.0, 1.5)
    once = reads(server.asked)
    assert max(once.values()) == 2  # whatever the answer is, GDAL looks for a file that it cannot open
    server.asked.clear()
    with wrenlite.Executor.local(1, progress=False) as executor:
        job = executor.map(lambda each: tasks.ndvi_point(each, -75.0, 1.5), [scene])
        with pytest.raises(kind):
            job.results(timeout=60)
    assert reads(server.asked) == once


def test_a_damaged_object_is_not_read_again(server, signed):
    name = f"{signed.product.id}_SR_B5.TIF"
    with rasterio.MemoryFile(server.files[name]) as memory, memory.open() as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    data = bytearray(server.files[name])
    data[offset + 10 : offset + 3000] = bytes(2990)
    server.files[name] = bytes(data)
    server.asked.clear()
    with pytest.raises(StoreError, match=f"cannot read band nir of {signed.product.id}"):
        tasks.ndvi_tile(signed, Window(0, 0, 256, 256))
    spans = collections.Counter(
        (path, headers["range"]) for path, headers in server.asked if "range" in headers
    )
    assert max(spans.values()) == 1


@pytest.mark.parametrize("busy", [1, 3])
def test_a_server_that_is_busy_is_asked_again(server, signed, busy):
    expected = tasks.ndvi_point(signed, NAPA.lon, NAPA.lat)
    server.busy = busy
    assert np.array_equal(tasks.ndvi_point(signed, NAPA.lon, NAPA.lat).value, expected.value, equal_nan=True)
    assert server.busy == 0


def test_objects_that_are_never_replaced_stay_open(bed, small):
    root = upload(small)
    bucket = root.removeprefix("s3://")
    scene = dataclasses.replace(catalog.stored(root)[0], qa_pixel=None, qa_radsat=None)
    counts = {}
    for reader in (GdalReader(), GdalReader(lasting=frozenset([bucket]))):
        for window in (Window(0, 0, 256, 256), Window(256, 0, 16, 256)):
            bed.reset()
            tasks.ndvi_tile(scene, window, reader=reader)
            counts[bool(reader.lasting), window.column] = bed.counts().get("GetObject", 0)
    assert counts[True, 0] == counts[False, 0] >= 2
    assert counts[True, 256] <= counts[False, 256] - 2  # the headers of two bands


def test_an_object_that_is_replaced_is_read_anew(bed, small):
    root = upload(small)
    scenes = catalog.stored(root)
    before, other = (tasks.ndvi_tile(scene, Window(0, 0, 256, 256)) for scene in scenes[:2])
    client = Session().create_client("s3")
    bucket = root.removeprefix("s3://")
    for ours, theirs in zip(sorted(hrefs(scenes[0])), sorted(hrefs(scenes[1])), strict=True):
        source = client.get_object(Bucket=bucket, Key=theirs.removeprefix(f"{root}/"))["Body"].read()
        client.put_object(Bucket=bucket, Key=ours.removeprefix(f"{root}/"), Body=source)
    after = tasks.ndvi_tile(scenes[0], Window(0, 0, 256, 256))
    assert not np.array_equal(before.values, other.values)
    assert np.array_equal(after.values, other.values)


def hrefs(scene):
    """Return the addresses of all rasters of a scene."""
    return [scene.red, scene.nir, scene.qa_pixel, scene.qa_radsat]


@pytest.fixture
def signed(server, small):
    """A scene with signed addresses on a web server."""
    scene = catalog.stored(str(small))[0]
    for href in (scene.red, scene.nir, scene.mtl):
        server.files[Path(href).name] = Path(href).read_bytes()
    red, nir = (f"{server.url}/c/{Path(href).name}?sig=SECRET/x" for href in (scene.red, scene.nir))
    mtl = f"{server.url}/c/{Path(scene.mtl).name}?sig=SECRET/x"
    return dataclasses.replace(scene, bands={"red": red, "nir": nir}, qa_pixel=None, qa_radsat=None, mtl=mtl)


def full_text(error):
    """Return an error's text with its causes, as a traceback shows it."""
    return "".join(traceback.format_exception(error)) + repr(error.__context__)


def test_a_refused_signature_is_not_shown_and_not_cached(server, signed):
    server.error = 403, b""
    with pytest.raises(AccessDenied, match="sign the items again") as caught:
        tasks.ndvi_point(signed, NAPA.lon, NAPA.lat)
    assert "SECRET" not in full_text(caught.value)
    assert "requester pays" not in str(caught.value)
    server.error = None
    assert tasks.ndvi_point(signed, NAPA.lon, NAPA.lat).product == signed.product.id


def test_no_message_shows_a_signature(server, signed):
    band = Band("red", signed.red, signed.product.id)
    assert "SECRET" not in repr(signed) + repr(band)
    assert f"{server.url}/c/{signed.product.id}_SR_B4.TIF" in repr(signed)
    for content in (b"no raster", b""):
        server.files[f"{signed.product.id}_SR_B4.TIF"] = content
        with pytest.raises(StoreError, match="cannot read band red") as caught:
            tasks.ndvi_point(signed, NAPA.lon, NAPA.lat)
        assert "SECRET" not in full_text(caught.value)


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html>\n<title>ERS login</title>",
        b"\xef\xbb\xbf\r\n <HTML lang=en>",
        b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN">',
    ],
)
def test_a_login_page_in_place_of_a_file_is_told(server, signed, tmp_path, page):
    server.files[f"{signed.product.id}_SR_B4.TIF"] = page
    message = f"sends a web page in place of band red of {signed.product.id} at http.*requires a login"
    with pytest.raises(AccessDenied, match=message) as caught:
        tasks.ndvi_point(signed, NAPA.lon, NAPA.lat)
    assert "SECRET" not in full_text(caught.value)
    server.files[f"{signed.product.id}_MTL.json"] = page
    with pytest.raises(AccessDenied, match=r"sends a web page in place of file http.*requires a login"):
        GdalReader().fetch(signed.mtl)
    saved = tmp_path / f"{signed.product.id}_SR_B4.TIF"
    saved.write_bytes(page)
    here = dataclasses.replace(signed, bands=signed.bands | {"red": str(saved)})
    with pytest.raises(StoreError, match=r"cannot read band red .*is a web page.*download it again"):
        tasks.ndvi_point(here, NAPA.lon, NAPA.lat)


@pytest.mark.parametrize(
    ("status", "query", "advice"),
    [
        (401, "", "The server requires a login. Log in with a browser"),
        (403, "", "requires a login or a signature"),
        (403, "?sig=SECRET", "The signature in the address may have expired: search and sign"),
        (409, "", "pip install planetary-computer and search again, which signs them"),
    ],
)
def test_a_refusal_of_a_web_server_says_what_to_do(server, signed, status, query, advice):
    server.error = status, b"<html>no</html>"
    bands = {name: href.partition("?")[0] + query for name, href in signed.bands.items()}
    scene = dataclasses.replace(signed, bands=bands)
    with pytest.raises(AccessDenied, match=f"the server refuses band .*{status}") as caught:
        tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    assert advice in str(caught.value)
    with pytest.raises(AccessDenied) as caught:
        GdalReader().fetch(scene.red)
    assert advice in str(caught.value)


def test_a_user_and_a_password_are_sent_and_not_shown(server, signed):
    login = f"Basic {base64.b64encode(b'me:my/SECRET').decode()}"
    bands = {
        name: href.partition("?")[0].replace("://", "://me:my%2FSECRET@")
        for name, href in signed.bands.items()
    }
    scene = dataclasses.replace(signed, bands=bands)
    for name in ("red", "nir"):
        assert GdalReader().fetch(scene.bands[name]) == server.files[Path(scene.bands[name]).name]
    assert tasks.ndvi_point(scene, NAPA.lon, NAPA.lat).product == scene.product.id
    assert all(headers["authorization"] == login for _, headers in server.asked)
    server.files[f"{scene.product.id}_SR_B4.TIF"] = b"<html>log in"
    for error, kind in (((401, b""), AccessDenied), ((404, b""), NotFound), (None, AccessDenied)):
        server.error = error
        for read in (
            lambda: GdalReader().fetch(scene.red),
            lambda: tasks.ndvi_point(scene, NAPA.lon, NAPA.lat),
        ):
            with pytest.raises(kind) as caught:
                read()
            assert "SECRET" not in full_text(caught.value)


@pytest.mark.parametrize("host", ["me:my/SECRET@localhost:9", "me:SECRET@[x", "me:SECRET@localhost:port"])
def test_an_address_that_is_not_valid_is_told_without_its_password(signed, host):
    shown = host.rpartition("@")[2].replace("[", r"\[")
    with pytest.raises(
        StoreError, match=f"cannot read file http://{shown}/x: the address is not valid"
    ) as caught:
        GdalReader().fetch(f"http://{host}/x")
    assert "SECRET" not in str(caught.value)
    scene = dataclasses.replace(signed, bands=dict.fromkeys(signed.bands, f"http://{host}/x"))
    with pytest.raises(StoreError, match=f"cannot read band red of .* at http://{shown}/x: ") as caught:
        tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    assert "SECRET" not in str(caught.value) + repr(scene)


def test_a_password_is_not_sent_on_to_another_server(server, signed, monkeypatch):
    name = Path(signed.mtl.partition("?")[0]).name
    elsewhere = f"{server.url.replace('127.0.0.1', 'localhost')}/there/{name}"
    answer = server._answer

    def redirect(handler, status, body, span=None):
        if not handler.path.startswith("/here"):
            answer(handler, status, body, span)
            return
        handler.send_response(302)
        handler.send_header("Location", elsewhere)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    monkeypatch.setattr(server, "_answer", redirect)
    address = f"{server.url.replace('://', '://me:password@')}/here/{name}"
    assert GdalReader().fetch(address) == server.files[name]
    first, second = (headers for _, headers in server.asked)
    assert "authorization" in first
    assert "authorization" not in second


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"no raster", r"the file is not a raster, and begins with b'no raster'"),
        (b"PK\x03\x04" + bytes(5000), r"the file is not a raster, and begins with b'PK"),
    ],
)
def test_a_file_of_another_kind_is_told(server, signed, tmp_path, content, words):
    saved = tmp_path / "red.TIF"
    saved.write_bytes(content)
    server.files[f"{signed.product.id}_SR_B4.TIF"] = content
    here = dataclasses.replace(signed, bands=signed.bands | {"red": str(saved)})
    for scene, advice in ((here, "download it again"), (signed, "check its address")):
        with pytest.raises(StoreError, match=f"cannot read band red .*: {words}.*; {advice}"):
            tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)


def test_metadata_are_fetched_from_a_web_server(server, signed):
    reader = GdalReader()
    assert signed.mtl.endswith("_MTL.json?sig=SECRET/x")
    assert b"SYNTHETIC" in reader.fetch(signed.mtl)
    for status, kind in ((403, AccessDenied), (404, NotFound), (500, StoreError)):
        server.error = status, b""
        with pytest.raises(kind) as caught:
            reader.fetch(signed.mtl)
        assert "SECRET" not in full_text(caught.value)
    with pytest.raises(StoreError, match="cannot read file http://127"):
        reader.fetch("http://127.0.0.1:9/x")  # nothing listens at the port of the service "discard"
    with pytest.raises(ConfigError, match="give a path, or an address with s3:// or https://"):
        reader.fetch("ftp://example.com/x")


def ramps(folder, width, height, *, overviews):
    """Write two rasters whose pixels hold their column and their row, counted from 1."""
    grid = Grid(32610, 500_025.0, 4_200_015.0, (30.0, 30.0), width, height)
    bands = []
    for name, line, shape in (("column", width, (1, -1)), ("row", height, (-1, 1))):
        values = np.broadcast_to(np.arange(1, line + 1, dtype=np.uint16).reshape(shape), (height, width))
        href = str(folder / f"{name}.tif")
        if overviews:
            write_cog(href, values, grid, nodata=0, overviews="nearest")
        else:
            georeference = {"crs": "EPSG:32610", "transform": rasterio.Affine.from_gdal(*grid.transform)}
            with rasterio.open(
                href, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint16", **georeference
            ) as file:
                file.write(values, 1)
        bands.append(Band(name, href, "ramp"))
    return bands


def cells(origin, count, step, length):
    """Return the first and last pixel of each cell that a scene contains, counted from 1, and 0 for none."""
    low = origin + np.arange(count) * step
    first, last = np.maximum(low, 0), np.minimum(low + step, length)
    return np.where(first < last, first + 1, 0), np.where(first < last, last, 0)


@pytest.mark.parametrize("step", [2, 4, 27, 30, 54, 300])
@pytest.mark.parametrize(("left", "top"), [(0, 0), (-2, -3), (1, 2)])
@pytest.mark.parametrize("overviews", [False, True])
def test_each_cell_of_a_picture_shows_one_of_its_own_pixels(tmp_path, step, left, top, overviews):
    width, height = 272, 259
    bands = ramps(tmp_path, width, height, overviews=overviews)
    window = Window(left * step, top * step, (width // step + 4) * step, (height // step + 5) * step)
    found = GdalReader().read(bands, lambda _: (window, step))
    across, down = found["column"].values.astype(int), found["row"].values.astype(int)
    low, high = cells(window.column, across.shape[1], step, width)
    upper, lower = cells(window.row, across.shape[0], step, height)
    inside = np.outer(upper > 0, low > 0)
    assert ((across > 0) == inside).all()
    assert ((down > 0) == inside).all()
    # An overview of a side with an odd number of pixels has half of them, rounded up. So its pixels are
    # shifted, by less than one pixel of the overview, which is no larger than a cell.
    slack = step - 1 if overviews else 0
    assert ((across >= low - slack) & (across <= high + slack))[inside].all()
    assert ((down >= upper[:, None] - slack) & (down <= lower[:, None] + slack))[inside].all()


def test_a_window_that_begins_within_a_cell(tmp_path):
    bands = ramps(tmp_path, 100, 90, overviews=False)
    window = Window(-10, -20, 160, 125)
    found = GdalReader().read(bands, lambda _: (window, 30))
    across = found["column"].values.astype(int)
    assert across.shape == (5, 6)
    low, high = cells(-10, 6, 30, 100)
    assert ((across[1] >= low) & (across[1] <= high)).all()
    assert (across[4] == 0).all()
    outside = GdalReader().read(bands, lambda _: (Window(200, 0, 60, 60), 30))["row"].values
    assert outside.tolist() == [[0, 0], [0, 0]]


def test_a_file_that_is_not_a_raster(tmp_path, small):
    copied = tmp_path / "copied"
    shutil.copytree(small, copied)
    scene = catalog.stored(str(copied))[0]
    with open(scene.nir, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(StoreError, match=f"cannot read band nir of {scene.product.id}"):
        tasks.ndvi_tile(scene, Window(0, 0, 256, 256))


def test_a_pickled_reader_pads_a_window_beyond_the_grid(small):
    reader = pickle.loads(pickle.dumps(GdalReader(requester_pays=False)))
    scene = catalog.stored(str(small))[0]
    pixels = reader.read(
        [Band("red", scene.red, scene.product.id)], lambda grid: (Window(-5, 270, 10, 10), 1)
    )
    red = pixels["red"]
    assert red.values.shape == (10, 10)
    assert (red.values[:, :5] == 0).all()
    assert (red.values[2:] == 0).all()
    assert isinstance(red.grid, Grid)
    assert json.loads(reader.fetch(f"{small}/items.json"))["type"] == "FeatureCollection"
