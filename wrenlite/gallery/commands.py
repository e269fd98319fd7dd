"""``wrenlite demo``: the gallery on the command line."""

from __future__ import annotations

import importlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wrenlite import Executor
from wrenlite.backends.local import cpu_count
from wrenlite.display.console import json_option, print_json, print_report
from wrenlite.gallery.fractal_commands import buddhabrot, morph, pyramid, zoom
from wrenlite.gallery.fractal_options import (
    OriginalSpelling,
    julia_option,
    light_options,
    picture_file_option,
    picture_options,
    place_options,
    tasks_option,
)
from wrenlite.gallery.ndvi_command import ndvi
from wrenlite.gallery.options import (
    cost_data,
    count_option,
    executor_options,
    folder_option,
    open_executor,
    open_output,
    print_jobs,
    refuse_unused,
    seed_option,
    text_printer,
    without_given,
)
from wrenlite.storage.local import LocalStore
from wrenlite.texts import counted

if TYPE_CHECKING:
    from wrenlite.gallery.fractals.lsystems import Fractal
    from wrenlite.gallery.fractals.poster import Poster, Rendered, StepTime
    from wrenlite.gallery.fractals.scaling import ScalingStep


class _DemoGroup(click.Group):
    """A group of commands that runs the command ``all`` if no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``all`` in front of arguments that begin with an option other than ``--help``."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["all", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DemoGroup, epilog="Example: wrenlite demo --count 12 --out pictures")
def demo() -> None:
    """Draw fractals and satellite pictures in parallel.

    Without a command, "all" runs, and its options can follow directly: see
    wrenlite demo all --help.
    """


demo.add_command(zoom)
demo.add_command(morph)
demo.add_command(pyramid)
demo.add_command(buddhabrot)


@demo.command(
    "all",
    short_help="Draw random fractals and a poster, and compare times.",
    epilog="Example: wrenlite demo all --count 12 --out pictures",
)
@count_option(0)
@folder_option
@seed_option
@executor_options
@json_option
def everything(count: int, out: Path, seed: int, workers: int | None, aws: bool, as_json: bool) -> None:
    """Draw random fractals and a poster, first on one local core, for comparison.

    Then the same is drawn on all cores, or where --workers or --aws say.
    """
    if count == 0:
        refuse_unused(("seed",), "with --count 0")
    with open_executor(workers, aws) as executor, Executor.local(1, progress=False) as alone:
        from wrenlite.gallery.fractals import demo as fractals

        summary = fractals.run(executor, alone, count, seed, out, lambda line: click.echo(line, err=True))
    data = {
        "out": str(out),
        "pictures": summary.files,
        "one_core_s": summary.one_worker_s,
        "speed_up": summary.speed_up,
        "slowest_task": summary.slowest,
        "slowest_task_s": summary.slowest_s,
        "backend": summary.backend,
        "tasks": summary.tasks,
        "wall_s": summary.wall_s,
        "cpu_s": summary.cpu_s,
        "cost": cost_data(summary.cost),
    }
    rows = {
        "tasks": f"{summary.tasks}",
        "wall time": f"{summary.wall_s:.2f} s",
        "CPU time": f"{summary.cpu_s:.2f} s",
        "speed-up": f"{summary.speed_up:.2f} over one core here ({summary.one_worker_s:.2f} s)",
        "slowest task": f"{summary.slowest_s:.2f} s ({summary.slowest})",
        "pictures": f"{summary.files} in {out}/",
    }
    if summary.cost is not None:
        rows["cost"] = str(summary.cost)
    print_report(data, rows, as_json=as_json)


@demo.command(epilog="Example: wrenlite demo fractals --count 12 --out pictures")
@count_option(1)
@seed_option
@click.option(
    "--name", "names", metavar="NAME", multiple=True, help="Draw this fractal; may be given several times."
)
@click.option("--every", is_flag=True, help="Draw each known fractal once.")
@click.option(
    "--csv",
    "listing",
    metavar="FILE",
    type=click.File("rb"),
    help="Draw the rows of a CSV: name,iterations,size.",
)
@click.option(
    "--iterations",
    metavar="N",
    type=int,
    help="How fine the curve is, with --name or --every.  [default: that of the original program]",
)
@click.option(
    "--size",
    metavar="PX",
    type=int,
    default=640,
    show_default=True,
    help="Pixels per side, with --name or --every.",
)
@click.option(
    "--line-width",
    metavar="PX",
    type=float,
    help="Width of the line; with it, lines may run together.  [default: from the length of the steps]",
)
@click.option(
    "--palette", metavar="NAME", help="Colours along the curve, such as Hippi.  [default: a range of hues]"
)
@click.option(
    "--out",
    "--save",
    "out",
    default="demo",
    show_default=True,
    metavar="DIR|s3://BUCKET/PREFIX",
    help="Folder or bucket for the pictures; the workers write to the bucket.",
)
@executor_options
@json_option
def fractals(
    count: int,
    seed: int,
    names: tuple[str, ...],
    every: bool,
    listing: Any,
    out: str,
    workers: int | None,
    aws: bool,
    as_json: bool,
    **style: Any,
) -> None:
    """Draw L-system fractals, and a collage of them."""
    if (bool(names) + every + (listing is not None)) > 1:
        raise click.UsageError("--name, --every and --csv each choose what to draw: give only one of them")
    if names or every or listing is not None:
        refuse_unused(("count", "seed"), "with --name, --every or --csv")
    if not (names or every):
        refuse_unused(("iterations", "size"), "without --name or --every")
    print_text = text_printer(as_json)
    with open_executor(workers, aws) as executor:
        from wrenlite.gallery.fractals import batch

        chosen = _choose_fractals(count, seed, names, every, listing, **style)
        store, workers_write = open_output(out)
        future = batch.draw_batch(executor, chosen, store if workers_write else None)
        found = future.result()
        if not workers_write:
            for drawn in itertools.islice(future.job.values(), len(chosen)):
                store.put(drawn.file, drawn.png)
            store.put(batch.COLLAGE, found.collage)
        files = [f"{out.rstrip('/') or out}/{file}" for file in (*found.files, batch.COLLAGE)]
        for note in found.notes:
            click.echo(note, err=True)
        print_text("\n".join(files))
        print_jobs(executor, future.job, data={"files": files, "notes": found.notes}, as_json=as_json)


def _choose_fractals(
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
    """Return the fractals that the options describe. Raises ConfigError."""
    from wrenlite.gallery.fractals import listing as listings
    from wrenlite.gallery.fractals.colours import check_name
    from wrenlite.gallery.fractals.lsystems import SYSTEMS, Fractal, random_fractals

    if listing is not None:
        chosen = listings.parse(listing.read(), listing.name)
    elif names or every:
        named = [check_name("fractal", name, SYSTEMS) for name in names or SYSTEMS]
        depths = [SYSTEMS[name].iterations if iterations is None else iterations for name in named]
        chosen = [Fractal(name, depth, size) for name, depth in zip(named, depths, strict=True)]
    else:
        chosen = random_fractals(count, seed)
    return [replace(fractal, width=line_width, palette=palette) for fractal in chosen]


@demo.command(
    cls=OriginalSpelling, epilog="Example: wrenlite demo mandelbrot --palette Vivid --out vivid.png"
)
@place_options(
    "-0.00275 + 0.78912i, or a centre of the other sets",
    "0.125689, or that of the other sets",
    "Width of the picture in the plane, down to 1e-280.",
)
@julia_option
@click.option(
    "--set",
    "kind",
    metavar="NAME",
    default="mandelbrot",
    show_default=True,
    help="What is iterated: mandelbrot, burning-ship, or newton (roots of z^3 = 1).",
)
@picture_options("Hippi", 800, 1024, 768)
@light_options
@click.option(
    "--place",
    metavar="NAME",
    help="Draw a deep place with light: whirlpool, rosette or sunflower; other options replace its own.",
)
@picture_file_option("mandelbrot.png")
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits of each colour of a pixel; 16 only for .png.",
)
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the options that made this picture; those that are given replace them.",
)
@tasks_option("Number of tasks.")
@click.option("--estimate", is_flag=True, help="Only print what the picture will take, from a small preview.")
@click.option("--metrics", is_flag=True, help="Report the time of this process and of each warm worker.")
@click.option(
    "--scaling",
    is_flag=True,
    help="Also measure the time on 1, 2, 4 and more workers, and draw a figure beside the picture.",
)
@executor_options
@json_option
def mandelbrot(
    out: Path,
    like: Path | None,
    place: str | None,
    estimate: bool,
    metrics: bool,
    scaling: bool,
    workers: int | None,
    aws: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Draw a part of the Mandelbrot set or of another set.

    The commands of the original program, gobrot, also work here as they are spelled; their colours differ.
    """
    print_text, data = text_printer(as_json), dict[str, Any](files=[str(out)])
    with open_executor(workers, aws) as executor:
        from wrenlite.gallery.fractals import forecast as forecasts
        from wrenlite.gallery.fractals import picture_files, poster, poster_metrics

        parameters["bits"] = int(parameters["bits"])
        parameters |= without_given(_options_of_picture(like, place))
        tasks = parameters.pop("tasks")
        wanted = poster.PosterOptions(**parameters).poster()
        picture_files.check_outfile(out, wanted.view.width, wanted.view.height, wanted.bits)
        if scaling:
            importlib.import_module("wrenlite.gallery.fractals.scaling")  # refused now if it cannot draw
        expected, previewed = forecasts.forecast(executor.backend, wanted, tasks)
        if estimate:
            refuse_unused(("metrics", "scaling"), "with --estimate")
            return print_json(expected._asdict()) if as_json else click.echo(str(expected))
        if expected.long:
            click.echo(str(expected), err=True)
        slots = min(executor.backend.invoker.slots, tasks)
        if metrics:
            poster_metrics.warm_up(executor, wanted, slots)
        rendered = poster.render(executor, wanted, tasks, previewed)
        steps = _write_picture(rendered, wanted, tasks, out)
        print_text(str(out))
        if metrics:
            print_text(poster_metrics.metrics(rendered, wanted, steps))
            data["metrics"] = poster_metrics.metrics_data(rendered, wanted, steps)
        if scaling:
            most = slots if aws else workers or cpu_count()
            figure, measured, table = _measure_scaling(wanted, tasks, most, aws, out)
            print_text(f"{figure}\n{table}")
            data["files"].append(str(figure))
            data["scaling"] = [step._asdict() for step in measured]
        print_jobs(executor, rendered.job, data=data, as_json=as_json)


