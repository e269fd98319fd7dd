"""The functional tests of PyWren, on wrenlite. They are in no package: a checkout of PyWren has them."""

import os
from pathlib import Path

import pytest

from tests.suites.suite import check_suite

pytestmark = [pytest.mark.suites, pytest.mark.timeout(1600)]

_FILES = ("test_simple.py", "test_modules.py", "test_pickle.py")
_LEFT_OUT = {
    "SimpleAsync::test_exit": ("message", "wants PyWren's words for sys.exit(); here it is a WorkerDied"),
    "RuntimeCaching::test_cached_runtime": ("private attribute", "asks for PyWren's run_status"),
    "SerializeFutures::test_map": ("pickled futures", "wrenlite.attach() returns the job elsewhere"),
    "ConfigErrors::test_version_mismatch": ("private attribute", "changes PyWren's own configuration"),
    "Limits::test_map_item_limit": ("private attribute", "changes PyWren's own configuration"),
    "DummyExecutorImport::test_simple": ("private attribute", "runs PyWren's dummy invoker by hand"),
    "DummyExecutorImport::test_utf8_str": ("private attribute", "runs PyWren's dummy invoker by hand"),
    "ExcludeTest::test_simple": ("exclude_modules", "wrenlite sends what a function needs"),
}


def test_pywrens_own_tests(tmp_path):
    folder = os.environ.get("PYWREN_TESTS")
    if not folder:
        pytest.skip("PYWREN_TESTS names no folder of PyWren's tests")
    tests = Path(folder)
    arguments = ["-p", "pywren", "--rootdir", tests, *(tests / name for name in _FILES)]
    check_suite("PyWren, of its repository", arguments, _LEFT_OUT, tmp_path, cwd=tests.parent)
