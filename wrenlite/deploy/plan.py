"""What has to be done to get from what is there to what is wanted: a pure function.

::

    want = desired(settings)          have = what is found
              └────────▶ plan(want, have) ◀────────┘
                              │  Create, Update, Replace, Keep, Delete, each with its reason
                              ▼
                        shown, agreed to, applied

Resources are made in the order of ``want``, which is that of their dependencies, and deleted in the
reverse. ``plan((), have)`` destroys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from enum import Enum
from typing import NamedTuple

from wrenlite.deploy.resources import CHOSEN, Function, Layer, Resource, Role
from wrenlite.errors import ConfigError


class Verb(Enum):
    """What is done to a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    KEEP = "keep"
    DELETE = "delete"


class Found(NamedTuple):
    """A resource that is there."""

    resource: Resource
    ours: bool
    """It carries wrenlite's tag: it may be changed and deleted."""


class Action(NamedTuple):
    """One step, with its reason in words."""

    verb: Verb
    resource: Resource
    reason: str

    def __str__(self) -> str:
        return f"{self.verb.value:<8}{self.resource.kind:<10}{self.resource.name}  ({self.reason})"


_ORDER = ("bucket", "role", "log group", "layer", "function")
_HOW = {"log group": ": aws logs delete-log-group --log-group-name {}"}
"""How to delete what Lambda may have made by itself."""
_WORDS = {
    "digest": "code",
    "memory_mb": "memory in MB",
    "timeout_s": "time-out in seconds",
    "ephemeral_mb": "ephemeral storage in MB",
    "reserved": "reserved concurrency",
    "days": "days that it is kept",
}
_LONG = ("policy", "trust", "lifecycle", "digest", "layer")
"""Fields that are named and not shown."""


def plan(want: Sequence[Resource], have: Sequence[Found]) -> tuple[Action, ...]:
    """The steps from what is there to what is wanted.

    Raises ConfigError where a resource of that name is there that is not wrenlite's.
    """
    there = {(found.resource.kind, found.resource.name): found for found in have}
    steps: list[Action] = []
    for resource in want:
        step = _step(resource, there.pop((resource.kind, resource.name), None))
        new_role = any(isinstance(one.resource, Role) and one.verb is Verb.CREATE for one in steps)
        if new_role and isinstance(resource, Function) and step.verb is not Verb.CREATE:
            # What Lambda was once granted belonged to the old role, not to its name.
            step = Action(Verb.REPLACE, resource, "its role is made anew")
        steps.append(step)
    left = sorted(there.values(), key=lambda found: -_ORDER.index(found.resource.kind))
    return (
        *steps,
        *(Action(Verb.DELETE, found.resource, "no longer wanted") for found in left if found.ours),
    )


def _step(want: Resource, found: Found | None) -> Action:
    if found is None:
        return Action(Verb.CREATE, want, "is not there yet")
    if not found.ours:
        raise ConfigError(
            f"there is a {want.kind} {want.name!r} already, which is not wrenlite's: it has no tag of ours. "
            f"Choose another --function, or delete it yourself{_HOW.get(want.kind, '').format(want.name)}"
        )
    changes = _changes(want, found.resource)
    if isinstance(found.resource, Function) and found.resource.state == "failed":
        return Action(Verb.REPLACE, want, "it has failed, and can only be made anew")
    if not changes:
        return Action(Verb.KEEP, want, "is as wanted")
    if isinstance(want, Layer) and isinstance(found.resource, Layer):
        if want == replace(found.resource, older=0):
            return Action(Verb.UPDATE, want, "older versions of it go")
        what = [change for change in changes if "differs" not in change] or ["its packages differ"]
        return Action(Verb.REPLACE, want, f"{', '.join(what)}: a new version, and the old one goes")
    return Action(Verb.UPDATE, want, ", ".join(changes))


def _changes(want: Resource, have: Resource) -> list[str]:
    """Each difference in words."""
    changes = []
    for field in fields(want):
        wanted, found = getattr(want, field.name), getattr(have, field.name)
        if not field.compare or wanted == found:
            continue
        if field.name == "environment":
            changes += _variables(dict(wanted), dict(found))
            continue
        if field.name == "policy" and isinstance(want, Role):
            changes += _rights(wanted, found)
            continue
        name = _WORDS.get(field.name, field.name.replace("_", " "))
        changes.append(f"{name} differs" if field.name in _LONG else f"{name}: {found} → {wanted}")
    return changes


def _variables(want: dict[str, str], have: dict[str, str]) -> list[str]:
    """Changes of the function's environment; of what it carries for us, item by item."""
    changes = [name for name in sorted({*want, *have} - {CHOSEN}) if want.get(name) != have.get(name)]
    wanted, found = json.loads(want.get(CHOSEN, "{}")), _readable(have.get(CHOSEN, "{}"))
    for name in wanted:
        gone, new = set(found.get(name, ())) - set(wanted[name]), set(wanted[name]) - set(found.get(name, ()))
        if gone or new:
            items = [*(f"-{item}" for item in sorted(gone)), *(f"+{item}" for item in sorted(new))]
            changes.append(f"{name} {' '.join(items)}")
    return changes or ["environment differs"]


def _readable(text: str) -> dict[str, list[str]]:
    try:
        return dict(json.loads(text))
    except ValueError:  # somebody has edited it
        return {}


def _rights(want: str, have: str) -> list[str]:
    """What a role may do more, and what no more."""
    wanted, found = _granted(want), _granted(have)
    changes = [f"-{right}" for right in sorted(found - wanted)] + [
        f"+{right}" for right in sorted(wanted - found)
    ]
    return [f"policy {' '.join(changes)}"] if changes else ["policy differs"]


def _granted(policy: str) -> set[str]:
    """Each action with what it may be done to."""
    return {
        f"{action}({resource.rpartition(':::')[2]})"
        for one in json.loads(policy).get("Statement", ())
        for action in one.get("Action", ())
        for resource in one.get("Resource", ())
    }
