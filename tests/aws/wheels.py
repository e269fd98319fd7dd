"""Wheels for a package index in a folder, so that no request leaves this machine."""

import importlib.metadata
import zipfile
from pathlib import Path

from wrenlite.deploy.packages import DEFAULT_PACKAGES


def fill_index(folder: Path) -> None:
    """Write stand-ins for the default packages, in their installed versions, and ``in-the-layer``."""
    folder.mkdir()
    for name in DEFAULT_PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "1.0"
        wheel(folder, name, version, {"__init__.py": ""})
    for version in ("1.0", "2.0"):
        wheel(folder, "in_the_layer", version, {"__init__.py": f"VALUE = {version!r}\n"})


def wheel(
    folder: Path,
    name: str,
    version: str,
    files: dict[str, str],
    needs: str | None = None,
    platform: str = "any",
) -> None:
    """Write a wheel into a folder.

    Args:
        folder: the folder of the package index.
        name: name of the package.
        version: its version.
        files: contents by path inside the package.
        needs: another package that it requires.
        platform: the platform that it is for.
    """
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    tag = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-{platform}\n"
    content = {f"{name}/{file}": text for file, text in files.items()}
    content |= {f"{about}/METADATA": metadata, f"{about}/WHEEL": tag}
    record = "".join(f"{file},,\n" for file in [*content, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-{platform}.whl", "w") as archive:
        for file, text in {**content, f"{about}/RECORD": record}.items():
            archive.writestr(file, text)
