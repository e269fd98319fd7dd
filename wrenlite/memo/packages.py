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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from wrenlite.backends.base import Backend
from wrenlite.backends.packages import normalised
from wrenlite.memo.refusals import Refused
from wrenlite.serialize.modules import find_spec

_NOT_FOR_USERS = re.compile(r"(?i)test|dev|doc|lint|typing|type|style|build|bench|tox|cov")
"""Extras whose requirements are for those who work on a package."""
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_BYTES = 256 << 20
NOT_THERE = "not installed"
"""Stands for the version of a package that tasks do not find."""


class _Unknown(dict[str, str]):
    """Versions of which none is known."""

    def get(self, name: str, default: object = None) -> str:
        return ""


def versions_where_tasks_run(backend: Backend) -> Mapping[str, str] | None:
    """Return the versions of packages where the tasks of a backend run, by normalised name.

    Returns:
        The versions; empty ones are not known, and packages that are not in it are not there. None: tasks run
        on this machine.
    """
    if backend.shares_files:
        return None
    there = backend.packages
    if there is None or not there.complete:
        return _Unknown()
    return {**dict.fromkeys(there.always, ""), **there.versions}


def versions_of(modules: Iterable[str], versions: Mapping[str, str] | None) -> dict[str, str]:
    """Return the versions of the packages that modules belong to, and of all that these require.

    Args:
        modules: names of installed modules.
        versions: what ``versions_where_tasks_run`` returns.

    Raises:
        Refused: it is not known which version of a module tasks get.
    """
    found: dict[str, str] = {}
    here = _folders_now()
    for top in sorted({name.partition(".")[0] for name in modules} - sys.stdlib_module_names):
        owners = _owners_of(top, here)
        if not owners:
            found[top] = _content_of(top) if versions is None else _version_there(top, top, versions)
        for owner in owners:
            installed = _required_by(normalised(owner), here)
            if versions is None:
                found |= installed
            else:
                found |= {name: versions.get(name) or NOT_THERE for name in installed}
                found[normalised(owner)] = _version_there(top, normalised(owner), versions)
    return found


def _version_there(module: str, package: str, versions: Mapping[str, str]) -> str:
    version = versions.get(package, NOT_THERE)
    if not version:
        raise Refused(
            f"it imports {module}, and which version of {package} tasks get is not known",
            f"Deploy the function with this package: wrenlite-setup --package {package}",
        )
    return version


def _folders_now() -> tuple[tuple[str, int], ...]:
    """Return the folders of sys.path with the times of their last changes, as when a package is installed."""
    found = []
    for folder in sys.path:
        try:
            found.append((folder, os.stat(folder or ".").st_mtime_ns))
        except OSError:
            found.append((folder, 0))
    return tuple(found)


@functools.lru_cache(maxsize=1_000)
def _owners_of(module: str, here: object) -> Sequence[str]:
    """Return the packages that have a module at the top level. Most packages have the name of their module.

    Args:
        module: its name.
        here: what ``_folders_now`` returns: it is in the cache's key.
    """
    spec = find_spec(module)
    try:
        named = importlib.metadata.distribution(module)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        named = None
    if named is not None and spec is not None and spec.origin is not None:
        file = os.path.relpath(spec.origin, str(named.locate_file("")))
        if f"\n{file}," in "\n" + (named.read_text("RECORD") or ""):
            return [module]
    return _packages_by_module(here).get(module, ())


@functools.lru_cache(maxsize=4)
def _packages_by_module(here: object) -> Mapping[str, list[str]]:
    """Return the names of the packages that have each module. That takes some 0.1 s.

    Args:
        here: what ``_folders_now`` returns: it is in the cache's key.
    """
    found = importlib.metadata.packages_distributions()
    return {module: sorted(set(packages)) for module, packages in found.items()}


@functools.lru_cache(maxsize=1_000)
def _required_by(package: str, here: object) -> Mapping[str, str]:
    """Return the versions of a package, of those that it needs, and of those that they may use.

    Args:
        package: its normalised name.
        here: what ``_folders_now`` returns: it is in the cache's key.

    Returns:
        Versions by normalised name, of all that may be used, whether it is installed or not.
    """
    needed = _closure([package])
    needed |= _closure(name for each in needed for name in _requirements_of(each, optional=True))
    return {name: _installed(name) for name in sorted(needed)}


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
    """Return the version of a package here."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return NOT_THERE
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
