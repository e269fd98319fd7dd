"""Publish the function as versions, which never change, and name the one that new executors use.

::

    wrenlite:current ──▶ version 7 ◀── wrenlite:d-3f9a12c04de1     named after the digest of code and settings
                         version 6 ◀── wrenlite:d-81b2e0a4457c     executors that were made before use it

An executor reads ``current`` once and then invokes that version, whatever ``current`` names later. The last
step of a change moves ``current``, so that a client finds the old deployment or the new one, as a whole.

The driver has versions, too. Each version of the function records the alias of the driver's version that
belongs to it, and a version of the driver stays as long as a version of the function records it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wrenlite.backends.aws.deployed import CURRENT_ALIAS, recorded_archives, recorded_driver
from wrenlite.backends.aws.errors import code_and_message
from wrenlite.deploy.clients import Clients, retry, suppress_codes
from wrenlite.deploy.plan import Found, outdated
from wrenlite.deploy.resources import OF_ALL_VERSIONS, Alias, Function, Published
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import is_described_as_ours, version_description
from wrenlite.errors import BackendError

_PREFIX = "d-"
"""How the aliases begin that are named after a digest."""
_DIGITS = 12
_PUBLISH_TIMEOUT_S = 60.0
"""Seconds for which Lambda may still change the revision of a function that has just been updated."""


def alias_of(function: Function) -> str:
    """Return the alias of a version of the function: equal functions behave equally, and have the same.

    It is named after all that a version has of its own: code, layer, memory, environment and the rest.

    Args:
        function: the function. What all its versions share does not count.
    """
    own = {name: value for name, value in asdict(function).items() if name not in OF_ALL_VERSIONS}
    return _PREFIX + hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def desired_alias(function: Function) -> Alias:
    """Return the alias for new executors as it should be.

    Args:
        function: the function as it should be.
    """
    return Alias(name=f"{function.name}:{CURRENT_ALIAS}", target=alias_of(function))


def published_versions(
    aliases: Iterable[Mapping[str, Any]], versions: Iterable[Mapping[str, Any]]
) -> tuple[Published, ...]:
    """Return the versions that wrenlite has published, the newest first.

    Args:
        aliases: the aliases of the function, as Lambda describes them.
        versions: its versions, as Lambda describes them.
    """
    names, others = dict[str, str](), set[str]()
    for alias in aliases:
        if is_described_as_ours(alias) and alias["Name"].startswith(_PREFIX):
            names[alias["FunctionVersion"]] = alias["Name"]
        elif alias["Name"] != CURRENT_ALIAS:
            others.add(alias["FunctionVersion"])

    def is_ours(version: Mapping[str, Any]) -> bool:
        number = version["Version"]
        return number in names or (is_described_as_ours(version) and number not in others)

    found = (
        Published(
            alias=names.get(version["Version"], ""),
            number=int(version["Version"]),
            modified=version["LastModified"],
            runtime=version.get("Runtime", ""),
            memory_mb=version["MemorySize"],
            timeout_s=version["Timeout"],
            role=version["Role"],
            archives=recorded_archives(version.get("Environment", {}).get("Variables", {})),
            driver=recorded_driver(version.get("Environment", {}).get("Variables", {})),
        )
        for version in versions
        if is_ours(version)
    )
    return tuple(sorted(found, key=lambda version: -version.number))


class Aliases:
    """The aliases of a deployment's function, or of its driver, and the versions that they name.

    Aliases and versions have no tags: see ``tags.version_description``.
    """

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        observe_function: Callable[[], Found | None],
        driver: Aliases | None = None,
    ) -> None:
        """Create an object for the aliases. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
            observe_function: returns the function as it is.
            driver: the aliases of its driver, whose versions are deleted together with those of the function.
        """
        self._driver = driver
        self._is_drivers = bool(settings.driver_of)
        self._clients = clients
        self._function = settings.function
        self._observe_function = observe_function

    def observe(self) -> Found | None:
        """Return the alias for new executors, and the versions; None where the function has neither."""
        client = self._clients["lambda"]
        with suppress_codes("ResourceNotFoundException"):
            pages = client.get_paginator("list_aliases").paginate(FunctionName=self._function)
            aliases = [alias for page in pages for alias in page["Aliases"]]
            pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=self._function)
            published = published_versions(aliases, (each for page in pages for each in page["Versions"]))
            current = next((alias for alias in aliases if alias["Name"] == CURRENT_ALIAS), None)
            if current is None and not published:
                return None
            number = current["FunctionVersion"] if current else ""
            target = next((each.alias for each in published if str(each.number) == number), "")
            name = f"{self._function}:{CURRENT_ALIAS}"
            old = self._outdated(published, target)
            alias = Alias(name, target, len(old) + len(self._unneeded_drivers(published, old)), published)
            return Found(alias, current is None or is_described_as_ours(current))
        return None

    def create(self, want: Alias) -> None:
        """Publish the function as it is now, and let new executors use that version."""
        self.update(want)

    def update(self, want: Alias) -> None:
        """Publish the function where that is missing, delete old versions, and then move ``current``.

        Raises:
            BackendError: the function is not what it should be.
        """
        found = self.observe()
        have = found.resource if found else None
        published, before = (have.published, have.target) if isinstance(have, Alias) else ((), "")
        numbers = {version.alias: version.number for version in published}
        number = numbers[want.target] if want.target in numbers else self._publish(want.target)
        old = self._outdated(published, want.target, before)
        self._delete(version for version in old if version.number != number)
        if want.target != before:
            self._point(CURRENT_ALIAS, want.target, number)
        if self._driver and (now := self.observe()) and isinstance(now.resource, Alias):
            self._driver._delete(self._unneeded_drivers(now.resource.published, ()))

    def _outdated(self, published: Sequence[Published], *targets: str) -> list[Published]:
        """Return the versions that do not stay; none of the driver, which stay as long as they are needed."""
        return [] if self._is_drivers else outdated(published, *targets)

    def _unneeded_drivers(self, published: Sequence[Published], old: Sequence[Published]) -> list[Published]:
        """Return the versions of the driver that no version of the function needs.

        Args:
            published: the versions of the function.
            old: those of them that do not stay.
        """
        found = self._driver.observe() if self._driver else None
        if found is None or not isinstance(found.resource, Alias):
            return []
        needed = {version.driver for version in published if version not in old} | {found.resource.target}
        return [version for version in found.resource.published if version.alias not in needed - {""}]

    def delete(self, have: Alias) -> None:
        """Delete the alias, and all versions that wrenlite has published."""
        self._delete_alias(CURRENT_ALIAS)
        self._delete(have.published)

    def _publish(self, alias: str) -> int:
        """Publish the function as a version, name it, and return its number.

        Where nothing has changed since the last version, Lambda returns that one: a stopped run has left it.
        """
        client = self._clients["lambda"]

        def publish_version() -> str:
            found = self._observe_function()
            if found is None or not isinstance(found.resource, Function) or alias_of(found.resource) != alias:
                raise BackendError(
                    f"the function {self._function} is not as this run has updated it: somebody else has "
                    "changed it meanwhile, and it was not published. Run wrenlite-setup again"
                )
            version: str = client.publish_version(
                FunctionName=self._function,
                Description=version_description(alias),
                RevisionId=found.resource.revision,
            )["Version"]
            return version

        version = retry(
            publish_version,
            timeout_s=_PUBLISH_TIMEOUT_S,
            is_transient=lambda error: code_and_message(error)[0] == "PreconditionFailedException",
        )
        client.get_waiter("function_active_v2").wait(FunctionName=self._function, Qualifier=version)
        self._point(alias, alias, int(version))
        return int(version)

    def _point(self, name: str, target: str, number: int) -> None:
        """Let an alias name a version, whether or not the alias exists.

        Args:
            name: name of the alias.
            target: the version's own alias, for the description.
            number: number of the version.
        """
        alias = {
            "FunctionName": self._function,
            "Name": name,
            "FunctionVersion": str(number),
            "Description": version_description(target),
        }
        with suppress_codes("ResourceNotFoundException"):
            self._clients["lambda"].update_alias(**alias)
            return
        self._clients["lambda"].create_alias(**alias)

    def _delete(self, versions: Iterable[Published]) -> None:
        """Delete versions and their aliases. A version that an alias of somebody else's names stays."""
        for version in versions:
            if version.alias:
                self._delete_alias(version.alias)
            with suppress_codes("ResourceNotFoundException", "ResourceConflictException"):
                self._clients["lambda"].delete_function(
                    FunctionName=self._function, Qualifier=str(version.number)
                )

    def _delete_alias(self, name: str) -> None:
        with suppress_codes("ResourceNotFoundException"):
            self._clients["lambda"].delete_alias(FunctionName=self._function, Name=name)
