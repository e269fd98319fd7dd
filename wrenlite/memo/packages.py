"""The packages that code imports, and the versions of all that they require.

A version says what a package does, as long as it came from an index: what is installed from a folder or a
repository may change and keep its version, so the list of its files counts too. Optional requirements count
where they are installed, since packages such as pandas compute with them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from wrenlite.backends.packages import normalised
from wrenlite.memo.refusals import Refused
from wrenlite.serialize.modules import find_spec

_NOT_FOR_USERS = re.compile(r"(?i)test|dev|doc|lint|typing|type|style|build|bench|tox|cov")
"""Extras whose requirements are for those who work on a package."""
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_BYTES = 256 << 20


def versions_of(modules: Iterable[str], versions: Mapping[str, str] | None) -> dict[str, str]:
    """Return the versions of the packages that modules belong to, and of all that these require.

    Args:
        modules: names of installed modules.
        versions: versions where the tasks run, by normalised name; None: those of this process.

    Raises:
        Refused: it is not known which version of a module tasks get.
    """
    found: dict[str, str] = {}
    for top in sorted({name.partition(".")[0] for name in modules} - sys.stdlib_module_names):
        owners = _owners_of(top)
        if not owners and versions is None:
            found[top] = _content_of(top)
        for owner in owners or [top]:
            if versions is not None and not versions.get(normalised(owner)):
                raise Refused(
                    f"it imports {top}, and which version of {owner} tasks get is not known",
                    f"Deploy the function with this package: wrenlite-setup --package {owner}",
                )
            for name in _required_by(normalised(owner)):
                if version := _installed(name) if versions is None else versions.get(name):
                    found[name] = version
    return found


def _owners_of(module: str) -> list[str]:
    """Return the packages that have a module at the top level."""
    owners = _packages_by_module().get(module)
    if owners is None:  # perhaps it was installed after the last look
        _packages_by_module.cache_clear()
        owners = _packages_by_module().get(module, [])
    return sorted(set(owners))


@functools.cache
def _packages_by_module() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _required_by(package: str) -> set[str]:
    """Return a package, those that it needs, those that any of these may use, and what they need in turn."""
    needed = _closure([package])
    return needed | _closure(name for each in needed for name in _requirements_of(each, optional=True))


def _closure(packages: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = [*packages]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(_requirements_of(name, optional=False))
    return found


def _requirements_of(package: str, *, optional: bool) -> set[str]:
    """Return what a package requires, or what its extras do, by normalised names."""
    try:
        texts = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    wanted: set[str] = set()
    not_for_users: set[str] = set()
    for text in texts:
        extra, name = _EXTRA.search(text), _NAME.match(text)
        if name is not None and (extra is not None) == optional:
            left_out = extra is not None and _NOT_FOR_USERS.match(extra[1])
            (not_for_users if left_out else wanted).add(normalised(name[0]))
    return wanted - not_for_users


def _installed(package: str) -> str:
    """Return the version of a package here; empty where it is not installed."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
    if found.read_text("direct_url.json") is None:
        return str(found.version)
    files = found.read_text("RECORD") or ""
    return f"{found.version} with files {hashlib.sha256(files.encode()).hexdigest()[:12]}"


def _content_of(module: str) -> str:
    """Return the digest of the files of an installed module that belongs to no package."""
    spec = find_spec(module)
    if spec is None or spec.origin in ("built-in", "frozen"):
        return "built in"
    places = [Path(each) for each in spec.submodule_search_locations or [str(spec.origin)]]
    return f"with files {digest_of_files(module, _files_in(places))[:12]}"


def _files_in(places: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(place.parent)), str(path)


def digest_of_files(owner: str, files: Iterable[tuple[str, str]]) -> str:
    """Return the digest of the content of files.

    Args:
        owner: the module that they belong to, for messages.
        files: for each, a name and the path.

    Raises:
        Refused: they are too large.
    """
    total, digest = 0, hashlib.sha256()
    for name, path in files:
        total += os.path.getsize(path)
        if total > _MOST_BYTES:
            raise Refused(
                f"the files of {owner} are more than {_MOST_BYTES >> 20} MB", "Pass what tasks need"
            )
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(f"{len(name)}:{name}".encode(errors="surrogatepass") + content)
    return digest.hexdigest()
