"""NDVI of Landsat scenes beside rio-tiler, odc-stac and stackstac; requests over S3; memory; a layer's size.

The peers want other versions than ours are pinned to, so in an environment of its own:
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
from benchmarks.landsat_peers import CONTESTANTS
from tests.aws.bed.remote import RemoteBed
from wrenlite.deploy import packages
from wrenlite.gallery.landsat import catalog, tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.grid import (
    TILE,
    Window,
    windows,
)
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.places import PLACES

ROUNDS = 3
LATENCY_S = 0.020
BUCKET = "landsat"
AGREED = 1e-6
"""NDVI by which the oracles may differ."""


def made(folder: Path, side: int) -> Scene:
    """A scene of so many pixels a side, without its quality bands: the peers would not read them."""
    archive.whole_scene(folder, side=side)
    return plain(catalog.stored(str(folder))[0])


def plain(scene: Scene) -> Scene:
    return dataclasses.replace(scene, qa_pixel=None, qa_radsat=None)


def item_of(scene: Scene) -> dict[str, Any]:
    """Its STAC item, with whole paths."""
    folder = Path(scene.red).parent
    item = json.loads((folder / scene.product.file("SR_stac.json")).read_text())
    for asset in item["assets"].values():
        asset["href"] = str(folder / asset["href"])
    return item


def peak_mb(status: str = "") -> float:
    """The most memory that a process had; ``ru_maxrss`` would count what it was forked from."""
    told = status or Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", told)[0]) / 1024


def one(name: str, folder: str) -> None:
    """One contestant, for a process of its own: the best of some rounds after one to warm up."""
    scene = plain(catalog.stored(folder)[0])
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
    """A whole scene, each contestant beside the others."""
    print(f"\nWhole scene of {side} x {side}, red and near infrared, local files, windows of 2,048")
    print("  megapixels a second      of CPU   of wall   peak MB   mean NDVI")
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), side)
        for name in CONTESTANTS:
            command = [sys.executable, "-m", "benchmarks.landsat", "--one", name, "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"  {name:<22}  failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            told = json.loads(done.stdout.splitlines()[-1])
            cpu, wall = (side * side / 1e6 / told[what] for what in ("cpu", "wall"))
            print(
                f"  {name:<22} {cpu:8.1f}  {wall:8.1f}  {told['peak']:8.0f}   {told['mean']:.6f}", flush=True
            )
        if side > TILE:
            workers(Path(folder))


def workers(folder: Path) -> None:
    """Two workers beside two bare processes on the same tiles, in turns; the median of the ratios."""
    scene = plain(catalog.stored(str(folder))[0])
    tiles = windows(tasks.grid_of(scene))
    program = (
        "import sys, time\n"
        "from wrenlite.gallery.landsat import catalog, grid, tasks\n"
        "import benchmarks.landsat as here\n"
        "scene = here.plain(catalog.stored(sys.argv[1])[0])\n"
        "mine = grid.windows(tasks.grid_of(scene))[int(sys.argv[2])::2]\n"
        "tasks.ndvi_tile(scene, mine[0])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for window in mine: tasks.ndvi_tile(scene, window)\n"
        "print('done', flush=True)\n"
    )

    def theirs() -> float:
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
        took = time.perf_counter() - start
        for process in pair:
            process.communicate()
        return took

    with wrenlite.Executor.local(2, progress=False) as executor:

        def ours(call: Callable[[Window], object]) -> float:
            start = time.perf_counter()
            executor.map(call, tiles).results()
            return time.perf_counter() - start

        cases = {
            "tiles sent back": lambda window: tasks.ndvi_tile(scene, window),
            "statistics sent back": lambda window: tasks.ndvi_tile(scene, window).stats,
        }
        for call in cases.values():
            ours(call)
        times = np.array([[theirs(), *map(ours, cases.values())] for _ in range(4 * ROUNDS)])
    print(f"  two bare processes, nothing sent back        {np.median(times[:, 0]):.3f} s")
    for number, name in enumerate(cases, 1):
        ratio = np.median(times[:, 0] / times[:, number])
        print(f"  two workers, {name:<32}{np.median(times[:, number]):.3f} s, {ratio:.2f} of their speed")


def upload(folder: Path) -> None:
    from botocore.session import Session

    client = Session().create_client("s3")
    client.create_bucket(Bucket=BUCKET)
    for file in folder.rglob("*"):
        if file.is_file():
            key = str(file.relative_to(folder))
            client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())


def over_s3() -> None:
    """GETs, bytes and wall time of each task over a server that takes its time."""
    bed = RemoteBed()
    os.environ.update(bed.env)
    napa = PLACES["napa"]
    with tempfile.TemporaryDirectory() as folder:
        local = made(Path(folder), 4096)
        upload(Path(folder))
    scene = Scene.at(f"s3://{BUCKET}", local.product, quality=False)
    full = Scene.at(f"s3://{BUCKET}", local.product)
    cases: dict[str, Callable[[Scene], object]] = {
        "point": lambda scene: tasks.ndvi_point(scene, napa.lon, napa.lat)
    }
    for side in (512, 1024, 2048):
        window = Window(1024, 1024, side, side)
        cases[f"window of {side:,}"] = lambda scene, window=window: tasks.ndvi_tile(scene, window)
    print(f"\nOver S3 (moto), {LATENCY_S * 1e3:.0f} ms a request; red and infrared, then quality bands too")
    print("                        GETs    others       MB   wall ms     GETs       MB   wall ms")
    for name, call in cases.items():
        row = f"  {name:<18}"
        for which in (scene, full):
            call(which)
            bed.reset()
            call(which)
            counts, sent = bed.counts(), bed.sent()
            bed.settings(latency_s=LATENCY_S)
            walls = []
            for _ in range(5):
                start = time.perf_counter()
                call(which)
                walls.append(time.perf_counter() - start)
            gets = counts.pop("GetObject", 0)
            others = f"{json.dumps(counts) if counts else 'none':>10}" if which is scene else ""
            row += f"  {gets:>8}{others}  {sent / 1e6:>7.2f}  {np.median(walls) * 1e3:>8.0f}"
        print(row, flush=True)
    bed.close()


def seasons() -> None:
    """All points of the archive, and how well the curves recover the truth."""
    from wrenlite.gallery.ndvi import series

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        root = archive.archive(Path(folder) / "archive")
        generated = time.perf_counter() - start
        size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
        scenes = catalog.stored(str(root))
        spots = {f"{place.path:03}": place for place in PLACES.values()}
        work = [(scene, spots[scene.product.path]) for scene in scenes]
        with wrenlite.Executor.local(2, progress=False) as executor:
            executor.map(lambda _: __import__("rasterio"), range(2), chunksize=1).results()
            start = time.perf_counter()
            found = executor.map(lambda pair: tasks.ndvi_point(pair[0], pair[1].lon, pair[1].lat), work)
            found.results()
            took = time.perf_counter() - start
        print(f"\nThe archive: {size / 1e6:.1f} MB, generated in {generated:.1f} s on one core")
        print(f"  {len(work)} points on two workers: {took:.2f} s")
        for place in PLACES.values():
            mine = [value for value, pair in zip(found.results(), work, strict=True) if pair[1] is place]
            days, curve = series.smooth(mine).daily()
            off = curve - [place.truth(day) for day in days]
            usable = sum(not np.isnan(point.value) for point in mine)
            rmse = np.sqrt(np.mean(off**2))
            print(f"  {place.name:<18}{usable:>3} of {len(mine)} usable, RMSE of the curve {rmse:.4f}")


def memory() -> None:
    """The peak of a process that does one tile of 2,048 with its quality bands."""
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), 2304)
        program = (
            "import sys\n"
            "from wrenlite.gallery.landsat import grid, tasks\n"
            "from wrenlite.gallery.landsat.scene import Scene\n"
            "tasks.ndvi_tile(Scene.at(*sys.argv[1:]), grid.Window(0, 0, 2048, 2048))\n"
            "print(open('/proc/self/status').read())\n"
        )
        product = catalog.stored(folder)[0].product.id
        command = [sys.executable, "-c", program, folder, product]
        peak = peak_mb(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"\nPeak of a process with one tile of 2,048, four bands: {peak:.0f} MB")


def layer() -> None:
    """The layer that wrenlite-setup uploads unless told otherwise: the same packages, by the same builder."""
    wanted = packages.choose((), python="3.13", architecture="x86_64").requirements
    built = packages.build(wanted, python="3.13", architecture="x86_64")
    print(
        f"\nA layer with {', '.join(wanted)}: {len(built.content) / 2**20:.0f} MB zipped,"
        f" {built.unpacked_bytes / 2**20:.0f} unzipped, of {packages.UNPACKED_BYTES / 2**20:.0f}"
    )


def oracles() -> None:
    """NDVI beside spyndex and rio-tiler's expression, on real pixels where they are, else on random ones.

    Exits with an error where one is further off than 1e-6, a hundredth of what the int16 tiles can tell.
    """
    import spyndex
    from rio_tiler.models import ImageData

    folder = Path(__file__).absolute().parents[2] / "shared" / "landsat" / "usgs-landsat"
    if folder.is_dir():
        import rasterio

        product = "LC08_L2SP_218074_20190114_20200829_02_T1"
        scene, what = Scene.at(str(folder), product, quality=False), "real pixels of Brumadinho"
        with rasterio.open(scene.red) as red_file, rasterio.open(scene.nir) as nir_file:
            red, nir = red_file.read(1), nir_file.read(1)
    else:
        red, nir = np.random.default_rng(0).integers(0, 65536, (2, 300, 400), dtype=np.uint16)
        what = "random pixels"
    good = indices.usable(red, nir)
    mine = indices.ndvi(red, nir)[good]
    scaled = [band.astype(np.float64) * 2.75e-5 - 0.2 for band in (red, nir)]
    theirs = spyndex.computeIndex("NDVI", {"R": scaled[0], "N": scaled[1]})[good]
    image = ImageData(np.ma.array(np.stack(scaled)), band_names=["b1", "b2"])
    tiler = image.apply_expression("(b2-b1)/(b2+b1)").array[0].data[good]
    print(f"\nLargest differences on {good.sum():,} {what}")
    for name, other in (("spyndex", theirs), ("rio-tiler's expression", tiler)):
        off = np.abs(mine - other).max()
        print(f"  {name:<24}{off:.1e}")
        if not off <= AGREED:  # nor NaN
            raise SystemExit(f"NDVI is {off:.1e} off {name}'s: more than {AGREED:.0e}")


PARTS = {
    "whole": whole,
    "s3": over_s3,
    "seasons": seasons,
    "memory": memory,
    "layer": layer,
    "oracles": oracles,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__ or ""))
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--side", type=int, default=7600, help="pixels of the whole scene")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one, arguments.folder)
        return
    for name in arguments.parts or PARTS:
        if name == "whole":
            whole(arguments.side)
        else:
            PARTS[name]()


if __name__ == "__main__":
    main()
