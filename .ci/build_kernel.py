"""Compile the fractals' kernel for each kind of processor: ``make kernel``.

The same sources and the same compiler give the same bytes, whatever machine compiles them.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "wrenlite" / "gallery" / "fractals" / "kernel"
PROCESSORS = {"x86_64": ("-mavx2", "-mfma"), "aarch64": ()}
"""What ``platform.machine()`` calls them, and the options for the instructions that are used."""
OPTIONS = (
    "-shared",
    "-fPIC",
    "-nostdlib",
    "-ffreestanding",
    "-O3",
    "-ffp-contract=off",  # else results would differ from numpy's, and between processors
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wl,-s",
)


def compiler() -> str:
    """Return the requirement of the compiler, such as ``ziglang==1.2.3``, which pyproject.toml pins."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (requirement,) = extras["compiler"]
    return str(requirement)


def build_digest() -> str:
    """Return a digest of the sources and of how they are compiled, which each library contains."""
    files = sorted([*FOLDER.glob("*.c"), *FOLDER.glob("*.h")])
    digests = [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    options = [*OPTIONS, *itertools.chain.from_iterable(PROCESSORS.values())]
    return hashlib.sha256("\n".join([compiler(), *options, *digests]).encode()).hexdigest()


def library(processor: str) -> Path:
    """Return the path of the library for a processor."""
    return FOLDER / f"fractals-{processor}.so"


def build(processor: str) -> bytes:
    """Compile the library for a processor, and return its content."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "kernel.so"
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{processor}-linux-gnu", *OPTIONS]
        command += [*PROCESSORS[processor], f'-DBUILD_DIGEST="{build_digest()}"', "-o", str(output)]
        command += sorted(file.name for file in FOLDER.glob("*.c"))
        # The compiler's cache goes with the folder.
        caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), folder)
        subprocess.run(command, check=True, cwd=FOLDER, env=os.environ | caches)
        return output.read_bytes()


def main() -> None:
    """Compile all libraries."""
    for processor in PROCESSORS:
        path = library(processor)
        path.write_bytes(build(processor))
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
