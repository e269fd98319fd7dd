"""``Addresses``: connects to hosts by name, with few look-ups of names.

A thousand connections that open at once would look the same name up a thousand times, which many resolvers
refuse, and would all use the first of its addresses.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

KEPT_S = 60.0
"""Seconds for which addresses are used again. Names of AWS's endpoints are valid for about that long."""


class _Found(NamedTuple):
    at: float
    addresses: Sequence[tuple[Any, ...]]
    """What ``socket.getaddrinfo`` returned."""
    error: OSError | None = None


class Addresses:
    """The addresses of names. Any thread may ask."""

    def __init__(self, clock: Callable[[], float], resolve: Callable[..., Any] = socket.getaddrinfo) -> None:
        """Begin without any address.

        Args:
            clock: seconds. They are only compared with each other.
            resolve: looks a name up, as ``socket.getaddrinfo`` does.
        """
        self._clock = clock
        self._resolve = resolve
        self._lock = threading.Lock()  # one thread looks a name up, and the others wait for what it finds
        self._found: dict[tuple[str, int], _Found] = {}
        self._turns = count()

    def connect(
        self, address: tuple[str, int], timeout: float, source_address: tuple[str, int] | None = None
    ) -> socket.socket:
        """Return a connected socket. This stands in for ``socket.create_connection``.

        Each connection begins with the next address of the name. One that does not answer is left out until
        the name is looked up again, and if none answers, that is done for the next connection.

        Args:
            address: host and port.
            timeout: seconds that each address may take.
            source_address: host and port of this end; None: any.

        Raises:
            OSError: the name has no address, or none of them answers.
        """
        found = self._look_up(address)
        failure: OSError | None = None
        for candidate in rotated(found.addresses, next(self._turns)):
            family, kind, protocol, _, where = candidate
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(timeout)
                if source_address is not None:
                    sock.bind(source_address)
                sock.connect(where)
            except OSError as error:
                sock.close()
                failure = error
                self._drop(address, candidate)
            else:
                return sock
        raise failure or OSError(f"no address was found for {address[0]}")

    def _look_up(self, address: tuple[str, int]) -> _Found:
        asked_at = self._clock()
        with self._lock:
            found = self._found.get(address)
            # A failure counts only for the threads that waited for it.
            usable_from = asked_at if found is not None and found.error else self._clock() - KEPT_S
            if found is None or found.at < usable_from:
                try:
                    addresses = list(self._resolve(*address, 0, socket.SOCK_STREAM))
                    found = _Found(self._clock(), addresses)
                except OSError as error:
                    found = _Found(self._clock(), (), error)
                self._found[address] = found
        if found.error is not None:
            raise type(found.error)(*found.error.args) from found.error
        return found

    def _drop(self, address: tuple[str, int], failed: tuple[Any, ...]) -> None:
        """Do not use an address of a name again, until the name is looked up."""
        with self._lock:
            found = self._found.get(address)
            if found is not None and failed in found.addresses:
                rest = [each for each in found.addresses if each != failed]
                if rest:
                    self._found[address] = found._replace(addresses=rest)
                else:
                    del self._found[address]


def rotated(addresses: Sequence[tuple[Any, ...]], turn: int) -> list[tuple[Any, ...]]:
    """Return the addresses of a name in the order in which one connection tries them.

    The resolver has put the family (IPv6 or IPv4) first that works here. That order stays.

    Args:
        addresses: as ``socket.getaddrinfo`` returns them.
        turn: number of the connection.
    """
    families = dict.fromkeys(address[0] for address in addresses)
    ordered = []
    for family in families:
        same = [address for address in addresses if address[0] == family]
        first = turn % len(same)
        ordered += same[first:] + same[:first]
    return ordered
