"""The seam ``Place``: where a detached job is kept, so that another process can take it up.

A ``folder`` of this machine is one, with a keeper in a process of its own; a ``bucket`` is the other one,
with the driver function as its keeper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from wrenlite.durable.manifest import Manifest


class Writer(Protocol):
    """Writes what happens to the tasks of one job."""

    def write(self, name: str, *arguments: object) -> None:
        """Write one call of a method of the job or its task table.

        Args:
            name: of the method.
            arguments: its arguments.

        Raises:
            StoreError: it cannot be written, and nobody was named who is told.
        """

    def flush(self) -> None:
        """Return when all is written."""

    def close(self) -> None:
        """Write what is left, and end."""


class Follower(Protocol):
    """Reads what happens to the tasks of one job."""

    @property
    def position(self) -> int:
        """How far it has read, where that matters to who writes next."""

    def calls(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that were written since the last time: their names, times and arguments.

        Raises:
            StoreError: they cannot be read.
        """

    def renew(self) -> None:
        """Look for new credentials, where some are needed."""

    def close(self) -> None:
        """Free what is held."""


class Place(Protocol):
    """Where one detached job is kept."""

    poll_s: tuple[float, float]
    """Seconds between two looks for news: after some, and after a while without any."""

    def write_manifest(self, manifest: Manifest) -> object:
        """Write what the job is run from: completely, or not at all.

        Raises:
            StoreError: it cannot be written.
        """

    def read_manifest(self) -> Manifest:
        """Read what the job is run from.

        Raises:
            JobNotFound: there is none, or another version of wrenlite has written it.
        """

    def writer(self, on_error: Callable[[str], None] | None = None, after: int = 0) -> Writer:
        """Begin to write what happens to the tasks.

        Args:
            on_error: called with the reason when that cannot be written; None: the error is raised.
            after: the ``Follower.position`` up to which the caller knows what has happened.
        """

    def follower(self) -> Follower:
        """Begin to read what happens to the tasks."""

    def start_keeper(self) -> bool:
        """Have a keeper run what has not ended, unless one does.

        Returns:
            Whether one runs it now, or was started by this call. False: another process may have started one
            a moment ago, or was killed before it did. So ask again, soon.

        Raises:
            BackendError: it cannot be started.
        """

    def is_kept(self) -> bool:
        """Return whether a keeper runs the job, or will soon."""

    def ask_to_cancel(self, tasks: Sequence[int]) -> None:
        """Have the keeper cancel tasks, soon.

        Raises:
            StoreError: it cannot be asked.
        """

    def run_again(self, job: Manifest, failed: Sequence[int]) -> bool:
        """Have a keeper run failed tasks again of a job that is over, unless one runs.

        Args:
            job: its manifest, with the options for these tasks.
            failed: the tasks.

        Returns:
            Whether it was started.

        Raises:
            StoreError: what it needs cannot be written.
            BackendError: it cannot be started.
        """

    def last_words(self, job: str) -> str:
        """Return what to tell of a keeper that has ended before its job.

        Args:
            job: id of the job.
        """

    def remove(self) -> None:
        """Delete all of it, where it is not needed after all."""


def ended_early(job: str, why: str) -> str:
    """Return the words for a keeper that has ended before its job.

    Args:
        job: id of the job.
        why: what is known of the reason.
    """
    return (
        f"the keeper of this job ended before it did: {why}. wrenlite.attach({job!r}, resume=True) runs "
        "what is missing"
    )
