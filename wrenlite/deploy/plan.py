"""Compute the steps that turn the existing resources into the desired ones, as a pure function.

::

    want = desired(settings)          have = observed resources
              └────────▶ plan(want, have) ◀────────┘
                              │  create, update, replace, keep, delete, each with its reason
                              ▼
                    shown, confirmed, applied

Resources are created in the order of ``want``, which is the order of their dependencies, and deleted in the
reverse order. ``plan((), have)`` destroys a deployment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, replace
from enum import Enum
from typing import NamedTuple

from wrenlite.backends.aws.deployed import RECORDED_VARIABLE
from wrenlite.deploy.resources import (
    Alias,
    Archives,
    Function,
    FunctionUrl,
    Layer,
    Permission,
    Published,
    PublishedCode,
    Resource,
    Role,
)
from wrenlite.errors import ConfigError
from wrenlite.serving import publication
from wrenlite.texts import counted


class Verb(Enum):
    """What a step does with a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    KEEP = "keep"
    DELETE = "delete"


class Found(NamedTuple):
    """A resource that exists in the account."""

    resource: Resource
    managed: bool
    """Whether it carries wrenlite's tag. Only then may it be changed or deleted."""


class Action(NamedTuple):
    """One step of a plan."""

    verb: Verb
    resource: Resource
    reason: str
    """Why the step is needed, as a phrase for people."""

    def __str__(self) -> str:
        return f"{self.verb.value:<8}{self.resource.kind:<10}{self.resource.name}  ({self.reason})"


_CREATION_ORDER = (
    *("bucket", "role", "log group", "layer", "archives", "code", "function", "alias"),
    *("permission", "URL", "schedule", "notification", "metrics", "dashboard", "alarm"),
)
_KEPT = 2
"""The number of versions that stay: the current one, and the one before it, for executors that use it."""
_DELETE_COMMANDS = {"log group": ": aws logs delete-log-group --log-group-name {}"}
"""How to delete a resource that Lambda may have created without being asked, by kind."""
_FIELD_NAMES = {
    "digest": "code",
    "memory_mb": "memory in MB",
    "timeout_s": "timeout in seconds",
    "ephemeral_mb": "ephemeral storage in MB",
    "reserved": "reserved concurrency",
    "days": "days of retention",
    "boundary": "permissions boundary",
    "layers": "your layers",
    "security_groups": "security groups",
    "may_loop": "may start itself",
    "period_s": "period in seconds",
    "auth": "requests of",
    "cross_origin": "requests of other sites' pages",
    "target": "function",
}
"""Names of fields in reasons, where they differ from those in the code."""
_VARIABLE_NAMES = {publication.VARIABLE: "what is published"}
_SHOWN_ELSEWHERE = {"request", "tags", "archives", "unpacked_mb", "ephemeral_mb", "driver"}
"""What the function records that other fields or resources show."""
_LONG_FIELDS = ("policy", "trust", "lifecycle", "digest", "layer", "filters", "body", "metrics")
"""Fields whose values are too long to be shown in a reason: only their names are."""


def plan(want: Sequence[Resource], have: Sequence[Found], option: str = "--function") -> tuple[Action, ...]:
    """Return the steps from the existing resources to the desired ones.

    Args:
        want: the desired resources, each after those that it depends on.
        have: the resources that exist.
        option: what the user gives to choose other names.

    Raises:
        ConfigError: a resource of a desired name exists and is not managed by wrenlite.
    """
    existing = {(found.resource.kind, found.resource.name): found for found in have}
    steps: list[Action] = []
    for resource in want:
        step = _step(resource, existing.pop((resource.kind, resource.name), None), option)
        steps.append(_adapt(step, {(one.resource.kind, one.resource.name): one.verb for one in steps}))
    unwanted = sorted(existing.values(), key=lambda found: -_CREATION_ORDER.index(found.resource.kind))
    staying = _staying_versions(want, have)
    used = {version.role.rpartition("/")[2] for version in staying}
    removals = (
        _removal(found.resource, used)
        for found in unwanted
        if found.managed and not (want and isinstance(found.resource, Archives))
    )
    return (*steps, *removals, *_prune_archives(want, have, staying))


