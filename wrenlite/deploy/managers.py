"""``Managers``: what observes and changes the resources of a plan, by kind and name.

A manager has the methods ``observe``, ``create``, ``update`` and ``delete``, and perhaps ``replace``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wrenlite.deploy.clients import Clients
from wrenlite.deploy.plan import Action, Found, Verb
from wrenlite.deploy.resources import Resource

StepObserver = Callable[[Action, float | None], None]
"""Called when a step begins, with None, and when it has ended, with its duration in seconds."""


class Managers:
    """The managers of some resources."""

    def __init__(self, clients: Clients, managers: Mapping[tuple[str, str], Any]) -> None:
        """Create the set. It calls nothing yet.

        Args:
            clients: the clients, which translate errors.
            managers: the managers, by kind and name of their resource.
        """
        self._clients = clients
        self._managers = managers

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The kind and the name of each resource that there may be."""
        return tuple(self._managers)

    def observe(self, kind: str, name: str) -> Found | None:
        """Return a resource as it is; None where it does not exist."""
        found: Found | None = self._managers[kind, name].observe()
        return found

    def apply(self, action: Action) -> None:
        """Carry out one step of a plan. A plan that was interrupted is completed by running the next plan."""
        resource = action.resource
        manager = self._managers[resource.kind, resource.name]
        methods: dict[Verb, Callable[[Resource], None]] = {
            Verb.CREATE: manager.create,
            Verb.UPDATE: manager.update,
            Verb.REPLACE: getattr(manager, "replace", manager.update),
            Verb.DELETE: manager.delete,
        }
        if action.verb in methods:
            methods[action.verb](resource)

    def apply_all(self, actions: Iterable[Action], on_step: StepObserver) -> None:
        """Carry out the steps of a plan, in order.

        Args:
            actions: the steps.
            on_step: called before and after each of them.

        Raises:
            WrenliteError: AWS refused a step.
        """
        for action in actions:
            if action.verb is not Verb.KEEP:
                on_step(action, None)
                begun = time.monotonic()
                with self._clients.translate_errors(f"{action.resource.kind} {action.resource.name}"):
                    self.apply(action)
                on_step(action, time.monotonic() - begun)
