"""The driver: a Lambda function that starts the keeper of a detached job, a client of the function of tasks.

Lambda invokes it asynchronously, and so perhaps twice; if it ends with an error, again after a minute. The
keeper is a process of its own, so that nothing of it is left in the sandbox when another job comes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from wrenlite import __version__
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.deployed import PING
from wrenlite.backends.aws.driver import Driver
from wrenlite.backends.base import DriverAddress, Invocation, Invoker
from wrenlite.backends.factory import connect
from wrenlite.config import Config
from wrenlite.durable.bucket import KeptBucket
from wrenlite.durable.journal import journal_before
from wrenlite.durable.keeper import Keeper, end
from wrenlite.durable.lease import Times
from wrenlite.errors import WrenliteError
from wrenlite.protocol import Emit, Request

_PROGRAM = (
    "import json, sys; event = json.load(sys.stdin); sys.path[:] = event['path']; "
    "from wrenlite.durable.driver import keep; keep(event)"
)


class Context(Protocol):
    """Lambda's description of an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda stops the function."""


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Have a job kept until it is over, or until the next driver keeps it.

    Args:
        event: what ``Bucket.invoke_driver`` sends; or ``PING``, to see whether this works.
        context: Lambda's description of the invocation.

    Raises:
        RuntimeError: the keeper has ended before the job did. Lambda invokes the driver again.
    """
    if event == PING:
        return {"ok": True, "version": __version__}
    if payload.version_mismatch(event) is not None:
        _refuse(event)
        return {"ok": False}
    message = {**event, "path": sys.path, "remaining_s": context.get_remaining_time_in_millis() / 1000}
    own = {"WRENLITE_CONFIG": "", "WRENLITE_JOURNAL": "off", "HOME": "/tmp"}  # noqa: S108  # Lambda's
    environ = {name: value for name, value in os.environ.items() if name != "AWS_LAMBDA_FUNCTION_NAME"}
    keeper = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM],
        input=json.dumps(message).encode(),
        env={**environ, **own},  # the keeper is a client of the function of tasks, not that function
        check=False,
    )
    if keeper.returncode:
        raise RuntimeError(f"the keeper of {event['job']} ended with exit code {keeper.returncode}")
    return {"ok": True}


def keep(event: Mapping[str, Any]) -> None:
    """Keep a job, in a process of its own, which ends here.

    Args:
        event: that of the driver, with ``remaining_s``, the seconds until Lambda stops it.
    """
    begun, remaining_s = time.monotonic(), float(event["remaining_s"])
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    place = _place(event)
    until = begun + remaining_s - place.times.margin(remaining_s)
    code = 0
    try:
        if place.is_free():
            job = place.read_manifest()
            backend = connect(job.config)
            backend = replace(backend, invoker=_LeasedInvoker(backend.invoker, place))
            Keeper(place, job, backend, journal_before(backend, str(_journal()))).run(until)
        else:
            print(f"another keeper runs {place.job}")
    except WrenliteError as error:
        print(error)
        with contextlib.suppress(WrenliteError):
            place.say(str(error))
        code = 1
    except BaseException:  # a defect of wrenlite: the threads of the dispatcher must not keep this process
        traceback.print_exc()
        code = 1
    shutil.rmtree(_journal(), ignore_errors=True)
    sys.stdout.flush()
    os._exit(code)  # threads that wait for replies do not count: the next keeper waits for these


def _refuse(event: Mapping[str, Any]) -> None:
    """Tell who follows the job that this driver cannot read what another version of wrenlite has written."""
    own, place = payload.versions(), _place(event)
    place.say(
        f"its driver has wrenlite {own['wrenlite']} on Python {own['python']}, and was started by "
        f"{event.get('wrenlite')} on {event.get('python')}. Attach with the former, or map again"
    )
    place.let_go()


def _place(event: Mapping[str, Any]) -> KeptBucket:
    address = DriverAddress(*event["address"])
    gb = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")) / 1024
    driver = Driver(Config(backend="aws"), address)
    key, times = bytes.fromhex(event["key"]), Times(*event["times"])
    return KeptBucket(driver, event["job"], key, times, gb, _journal())


def _journal() -> Path:
    """Return the folder of the journal of this process alone."""
    return Path(tempfile.gettempdir()) / f"wrenlite-journal-{os.getpid()}"


class _LeasedInvoker:
    """An invoker that hands nothing out once the lease of its keeper has run out."""

    def __init__(self, invoker: Invoker, place: KeptBucket) -> None:
        self._invoker = invoker
        self._place = place
        self.open, self.close = invoker.open, invoker.close

    @property
    def slots(self) -> int:
        return self._invoker.slots

    def start(self, request: Request, emit: Emit) -> Invocation:
        if self._place.has_run_out():
            end("the lease of this keeper has run out")
        return self._invoker.start(request, emit)
