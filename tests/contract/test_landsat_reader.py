"""Reading scenes is the same from a folder and from S3, on a pretended server and on a real one."""

import http.server
import json
import pickle
import shutil
import threading
import uuid

import numpy as np
import pytest
from botocore.session import Session

from tests.landsat import BRUMADINHO, COLOMBIA, real_pixels
from wrenlite.errors import AccessDenied, NotFound, StoreError
from wrenlite.gallery.landsat import catalog, synthetic, tasks
from wrenlite.gallery.landsat.bands import Band
from wrenlite.gallery.landsat.grid import Grid, OutsideScene, Window
from wrenlite.gallery.landsat.places import PLACES
from wrenlite.gallery.landsat.reader import GdalReader
from wrenlite.gallery.landsat.scene import Product, Scene

NAPA = PLACES["napa"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An archive of three scenes."""
    folder = tmp_path_factory.mktemp("small") / "archive"
    few = [synthetic.Pass("napa", day) for day in NAPA.dates[14:17]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "passes", lambda: few)
        return synthetic.archive(folder)


def upload(folder):
    """A bucket with all that is in a folder."""
    client = Session().create_client("s3")
    bucket = f"landsat-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    for file in folder.rglob("*"):
        if file.is_file():
            client.put_object(Bucket=bucket, Key=str(file.relative_to(folder)), Body=file.read_bytes())
    return f"s3://{bucket}"


@pytest.fixture(params=["local", "moto", "radosgw"])
def place(request, monkeypatch):
    """What puts a folder where it is to be read from, and gives its address."""
    if request.param == "local":
        return str
    if request.param == "moto":
        request.getfixturevalue("bed")
    else:
        for name, value in request.getfixturevalue("radosgw").items():
            monkeypatch.setenv(name, value)
    return upload


def same(ours, theirs):
    """Whether two tasks gave the same, but for the time they took."""
    for name in ("values", "grid", "masked", "fill", "cloud", "product"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=name == "values"), name


def test_every_task_reads_the_same_everywhere(place, small):
    root = place(small)
    here, there = catalog.stored(str(small)), catalog.stored(root)
    assert [scene.product for scene in there] == [scene.product for scene in here]
    for ours, theirs in zip(there, here, strict=True):
        assert ours.red.startswith(root)
        point = tasks.ndvi_point(ours, NAPA.lon, NAPA.lat)
        assert np.array_equal(point.value, tasks.ndvi_point(theirs, NAPA.lon, NAPA.lat).value, equal_nan=True)
        same(tasks.ndvi_tile(ours, Window(0, 0, 256, 200)), tasks.ndvi_tile(theirs, Window(0, 0, 256, 200)))
    box = (NAPA.lon - 0.08, NAPA.lat - 0.02, NAPA.lon + 0.01, NAPA.lat + 0.05)
    area = tasks.ndvi_area(there[0], box, 100)
    same(area, tasks.ndvi_area(here[0], box, 100))
    assert area.timing.open_s > 0
    assert area.timing.read_s > 0


def test_real_pixels_read_the_same_everywhere(place):
    pixels = real_pixels()
    root = place(pixels)
    for product, window in ((BRUMADINHO[0], Window(0, 0, 400, 300)), (COLOMBIA, Window(0, 0, 512, 512))):
        known = Product.parse(product)
        quality = product == COLOMBIA
        ours, theirs = (Scene.at(str(base), known, quality=quality) for base in (root, pixels))
        same(tasks.ndvi_tile(ours, window), tasks.ndvi_tile(theirs, window))


def test_a_missing_band_and_its_scene_are_named(place, small):
    scene = catalog.stored(place(small))[0]
    other = Scene.at(
        scene.red.partition("/collection02")[0], scene.product.id.replace("2021", "2020"), quality=False
    )
    with pytest.raises(NotFound, match=f"no band (red|nir) of {other.product.id} at"):
        tasks.ndvi_point(other, NAPA.lon, NAPA.lat)
    with pytest.raises(NotFound):
        GdalReader().fetch(other.mtl)


def test_digits_of_a_product_are_no_status(tmp_path):
    product = "LC08_L2SP_140404_20140312_20200403_02_T1"
    with pytest.raises(NotFound, match=f"no band red of {product}"):
        tasks.ndvi_point(Scene.at(str(tmp_path / "403"), product), 0.0, 0.0)


def test_a_point_outside(place, small):
    with pytest.raises(OutsideScene, match=r"LC08_L2SP_045033"):
        tasks.ndvi_point(catalog.stored(place(small))[0], 0.0, 51.5)


def test_metadata_are_fetched(place, small):
    scene = catalog.stored(place(small))[0]
    assert b"SYNTHETIC" in GdalReader().fetch(scene.mtl)


def test_tasks_map_on_workers(place, small):
    import wrenlite

    scenes = catalog.stored(place(small))
    with wrenlite.Executor.local(2, progress=False) as executor:
        found = executor.map(lambda scene: tasks.ndvi_point(scene, NAPA.lon, NAPA.lat), scenes).results()
    expected = [tasks.ndvi_point(scene, NAPA.lon, NAPA.lat).value for scene in scenes]
    assert np.array_equal([point.value for point in found], expected, equal_nan=True)


def test_the_archive_itself_can_be_mapped(tmp_path, monkeypatch):
    import wrenlite

    few = [synthetic.Pass("napa", day, side=64) for day in NAPA.dates[:3]]
    monkeypatch.setattr(synthetic, "passes", lambda: few)
    with wrenlite.Executor.local(2, progress=False) as executor:
        made = synthetic.archive(
            tmp_path / "mapped",
            run=lambda pairs: executor.map(lambda pair: synthetic.write(*pair), pairs).results(),
        )
    assert len(catalog.stored(str(made))) == 3


def test_requests_of_a_point_and_no_listing(bed, small):
    scene = catalog.stored(upload(small))[0]
    tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    bed.reset()
    tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    counts = bed.counts()
    assert set(counts) == {"GetObject"}
    assert counts["GetObject"] <= 8  # header and one block, of four bands


def test_a_refusal_says_who_pays_and_is_forgotten(bed, small):
    scene = catalog.stored(upload(small))[0]
    bed.error("GetObject", 403, "AccessDenied", "Access Denied", count=4)
    with pytest.raises(AccessDenied, match=f"refuses band red of {scene.product.id} .*requester pays"):
        tasks.ndvi_point(scene, NAPA.lon, NAPA.lat)
    assert tasks.ndvi_point(scene, NAPA.lon, NAPA.lat).product == scene.product.id


class _Recorder(http.server.BaseHTTPRequestHandler):
    """Remembers what it was asked, and has nothing."""

    asked: list

    def do_GET(self):
        self.asked.append((self.path, dict(self.headers)))
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def recorder(monkeypatch):
    handler = type("Handler", (_Recorder,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    yield handler.asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("pays", [True, False])
def test_whoever_reads_the_public_archive_says_that_they_pay(recorder, pays):
    with pytest.raises(NotFound, match="check the product id"):
        tasks.ndvi_point(Scene.at("s3://usgs-landsat", COLOMBIA), -75.0, 1.5, GdalReader(pays))
    path, headers = recorder[0]
    assert path.startswith("/usgs-landsat/collection02/level-2/standard/oli-tirs/2019/008/059/")
    assert "/us-west-2/s3/" in headers["Authorization"]
    payer = {name.lower(): value for name, value in headers.items()}.get("x-amz-request-payer")
    assert payer == ("requester" if pays else None)
    assert not any("list-type" in path or path.endswith("?") for path, _ in recorder)


def test_a_file_that_is_no_raster(tmp_path, small):
    copied = tmp_path / "copied"
    shutil.copytree(small, copied)
    scene = catalog.stored(str(copied))[0]
    with open(scene.nir, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(StoreError, match=f"cannot read band nir of {scene.product.id}"):
        tasks.ndvi_tile(scene, Window(0, 0, 256, 256))


def test_a_reader_travels_and_stays_within_one_grid(small):
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