def _options_of_picture(like: Path | None, place: str | None) -> dict[str, Any]:
    """Return the options that made a picture, or those of a place. Raises ConfigError."""
    from wrenlite.gallery.fractals import picture_files, places

    if like is not None and place is not None:
        raise click.UsageError("--like and --place each choose what to draw: give only one of them")
    if like is not None:
        return picture_files.read_options(like)
    return {} if place is None else places.options_of_place(place)


def _write_picture(rendered: Rendered, wanted: Poster, tasks: int, out: Path) -> dict[str, StepTime]:
    """Colour a poster and write its file. Return the time of both steps."""
    from wrenlite.gallery.fractals import picture_files, poster

    start = poster.StepTime.now()
    click.echo(f"colouring {wanted.view.width:,} x {wanted.view.height:,} pixels", err=True)
    picture = poster.picture(rendered.field, wanted, surface=rendered.surface)
    coloured = poster.StepTime.now()
    click.echo(f"writing {out}", err=True)
    picture_files.save(picture, out, picture_files.options_of(wanted, tasks))
    return {"colour": coloured.since(start), "write": poster.StepTime.now().since(coloured)}


def _measure_scaling(
    wanted: Poster, tasks: int, most: int, aws: bool, out: Path
) -> tuple[Path, list[ScalingStep], str]:
    """Measure a poster on 1, 2, 4 and more workers, and draw a figure beside the picture.

    Returns:
        The file of the figure, the measurements, and a table of them.
    """
    from wrenlite.gallery.fractals import scaling

    def open_with(count: int) -> Executor:
        click.echo(f"measuring {counted(count, unit)}{' at once' if aws else ''}", err=True)
        if aws:
            return Executor.aws(max_concurrency=count, progress=False)
        return Executor.local(count, progress=False)

    unit = "request" if aws else "local worker"
    steps = scaling.measure_scaling(wanted, tasks, scaling.worker_counts(most), open_with)
    width, height = wanted.sampled.width, wanted.sampled.height
    title = f"{counted(tasks, 'task')}, {width:,} x {height:,} points"
    file = out.with_name(f"{out.stem}-scaling.png")
    png = scaling.scaling_png(steps, title, "requests at once" if aws else "local workers")
    LocalStore(file.parent).put(file.name, png)
    return file, steps, scaling.scaling_table(steps)


demo.add_command(ndvi)
