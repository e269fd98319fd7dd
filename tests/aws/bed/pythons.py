"""The Pythons that functions run on, each with the packages that its environment has."""

import contextlib
import json
import shutil
import subprocess
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

RUNTIME_MODULES = (
    "awslambdaric",
    "runtime_client",
    "simplejson",
    "snapshot_restore_py",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "dateutil",
    "urllib3",
    "six",
)
"""The packages that AWS's own runtime for Python contains."""

BOOTSTRAP = "bootstrap.py"
"""The program that runs first in a sandbox."""

_HERE = Path(__file__).parent
_PROGRAM = """
import glob, json, os, sys
from importlib.util import find_spec
places = {}
for name in sys.argv[1:]:
    spec = find_spec(name)
    if spec is not None and spec.origin is not None:
        place = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
        beside = os.path.join(os.path.dirname(place), name)
        libraries = [beside + ".libs"] if os.path.isdir(beside + ".libs") else []
        places[name] = [place, *libraries, *glob.glob(glob.escape(beside) + "-*.dist-info")]
version = "%d.%d" % sys.version_info[:2]
base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
print(json.dumps([version, base, os.path.realpath(sys.base_prefix), places]))
"""


class Python(NamedTuple):
    """An interpreter."""

    version: str
    """Such as ``3.12``."""
    executable: str
    """The interpreter itself, not that of a virtual environment."""
    prefix: str
    """The folder that it and its standard library are in."""
    packages: dict[str, list[str]]
    """The files and folders of each package that it can import, by the name of the module."""


def examine(executable: str, modules: tuple[str, ...]) -> Python:
    """Return what an interpreter says about itself.

    Args:
        executable: its path, perhaps in a virtual environment.
        modules: the packages to look for.
    """
    done = subprocess.run([executable, "-c", _PROGRAM, *modules], capture_output=True, check=True)
    return Python(*json.loads(done.stdout))


def runtime_packages(python: Python, own: Python) -> list[str]:
    """Return the files and folders of AWS's runtime for a Python.

    What it does not have itself is taken from the bed's own Python, as far as that is no extension module.
    The runtime client is one: in its place stands ``runtime_client.py``, which does the same.

    Args:
        python: the interpreter.
        own: the one that the bed runs on.
    """
    found = []
    for name in RUNTIME_MODULES:
        places = python.packages.get(name) or own.packages[name]
        if name not in python.packages and places[0].endswith(tuple(EXTENSION_SUFFIXES)):
            places = [str(_HERE / "runtime_client.py")]
        found += places
    return [*found, str(_HERE / BOOTSTRAP)]


class Links:
    """Folders of links to packages, as functions see them."""

    def __init__(self, folder: Path, *, isolated: bool) -> None:
        """Begin without packages.

        Args:
            folder: where the folders of links are made.
            isolated: whether functions see the packages at another place.
        """
        self._folder = folder
        self._isolated = isolated
        self.places: dict[str, str] = {}
        """The folders that packages are in, by where functions see them."""

    def make(self, name: str, packages: list[str]) -> Path:
        """Make a folder with the files of packages, and links to their folders."""
        made = self._folder / name
        made.mkdir(parents=True)
        for package in map(Path, packages):
            if package.is_dir():
                with contextlib.suppress(FileExistsError):  # two packages may share their libraries
                    (made / package.name).symlink_to(self._seen(package))
            else:
                shutil.copy(package, made)
        return made

    def _seen(self, package: Path) -> Path:
        """Return where functions see the folder of a package."""
        if not self._isolated:
            return package
        known = {folder: place for place, folder in self.places.items()}
        place = known.get(str(package.parent), f"/var/packages/{len(known)}")
        self.places[place] = str(package.parent)
        return Path(place, package.name)
