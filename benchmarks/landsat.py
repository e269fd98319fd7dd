"""NDVI of Landsat scenes beside rio-tiler, odc-stac and stackstac; requests to S3; memory; size of a layer.

The peers need other versions of packages than ``constraints.txt`` has, so they need a separate environment:
``pip install -e '.[bench-landsat,dev]'``, then ``python -m benchmarks.landsat [--side 7600] [PART...]``.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import wrenlite
from benchmarks.landsat_composites import composites
from benchmarks.landsat_peers import CONTESTANTS
from tests.aws.bed.remote import RemoteBed
from wrenlite.deploy import packages
from wrenlite.gallery.landsat import catalog, quality, tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.grid import (
    TILE,
    Window,
    windows,
)
from wrenlite.gallery.ndvi.reader import OPEN_FILES, GdalReader
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.places import PLACES

ROUNDS = 3
LATENCY_S = 0.020
BUCKET = "landsat"
MAX_DIFFERENCE = 1e-6
"""Largest difference of NDVI that is allowed between wrenlite and other programs."""


CASES = {
    "without quality bands": ("plain", False),
    "with quality bands": ("plain", True),
    "with quality bands, TIFF predictor 2": ("predictor 2", True),
}
"""Cases of the whole scene: the folder of its files, and whether quality bands are used."""
GOALS = (110, 90, 80)
"""Megapixels per second of CPU to reach in each case, on a machine where libdeflate alone reaches 140."""


def make_scene(folder: Path, side: int) -> Scene:
    """Write a synthetic scene, and return it without its quality bands.

    Args:
        folder: where to write it.
        side: pixels of each side.
    """
    archive.whole_scene(folder, side=side)
    return without_quality(catalog.stored(str(folder))[0])


def with_predictor(source: Path, target: Path) -> None:
    """Copy a scene, and encode its reflective bands with horizontal differencing."""
    import rasterio.shutil

    options = {"driver": "COG", "blocksize": 256, "compress": "DEFLATE", "overview_resampling": "NEAREST"}
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True)
        elif "_SR_B" in path.name:
            rasterio.shutil.copy(path, copy, predictor="STANDARD", **options)
        else:
            copy.write_bytes(path.read_bytes())


def without_quality(scene: Scene) -> Scene:
    """Return a scene without its quality bands."""
    return dataclasses.replace(scene, qa_pixel=None, qa_radsat=None)


def item_of(scene: Scene) -> dict[str, Any]:
    """Return the STAC item of a scene, with absolute paths."""
    folder = Path(scene.red).parent
    item = json.loads((folder / scene.product.file("SR_stac.json")).read_text())
    for asset in item["assets"].values():
        asset["href"] = str(folder / asset["href"])
    return item


def peak_mb(status: str = "") -> float:
    """Return the peak memory of a process; ``ru_maxrss`` would include the process that it was forked from.

    Args:
        status: text of ``/proc/PID/status``. Empty: that of this process.
    """
    text = status or Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) / 1024


def one_contestant(name: str, folder: str, quality_bands: bool) -> None:
    """Run one contestant in this process, and print the best of some rounds after a warm-up round as JSON."""
    scene = catalog.stored(folder)[0]
    if not quality_bands:
        scene = without_quality(scene)
    item, grid = item_of(scene), tasks.grid_of(scene)
    call = CONTESTANTS[name]
    times = []
    for _ in range(ROUNDS + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        mean = call(scene, item, grid)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(times[1:])
    peak = peak_mb()
    print(json.dumps({"cpu": cpu, "wall": wall, "mean": mean, "peak": peak}))


def whole(side: int) -> None:
    """Print speed and memory of each contestant on a whole scene, in every case.

    Args:
        side: pixels of a side of the scene.

    Raises:
        SystemExit: the means of two contestants differ.
    """
    print(f"\nWhole scene of {side} x {side}, red and near infrared, local files, windows of {TILE:,}")
    with tempfile.TemporaryDirectory() as folder:
        make_scene(Path(folder) / "plain", side)
        with_predictor(Path(folder) / "plain", Path(folder) / "predictor 2")
        for (title, (files, quality_bands)), goal in zip(CASES.items(), GOALS, strict=True):
            print(f"  {title} (goal {goal}, where libdeflate alone reaches 140)")
            print("    megapixels per second    of CPU   of wall   peak MB   mean NDVI")
            compare(Path(folder) / files, quality_bands, side * side / 1e6)
        if side > TILE:
            workers(Path(folder) / "plain")


def compare(folder: Path, quality_bands: bool, megapixels: float) -> None:
    """Print a row for each contestant, each of which runs in a process of its own.

    Raises:
        SystemExit: the means of two contestants differ.
    """
    means = {}
    for name in CONTESTANTS:
        command = [sys.executable, "-m", "benchmarks.landsat", "--one", name, "--folder", str(folder)]
        command += ["--quality"] * quality_bands
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"    {name:<20}  failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        per_cpu_s, per_wall_s = (megapixels / result[key] for key in ("cpu", "wall"))
        row = f"    {name:<20} {per_cpu_s:9.1f}  {per_wall_s:8.1f}  {result['peak']:8.0f}"
        print(f"{row}   {result['mean']:.6f}", flush=True)
        if not np.isnan(result["mean"]):
            means[name] = result["mean"]
    # The mean of the int16 tiles has the rounding of its pixels, which cancels out; that of floats is exact.
    if max(means.values()) - min(means.values()) > MAX_DIFFERENCE * 10:
        raise SystemExit(f"the means differ: {means}")


def workers(folder: Path) -> None:
    """Print the times of two workers and of two bare processes for the same tiles, measured in turns."""
    scene = without_quality(catalog.stored(str(folder))[0])
    tiles = windows(tasks.grid_of(scene))
    program = (
        "import sys, time\n"
        "from wrenlite.gallery.landsat import catalog, tasks\n"
        "from wrenlite.gallery.ndvi.grid import windows\n"
        "from benchmarks.landsat import without_quality\n"
        "scene = without_quality(catalog.stored(sys.argv[1])[0])\n"
        "half = windows(tasks.grid_of(scene))[int(sys.argv[2])::2]\n"
        "tasks.ndvi_tile(scene, half[0])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for window in half: tasks.ndvi_tile(scene, window)\n"
        "print('done', flush=True)\n"
    )

    def bare_processes_s() -> float:
        pair = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(folder), str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(2)
        ]
        for process in pair:
            process.stdout.readline()
        start = time.perf_counter()
        for process in pair:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in pair:
            process.stdout.readline()
        seconds = time.perf_counter() - start
        for process in pair:
            process.communicate()
        return seconds

    with wrenlite.Executor.local(2, progress=False) as executor:

        def map_s(call: Callable[[Window], object]) -> float:
            start = time.perf_counter()
            executor.map(call, tiles).results()
            return time.perf_counter() - start

        cases = {
            "tiles sent back": lambda window: tasks.ndvi_tile(scene, window),
            "statistics sent back": lambda window: tasks.ndvi_tile(scene, window).stats,
        }
        for call in cases.values():
            map_s(call)
        times = np.array([[bare_processes_s(), *map(map_s, cases.values())] for _ in range(4 * ROUNDS)])
    print(f"  two bare processes, nothing sent back        {np.median(times[:, 0]):.3f} s")
    for number, name in enumerate(cases, 1):
        ratio = np.median(times[:, 0] / times[:, number])
        print(f"  two workers, {name:<32}{np.median(times[:, number]):.3f} s, {ratio:.2f} of that speed")


def upload(folder: Path) -> None:
    """Copy all files of a folder to the bucket."""
    from botocore.session import Session

    client = Session().create_client("s3")
    client.create_bucket(Bucket=BUCKET)
    for file in folder.rglob("*"):
        if file.is_file():
            key = str(file.relative_to(folder))
            client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())


def over_s3() -> None:
    """Print requests, bytes and wall time of each kind of task on a bed with injected latency.

    The first task opens the files. The next one reads another window, for which they are still open, as in
    the public archive, whose objects are never replaced.
    """
    bed = RemoteBed()
    os.environ.update(bed.env)
    napa, reader = PLACES["napa"], GdalReader(lasting=frozenset([BUCKET]))
    with tempfile.TemporaryDirectory() as folder:
        local = make_scene(Path(folder), 4096)
        upload(Path(folder))
    scenes = [Scene.at(f"s3://{BUCKET}", local.product, quality=quality) for quality in (False, True)]

    def point(scene: Scene, _: int) -> object:
        return tasks.ndvi_point(scene, napa.lon, napa.lat, reader=reader)

    def tile(side: int) -> Callable[[Scene, int], object]:
        corners = [(row, column) for row in range(0, 4096, side) for column in range(0, 4096, side)]

        def read(scene: Scene, number: int) -> object:
            row, column = corners[number % len(corners)]
            return tasks.ndvi_tile(scene, Window(column, row, side, side), reader=reader)

        return read

    print(f"\nOver S3 (moto), {LATENCY_S * 1e3:.0f} ms per request; first task and next task of a scene")
    print(
        "                                    GETs    others        MB   wall ms      GETs        MB   wall ms"
    )
    calls = {"point": point} | {f"window of {side:,}": tile(side) for side in (512, 1024, 2048)}
    for name, call in calls.items():
        for scene in scenes:
            row = f"  {name:<16} {'4 bands' if scene.qa_pixel else '2 bands':<10}"
            for offset, before in ((0, OPEN_FILES.close), (1, lambda: None)):
                call(scene, 0)
                counts, sent, walls = {}, 0, []
                for number in range(3):
                    before()
                    bed.reset()
                    bed.settings(latency_s=LATENCY_S)
                    start = time.perf_counter()
                    call(scene, number + offset)
                    walls.append(time.perf_counter() - start)
                    bed.settings(latency_s=0.0)
                    counts, sent = bed.counts(), bed.sent()
                gets = counts.pop("GetObject", 0)
                others = "" if offset else f"{json.dumps(counts) if counts else 'none':>10}"
                row += f"  {gets:>8}{others}  {sent / 1e6:>8.2f}  {np.median(walls) * 1e3:>8.0f}"
            print(row, flush=True)
    bed.close()


def seasons() -> None:
    """Print the time for all points of the archive, and the error of the curves that are fitted to them."""
    from wrenlite.gallery.ndvi import series

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        root = archive.ensure_archive(Path(folder) / "archive")
        generated_s = time.perf_counter() - start
        size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
        scenes = catalog.stored(str(root))
        place_by_path = {f"{place.path:03}": place for place in PLACES.values()}
        items = [(scene, place_by_path[scene.product.path]) for scene in scenes]
        with wrenlite.Executor.local(2, progress=False) as executor:
            executor.map(lambda _: __import__("rasterio"), range(2), chunksize=1).results()
            start = time.perf_counter()
            job = executor.map(lambda item: tasks.ndvi_point(item[0], item[1].lon, item[1].lat), items)
            points = job.results()
            map_s = time.perf_counter() - start
        print(f"\nThe archive: {size / 1e6:.1f} MB, generated in {generated_s:.1f} s on one core")
        print(f"  {len(items)} points on two workers: {map_s:.2f} s")
        print("                      usable  from truth  RMSE of the curve  band covers")
        print("                                points    chosen  lam 3000     truth")
        for place in PLACES.values():
            here = [point for point, item in zip(points, items, strict=True) if item[1] is place]
            curve = series.smooth(here)
            days, values = curve.daily()
            error = values - [place.truth(day) for day in days]
            usable = [point for point in here if not point.masked]
            haze = np.mean([point.value - place.truth(point.date) for point in usable])
            low, high = curve.band(days)
            covered = np.mean((low - values < -error) & (-error < high - values))
            fixed = series.smooth(here, smoothing=3e3).at(days) - (values - error)
            rmse, of_fixed = (np.sqrt(np.mean(each**2)) for each in (error, fixed))
            counts = f"{len(usable):>3} of {len(here)}"
            print(
                f"  {place.name:<18}{counts}{haze:>12.4f}{rmse:>10.4f}{of_fixed:>10.4f}{covered:>10.0%}",
                flush=True,
            )


def memory() -> None:
    """Print the peak memory of a process that computes one tile of 2,048 x 2,048 with its quality bands."""
    with tempfile.TemporaryDirectory() as folder:
        make_scene(Path(folder), 2304)
        program = (
            "import sys\n"
            "from wrenlite.gallery.landsat import tasks\n"
            "from wrenlite.gallery.landsat.scene import Scene\n"
            "from wrenlite.gallery.ndvi.grid import Window\n"
            "tasks.ndvi_tile(Scene.at(*sys.argv[1:]), Window(0, 0, 2048, 2048))\n"
            "print(open('/proc/self/status').read())\n"
        )
        product = catalog.stored(folder)[0].product.id
        command = [sys.executable, "-c", program, folder, product]
        peak = peak_mb(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"\nPeak of a process with one tile of 2,048, four bands: {peak:.0f} MB")


def layer() -> None:
    """Print the size of the layer that wrenlite-setup uploads by default."""
    requirements = packages.choose((), python="3.13", architecture="x86_64").requirements
    built = packages.build(requirements, python="3.13", architecture="x86_64")
    print(
        f"\nA layer with {', '.join(requirements)}: {len(built.content) / 2**20:.0f} MB zipped,"
        f" {built.unpacked_bytes / 2**20:.0f} MB unzipped; limit {packages.UNPACKED_BYTES / 2**20:.0f} MB"
    )


def oracles() -> None:
    """Print the differences of every index from spyndex, and of NDVI from rio-tiler's expression.

    The pixels are real if the folder of real scenes exists on this machine, otherwise random.

    Raises:
        SystemExit: a difference is larger than 1e-6, which is a hundredth of the step of the int16 tiles.
    """
    import spyndex
    from rio_tiler.models import ImageData

    numbers, origin = some_pixels()
    reflectances = {name: band.astype(np.float64) * 2.75e-5 - 0.2 for name, band in numbers.items()}
    letters = {"blue": "B", "green": "G", "red": "R", "nir": "N", "swir2": "S2"}
    print(f"\nLargest differences on {origin}")
    for index in indices.INDICES.values():
        bands = {name: numbers[name] for name in index.bands}
        parameters = {letters[name]: reflectances[name] for name in index.bands}
        constants = {"L": 0.5 if index.name == "SAVI" else 1.0, "g": 2.5, "C1": 6.0, "C2": 7.5}
        theirs = {"spyndex": spyndex.computeIndex(index.name, parameters | constants)}
        if index is indices.NDVI:
            stack = np.ma.array(np.stack([reflectances["nir"], reflectances["red"]]))
            image = ImageData(stack, band_names=["b1", "b2"])
            theirs["rio-tiler's expression"] = image.apply_expression("(b1-b2)/(b1+b2)").array[0].data
        ours = indices.compute(index, bands, quality.LEVEL_2)
        usable = (quality.reasons(bands) == 0) & (ours >= index.low) & (ours <= index.high)
        for name, values in theirs.items():
            difference = np.abs(ours - values)[usable].max()
            print(f"  {index.name:<6}{name:<24}{difference:.1e} on {usable.sum():,} pixels")
            if not difference <= MAX_DIFFERENCE:  # NaN fails, too
                raise SystemExit(f"{index.name} differs from {name} by {difference:.1e}")


def some_pixels() -> tuple[dict[str, indices.DigitalNumbers], str]:
    """Return digital numbers by band, and where they are from."""
    import rasterio

    names = ("blue", "green", "red", "nir", "swir2")
    folder = Path(__file__).absolute().parents[2] / "shared" / "landsat" / "usgs-landsat"
    if not folder.is_dir():
        random = np.random.default_rng(0).integers(7_273, 43_637, (len(names), 300, 400), dtype=np.uint16)
        return dict(zip(names, random, strict=True)), "random pixels"
    scene = Scene.at(str(folder), "LC08_L2SP_218074_20190114_20200829_02_T1", quality=False)
    numbers = {}
    for name in names:
        with rasterio.open(scene.bands[name]) as file:
            numbers[name] = file.read(1)
    return numbers, "real pixels of Brumadinho"


PARTS = {
    "whole": whole,
    "s3": over_s3,
    "seasons": seasons,
    "memory": memory,
    "layer": layer,
    "oracles": oracles,
    "composites": composites,
}


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__ or ""))
    parser.add_argument("parts", nargs="*", help=f"benchmarks to run: {', '.join(PARTS)}; default: all")
    parser.add_argument("--side", type=int, default=7600, help="pixels of a side of the whole scene")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--quality", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one_contestant(arguments.one, arguments.folder, arguments.quality)
        return
    for name in arguments.parts or PARTS:
        if name == "whole":
            whole(arguments.side)
        else:
            PARTS[name]()


if __name__ == "__main__":
    main()
