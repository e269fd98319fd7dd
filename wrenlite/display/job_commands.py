"""The commands that show the jobs in the journal."""

from __future__ import annotations

import json
import time

import click

from wrenlite.display import console
from wrenlite.durable.attach import attach
from wrenlite.durable.records import Counts, Event, JobRecord, find_job, in_words, jobs
from wrenlite.errors import KeeperDied
from wrenlite.texts import counted, duration, printable, sized

_POLL_S = 0.5
"""Seconds between two looks at a job that is followed."""
_MOST_ERRORS = 20
"""Errors of tasks that ``show`` prints; with ``--json`` all of them."""


def _document(job: JobRecord) -> dict[str, object]:
    """Return what is known of a job, for programs."""
    return {
        "id": job.id,
        "name": job.name,
        "backend": job.backend,
        "submitted": job.submitted,
        "state": job.state,
        **job.counts._asdict(),
        "seconds": round(job.seconds, 6),
        "dollars": job.dollars,
        "peak_bytes": job.peak_bytes,
    }


@click.command("jobs", short_help="List the jobs of this user.", epilog="Example: wrenlite jobs --last 10")
@click.option(
    "--last", type=click.IntRange(1), default=20, show_default=True, help="The most jobs that are listed."
)
@console.json_option
def list_jobs(last: int, *, as_json: bool) -> None:
    """List the jobs of this user on this machine, the newest first: those that run, and those that ended."""
    with console.errors_in_one_line():
        found = jobs(last)
        if as_json:
            console.print_json({"jobs": [_document(job) for job in found]})
        else:
            click.echo(repr(found))


@click.command(
    short_help="Show one job: its state, cost and errors.", epilog="Example: wrenlite show f-6f3791"
)
@click.argument("job")
@console.json_option
def show(job: str, *, as_json: bool) -> None:
    """Show what is known of a job. JOB is its id, or the beginning of it."""
    with console.errors_in_one_line():
        found = find_job(job)
        errors = found.errors()
    if as_json:
        texts = {str(task): text for task, text in errors.items()}
        console.print_json({**_document(found), "errors": texts})
        return
    rows = {
        "job": found.id,
        "backend": found.backend,
        "state": found.state,
        "tasks": in_words(found.counts),
        "time": duration(found.seconds),
        "files": str(found.path),
    }
    rows |= {} if found.dollars is None else {"cost": f"${found.dollars:.4f}"}
    rows |= {} if found.peak_bytes is None else {"memory": f"up to {sized(found.peak_bytes)} per worker"}
    console.print_table({name: printable(text) for name, text in rows.items()})
    for task, text in list(errors.items())[:_MOST_ERRORS]:
        click.echo(f"task {task}: {printable(text)}")
    if len(errors) > _MOST_ERRORS:
        click.echo(f"and {len(errors) - _MOST_ERRORS:,} more failed tasks; --json shows all")


@click.command(
    short_help="Show what happened in a job, and when.", epilog="Example: wrenlite events f-6f3791 --unified"
)
@click.argument("job")
@click.option("--unified", is_flag=True, help="Print all events in the order of time, not worker by worker.")
@console.json_option
def events(job: str, *, unified: bool, as_json: bool) -> None:
    """Print what happened in a job, in seconds from its start: for each worker, or in one list.

    JOB is its id, or the beginning of it.
    """
    with console.errors_in_one_line():
        found = find_job(job)
        happened = found.events()
    if as_json:
        console.print_json({"job": found.id, "events": [event._asdict() for event in happened]})
        return
    names = {worker: f"worker {number}" for number, worker in enumerate(_workers(happened))}
    if unified:
        for event in happened:
            click.echo(printable(_with_worker(event, names)))
        return
    for worker in ("", *names):
        own = [event for event in happened if event.worker == worker]
        if own:
            click.echo(f"{names[worker]} ({printable(worker)})" if worker else "job")
            click.echo("\n".join(printable(str(event)) for event in own))


