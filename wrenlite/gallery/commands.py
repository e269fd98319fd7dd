"""``wrenlite demo``: the gallery on the command line."""

from __future__ import annotations

import cmath
import contextlib
import importlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from wrenlite import Executor
from wrenlite.backends.factory import open_store
from wrenlite.backends.local import cpu_count
from wrenlite.display.console import clear_errors, table
from wrenlite.errors import AccessDenied, ConfigError
from wrenlite.gallery.checks import check_folder
from wrenlite.job import Job
from wrenlite.storage.base import Store
from wrenlite.storage.local import LocalStore

if TYPE_CHECKING:
    from wrenlite.gallery.fractals.lsystems import Fractal
    from wrenlite.gallery.fractals.poster import Poster

_Command = TypeVar("_Command", bound=Callable[..., Any])


_VIEW = {"xpos": "-0.00275", "ypos": "0.78912", "radius": "0.125689"}
"""What is shown where nothing else is asked for: the original program's defaults."""
_WHOLE = {"xpos": "0", "ypos": "0", "radius": "3.2"}
"""The same for Julia sets, which lie around 0."""


_NEEDS = {"gallery": ("numpy", "PIL"), "landsat": ("numpy", "PIL", "rasterio", "scipy", "matplotlib")}
"""What an extra installs, and the core does without."""
_DAY = click.DateTime(["%Y-%m-%d"])


