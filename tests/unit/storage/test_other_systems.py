"""Clients without Linux: what they import, and the temporary store without locks."""

import subprocess
import sys

WITHOUT_POSIX = """
import os, select, signal, sys

for name in ("fcntl", "resource", "termios", "pwd", "grp", "pty", "tty"):
    sys.modules[name] = None  # importing it raises ImportError
posix = "fork pidfd_open register_at_fork writev readv pread getuid waitid wait4 killpg"
for name in posix.split():
    if hasattr(os, name):
        delattr(os, name)
del select.poll, signal.SIGKILL
"""

MODULES = """
import importlib, pkgutil
import wrenlite.serialize, wrenlite.storage

for package in (wrenlite.serialize, wrenlite.storage):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import wrenlite.map_reduce, wrenlite.worker.runner
"""

STORE = """
from pathlib import Path
from wrenlite.storage.local import TemporaryStore

first, second = TemporaryStore(), TemporaryStore()
assert first.put("a/b", b"blob")
assert first.get("a/b") == b"blob"
assert [entry.key for entry in first.list("")] == ["a/b"], "there is no lock file"
first.remove()
assert not Path(first.root).exists()
print(second.root)
"""


def run(program):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX + program], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    return ended.stdout.strip()


def test_the_modules_that_a_client_needs_import():
    assert run(MODULES) == ""


def test_a_temporary_store_without_locks_is_removed_at_exit(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run(STORE).startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
