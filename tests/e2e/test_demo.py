"""``wrenlite demo`` as a user runs it."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from botocore.session import Session
from click.testing import CliRunner
from PIL import Image

from tests.terminals import Terminal
from wrenlite.cli import main
from wrenlite.cost import Cost
from wrenlite.gallery.fractals.palettes import PALETTES
from wrenlite.gallery.fractals.picture_files import encoded, options_of
from wrenlite.gallery.fractals.poster import PosterOptions

pytestmark = pytest.mark.e2e

COMMAND = str(Path(sys.executable).with_name("wrenlite"))


def run(*arguments, **options):
    env = {**os.environ, "WRENLITE_PROGRESS": "false", **options.pop("env", {})}
    command = [COMMAND, "demo", *" ".join(map(str, arguments)).split()]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, **options)


def report(*arguments, **options):
    """Run a command with --json, which must succeed, and return its report."""
    ended = run(*arguments, "--json", **options)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


USAGE = {"backend", "tasks", "wall_s", "cpu_s", "cost"}
"""What each report has."""


def pixels(file):
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def refused(arguments):
    """Run a command in this process, which is faster, and return its error message."""
    ended = CliRunner().invoke(main, ["demo", *arguments.split()])
    assert isinstance(ended.exception, SystemExit)
    assert ended.exit_code in (1, 2)
    return ended.stderr


def rows(text):
    return dict(re.split(r"\s{2,}", line) for line in text.splitlines() if re.search(r"\S\s{2,}\S", line))


def test_the_demo_writes_its_pictures_and_reports_its_times(tmp_path):
    ended = run("--count", "5", "--out", tmp_path / "out", "--workers", "2", "--seed", "3")
    assert ended.returncode == 0, ended.stderr
    said = rows(ended.stdout)
    assert set(said) == {"tasks", "wall time", "CPU time", "speed-up", "slowest task", "pictures"}
    assert said["tasks"] == "65"
    assert said["pictures"] == f"7 in {tmp_path / 'out'}/"
    pictures = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(pictures) == 7
    poster = pixels(tmp_path / "out" / "mandelbrot-poster.png")
    assert poster.shape == (900, 1600, 3)
    assert poster.std() > 30  # neither empty nor one colour


def test_the_demo_reports_as_json(tmp_path):
    found = report("all", "--count", "1", "--out", tmp_path, "--workers", "2")
    more = {"out", "pictures", "one_core_s", "speed_up", "slowest_task", "slowest_task_s"}
    assert set(found) == USAGE | more
    assert (found["out"], found["pictures"], found["tasks"]) == (str(tmp_path), 3, 61)
    assert (found["backend"], found["cost"]) == ("2 local workers", None)
    assert found["speed_up"] == pytest.approx(found["one_core_s"] / found["wall_s"])
    assert 0 < found["slowest_task_s"] < found["cpu_s"]


def test_the_same_seed_makes_the_same_pictures_by_either_name_of_the_option(tmp_path):
    for option, name in (("--out", "a"), ("--save", "b")):
        assert run("fractals", "--count", "2", option, tmp_path / name).returncode == 0
    files = list((tmp_path / "a").rglob("*.png"))
    assert len(files) == 3
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_the_demo_shows_its_progress_on_a_terminal(tmp_path):
    command = [COMMAND, "demo", "--count", "40", "--out", str(tmp_path), "--workers", "1"]
    with contextlib.closing(Terminal(command, 100)) as screen:
        screen.until(lambda lines: re.match(r"\d+ of 100 done \| render \| ", lines[-1]))
        rows = [line for line in screen.end() if " done " in line]
    assert [row[:27] for row in rows] == ["100 of 100 done | render | "]
    assert screen.child.exitstatus == 0


def test_fractals_of_a_list_are_named_in_its_order(tmp_path):
    (tmp_path / "list.csv").write_text("name,iterations,size\nmoore,3,64\ndragon,8,32\nmoore,2,64\n")
    ended = run("fractals", "--csv", "list.csv", "--out", "out/", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    files = [line for line in ended.stdout.splitlines() if line.endswith(".png")]
    assert files == [
        f"out/fractals/{name}.png" for name in ("moore_64", "dragon_32", "moore_64-2", "collage")
    ]
    assert [pixels(tmp_path / file).shape[0] for file in files[:3]] == [64, 32, 64]


def test_fractals_report_as_json(tmp_path):
    found = report("fractals", "--count", "2", "--out", tmp_path / "out", "--workers", "2")
    assert set(found) == USAGE | {"files", "notes"}
    assert found["notes"] == []
    assert set(found["files"]) == {str(file) for file in tmp_path.rglob("*.png")}
    assert found["files"][-1] == str(tmp_path / "out" / "fractals" / "collage.png")
    assert (found["backend"], found["tasks"], found["cost"]) == ("2 local workers", 3, None)


def test_a_curve_that_would_fill_its_picture_is_drawn_with_fewer_iterations(tmp_path):
    ended = run("fractals --name hilbert2 --size 128 --workers 1 --out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    note = "hilbert2 at 128 px is drawn with 3 iterations, not 4, whose lines would run together"
    assert note in ended.stderr
    as_asked = run("fractals --name hilbert2 --size 128 --line-width 1 --workers 1 --out", tmp_path / "out")
    assert "is drawn with" not in as_asked.stderr


def test_fractals_on_lambda_report_their_cost_as_json(bed, tmp_path):
    Session().create_client("s3").create_bucket(Bucket="reports")
    found = report("fractals", "--count", "1", "--out", "s3://reports", "--aws", cwd=tmp_path)
    assert found["files"][-1] == "s3://reports/fractals/collage.png"
    assert set(found["cost"]) == set(Cost._fields)
    assert found["cost"]["requests"] >= 2
    assert found["cost"]["dollars"] > 0


def test_workers_write_every_fractal_of_the_original_to_a_bucket(bed, tmp_path):
    Session().create_client("s3").create_bucket(Bucket="gallery")
    ended = run("fractals", "--every", "--size", "64", "--out", "s3://gallery/all", "--aws", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = Session().create_client("s3").list_objects_v2(Bucket="gallery")["Contents"]
    printed = [line for line in ended.stdout.splitlines() if line.endswith(".png")]
    assert len(printed) == 27
    assert {f"s3://gallery/{entry['Key']}" for entry in found} == set(printed)
    assert printed[0] == "s3://gallery/all/fractals/board_64.png"
    assert "cost" in rows(ended.stdout)
    assert not list(tmp_path.iterdir()), "no file on this machine"


def test_a_mandelbrot_with_the_options_of_the_original_and_its_metrics(tmp_path):
    names = "--palette Vivid --xpos -0.0091275 --ypos 0.7899912 --escape-radius .01401245"
    more = "--iters 200 --step 40 --smoothness 3 --width 96 --height 54 --outfile m.webp"
    reports = "--metrics --scaling --workers 2"
    ended = run("mandelbrot", names, more, reports, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    picture = pixels(tmp_path / "m.webp")
    assert picture.shape == (54, 96, 3)
    assert picture.std() > 10
    assert "colouring 96 x 54 pixels\nwriting m.webp\n" in ended.stderr
    steps = re.findall(r"^(plan|map|join|colour|write) +\d+\.\d{3} +\d+\.\d{3}$", ended.stdout, re.MULTILINE)
    assert steps == ["plan", "map", "join", "colour", "write"]
    workers = re.findall(
        r"^(\d+|all) +(\d+) +\d+\.\d\d +\d+\.\d\d +[\d,]+ +[\d,]+ +\S.*$", ended.stdout, re.MULTILINE
    )
    assert workers[-1][0] == "all"
    assert sum(int(tasks) for _, tasks in workers[:-1]) == int(workers[-1][1])
    assert re.search(r"leader: peak .* MB, sent tasks of .* KB, got counts of ", ended.stdout)
    assert pixels(tmp_path / "m-scaling.png").std() > 5
    assert re.search(r"^1 +\d+\.\d\d +1\.00 +100%\n2 +\d+\.\d\d +\d\.\d\d +\d+%$", ended.stdout, re.MULTILINE)


WIDE = "-smoothness 10 -width 1920 -height 1080"
ORIGINAL = [
    "",
    "-palette Hippi -xpos -0.0091275 -ypos 0.7899912 -radius .01401245 -file mandelbrot.png",
    "-palette Plan9 -xpos -0.0091275 -ypos 0.7899912 -radius .01401245 -file test2.png -iteration 600"
    " -step 600",
    f"-palette Vivid -xpos -0.00991275 -ypos 0.7899912 -radius .02401245 -file test3.png -step 600 {WIDE}",
    f"-palette Hippi -xpos -0.00275 -ypos 1.012 -radius .089999 -file test4.png -step 600 {WIDE}",
    f"-palette Hippi -xpos -0.00275 -ypos 0.78912 -radius .1256789 -file test5.png -step 6000 {WIDE}",
]
"""The arguments of the commands in the README of the original program, without some of their defaults."""


@pytest.mark.parametrize("arguments", ORIGINAL)
def test_the_commands_of_the_original_as_spelled_draw_rich_pictures(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRENLITE_BACKEND", "inline")
    small = "-smoothness=1 -width 160 -height 90"
    ended = CliRunner().invoke(main, ["demo", "mandelbrot", *f"{arguments} {small}".split()])
    assert ended.exit_code == 0, ended.output
    (file,) = tmp_path.iterdir()
    assert file.name == (re.findall(r"-file (\S+)", arguments) or ["mandelbrot.png"])[0]
    picture = pixels(file)
    assert picture.mean() > 70
    assert picture.std() > 40
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100  # of the 600 colours of one command


def test_a_mandelbrot_reports_as_json(tmp_path):
    few = "--width 64 --height 48 --iters 100 --tasks 6 --workers 2"
    found = report("mandelbrot", few, "--out", tmp_path / "m.png", "--metrics --scaling")
    assert set(found) == USAGE | {"files", "metrics", "scaling"}
    assert found["files"] == [str(tmp_path / "m.png"), str(tmp_path / "m-scaling.png")]
    assert found["metrics"]["received_bytes"] == 2 * 128 * 96  # two points per pixel each way, 16 bits each
    assert found["metrics"]["sent_bytes"] > 6 * 100
    assert found["metrics"]["client_peak_bytes"] > 10_000_000
    assert set(found["metrics"]["client_cpu_s"]) == set(found["metrics"]["client_s"])
    assert list(found["metrics"]["client_s"]) == ["plan", "map", "join", "colour", "write"]
    workers = found["metrics"]["workers"]
    assert set(workers[0]) == {"peak_bytes", "worker", "tasks", "busy_s", "cpu_s", "computed", "iterations"}
    assert sum(each["tasks"] for each in workers) == found["tasks"]
    first, second = found["scaling"]
    assert (first["workers"], first["speed_up"], first["efficiency"]) == (1, 1, 1)
    assert second["speed_up"] == pytest.approx(first["wall_s"] / second["wall_s"])
    assert second["efficiency"] == pytest.approx(second["speed_up"] / 2)
    assert set(report("mandelbrot", few, "--out", tmp_path / "m.png")) == USAGE | {"files"}


def test_a_buddhabrot_reports_as_json(tmp_path):
    few = "buddhabrot --width 48 --height 64 --samples 5000 --tasks 4 --workers 2"
    found = report(few, "--out", tmp_path / "b.png")
    assert set(found) == USAGE | {"files", "points"}
    assert (found["points"], found["tasks"]) == (20_000, 5)
    assert pixels(tmp_path / "b.png").std() > 20


def test_scaling_on_lambda_varies_the_requests_at_once(bed, tmp_path):
    few = "mandelbrot --aws --width 64 --height 48 --iters 100 --tasks 2 --metrics --scaling"
    found = report(few, "--out", tmp_path / "m.png")
    assert [step["workers"] for step in found["scaling"]] == [1, 2]
    assert found["metrics"]["workers"][0]["peak_bytes"] > 10_000_000
    assert pixels(tmp_path / "m-scaling.png").shape[1] > 1000


def test_other_sets_are_drawn(tmp_path):
    for name in ("newton", "burning-ship"):
        ended = run("mandelbrot --width 64 --height 48 --workers 1 --set", name, "--out", tmp_path / "s.png")
        assert ended.returncode == 0, ended.stderr
        assert pixels(tmp_path / "s.png").std() > 20


def test_a_mandelbrot_is_the_same_by_either_name_of_its_options(tmp_path):
    few = "mandelbrot --width 32 --height 24 --workers 2"
    for radius, iters, out in (("radius", "iters", "out"), ("escape-radius", "iterations", "outfile")):
        ended = run(few, f"--{radius} 0.02 --{iters} 150 --{out} {tmp_path / out}.png")
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "outfile.png").read_bytes()
    assert run(few, "--out", tmp_path / "usual.png").returncode == 0
    assert (tmp_path / "out.png").read_bytes() != (tmp_path / "usual.png").read_bytes()


def test_a_picture_is_made_again_from_its_file(tmp_path):
    few = "--width 48 --height 36 --iters 150 --radius 0.02 --tasks 3 --workers 2"
    assert run("mandelbrot", few, "--palette Wren --bits 16 --out", tmp_path / "first.png").returncode == 0
    assert run("mandelbrot --workers 1 --like first.png --out again.png", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "first.png").read_bytes()
    other = run("mandelbrot --like first.png --palette Vivid --bits 8 --out other.webp", cwd=tmp_path)
    assert other.returncode == 0, other.stderr
    assert pixels(tmp_path / "other.webp").shape == (36, 48, 3)
    assert run("mandelbrot --like other.webp --out twice.webp", cwd=tmp_path).returncode == 0
    assert (tmp_path / "twice.webp").read_bytes() == (tmp_path / "other.webp").read_bytes()


def test_a_zoom_and_a_morph_are_videos(tmp_path):
    few = "--width 64 --height 36 --fps 10 --seconds 1 --workers 2"
    found = report("zoom", few, "--radius 0.5 --iters 60 --out", tmp_path / "z.mp4")
    assert set(found) == USAGE | {"files", "frames", "bytes"}
    assert (found["tasks"], found["frames"]) == (2 * 4, 10)  # small keyframes first, for the colours
    assert found["bytes"] == (tmp_path / "z.mp4").stat().st_size
    ended = run("morph", few, "--out", tmp_path / "m.webm")
    assert ended.returncode == 0, ended.stderr
    assert f"encoding {tmp_path / 'm.webm'}" in ended.stderr
    assert f"{tmp_path / 'm.webm'}: 64 x 36, 1.0 s at 10 frames per second, 0.0 MB" in ended.stdout
    assert rows(ended.stdout)["tasks"] == "20 on 2 local workers"


def test_workers_write_a_pyramid_to_a_bucket(bed, tmp_path):
    Session().create_client("s3").create_bucket(Bucket="pyramids")
    small = "--width 600 --height 300 --iters 60 --smoothness 1 --name small"
    found = report("pyramid", small, "--out s3://pyramids/in", "--aws", cwd=tmp_path)
    assert found["files"] == ["s3://pyramids/in/small.dzi", "s3://pyramids/in/small.html"]
    objects = Session().create_client("s3").list_objects_v2(Bucket="pyramids")["Contents"]
    tiles = [entry["Size"] for entry in objects if "/small_files/" in entry["Key"]]
    assert (len(tiles), sum(tiles)) == (found["tiles"], found["bytes"]) == (12, found["bytes"])
    assert len(objects) == 12 + 2
    assert "give a bucket" in refused(f"pyramid {small} --out {tmp_path} --aws")


def test_a_julia_set_and_a_deep_zoom(tmp_path):
    few = "mandelbrot --width 48 --height 36 --iters 300 --smoothness 1 --out"
    julia = run(few, tmp_path / "j.png", "--julia=-0.8,0.156")
    # The orbit of 0 for c = i is bounded; around i the set has only thin branches.
    deep = run(few, tmp_path / "d.png", "--xpos 0 --ypos 1 --radius 1e-20")
    assert (julia.returncode, deep.returncode) == (0, 0), julia.stderr + deep.stderr
    assert pixels(tmp_path / "j.png").std() > 10
    assert pixels(tmp_path / "d.png").std() > 10


@pytest.mark.parametrize("command", ["mandelbrot", "zoom", "morph", "pyramid"])
def test_the_help_names_every_palette(command):
    said = " ".join(CliRunner().invoke(main, ["demo", command, "--help"]).output.split())
    (names,) = re.findall(r"Colours: (.*?) or (\w+)\.", said)
    assert {*names[0].split(", "), names[1]} == set(PALETTES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("fractals --name dragn", "did you mean dragon"),
        ("fractals --name dragon --palette hippy", "did you mean Hippi? there are AfternoonBlue, "),
        ("fractals --name dragon --iterations 30", "1 GB of memory"),
        ("fractals --name dragon --iterations -1", "iterations must be"),
        ("fractals --name dragon --size 0", "size must be"),
        ("fractals --name dragon --line-width 0", "width must be"),
        ("fractals --name dragon --every", "give only one of them"),
        ("fractals --name dragon --count 5", "--count has no effect"),
        ("fractals --size 100", "--size has no effect without --name"),
        ("fractals --out s3://Bad_Bucket/x", "s3://BUCKET/PREFIX"),
        ("fractals --count 0", "0: must be a whole number from 1"),
        ("fractals --out /proc/nowhere", "cannot write to /proc/nowhere"),
        ("fractals --save gopher://x", "s3://BUCKET/PREFIX"),
        ("mandelbrot --palette Fiest", "did you mean Fiesta"),
        ("mandelbrot --iters 0", "iters is 0: it must be 1 to 2,147,483,647"),
        ("mandelbrot --iters 2147483648", "iters is 2147483648: it must be 1 to 2,147,483,647"),
        ("mandelbrot --xpos nan", "xpos is"),
        ("mandelbrot --radius 0", "radius is 0"),
        ("mandelbrot --width 0", "width is 0"),
        ("mandelbrot --height -5", "height is -5"),
        ("mandelbrot --smoothness 0", "smoothness is 0"),
        ("mandelbrot --step nan", "'--step': 'nan': must be a whole number"),
        ("mandelbrot --julia 1", "two numbers"),
        ("mandelbrot --width 1000000 --height 1000000", "GB"),
        ("mandelbrot --out picture.txt", "must end in .png, .webp, .jpg"),
        ("mandelbrot --out picture", "must end in .png"),
        ("mandelbrot --width 20000 --height 1 --out m.webp", "at most 16,383 pixels"),
        ("mandelbrot --julia nan,0", "finite"),
        ("mandelbrot --outfile /proc/m.png", "cannot write to /proc: "),
        ("mandelbrot --outfile /nowhere/m.png", "/nowhere/m.png: there is no folder /nowhere. Make it first"),
        ("fractals --out /nowhere/new", "Error: cannot write to /nowhere/new: there is no folder /nowhere"),
        ("all --out /nowhere/new", "Error: cannot write to /nowhere/new: there is no folder /nowhere"),
        ("mandelbrot --like afile", "afile is not a PNG, WebP or JPEG file"),
        ("mandelbrot --like nowhere.png", "cannot read nowhere.png: No such file"),
        ("mandelbrot --bits 16 --out m.webp", "a .webp file has 8 bits per colour; .png has 16"),
        ("mandelbrot --bits 12", "'--bits'"),
        ("mandelbrot --xpos 5000", "xpos is 5000, ypos is 0.78912 and radius is 0.125689: the view reaches"),
        ("mandelbrot --out .png", ".png must end in .png, .webp, .jpg, .jpeg, after a name"),
        ("mandelbrot -pallete Vivid", "No such option '--pallete'. Did you mean '--palette'?"),
        ("pyramid --xpos 0 --ypos 0 --radius 1e-285 --width 100000", "less than 1e-290 apart"),
        ("all --count 0 --seed 3", "--seed has no effect with --count 0"),
        ("fractals --count 100000000", "100000000: must be a whole number from 1 to 10,000"),
        ("zoom --out zoom.gif", "zoom.gif must end in .mp4 or .webm"),
        ("zoom --out /nowhere/zoom.mp4", "there is no folder /nowhere"),
        ("zoom --width 641", "both must be even"),
        ("zoom --radius 5", "start is 4 and radius is 5: a zoom begins wider than it ends"),
        ("zoom --start x", "start is 'x': it must be a number"),
        ("zoom --xpos 0", "give both or neither"),
        ("zoom --seconds 0", "a video needs more than 0 seconds"),
        ("morph --seconds 1e9", "a video has 2 to 36,000 frames"),
        ("morph --scale nan", "scale is nan"),
        ("morph --palette Fiest", "did you mean Fiesta"),
        ("pyramid --xpos 0", "give all of them or none"),
        ("pyramid --name a/b", "name is 'a/b': it is the name of a file, without a folder"),
        ("pyramid --format gif", "format is 'gif': it must be one of jpg, png, webp"),
        ("pyramid --width 10000000 --height 1000000", "a pyramid has at most 2,000,000"),
        ("pyramid --out /nowhere/new", "there is no folder /nowhere"),
        ("pyramid --out afile", "cannot write to afile: afile is a file"),
        ("mandelbrot --set dragon", "no set is called 'dragon': there are burning-ship, mandelbrot, newton"),
        ("mandelbrot --step 1", "step is 1: it must be a whole number of colours, 2 or more"),
        ("mandelbrot --set newton --julia=0,1", "julia is 0,1: Newton's method has no Julia sets"),
        ("mandelbrot --set newton --step 5", "step is 5: it has no effect with newton, whose roots"),
        ("mandelbrot --like newton.png --step 5", "step is 5: it has no effect with newton, whose roots"),
        ("buddhabrot --width 4", "width is 4: it must be 16 to 8,192"),
        ("buddhabrot --out orbits.gif", "must end in .png"),
        ("mandelbrot --workers 2 --aws", "cannot be combined with --aws"),
        (
            "fractals --workers 10000000",
            "workers=10000000: must be at most 1,000, since each worker is a process",
        ),
        ("fractals --out afile", "cannot write to afile: afile is a file. Give the name of a folder"),
        ("ndvi --out afile", "cannot write to afile: afile is a file. Give the name of a folder"),
        ("all --out afile/in", "cannot write to afile/in: afile is a file. Give the name of a folder"),
        ("fractals --output x", "No such option '--output'. Did you mean '--out'?"),
        ("fractals --countt 3", "No such option '--countt'. Did you mean '--count'?"),
        ("fractals --nonsense x", "No such option '--nonsense'.\n"),
        ("fractals --count abc", "'--count': 'abc': must be a whole number from 1"),
        ("mandelbrot --tasks 5000", "'--tasks': 5000: must be a whole number from 1 to 4,096"),
        ("mandelbrot --step x", "'--step': 'x': must be a whole number"),
        ("ndvi --cloud 200", "'--cloud': 200.0: must be a number from 0 to 100"),
        ("ndvi --start 31.12.2021", "'--start': '31.12.2021': write it as 2021-12-31"),
        ("--out /proc/nowhere", "cannot write to /proc/nowhere"),
    ],
)
def test_impossible_options_are_refused_in_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("")
    newton = PosterOptions(kind="newton").poster()
    (tmp_path / "newton.png").write_bytes(encoded(Image.new("RGB", (4, 3)), ".png", options_of(newton, 64)))
    before = set(tmp_path.rglob("*.png"))
    assert words in refused(arguments)
    assert set(tmp_path.rglob("*.png")) == before, "nothing was drawn"


def test_a_refused_report_leaves_stdout_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["demo", "fractals", "--name", "dragn", "--json"])
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name,iterations\ndragon,8\n", "size"),
        (b"name,iterations,size\ndragon,8,64\nnope,1,64\nmoore,x,64\n", "line 3"),
        ("name,iterations,size\ndrägon,8,64\n".encode("latin-1"), "UTF-8"),
        (b"", "name,iterations,size"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(data, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_bytes(data)
    said = refused("fractals --csv list.csv")
    assert words in said
    assert "list.csv" in said
    assert not (tmp_path / "demo").exists()
