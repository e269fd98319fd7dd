"""CPython's own tests of ``multiprocessing.Pool``, with ``wrenlite.Pool`` in its place."""

import platform
from importlib.util import find_spec

import pytest

from tests.suites.suite import SITE_PACKAGES, check_suite

pytestmark = [
    pytest.mark.suites,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        find_spec("test") is None, reason="this Python was installed without CPython's own tests"
    ),
]

_LEFT_OUT = {
    "TestPool::test_make_pool": ("private attribute", "counts the processes in _pool"),
    "TestPool::test_resource_warning": ("private attribute", "sets _state"),
    "TestPoolWorkerLifetime::test_pool_worker_lifetime": (
        "private attribute",
        "looks at the processes in _pool, and calls _repopulate_pool",
    ),
    "TestPool::test_imap_handle_iterable_exception": (
        "works here",
        "wants item 6 to be lost, because the data raises an exception after it; here its value comes first",
    ),
    "TestPool::test_map_unplicklable": (
        "class of an error",
        "wants the RuntimeError of an item's __reduce__; here it is the cause of ItemNotPicklable",
    ),
    "TestPool::test_traceback": (
        "class of an error",
        "wants the traceback as text in a cause, RemoteTraceback; here the exception has a real traceback",
    ),
    "TestPoolWorkerErrors::test_unpickleable_result": (
        "class of an error",
        "wants MaybeEncodingError; here it is ResultNotPicklable, which names the part at fault",
    ),
}


def test_cpythons_own_tests(tmp_path):
    tests = SITE_PACKAGES / "cpython_pool_on_wrenlite.py"
    version = f"CPython {platform.python_version()} multiprocessing.Pool"
    check_suite(version, ["--noconftest", "--timeout=60", tests], _LEFT_OUT, tmp_path)