class _Demos(click.Group):
    """Commands, of which ``all`` is the one that is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default in front of what is its own."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["all", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Demos)
def demo() -> None:
    """Fractals and satellite pictures, in parallel. Without a command: all."""


def _where(command: _Command) -> _Command:
    """The options that say where tasks run."""
    for option in (
        click.option("--aws", is_flag=True, help="Run on AWS Lambda."),
        click.option(
            "--workers", type=click.IntRange(min=1), help="Local worker processes; default: as configured."
        ),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def _ready(workers: int | None, aws: bool, extra: str = "gallery") -> Iterator[Executor]:
    """An executor where the configuration says, unless Lambda or so many local workers are asked for."""
    if aws and workers is not None:
        raise click.UsageError("--workers are local ones: not with --aws")
    with clear_errors():
        try:
            for package in _NEEDS[extra]:
                importlib.import_module(package)
        except ModuleNotFoundError as error:
            text = f"the demo needs {error.name}: pip install 'wrenlite[{extra}]'"
            raise click.ClickException(text) from error
        with _executor(workers, aws) as executor:
            yield executor


def _executor(workers: int | None, aws: bool) -> Executor:
    if aws:
        return Executor.aws()
    return Executor() if workers is None else Executor.local(workers)


_SEED = click.option(
    "--seed", type=int, default=7, show_default=True, help="The same seed, the same fractals."
)
_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the pictures.",
)


def _count(least: int) -> Callable[[_Command], _Command]:
    return click.option(
        "--count", type=click.IntRange(min=least), default=24, show_default=True, help="Random fractals."
    )


def _refuse_unused(options: Iterable[str], why: str) -> None:
    """Options that were given, and would be of no use."""
    source = click.get_current_context().get_parameter_source
    given = [name for name in options if source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"--{given[0]} is of no use {why}")


@demo.command("all")
@_count(0)
@_OUT
@_SEED
@_where
def everything(count: int, out: Path, seed: int, workers: int | None, aws: bool) -> None:
    """Random fractals and a Mandelbrot poster as one map, on one core and then on all."""
    with _ready(workers, aws) as executor, Executor.local(1, progress=False) as alone:
        from wrenlite.gallery.fractals import demo as fractals

        summary = fractals.run(executor, alone, count, seed, out, lambda line: click.echo(line, err=True))
    rows = {
        "tasks": f"{summary.tasks}",
        "wall time": f"{summary.wall_s:.2f} s",
        "CPU time": f"{summary.cpu_s:.2f} s",
        "speed-up": f"{summary.speed_up:.2f} over one core here ({summary.alone_s:.2f} s)",
        "slowest task": f"{summary.slowest_s:.2f} s ({summary.slowest})",
        "pictures": f"{summary.files} in {out}/",
    }
    if summary.cost is not None:
        rows["cost"] = str(summary.cost)
    table(rows)


@demo.command()
@_count(1)
@_SEED
@click.option("--name", "names", multiple=True, help="Draw this one, not random ones; again for more.")
@click.option("--every", is_flag=True, help="Draw each fractal there is once.")
@click.option("--csv", "listing", type=click.File("rb"), help="Draw a list with name,iterations,size.")
@click.option("--iterations", type=int, help="With --name and --every; default: the original's.")
@click.option("--size", type=int, default=640, show_default=True, help="Pixels, with --name and --every.")
@click.option("--line-width", type=float, help="Pixels; default: as suits the steps.")
@click.option("--palette", help="Colours along the path; default: a run of hues.")
@click.option(
    "--save",
    default="demo",
    show_default=True,
    help="Where the pictures go: a folder, or s3://BUCKET/PREFIX, which the workers write to.",
)
@_where
def fractals(
    count: int,
    seed: int,
    names: tuple[str, ...],
    every: bool,
    listing: Any,
    save: str,
    workers: int | None,
    aws: bool,
    **style: Any,
) -> None:
    """Draw L-system fractals, and a collage of them."""
    if (bool(names) + every + (listing is not None)) > 1:
        raise click.UsageError("--name, --every and --csv each say what to draw: take one of them")
    if names or every or listing is not None:
        _refuse_unused(("count", "seed"), "where --name, --every or --csv says what to draw")
    if not (names or every):
        _refuse_unused(("iterations", "size"), "without --name or --every")
    with _ready(workers, aws) as executor:
        from wrenlite.gallery.fractals import batch

        chosen = _choose(count, seed, names, every, listing, **style)
        store, leave_to_workers = _outputs(save)
        future = batch.draw_batch(executor, chosen, store if leave_to_workers else None)
        found = future.result()
        if not leave_to_workers:
            for drawn in itertools.islice(future.job.values(), len(chosen)):
                store.put(drawn.file, drawn.png)
            store.put(batch.COLLAGE, found.collage)
        for file in (*found.files, batch.COLLAGE):
            click.echo(f"{save.rstrip('/') or save}/{file}")
        _summarise(executor, future.job)


def _choose(
    count: int,
    seed: int,
    names: tuple[str, ...],
    every: bool,
    listing: Any,
    *,
    iterations: int | None,
    size: int,
    line_width: float | None,
    palette: str | None,
) -> list[Fractal]:
    """The fractals that the options describe. Raises ConfigError."""
    from wrenlite.gallery.fractals import listing as listings
    from wrenlite.gallery.fractals.colours import known
    from wrenlite.gallery.fractals.lsystems import SYSTEMS, Fractal, random_fractals

    if listing is not None:
        chosen = listings.parse(listing.read(), listing.name)
    elif names or every:
        named = [known("fractal", name, SYSTEMS) for name in names or SYSTEMS]
        depths = [SYSTEMS[name].iterations if iterations is None else iterations for name in named]
        chosen = [Fractal(name, depth, size) for name, depth in zip(named, depths, strict=True)]
    else:
        chosen = random_fractals(count, seed)
    return [replace(fractal, width=line_width, palette=palette) for fractal in chosen]


def _outputs(save: str) -> tuple[Store, bool]:
    """Where pictures go, and whether the workers put them there: a bucket is theirs, a folder is ours."""
    store = open_store(save)
    if not isinstance(store, LocalStore):
        with contextlib.suppress(AccessDenied):  # who may not list it may still be allowed to write
            next(store.list(""), None)  # a bucket that is not there is refused before anything runs
        return store, True
    check_folder(save)
    return store, False


def _summarise(executor: Executor, *jobs: Job) -> None:
    """What an executor's jobs took, one after the other."""
    for job in jobs:
        job.wait()
    stats = [task for job in jobs for task in job.stats()]
    rows = {
        "tasks": f"{len(stats)} on {executor.backend.name}",
        "wall time": f"{sum(job.snapshot().seconds for job in jobs):.2f} s",
        "CPU time": f"{sum(task.cpu_s or 0.0 for task in stats):.2f} s",
    }
    if executor.backend.prices:
        rows["cost"] = str(executor.cost)
    table(rows)


