"""What a detached job is run from: everything that its keeper needs to know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from wrenlite.backends.base import Backend
from wrenlite.config import Config
from wrenlite.cost import Prices
from wrenlite.protocol import Hints, Packed, Plain
from wrenlite.scheduler.options import JobOptions
from wrenlite.serialize import framing
from wrenlite.serialize.modules import worker_path
from wrenlite.storage.base import Store
from wrenlite.storage.uploads import JobCode


class Manifest(NamedTuple):
    """A job that is to be run, or runs, or has run."""

    id: str
    name: str
    """Of its function."""
    submitted: float
    """Seconds since the epoch."""
    items: Sequence[Packed | Plain]
    function: bytes
    """Its ``Call``, pickled."""
    modules: bytes | None
    """A zip of the user's local modules."""
    options: JobOptions
    """Without the code."""
    config: Config
    """What the backend is made from."""
    initializer: tuple[str, bytes] | None
    """The name of the initializer of the workers, and its ``Call``, pickled."""
    backend: str
    """The name of what it runs on."""
    prices: Prices | None
    hints: Hints
    key: bytes
    """Of the job: see ``keys``. It is left out where others can read the manifest."""
    store: Store
    """Where large values are."""
    folder: str
    """The working folder of the program that has made the job."""
    path: Sequence[str]
    """``sys.path`` of the program that has made the job."""

    @property
    def tasks(self) -> int:
        """Number of its tasks."""
        return len(self.items) + self.options.reduces


def of_job(
    backend: Backend,
    named: tuple[str, str, float],
    items: Sequence[Packed | Plain],
    options: JobOptions,
    code: tuple[bytes, bytes | None],
    key: bytes,
) -> Manifest:
    """Return the manifest of a job.

    Args:
        backend: what it was prepared for, which another process can make, too.
        named: its id, the name of its function, and when it was submitted.
        items: of its tasks; None in place of those that have ended.
        options: how its tasks are run.
        code: the pickled function, and a zip of the user's local modules.
        key: of the job.
    """
    assert backend.made_from is not None
    (config, first), (job, name, submitted), (function, modules) = backend.made_from, named, code
    return Manifest(
        id=job,
        name=name,
        submitted=submitted,
        items=items,
        function=function,
        modules=modules,
        options=options._replace(code=JobCode(""), log_levels=None, then=None, holders=()),
        config=config,
        initializer=(first.name, first.blob) if first else None,
        backend=backend.name,
        prices=backend.prices,
        hints=backend.hints,
        key=key,
        store=backend.store,
        folder=_working_folder(),
        path=worker_path(),
    )


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody has deleted it
        return "/"


def to_wire(manifest: Manifest) -> tuple[Any, ...]:
    """Return a manifest as a message: see ``framing``."""
    return tuple(manifest._replace(items=framing.items_to_wire(manifest.items)))


def from_wire(message: Sequence[Any]) -> Manifest:
    """Return the manifest that ``to_wire`` made a message of."""
    manifest = Manifest(*message)
    items: Sequence[Any] = manifest.items
    return manifest._replace(items=[Packed(*item) if type(item) is tuple else item for item in items])


def difference(found: Manifest, job: Manifest) -> str:
    """Return how another job differs in what is mapped, in words; empty: it does not.

    Args:
        found: the job that was there before.
        job: the other one.
    """
    if found.name != job.name:
        return f"mapped {found.name} then, and {job.name} now"
    if len(found.items) != len(job.items):
        return f"had {len(found.items):,} items then, and has {len(job.items):,} now"
    pairs = enumerate(zip(found.items, job.items, strict=True))
    other = next((place for place, (one, another) in pairs if _form(one) != _form(another)), None)
    if other is not None:
        return f"its item {other} was another one then"
    if (found.function, found.modules) != (job.function, job.modules):
        return "its function, or what that closes over, or args= or kwargs=, was another one then"
    return ""


def _form(item: Packed | Plain) -> tuple[object, ...]:
    """Return an item in a form that can be compared: NaN equals itself, and 1 is not True."""
    if isinstance(item, Packed):
        return bytes(item.data), *map(bytes, item.buffers)
    return type(item), repr(item)