def _prune_archives(
    want: Sequence[Resource], have: Sequence[Found], staying: Sequence[Published]
) -> Iterator[Action]:
    """Yield the step that deletes the archives which no version needs, if there are any.

    Args:
        want: the desired resources.
        have: the resources that exist.
        staying: the versions of the function that stay beside the desired one.
    """
    wanted = {digest for resource in want if isinstance(resource, Archives) for digest in resource.digests}
    needed = wanted.union(*(version.archives for version in staying))
    for archives in (found.resource for found in have if isinstance(found.resource, Archives)):
        unneeded = set(archives.digests) - needed
        if want and unneeded:
            reason = f"{counted(len(unneeded), 'archive')} that no version needs: deleted"
            resource = replace(archives, digests=tuple(sorted(wanted)))
            yield Action(verb=Verb.UPDATE, resource=resource, reason=reason)


def _removal(resource: Resource, used: Set[str]) -> Action:
    """Return the step for a resource that is not wanted.

    Args:
        resource: the resource.
        used: names of the roles that versions of the function go on using.
    """
    if isinstance(resource, Role) and resource.name in used:
        reason = "executors that were made before use it"
        return Action(verb=Verb.KEEP, resource=resource, reason=reason)
    return Action(verb=Verb.DELETE, resource=resource, reason="no longer needed")


def _staying_versions(want: Sequence[Resource], have: Sequence[Found]) -> Sequence[Published]:
    """Return the published versions of the function and of its driver that stay."""
    found = {one.resource.name: one.resource for one in have if isinstance(one.resource, Alias)}
    staying: list[Published] = []
    for wanted in (one for one in want if isinstance(one, Alias) and one.name in found):
        published = found[wanted.name].published
        gone = outdated(published, wanted.target, found[wanted.name].target)
        staying += [version for version in published if version not in gone]
    return staying


def outdated(published: Sequence[Published], *targets: str) -> list[Published]:
    """Return the versions that do not stay: all but two, and those that a stopped run left without an alias.

    Args:
        published: the versions, the newest first.
        *targets: the aliases of versions that stay before all others.
    """
    newest = (version.alias for version in published)
    kept = list(dict.fromkeys(alias for alias in (*targets, *newest) if alias))[:_KEPT]
    return [version for version in published if version.alias not in kept]


def _step(want: Resource, found: Found | None, option: str) -> Action:
    """Return the step for one desired resource.

    Raises:
        ConfigError: the resource exists and is not managed by wrenlite.
    """
    if found is None:
        return Action(verb=Verb.CREATE, resource=want, reason="does not exist yet")
    if not found.managed:
        raise ConfigError(
            f"the {want.kind} {want.name!r} already exists and was not created by wrenlite (it lacks "
            f"wrenlite's tag): choose another {option}, or delete it yourself"
            f"{_DELETE_COMMANDS.get(want.kind, '').format(want.name)}"
        )
    if isinstance(want, Archives) and isinstance(found.resource, Archives):
        return _uploads_step(want, found.resource, "archive")
    if isinstance(want, PublishedCode) and isinstance(found.resource, PublishedCode):
        return _uploads_step(want, found.resource, "part")
    changes = _changes(want, found.resource)
    if isinstance(found.resource, Function) and found.resource.state == "failed":
        return Action(verb=Verb.REPLACE, resource=want, reason="it has failed and must be created again")
    if not changes:
        return Action(verb=Verb.KEEP, resource=want, reason="up to date")
    if isinstance(want, Layer) and isinstance(found.resource, Layer):
        return _layer_step(want, found.resource, changes)
    if isinstance(want, Alias) and isinstance(found.resource, Alias):
        return _alias_step(want, found.resource)
    if isinstance(want, Role) and isinstance(found.resource, Role) and want.path != found.resource.path:
        reason = f"{', '.join(changes)}: IAM cannot move it, so it is deleted and created again"
        return Action(verb=Verb.REPLACE, resource=want, reason=reason)
    return Action(verb=Verb.UPDATE, resource=want, reason=", ".join(changes))


def _adapt(step: Action, before: Mapping[tuple[str, str], Verb]) -> Action:
    """Return a step as the steps before it require it.

    Args:
        step: the step as it is without them.
        before: what they do, by the kind and the name of their resource.
    """
    resource = step.resource
    if isinstance(resource, Function) and step.verb is not Verb.CREATE:
        role = before.get((Role.kind, resource.role.rpartition("/")[2]))
        if role in (Verb.CREATE, Verb.REPLACE):
            # Lambda binds its grants to the old role itself, not to the role's name.
            return Action(verb=Verb.REPLACE, resource=resource, reason="its role is created again")
    if isinstance(resource, Alias | Permission | FunctionUrl):
        function = before.get((Function.kind, resource.name.partition(":")[0]))
        if function is Verb.REPLACE:
            return Action(verb=Verb.CREATE, resource=resource, reason="its function is created again")
    return step


