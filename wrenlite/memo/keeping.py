"""Values are kept as they come from the workers, before anybody sees that their tasks have ended.

So a program that is killed loses no value of a task that had ended, and no value is written that its user has
changed. Each worker has a thread here that takes its reports: that thread writes its values, and the thread
that schedules never waits for a disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wrenlite.backends.base import Invocation, Invoker
from wrenlite.notices import warn
from wrenlite.protocol import Emit, Ended, Outcome, Request

if TYPE_CHECKING:
    from wrenlite.memo.blobs import Blobs, Owner
    from wrenlite.memo.cache import Cache
    from wrenlite.memo.index import Entry

_log = logging.getLogger("wrenlite")


class Keeper:
    """Keeps the values of one job. Any thread may use it."""

    def __init__(
        self, cache: Cache, blobs: Blobs, owner: Owner, key_of: Callable[[int], bytes | None]
    ) -> None:
        """Create it.

        Args:
            cache: takes the values.
            blobs: writes them.
            owner: what they belong to.
            key_of: returns the key of a task that has a value, by its number; None: that is not kept.
        """
        self._cache = cache
        self._blobs = blobs
        self.owner = owner
        """What the next values belong to."""
        self._key_of = key_of
        self._is_broken = False

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """Keep the values of tasks that have one. Where that fails, the job goes on without."""
        if self._is_broken:
            return
        try:
            entries = [entry for outcome in outcomes if (entry := self._entry(outcome)) is not None]
            if entries:
                self._cache.add(entries)
        except Exception as error:  # a full disk, or a defect of wrenlite: jobs do not depend on it
            self._is_broken = True
            reason = getattr(error, "strerror", None) or str(error) or repr(error)
            text = f"cache=True: further values of this job are not kept, in {self._cache.folder}: {reason}"
            try:
                warn(text)
            except UserWarning:  # the program has made errors of warnings: none may end the invoker's thread
                _log.warning(text)

    def _entry(self, outcome: Outcome) -> Entry | None:
        key = self._key_of(outcome.task) if outcome.ok else None
        return None if key is None else self._blobs.keep(key, outcome.packed, self.owner)


class KeepingInvoker:
    """An invoker that runs requests on another one, and keeps the values that come back."""

    def __init__(self, invoker: Invoker) -> None:
        """Stand before an invoker."""
        self._invoker = invoker
        self._keepers: dict[str, Keeper] = {}

    @property
    def slots(self) -> int:
        """Requests that can run at once."""
        return self._invoker.slots

    def keep(self, job: str, keeper: Keeper | None) -> Callable[[], object]:
        """Keep the values of a job, whose requests come next.

        Args:
            job: its id.
            keeper: keeps them; None: they are not kept.

        Returns:
            What is to be called when the job is over.
        """
        if keeper is not None:
            self._keepers[job] = keeper
        return partial(self._keepers.pop, job, None)

    def open(self, tasks: int = 1) -> None:
        """Get ready, as ``Invoker.open``."""
        self._invoker.open(tasks)

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request out, as ``Invoker.start``."""
        keeper = self._keepers.get(request.job)
        return self._invoker.start(
            request, emit if keeper is None else partial(keep_and_report, keeper, emit)
        )

    def close(self) -> None:
        """Stop what runs, as ``Invoker.close``."""
        self._invoker.close()


def keep_and_report(
    keeper: Keeper, emit: Emit, outcomes: Sequence[Outcome], ended: Ended | None = None
) -> None:
    """Keep values, and then report the outcomes."""
    keeper.keep(outcomes)
    emit(outcomes, ended)
