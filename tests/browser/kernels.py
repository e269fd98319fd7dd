"""Kernels of other ipykernel versions: environments of their own, installed from the package index."""

import json
import subprocess
import sys
import venv
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def install(data: Path, version: str) -> str:
    """Make an environment with wrenlite and this ipykernel, once, and register its kernel; gives its name.

    Args:
        data: the JUPYTER_DATA_DIR to register it in.
        version: as pip takes it: ``==6.31.*``; empty for the newest.
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
