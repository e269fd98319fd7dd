"""``wrenlite demo zoom``, ``morph``, ``pyramid`` and ``buddhabrot``: videos, tiles and sums of pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wrenlite.display.console import json_option
from wrenlite.gallery.fractal_options import (
    Option,
    all_of,
    file_option,
    iters_option,
    julia_option,
    picture_file_option,
    picture_options,
    place_options,
    size_options,
    tasks_option,
)
from wrenlite.gallery.options import (
    executor_options,
    open_executor,
    open_output,
    print_jobs,
    text_printer,
)

if TYPE_CHECKING:
    from wrenlite.gallery.fractals.video import Clip


def _video_options(out: str) -> Option:
    """Return the options that all videos share, with their defaults."""
    return all_of(
        click.option(
            "--seconds",
            metavar="S",
            type=float,
            default=20.0,
            show_default=True,
            help="Length of the video.",
        ),
        click.option(
            "--fps", metavar="N", type=int, default=30, show_default=True, help="Frames per second."
        ),
        file_option(out, "File for the video: .mp4 (H.264) or .webm (VP9)."),
        executor_options,
        json_option,
    )


@click.command(epilog="Example: wrenlite demo zoom --radius 1e-6 --seconds 10 --out zoom.mp4")
@place_options(
    "a spiral in Seahorse Valley", "1e-10", "Width of the last frame in the plane, down to 1e-280."
)
@click.option(
    "--start",
    metavar="WIDTH",
    default="4",
    show_default=True,
    help="Width of the first frame in the plane.",
)
@picture_options("Wren", 2000, 1280, 720)
@_video_options("zoom.mp4")
def zoom(
    xpos: str | None,
    ypos: str | None,
    start: str,
    radius: str,
    seconds: float,
    fps: int,
    out: Path,
    workers: int | None,
    aws: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Draw a video of a zoom into the Mandelbrot set.

    Only keyframes are computed, each by one task; the frames between them are made of two.
    """
    if (xpos is None) != (ypos is None):
        raise click.UsageError("--xpos and --ypos are a place together: give both or neither")

    def clip() -> Clip:
        from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
        from wrenlite.gallery.fractals.poster import PosterOptions
        from wrenlite.gallery.fractals.video import Zoom

        place = (str(DEEP_VIEW.xpos), str(DEEP_VIEW.ypos)) if xpos is None or ypos is None else (xpos, ypos)
        last = PosterOptions(xpos=place[0], ypos=place[1], radius=radius, **parameters).poster()
        return Zoom(last, seconds, fps, start)

    _record(clip, out, workers, aws, as_json)