@click.command(
    short_help="Show with which settings a job would have been cheaper or faster.",
    epilog="Example: wrenlite advice f-6f3791",
)
@click.argument("job")
@console.json_option
def advice(job: str, *, as_json: bool) -> None:
    """Show what a job would have taken and cost with other memory, batches or workers.

    JOB is its id, or the beginning of it.
    """
    with console.errors_in_one_line():
        found = find_job(job)
        advised = found.advice()
    if not as_json:
        click.echo(printable(repr(advised)))
        return
    named = {name: getattr(advised, name)._asdict() for name in ("present", "cheapest", "fastest")}
    settings = [each._asdict() for each in advised.settings]
    rest = {"computing": advised.computing, "notes": list(advised.notes)}
    console.print_json({"job": found.id, **named, "settings": settings, **rest})


def print_output(name: str, task: int | None, *, follow: bool, as_json: bool) -> None:
    """Print what the tasks of a job have written, as far as the journal has kept it.

    Args:
        name: the id of the job, or its beginning.
        task: a task; None: all.
        follow: go on until the job is over, or Ctrl-C.
        as_json: print one JSON object per task and line.
    """
    job, printed = find_job(name), 0
    while True:
        entries = job.output(task)
        for number, text in entries[printed:]:
            if as_json:
                click.echo(json.dumps({"task": number, "text": text}))
            else:
                click.echo(printable(text if task is not None else f"[task {number}]\n{text}").rstrip("\n"))
        printed = len(entries)
        if not follow or job.state != "running":
            break
        try:
            time.sleep(_POLL_S)
        except KeyboardInterrupt:
            return
        job = JobRecord(job.path)  # its state before its output, so that nothing is missed
    if not printed:
        what = f"task {task} of {job.id}" if task is not None else job.id
        click.echo(f"{what} has written nothing that the journal has kept.", err=True)


def _workers(happened: list[Event]) -> list[str]:
    """Return the workers in the order in which they were first used."""
    return list(dict.fromkeys(event.worker for event in happened if event.worker))


def _with_worker(event: Event, names: dict[str, str]) -> str:
    width = max(map(len, names.values()), default=0)
    time, rest = str(event)[:10], str(event)[10:]
    return f"{time}  {names.get(event.worker, ''):<{width}}{rest}"


@click.command(
    "attach", short_help="Follow a detached job until it is over.", epilog="Example: wrenlite attach f-6f3791"
)
@click.argument("job")
@click.option("--resume", is_flag=True, help="Where nobody runs the job any more, run what has not ended.")
@click.option("--retry-failed", is_flag=True, help="Run the tasks again that have failed or were cancelled.")
@console.json_option
def attach_to(job: str, *, resume: bool, retry_failed: bool, as_json: bool) -> None:
    """Follow a job that was started with detach=True until it is over. Ctrl-C leaves it running.

    JOB is its id, or the beginning of it. The exit code is 1 if tasks failed.
    """
    with console.errors_in_one_line():
        found = attach(job, resume=resume, progress=False)
        found = found.retry_failed() if retry_failed else found
    if not as_json:
        found._draw(asked=True)
    try:
        found.wait()
    except KeyboardInterrupt:
        click.echo(f"{found.id} goes on; wrenlite attach {found.id} follows it again.", err=True)
        raise SystemExit(130) from None
    now = found.snapshot()
    if any(isinstance(error, KeeperDied) for error in found.errors().values()):
        text = f"nobody runs {found.id} any more; wrenlite attach {found.id} --resume runs what is missing"
        click.echo(text, err=True)
    counts = Counts(now.total, now.done, now.failed, now.cancelled)
    if as_json:
        console.print_json({"id": found.id, "name": found.name, **counts._asdict(), "dollars": now.dollars})
    else:
        click.echo(f"{found.id}: {in_words(counts)}. In Python: wrenlite.attach({found.id!r}).results()")
    raise SystemExit(1 if now.failed else 0)


@click.command(short_help="Cancel a detached job.", epilog="Example: wrenlite cancel f-6f3791")
@click.argument("job")
@console.json_option
def cancel(job: str, *, as_json: bool) -> None:
    """Cancel the tasks of a detached job that have not ended. JOB is its id, or the beginning of it."""
    with console.errors_in_one_line():
        found = attach(job, progress=False)
        cancelled = found.cancel()
    if as_json:
        console.print_json({"id": found.id, "cancelled": cancelled})
    else:
        click.echo(f"{found.id}: {counted(cancelled, 'task')} cancelled.")


COMMANDS = (list_jobs, show, events, advice, attach_to, cancel)
