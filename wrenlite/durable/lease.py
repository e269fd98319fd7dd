"""``Lease``: who holds something that several processes could take up, and until when.

A lease is an object in a store, which its holder renews: so another process can tell a holder that works
from one that has ended. For a moment two may hold it. Where that must not do harm, what they write decides:
see ``bucket``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Times(NamedTuple):
    """How often a keeper says and asks something. Who starts the driver sends them along."""

    renew_s: float = 15.0
    """Seconds after which a keeper renews its lease."""
    lease_s: float = 45.0
    """Seconds for which it is the only one."""
    patience_s: float = 300.0
    """Seconds after that for which a next one may come: Lambda repeats an invocation that failed after one
    minute, and after two more."""
    cancel_s: float = 3.0
    """Seconds between two looks for what is cancelled."""
    gather_s: float = 1.0
    """Seconds for which what happens is gathered, at least."""
    margin_s: float = 20.0
    """Seconds before the time limit of the driver at which the next one is started; a fifth of the limit at
    most."""

    def margin(self, remaining_s: float) -> float:
        """Return the seconds before the time limit of a driver at which the next one is started.

        Args:
            remaining_s: seconds until the limit, when the driver begins.
        """
        return min(self.margin_s, _MARGIN_SHARE * remaining_s)


_MARGIN_SHARE = 0.2
_LOOK_SHARE = 1.3
"""Whether a lease was renewed is seen after the time for which a renewal is due, and some more."""
TIMES = Times()


class Lease(NamedTuple):
    """Who keeps a job. Times are seconds since the epoch."""

    holder: str
    """The keeper; empty: one was started and is not there yet."""
    until: float
    """When another keeper may take the job over."""
    lost: float
    """When it is certain that no other keeper will come."""

    @classmethod
    def free(cls, patience_s: float = 0.0) -> Lease:
        """Return a lease that nobody holds.

        Args:
            patience_s: seconds for which somebody may still come.
        """
        now = time.time()
        return cls("", now, now + patience_s)


class Claim(Protocol):
    """Tries to take a lease that is free. Returns False where another process was faster."""

    def __call__(self, lease: Lease, /) -> bool:
        """Write the lease, where nobody else has taken it since it was read."""


class Holder:
    """One process that holds a lease, or would."""

    def __init__(
        self,
        read: Callable[[], Lease | None],
        write: Callable[[Lease], object],
        times: Times,
        claim: Claim | None = None,
    ) -> None:
        """Hold nothing yet.

        Args:
            read: returns the lease as it is in the store; None: there is none.
            write: writes it.
            times: how often it is renewed, and how long it lasts.
            claim: takes it, where several may try to at once; None: what is written decides: see ``bucket``.
        """
        self._read = read
        self._write = write
        self._times = times
        self._claim = claim
        self._name = os.urandom(8).hex()
        self._until = 0.0
        self._is_checked = False
        """Whether the lease was seen to be this one's after it was taken."""

    def take(self, until: float = float("inf")) -> bool:
        """Take the lease. Wait where that of another one runs out. Return False where that one goes on.

        Args:
            until: when to give up, by ``time.monotonic``: the other one may go on.
        """
        while self.wait_until_free(until):
            if self.try_to_take():
                return True
        return False

    def try_to_take(self) -> bool:
        """Take the lease, which is free. Return False where another one was faster."""
        lease = self._next()
        if self._claim is None:
            self._write(lease)
        elif self._claim(lease):
            self._is_checked = True
        elif (
            found := self._read()
        ) is None or found.holder != self._name:  # it may be an answer that was lost
            return False
        self._until = lease.until
        return True

    def wait_until_free(self, until: float = float("inf")) -> bool:
        """Return whether the lease may be taken. Wait where that of another one runs out: see ``take``."""
        before = None
        while (
            (lease := self._read()) is not None and lease.holder and (wait_s := lease.until - time.time()) > 0
        ):
            if (before is not None and lease != before) or time.monotonic() >= until:  # it was renewed
                return False
            before = lease
            time.sleep(min(wait_s, _LOOK_SHARE * self._times.renew_s) + 0.1)
        return True

    def _next(self) -> Lease:
        until = time.time() + self._times.lease_s
        return Lease(self._name, until, until + self._times.patience_s)

    def has_run_out(self) -> bool:
        """Return whether the lease of this one has run out."""
        return 0 < self._until <= time.time()

    def lost_because(self) -> str:
        """Renew the lease where it is time for that. Return why its holder must end; empty: it goes on."""
        if self.has_run_out():
            return "the lease of this keeper has run out: it was not renewed in time"
        is_due = time.time() >= self._until - self._times.lease_s + self._times.renew_s
        if is_due or not self._is_checked:
            lease = self._read()
            if lease is not None and lease.holder not in ("", self._name):
                return "another keeper has taken the job over"
            self._is_checked = True
            lease = self._next()
            self._write(lease)
            self._until = lease.until
        return ""

    def let_go(self, patience_s: float = 0.0) -> None:
        """Give the lease back.

        Args:
            patience_s: seconds for which somebody may still take it.
        """
        self._write(Lease.free(patience_s))