@demo.command()
@click.option(
    "--palette", default="Hippi", show_default=True, help="Such as Vivid; any wrong name lists all."
)
@click.option("--xpos", help=f"Of the centre, any number of digits; default: {_VIEW['xpos']}.")
@click.option("--ypos", help=f"Of the centre, up; default: {_VIEW['ypos']}.")
@click.option("--radius", help=f"Width in the plane, down to 1e-280; default: {_VIEW['radius']}.")
@click.option("--iters", type=click.IntRange(1, 65_535), default=800, show_default=True, help="At most.")
@click.option("--step", type=float, help="Iterations for one run through the palette; default: ever longer.")
@click.option("--smoothness", type=int, default=2, show_default=True, help="Points a pixel, each way.")
@click.option("--width", type=int, default=1024, show_default=True, help="Pixels.")
@click.option("--height", type=int, default=768, show_default=True, help="Pixels.")
@click.option("--julia", metavar="RE,IM", help="The Julia set of this number instead: --julia=-0.8,0.156.")
@click.option(
    "--outfile",
    type=click.Path(path_type=Path),
    default=Path("mandelbrot.png"),
    show_default=True,
    help="Where to: .png, .webp or .jpg.",
)
@click.option("--tasks", type=click.IntRange(1, 4096), default=64, show_default=True, help="Parts.")
@click.option("--metrics", is_flag=True, help="Say what this process and each worker took, once warm.")
@click.option("--scaling", is_flag=True, help="Measure on 1, 2, … local workers, too.")
@_where
def mandelbrot(
    outfile: Path,
    tasks: int,
    metrics: bool,
    scaling: bool,
    workers: int | None,
    aws: bool,
    **parameters: Any,
) -> None:
    """Draw a part of the Mandelbrot set, or a Julia set."""
    if scaling and aws:
        raise click.UsageError("--scaling measures local workers: not with --aws")
    with _ready(workers, aws) as executor:
        from wrenlite.gallery.fractals import measure, poster

        wanted = _poster(**parameters)
        poster.check_outfile(outfile, wanted.view)
        if metrics:
            measure.warm_up(executor, wanted, min(executor.backend.invoker.slots, tasks))
        rendered = poster.render(executor, wanted, tasks)
        start = time.perf_counter()
        picture = poster.picture(rendered.field, wanted)
        coloured = time.perf_counter()
        poster.save(picture, outfile)
        click.echo(str(outfile))
        if metrics:
            steps = {"colour": coloured - start, "write": time.perf_counter() - coloured}
            click.echo(measure.metrics(rendered, wanted, steps))
        if scaling:
            click.echo(measure.scaling(wanted, tasks, workers or cpu_count()))
        _summarise(executor, rendered.job)


def _poster(julia: str | None, palette: str, step: float | None, smoothness: int, **view: Any) -> Poster:
    """The picture that the options describe. Raises ConfigError."""
    from wrenlite.gallery.fractals.poster import Poster
    from wrenlite.gallery.fractals.view import View

    seed = None
    if julia is not None:
        try:
            real, imaginary = map(float, julia.split(","))
        except ValueError:
            raise ConfigError(f"--julia {julia!r}: two numbers, such as -0.8,0.156") from None
        seed = complex(real, imaginary)
        if not cmath.isfinite(seed):
            raise ConfigError(f"--julia {julia!r}: they must be finite")
    usual = _VIEW if seed is None else _WHOLE
    view |= {name: value for name, value in usual.items() if view[name] is None}
    return Poster(View(**view, seed=seed), palette, step, smoothness)


@demo.command()
@click.option("--place", default="napa", show_default=True, help="One of the archive's, or LON,LAT.")
@click.option(
    "--source",
    default="synthetic",
    show_default=True,
    help="synthetic, usgs, or a folder or s3://BUCKET/PREFIX with STAC items.",
)
@click.option("--start", type=_DAY, default="2021-01-01", show_default=True, help="First day.")
@click.option("--end", type=_DAY, default="2023-12-31", show_default=True, help="Last day.")
@click.option(
    "--cloud", type=click.FloatRange(0, 100), default=100, show_default=True, help="Percent, at most."
)
@click.option("--rows", type=click.IntRange(min=0), default=12, show_default=True, help="Scenes to list.")
@_OUT
@_where
def ndvi(
    place: str,
    source: str,
    start: datetime,
    end: datetime,
    cloud: float,
    rows: int,
    out: Path,
    workers: int | None,
    aws: bool,
) -> None:
    """NDVI of a place in all its Landsat scenes, and a map of the clearest."""
    with _ready(workers, aws, "landsat") as executor:
        from wrenlite.gallery import survey as landsat

        spot = landsat.Spot.parse(place)
        check_folder(out)
        scenes = landsat.find(executor, source, spot, start.date(), end.date(), cloud)
        found = landsat.survey(executor, spot, scenes, out)
        if found.synthetic:
            click.echo(landsat.NOTICE)
        click.echo(landsat.listing(found.points[:rows]))
        for note in found.notes:
            click.echo(note, err=True)
        for file in found.files:
            click.echo(str(file))
        _summarise(executor, *found.jobs)
