"""A JupyterLab server on loopback, separate from the settings and servers of the machine's user."""

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

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_PR_SET_PDEATHSIG = 1

_NO_NEWS_SETTINGS = {"fetchNews": "false", "checkForUpdates": False}
"""Settings without which JupyterLab asks, in a box over the notebook, whether it may fetch news."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""An opener that uses no proxy, even if the environment names one."""


class Lab:
    """A context manager that runs the server in a folder, and ends it with all its kernels."""

    def __init__(self, folder: Path) -> None:
        self.notebooks = folder / "notebooks"
        self.data = folder / "data"
        """The JUPYTER_DATA_DIR. Kernels in its ``kernels/`` take precedence over those of the environment."""
        self._folder = folder
        self._token = secrets.token_hex(16)
        self._port = _free_port()

    def __enter__(self) -> "Lab":
        self._start()
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # the server then shuts its kernels down
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        self._wait_for_end_of_others(set())
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> str:
        """The URL for a browser: a workspace in which nothing is open."""
        return f"http://127.0.0.1:{self._port}/lab?reset&token={self._token}"

    def address_of_notebook(self, name: str) -> str:
        """The URL of a notebook in Notebook 7, which the same server offers."""
        return f"http://127.0.0.1:{self._port}/notebooks/{name}?token={self._token}"

    def shut_kernels_down(self) -> None:
        """End every session with its kernel, and wait until their processes have ended."""
        for session in self._request("GET", "sessions"):
            self._request("DELETE", f"sessions/{session['id']}")
        self._wait_for_end_of_others({self.pid})

    def _start(self) -> None:
        settings = self._folder / "settings"
        news_settings = settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        for folder in (self.notebooks, self.data, news_settings.parent):
            folder.mkdir(parents=True)
        news_settings.write_text(json.dumps(_NO_NEWS_SETTINGS))
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                    *("--ip=127.0.0.1", f"--port={self._port}", "--ServerApp.port_retries=0"),
                    f"--IdentityProvider.token={self._token}",
                    f"--ServerApp.root_dir={self.notebooks}",
                    "--LabApp.expose_app_in_browser=True",  # as window.jupyterapp, which runs commands
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                    "--LabApp.extension_manager=readonly",  # a writable one asks the package index
                ],
                env=self._env(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so Ctrl-C reaches the tests only, which then end the server
                preexec_fn=_end_with_parent,
            )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab does not answer:\n{self._log()}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                self._request("GET", "status")
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

    def _request(self, method: str, resource: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/api/{resource}",
            method=method,
            headers={"Authorization": f"token {self._token}"},
        )
        with _direct.open(request, timeout=_STOP_TIMEOUT_S) as answer:
            return json.loads(answer.read() or "null")

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _wait_for_end_of_others(self, wanted: set[int]) -> None:
        """Wait until all server processes but ``wanted`` have ended; kill the rest and raise an error."""
        deadline = time.monotonic() + 2  # workers end a moment after their kernel
        while (left := self._processes_of_server() - wanted) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            raise RuntimeError(f"JupyterLab left processes behind: {left}\n{self._log()}")

    def _processes_of_server(self) -> set[int]:
        """Return the ids of the server, its kernels and their workers.

        Kernels and workers have sessions of their own, but they inherit the environment of the server.
        """
        marker = f"JUPYTER_RUNTIME_DIR={self._folder / 'runtime'}".encode()
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marker in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    """Let Linux end this new process with its parent: tests that are killed cannot end it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