def _uploads_step(want: Archives | PublishedCode, have: Archives | PublishedCode, noun: str) -> Action:
    """Return the step for archives or code. Others that are there may belong to earlier versions.

    Args:
        want: what must be there.
        have: what is there.
        noun: what one of them is called.
    """
    missing = set(want.digests) - set(have.digests)
    if not missing:
        return Action(verb=Verb.KEEP, resource=want, reason="up to date")
    reason = f"{len(missing)} of {counted(len(want.digests), noun)} are uploaded"
    return Action(verb=Verb.UPDATE, resource=want, reason=reason)


def _layer_step(want: Layer, have: Layer, changes: Sequence[str]) -> Action:
    """Return the step for a layer. A version of a layer cannot change: it is replaced by another version."""
    if want == replace(have, older=0):
        return Action(verb=Verb.UPDATE, resource=want, reason="its older versions are deleted")
    shown = [change for change in changes if "differs" not in change] or ["its packages differ"]
    reason = f"{', '.join(shown)}: a new version is published, and the old one is deleted"
    return Action(verb=Verb.REPLACE, resource=want, reason=reason)


def _alias_step(want: Alias, have: Alias) -> Action:
    """Return the step for the alias that new executors use."""
    reason = "older versions of the function are deleted"
    if want.target != have.target:
        stay = f"; those that exist stay with {have.target}" if have.target else ""
        reason = f"{have.target or 'another version'} → {want.target}: new executors use it{stay}"
    return Action(verb=Verb.UPDATE, resource=want, reason=reason)


def _changes(want: Resource, have: Resource) -> list[str]:
    """Return a phrase for each difference between two resources."""
    changes: list[str] = []
    different = False
    for field in fields(want):
        wanted, found = getattr(want, field.name), getattr(have, field.name)
        if not field.compare or wanted == found:
            continue
        different = True
        if field.name == "environment":
            changes += _environment_changes(dict(wanted), dict(found))
            continue
        if field.name == "policy" and isinstance(want, Role):
            changes += _policy_changes(wanted, found)
            continue
        name = _FIELD_NAMES.get(field.name, field.name.replace("_", " "))
        if isinstance(wanted, tuple):
            before, after = (set(map(_item_text, items)) for items in (found, wanted))
            changes.append(f"{name} {' '.join(_set_changes(before, after)) or 'in another order'}")
            continue
        long = field.name in _LONG_FIELDS
        changes.append(f"{name} differs" if long else f"{name}: {found or 'none'} → {wanted or 'none'}")
    return changes or ["environment differs"] * different


def _item_text(item: str | tuple[str, str]) -> str:
    """Return an item of a list, such as an id, as it is, and a tag as ``key=value``."""
    return item if isinstance(item, str) else "=".join(item)


def _environment_changes(want: dict[str, str], have: dict[str, str]) -> list[str]:
    """Return the changes of the function's environment; those of the recorded lists item by item."""
    names = {*want, *have} - {RECORDED_VARIABLE}
    changed = (name for name in sorted(names) if want.get(name) != have.get(name))
    changes = [_VARIABLE_NAMES.get(name, name) for name in changed]
    wanted = json.loads(want.get(RECORDED_VARIABLE, "{}"))
    found = _parse_recorded(have.get(RECORDED_VARIABLE, "{}"))
    for name in sorted({*wanted, *found} - _SHOWN_ELSEWHERE, key=[*wanted, *found].index):
        before, after = set(found.get(name, ())), set(wanted.get(name, ()))
        if before != after:
            changes.append(f"{name} {' '.join(_set_changes(before, after))}")
    return changes


def _parse_recorded(text: str) -> dict[str, list[str]]:
    try:
        return dict(json.loads(text))
    except ValueError:  # the variable was edited by hand
        return {}


def _policy_changes(want: str, have: str) -> list[str]:
    """Return the permissions that a role loses and gains."""
    changes = _set_changes(_permissions(have), _permissions(want))
    return [f"policy {' '.join(changes)}"] if changes else ["policy differs"]


def _set_changes(before: set[str], after: set[str]) -> list[str]:
    """Return the removed items, each with a minus sign, and then the added ones, each with a plus sign."""
    removed, added = sorted(before - after), sorted(after - before)
    return [*(f"-{item}" for item in removed), *(f"+{item}" for item in added)]


def _permissions(policy: str) -> set[str]:
    """Return each action of a policy together with each resource on which it is allowed."""
    return {
        f"{'deny ' * (statement.get('Effect') == 'Deny')}{action}({resource.rpartition(':::')[2]})"
        for statement in json.loads(policy).get("Statement", ())
        for action in statement.get("Action", ())
        for resource in statement.get("Resource", ())
    }
