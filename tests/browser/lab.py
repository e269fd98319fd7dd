"""A JupyterLab of its own on loopback: no setting or running server of the machine's user reaches it."""

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_START_S = 60.0
_END_S = 15.0
_PR_SET_PDEATHSIG = 1

_NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}
"""JupyterLab asks its first user whether it may fetch news, in a toast that lies over the notebook."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past a proxy that the environment may name."""


class Lab:
    """Starts the server in a folder; it and all its kernels are gone at the end."""

    def __init__(self, folder: Path) -> None:
        self.notebooks = folder / "notebooks"
        self.data = folder / "data"
        """Kernels are looked for in ``kernels/`` below it, before those of the environment."""
        self._folder = folder
        self._token = secrets.token_hex(16)
        self._port = _free_port()

    def __enter__(self) -> "Lab":
        self._start()
        try:
            self._wait_for_an_answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # it then shuts its kernels down
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._expect_only(set())
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> str:
        """For a browser: a workspace in which nothing is open yet."""
        return f"http://127.0.0.1:{self._port}/lab?reset&token={self._token}"

    def shut_kernels_down(self) -> None:
        """End every session with its kernel, as closing a notebook and shutting it down does."""
        for session in self._ask("GET", "sessions"):
            self._ask("DELETE", f"sessions/{session['id']}")
        self._expect_only({self.pid})

    def _start(self) -> None:
        settings = self._folder / "settings"
        news = settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        for folder in (self.notebooks, self.data, news.parent):
            folder.mkdir(parents=True)
        news.write_text(json.dumps(_NO_NEWS))
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                    *("--ip=127.0.0.1", f"--port={self._port}", "--ServerApp.port_retries=0"),
                    f"--IdentityProvider.token={self._token}",
                    f"--ServerApp.root_dir={self.notebooks}",
                    "--LabApp.expose_app_in_browser=True",  # window.jupyterapp, for its commands
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                    "--LabApp.extension_manager=readonly",  # which would ask the package index
                ],
                env=self._env(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then end the server in order
                preexec_fn=_end_with_the_parent,
            )

    def _wait_for_an_answer(self) -> None:
        end = time.monotonic() + _START_S
        while True:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"JupyterLab does not answer:\n{self._log()}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                self._ask("GET", "status")
                return
            time.sleep(0.05)

    def _env(self, settings: Path) -> dict[str, str]:
        foreign = ("JUPYTER", "IPYTHON", "WRENLITE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return kept | {
            "HOME": str(self._folder),
            "IPYTHONDIR": str(self._folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self._folder / "config"),
            "JUPYTER_DATA_DIR": str(self.data),
            "JUPYTER_RUNTIME_DIR": str(self._folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(self._folder / "workspaces"),
            "WRENLITE_CONFIG": "",
        }

    def _ask(self, method: str, what: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/api/{what}",
            method=method,
            headers={"Authorization": f"token {self._token}"},
        )
        with _direct.open(request, timeout=_END_S) as answer:
            return json.loads(answer.read() or "null")

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _expect_only(self, wanted: set[int]) -> None:
        """Wait for the end of all other processes that the server has started; kill and report the rest."""
        end = time.monotonic() + 2  # a worker ends after its kernel
        while (left := self._descendants() - wanted) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            raise RuntimeError(f"JupyterLab left processes behind: {left}\n{self._log()}")

    def _descendants(self) -> set[int]:
        """Kernels and workers are sessions of their own, but inherit the environment."""
        mark = f"JUPYTER_RUNTIME_DIR={self._folder / 'runtime'}".encode()
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
        return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _end_with_the_parent() -> None:
    """Called in the new process: the tests may be killed before they could end it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
