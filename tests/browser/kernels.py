"""Kernels of other ipykernel versions, each in an environment installed from the package index."""

import json
import subprocess
import sys
import venv
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def install(data: Path, version: str) -> str:
    """Make an environment with wrenlite and an ipykernel, if it does not exist, and register its kernel.

    Args:
        data: the JUPYTER_DATA_DIR to register the kernel in.
        version: version of ipykernel as pip takes it, such as ``==6.31.*``; empty for the newest.

    Returns:
        The name of the kernel.
    """
    name = f"ipykernel-{version.strip('=.*') or 'newest'}"
    folder = data / "kernels" / name
    if not folder.exists():
        venv.create(folder / "venv")
        python = str(folder / "venv" / "bin" / "python")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
                *(
                    "--disable-pip-version-check",
                    f"ipykernel{version}",
                    "ipywidgets",
                    "--editable",
                    str(_ROOT),
                ),
            ],
            check=True,
        )
        spec = {
            "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
        }
        (folder / "kernel.json").write_text(json.dumps(spec))
    return name