@click.command(epilog="Example: wrenlite demo morph --seconds 10 --out morph.mp4")
@click.option(
    "--scale",
    metavar="SIZE",
    type=float,
    default=1.05,
    show_default=True,
    help="Size of the path of the numbers, as a multiple of the Mandelbrot set's cardioid.",
)
@click.option(
    "--radius",
    metavar="WIDTH",
    default="3.2",
    show_default=True,
    help="Width of the frames in the plane.",
)
@picture_options("Wren", 300, 1280, 720)
@_video_options("morph.mp4")
def morph(
    scale: float,
    radius: str,
    seconds: float,
    fps: int,
    out: Path,
    workers: int | None,
    aws: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Draw a video of changing Julia sets.

    They change from one to the next, and end as they began.
    """

    def clip() -> Clip:
        from wrenlite.gallery.fractals.poster import PosterOptions
        from wrenlite.gallery.fractals.video import Morph

        first = PosterOptions(julia="0,0", radius=radius, **parameters).poster()
        return Morph(first, seconds, fps, scale)

    _record(clip, out, workers, aws, as_json)


def _record(clip: Callable[[], Clip], out: Path, workers: int | None, aws: bool, as_json: bool) -> None:
    """Write a video, and print where it is, how large it is, and what its job took.

    Args:
        clip: returns what the video shows; it is called where the packages are known to be there.
        out: the file.
        workers: the value of ``--workers``.
        aws: the value of ``--aws``.
        as_json: print the report as JSON.
    """
    with open_executor(workers, aws, "video") as executor:
        from wrenlite.gallery.fractals import encoder, video

        wanted = clip()
        encoder.check_video_file(out, *wanted.size)
        with click.progressbar(length=wanted.count, label=f"encoding {out}", file=sys.stderr) as bar:
            made = video.record(executor, wanted, out, lambda frames: bar.update(1))
        text_printer(as_json)(f"{out}: {made.facts}")
        data = {"files": [str(out)], "frames": made.frames, "bytes": made.size_bytes}
        print_jobs(executor, *made.jobs, data=data, as_json=as_json)


@click.command(epilog="Example: wrenlite demo pyramid --name seahorses --out s3://bucket/sets")
@place_options("Seahorse Valley", "that of the place")
@julia_option
@picture_options("Wren", 1000, 8192, 8192)
@click.option("--name", metavar="NAME", default="mandelbrot", show_default=True, help="Name of the files.")
@click.option(
    "--format",
    metavar="NAME",
    default="jpg",
    show_default=True,
    help="Format of the tiles: jpg, png or webp.",
)
@click.option(
    "--out",
    default="demo",
    show_default=True,
    metavar="DIR|s3://BUCKET/PREFIX",
    help="Folder or bucket for the tiles, which the workers write.",
)
@executor_options
@json_option
def pyramid(
    name: str,
    format: str,
    out: str,
    workers: int | None,
    aws: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Draw a picture of any size as tiles.

    It is a Deep Zoom Image: tiles of all levels, and a page that shows them in a browser.
    """
    place = ("xpos", "ypos", "radius")
    given = [each for each in place if parameters[each] is not None]
    if given and len(given) < len(place):
        raise click.UsageError("--xpos, --ypos and --radius are a place together: give all of them or none")
    with open_executor(workers, aws) as executor:
        from wrenlite.gallery.fractals import pyramid as pyramids
        from wrenlite.gallery.fractals.demo import POSTER
        from wrenlite.gallery.fractals.poster import PosterOptions

        if not given and parameters["julia"] is None:
            parameters |= {each: str(getattr(POSTER.view, each)) for each in place}
        wanted = pyramids.Pyramid(PosterOptions(**parameters).poster(), name, format)
        store, _ = open_output(out)
        job = pyramids.start_pyramid(executor, wanted, store)
        written = sum(job.results())
        files = [f"{out.rstrip('/') or out}/{file}" for file in pyramids.finish(wanted, store)]
        text_printer(as_json)("\n".join(files))
        data = {"files": files, "tiles": wanted.count, "bytes": written}
        print_jobs(executor, job, data=data, as_json=as_json)


@click.command(epilog="Example: wrenlite demo buddhabrot --tasks 256 --out buddhabrot.png")
@size_options(768, 1024)
@iters_option(5000, "Length of the longest orbits, 200 or more.")
@click.option(
    "--samples",
    metavar="N",
    type=int,
    default=250_000,
    show_default=True,
    help="Random points per task.",
)
@tasks_option("Number of tasks; four times as many halve the noise.")
@click.option(
    "--seed",
    metavar="N",
    type=int,
    default=7,
    show_default=True,
    help="Seed of the random points: same seed and tasks, same picture.",
)
@picture_file_option("buddhabrot.png")
@executor_options
@json_option
def buddhabrot(
    tasks: int, out: Path, workers: int | None, aws: bool, as_json: bool, **parameters: int
) -> None:
    """Draw the Buddhabrot, the orbits of points that escape.

    Each task draws random points, and the picture is the sum of the images of all tasks.
    """
    with open_executor(workers, aws) as executor:
        from wrenlite.gallery.fractals import buddhabrot as orbits
        from wrenlite.gallery.fractals.picture_files import check_outfile, save

        wanted = orbits.Buddhabrot(**parameters)
        check_outfile(out, wanted.width, wanted.height)
        future = orbits.render(executor, wanted, tasks)
        save(orbits.picture(future.result()), out)
        text_printer(as_json)(str(out))
        data = {"files": [str(out)], "points": tasks * wanted.samples}
        print_jobs(executor, future.job, data=data, as_json=as_json)
