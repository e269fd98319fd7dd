"""The command ``wrenlite serve``."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from wrenlite.config import Config
from wrenlite.display.console import errors_in_one_line
from wrenlite.durable.places import journal_folder
from wrenlite.errors import BadInput, ConfigError, PackageMissing, WrenliteError
from wrenlite.serving import code, events, parameters, publication
from wrenlite.serving.local import LocalStarts, keep_time
from wrenlite.serving.publication import Every, Http, Objects, Publication, Trigger
from wrenlite.serving.watch import watch
from wrenlite.texts import counted, printable

_PACKAGES = ("starlette", "uvicorn", "watchfiles")
"""Packages of the extra ``serve``."""
_SAME_SIGNAL_S = 1.0


@click.command(
    short_help="Run a function here for each request, file or time.",
    epilog="Example: wrenlite serve wrenlite.gallery.fractals.deployed:poster --http 8000",
)
@click.argument("target", metavar="MODULE:FUNCTION")
@click.option(
    "--http",
    "port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Run it for each POST to /start, and show pages with all starts. 0 takes a free port.",
)
@click.option(
    "--watch", "folder", metavar="FOLDER[/PATTERN]", help="Run it for each file, such as inbox/*.csv."
)
@click.option(
    "--every", metavar="RATE", help='Run it at each time, such as "15 minutes", counted from 00:00 UTC.'
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on, with --http: here by default.",
)
@click.option(
    "--to", "outputs", metavar="FOLDER", help="Where each start has its folder.  [default: outputs/NAME]"
)
@click.option("--name", help="Name of the job, with which ids begin.  [default: from the function's]")
@click.option(
    "--at-once",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Starts that run at the same time.",
)
@click.option(
    "--state", metavar="FOLDER", help="Where the records of starts are.  [default: that of the journal]"
)
def serve(
    target: str,
    port: int | None,
    folder: str | None,
    every: str | None,
    host: str,
    outputs: str | None,
    name: str | None,
    at_once: int,
    state: str | None,
) -> None:
    """Run a function here for each request, file or time, as wrenlite publish does it on AWS.

    Each start runs in a process of its own, in which Executor() has the workers that are configured, and has
    a folder of its own for its files. Ctrl-C ends all of it.
    """
    if port is None and folder is None and every is None:
        raise click.UsageError("give at least one of --http, --watch and --every")
    if port is None and host != "127.0.0.1":
        raise click.UsageError("--host is for --http")
    with errors_in_one_line():
        _check_packages()
        sys.path.insert(0, os.getcwd())
        function = code.find_function(target)
        triggers = _triggers(port, folder, every)
        for on in triggers:
            if not isinstance(on, Http) or len(triggers) == 1:
                events.check_call(function, on)
        packed = code.pack(function)
        job = name or publication.default_name(target)
        publication.check_name(job)
        place = os.path.abspath(os.path.expanduser(outputs or os.path.join("outputs", job)))
        published = [Publication(job, on, target, *packed.digests, place) for on in triggers]
        records = _state_folder(state, job, function)
        for each in published:
            publication.check_recursion(each, str(records))
        starts = LocalStarts(published, packed, records, _say)
        with _stopped_by_signals() as stop:
            Serving(published, function, starts, stop).run(port, host, at_once)


class Serving:
    """What runs between the first line of the log and the last."""

    def __init__(
        self,
        published: list[Publication],
        function: Callable[..., Any],
        starts: LocalStarts,
        stop: threading.Event,
    ) -> None:
        """Create it.

        Args:
            published: one for each trigger.
            function: what is served.
            starts: of it.
            stop: is set to stop.
        """
        self._published = published
        self._function = function
        self._starts = starts
        self._stop = stop
        self._failure: BaseException | None = None

    def run(self, port: int | None, host: str, at_once: int) -> None:
        """Serve until the end.

        Args:
            port: of requests; None: there are none.
            host: where to listen.
            at_once: starts that run at the same time.

        Raises:
            WrenliteError: it cannot go on.
        """
        from wrenlite.serving.server import HttpServer

        server = None if port is None else HttpServer(host, port)
        first = self._published[0]
        click.echo(
            f"serving {first.target} as {first.name!r}, {counted(at_once, 'start')} at once; Ctrl-C stops it"
        )
        threads = [thread for each in self._published if (thread := self._thread(each.on)) is not None]
        try:
            if server is not None:
                self._open(server, first.name)
            click.echo(f"  outputs  {printable(first.outputs)}")
            self._starts.run(at_once)
            for thread in threads:
                thread.start()
            self._stop.wait()
            _say("stopping")
        finally:
            self._stop.set()
            for thread in threads:
                thread.join() if thread.ident else None
            if server is not None:
                server.stop()
            self._starts.stop()
        if self._failure is not None:
            raise self._failure

    def _thread(self, on: Trigger) -> threading.Thread | None:
        """Return a thread that waits for files or times; None: the trigger is requests."""
        begin = partial(self._begin, type(on))
        if isinstance(on, Objects):
            click.echo(f"  files    {printable(str(on))}")
            return threading.Thread(target=self._guarded, args=(watch, on, begin, _say, self._stop))
        if isinstance(on, Every):
            click.echo(f"  times    {on}, counted from 00:00 UTC")
            return threading.Thread(target=self._guarded, args=(keep_time, on, begin, self._stop))
        return None

    def _begin(self, kind: type[Trigger], event: Mapping[str, Any], key: str | None = None) -> None:
        try:
            self._starts.begin(kind, event, key)
        except WrenliteError as error:
            _say(f"no start for {event}: {error}")

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        """Run what a thread does. Where that fails, all of it ends."""
        try:
            work(*args)
        except OSError as error:
            self._failure = ConfigError(f"cannot go on: {error}")
        except BaseException as error:
            self._failure = error
        self._stop.set()

    def _open(self, server: Any, name: str) -> None:
        """Open the door for requests, and print what to type."""
        from wrenlite.serving.server import App, Door, new_token

        token, why_not = new_token(), self._why_no_requests()

        def check(fields: Mapping[str, Any]) -> None:
            if why_not:
                raise BadInput(f"requests cannot start {name}: {why_not}")
            parameters.bind(self._function, fields)

        known = _Requests(self._starts)
        requests = next(each for each in self._published if isinstance(each.on, Http))
        server.start(App(requests, check, known, Door(server.host, server.port, token)))
        if server.is_open:
            click.echo(
                f"  warning: other machines can reach {server.host}. Who has the token can start {name!r}, "
                "and it travels as plain text: use this only in a network that you trust",
                err=True,
            )
        click.echo(f"  pages    {server.url}/?token={token}")
        click.echo(f"  token    {token}")
        if why_not:
            click.echo(f"  requests start nothing: {printable(why_not)}")
        else:
            body = shlex.quote(json.dumps(parameters.example(self._function)))
            click.echo(f"  curl -X POST {server.url}/start -H 'Authorization: Bearer {token}' -d {body}")
        click.echo(f"  curl {server.url}/jobs/ID -H 'Authorization: Bearer {token}'")

    def _why_no_requests(self) -> str:
        """Return why the function, which files or times start, cannot be called by requests, too."""
        try:
            events.check_call(self._function, Http())
        except ConfigError as error:
            return str(error)
        return ""


class _Requests:
    """The starts, as the front and the pages ask for them."""

    def __init__(self, starts: LocalStarts) -> None:
        self._starts = starts
        self.status, self.recent = starts.status, starts.recent

    def start(self, event: Mapping[str, Any], key: str | None) -> str:
        """Begin a start for a request."""
        return self._starts.begin(Http, event, key)


def _triggers(port: int | None, folder: str | None, every: str | None) -> list[Trigger]:
    """Return what starts the function.

    Raises:
        ConfigError: one of these cannot do so on this machine.
    """
    found: list[Trigger] = []
    if port is not None:
        found.append(Http())
    if folder is not None:
        on = publication.parse_objects(folder)
        if not on.is_local:
            raise ConfigError(
                f"{folder} is no folder: wrenlite publish watches buckets, and wrenlite serve folders"
            )
        if not os.path.isdir(on.bucket):
            raise ConfigError(f"there is no folder {on.bucket}: make it first")
        found.append(on)
    if every is not None:
        times = publication.parse_every(every)
        if times.seconds is None:
            raise ConfigError(
                f"{every!r} is a schedule of AWS: wrenlite serve takes a rate, such as 15 minutes"
            )
        found.append(times)
    return found


def _check_packages() -> None:
    """Check that what this command needs is installed.

    Raises:
        PackageMissing: it is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise PackageMissing(
            f"wrenlite serve needs {', '.join(missing)}: pip install 'wrenlite[serve]'", name=missing[0]
        )


