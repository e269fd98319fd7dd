"""The gallery's two jobs for publishing: here by ``wrenlite serve``, and on AWS with the real zip."""

import importlib.metadata
import io
import json
import re

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.aws.deployments import BUCKET
from tests.aws.wheels import wheel
from tests.served import Served
from wrenlite import cli
from wrenlite.gallery.fractals.deployed import Row, collage_of_csv, poster
from wrenlite.gallery.fractals.poster import PosterOptions
from wrenlite.serving.events import object_event

GALLERY = "wrenlite.gallery.fractals.deployed"
CSV = (
    "name,xpos,ypos,radius,iters,palette,width,height\n"
    "seahorses,-0.7436,0.1318,0.01,500,Hippi,160,120\n"
    "all,-0.5,0,3.2,100,Vivid,96,96\n"
    "all,,,,,,64,48\n"
    "flat,0,0,-1,,,,\n"
    "misspelt,,,,,Hipi,,\n"
    "../../up,,,,,,,\n"
    "vast,,,,,,100000,100000\n"
    ",0,0,1,,,,\n"
    "short,0\n"
)
REJECTED = [
    (5, "radius"),
    (6, "palette"),
    (7, "name"),
    (8, "width"),
    (9, "name"),
    (10, None),
]
PICTURES = {
    "pictures/seahorses.png": (160, 120),
    "pictures/all.png": (96, 96),
    "pictures/all-2.png": (64, 48),
}


def size(png):
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        assert len(picture.getcolors(1 << 20)) > 100  # something is drawn
        return picture.size


def where(rejected):
    return [(row["line"], row["field"]) for row in rejected]


def test_rows_are_pictures_and_a_poster_has_metrics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRENLITE_BACKEND", "inline")
    (tmp_path / "list.csv").write_text(CSV)
    event = object_event({"bucket": str(tmp_path), "key": "list.csv", "etag": "", "size": 0})
    assert collage_of_csv(event) == {"pictures": 3, "left_out": 6, "collage": "collage.png"}
    assert [(row.line, row.field) for row in event.rejected] == REJECTED
    for file, expected in PICTURES.items():
        assert size((tmp_path / "outputs" / file).read_bytes()) == expected
    assert size((tmp_path / "outputs" / "collage.png").read_bytes())
    found = json.loads(json.dumps(poster(PosterOptions(width=80, height=60, iters=100, julia="-0.8,0.156"))))
    assert size((tmp_path / "outputs" / "poster.png").read_bytes()) == (80, 60)
    assert set(found["client_s"]) == {"plan", "map", "join", "colour", "write"}
    assert sum(worker["tasks"] for worker in found["workers"]) > 0


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\nb", "x" * 300])
def test_a_row_whose_name_no_file_can_have_is_refused(name):
    with pytest.raises(ValueError, match=r"^name is "):
        Row(name=name)


@pytest.mark.full
def test_a_poster_and_a_collage_are_served_here(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))
    (tmp_path / "inbox").mkdir()
    served = Served(tmp_path, f"{GALLERY}:poster", "--http", "0")
    try:
        refused = served.ask("/start", {"palette": "Hipi"})
        assert (refused[0], refused[1]["field"]) == (400, "palette")
        assert served.ask("/start", {"radius": -1})[1]["field"] == "radius"
        fields = {
            "palette": "Hippi",
            "xpos": "-0.7436",
            "ypos": 0.1318,
            "radius": 0.01,
            "width": 160,
            "height": 120,
        }
        found = served.over(served.ask("/start", fields)[1]["id"])
        assert (found["status"], found["files"]) == ("done", ["poster.png"])
        assert found["result"]["client_s"]["map"] > 0
        file = tmp_path / "outputs" / "poster" / found["id"] / "poster.png"
        assert size(file.read_bytes()) == (160, 120)
    finally:
        assert served.end() == 0
    served = Served(tmp_path, f"{GALLERY}:collage_of_csv", "--watch", "inbox/*.csv", "--http", "0")
    try:
        (tmp_path / "inbox" / "list.csv").write_text(CSV)
        start = served.waited_for(r"(collage-of-csv-\w+) begins")
        found = served.over(start)
        assert sorted(found["files"]) == ["collage.png", *sorted(PICTURES)]
        assert where(found["rejected"]) == REJECTED
    finally:
        assert served.end() == 0


@pytest.fixture
def command(made, index, monkeypatch):
    """The command line, with a deployment."""
    wheel(index, "numpy", importlib.metadata.version("numpy"), {})  # the bed has the real one

    def command(*arguments, code=0):
        ended = CliRunner().invoke(cli.main, [*arguments, "--function", "deployed"])
        assert ended.exit_code == code, (ended.output, ended.exception)
        return ended.output if code else ended.stdout

    monkeypatch.setenv("WRENLITE_BUCKET", BUCKET)
    made.run()
    return command


@pytest.mark.e2e
def test_a_poster_and_a_collage_are_published_on_aws(command, made, bed):
    bed.settings(concurrency=5)  # of which the drivers take two
    s3 = made.clients["s3"]
    s3.create_bucket(Bucket="fractals-of-a-user")
    refused = command("publish", f"{GALLERY}:collage_of_csv", "--http", "--yes", code=1)
    assert "collage_of_csv takes an ObjectEvent, and HTTP has none" in refused
    where_to = "--on", "s3://fractals-of-a-user/in/*.csv", "--to", "s3://fractals-of-a-user/out"
    command("publish", f"{GALLERY}:collage_of_csv", "--name", "collage", *where_to, "--yes")
    s3.put_object(Bucket="fractals-of-a-user", Key="in/list.csv", Body=CSV.encode())
    bed.wait_for_events(60)
    (start,) = json.loads(command("published", "collage", "--json"))["starts"]
    assert start["status"] == "done", start["error"]
    assert where(start["rejected"]) == REJECTED
    for file, expected in {**PICTURES, "collage.png": None}.items():
        body = s3.get_object(Bucket="fractals-of-a-user", Key=f"out/{start['id']}/{file}")["Body"].read()
        assert expected in (None, size(body))
    command("unpublish", "collage", "--yes")
    command("publish", f"{GALLERY}:poster", "--http", "--yes")
    told = command(
        "start",
        "poster",
        "palette=Hippi",
        "xpos=-0.7436",
        "ypos=0.1318",
        "radius=0.01",
        "width=160",
        "height=120",
        "--wait",
    )
    key = re.search(r"outputs/poster/poster-\w+", told)[0]
    body = s3.get_object(Bucket=BUCKET, Key=f"wrenlite/{key}/poster.png")["Body"].read()
    assert size(body) == (160, 120)
    assert "client_s" in told
    command("unpublish", "poster", "--yes")
