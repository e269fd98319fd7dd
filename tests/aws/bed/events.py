"""The queue of asynchronous invocations: each is answered at once, and runs later, perhaps more than once."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

_ENDED = ("done", "failed", "dropped")


class Limits(Protocol):
    """The settings of events: see ``Plane.reset``."""

    event_pause_s: float
    event_delay_s: float
    event_copies: int
    event_age_s: float
    closing: threading.Event


@dataclass
class Event:
    """An asynchronous invocation, as AWS has queued it."""

    function: Any
    payload: bytes
    request_id: str
    trace: str | None
    """Its trace header; None where Lambda stops it, since it is part of a loop of functions."""
    queued_at: float
    state: str = "waiting"
    """``waiting``, ``running``, ``done``; ``failed`` after its last attempt; ``dropped``: it was too old, or
    part of a loop."""
    attempts: int = 0


class Events:
    """The events since the last reset. Each has a thread of its own."""

    def __init__(self, limits: Limits, run: Callable[[Event], str]) -> None:
        """Begin with an empty queue.

        Args:
            limits: the settings, which may change at any time.
            run: runs an event when the limits of concurrency allow that. It returns ``done``, ``failed``, or
                ``throttled`` where it did not run.
        """
        self._limits = limits
        self._run = run
        self._changed = threading.Condition()
        self._events: list[Event] = []

    def put(self, function: Any, payload: bytes, trace: str | None) -> str:
        """Queue an event, as often as AWS is to deliver it, and return its request id."""
        request_id = str(uuid.uuid4())
        for _ in range(int(self._limits.event_copies)):
            event = Event(function, payload, request_id, trace, time.monotonic())
            with self._changed:
                self._events.append(event)
            threading.Thread(target=self._deliver, args=(event,), daemon=True).start()
        return request_id

    def described(self) -> list[dict[str, Any]]:
        """Return all events in the order in which they came: function, request_id, state and attempts."""
        with self._changed:
            return [
                {
                    "function": event.function.function_name,
                    "request_id": event.request_id,
                    "state": event.state,
                    "attempts": event.attempts,
                }
                for event in self._events
            ]

    def wait(self, timeout_s: float) -> bool:
        """Wait until no event waits or runs. Return False where that takes longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: all(event.state in _ENDED for event in self._events), timeout_s
            )

    def clear(self) -> None:
        """Forget all events. One that runs goes on to the end of this attempt."""
        with self._changed:
            self._events.clear()
            self._changed.notify_all()

    def _deliver(self, event: Event) -> None:
        """Run an event until it is done, has failed for the last time, or is too old."""
        configured = event.function.event_invoke_config
        options = configured[-1].config if configured else {}
        retries, throttles = options.get("MaximumRetryAttempts", 2), 0
        age_s = options.get("MaximumEventAgeInSeconds", self._limits.event_age_s)
        pause_s = self._limits.event_delay_s
        while self._sleep(event, pause_s):
            if event.trace is None or time.monotonic() - event.queued_at > age_s:
                self._set(event, "dropped")
                return
            self._set(event, "running")
            outcome = self._run(event)
            if outcome == "throttled":
                pause_s = min(2.0**throttles, 300)
                throttles += 1
            else:
                event.attempts += 1
                if outcome == "done" or event.attempts > retries:
                    self._set(event, outcome)
                    return
                pause_s = event.attempts * self._limits.event_pause_s
            self._set(event, "waiting")

    def _sleep(self, event: Event, pause_s: float) -> bool:
        """Wait before an attempt. Return False where the event was forgotten, or the bed ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone(event), pause_s)
            return not self._gone(event)

    def _gone(self, event: Event) -> bool:
        return self._limits.closing.is_set() or not any(event is other for other in self._events)

    def _set(self, event: Event, state: str) -> None:
        with self._changed:
            event.state = state
            self._changed.notify_all()