def _state_folder(given: str | None, name: str, function: Callable[..., Any]) -> Path:
    """Return the folder for the records of starts of a function.

    Raises:
        ConfigError: there is none.
    """
    if given is not None:
        return Path(given).expanduser().absolute()
    folder = journal_folder(Config.load().journal)
    if folder is None:
        raise ConfigError(
            "the journal is off (WRENLITE_JOURNAL), whose folder would have the records: give --state FOLDER"
        )
    named = function if hasattr(function, "__qualname__") else type(function)  # an object that can be called
    module = sys.modules.get(named.__module__)
    file = getattr(module, "__file__", "")
    digits = hashlib.sha256(f"{file}:{named.__qualname__}".encode()).hexdigest()[:8]
    return folder / "serve" / f"{name}-{digits}"


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set. Another signal after a second ends this process at once.

    One that comes sooner is the same one: programs that have started this one pass on what it has got, too.
    """
    stop, first = threading.Event(), 0.0
    reading, writing = os.pipe()

    def handle(number: int, _: Any) -> None:
        nonlocal first
        now = time.monotonic()
        if first and now - first > _SAME_SIGNAL_S:
            os._exit(128 + number)
        first = first or now
        os.write(writing, b"!")  # the event has a lock, which what this interrupts may hold

    def set_event() -> None:
        os.read(reading, 1)
        stop.set()

    threading.Thread(target=set_event, name="wrenlite-stop", daemon=True).start()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writing, b"!")  # so that the thread ends


def _say(line: str) -> None:
    """Write a line of the log."""
    click.echo(f"{time.strftime('%H:%M:%S')} {printable(line)}")
