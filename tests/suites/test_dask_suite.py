"""dask's own tests, with wrenlite as the scheduler ``processes`` and as that of all collections."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray

import wrenlite
from tests.suites.suite import check_suite

pytestmark = [pytest.mark.suites, pytest.mark.timeout(1000)]

_ONE_PROCESS = "shared memory", "a task changes, or returns, an object of the test's own process"
_LOCK = "shared memory", "a task takes a lock of the test's own process, or counts calls in it"
_POOL = "fork", "runs on a pool of another library, whose processes are forked: refused, by its name"
_LEFT_OUT = {
    "test_multiprocessing::test_reuse_pool[Pool]": _POOL,
    "test_multiprocessing::test_reuse_pool[ProcessPoolExecutor]": _POOL,
    "test_multiprocessing::test_custom_context_used_python3_posix": (
        "fork",
        "wants workers that are forked, and so have a module of the test",
    ),
    "test_multiprocessing::test_unpicklable_args_generate_errors": (
        "class of an error",
        "an argument raises ValueError where it is unpickled: RemoteError tells of it, and names the task",
    ),
    "test_delayed::test_traverse_false": _ONE_PROCESS,
    "test_bag::test_to_delayed_optimize_graph": _ONE_PROCESS,
    "test_bag::test_temporary_directory": _POOL,
    "test_array_core::test_binary_operator_delegation": ("plugin of pytest", "needs pytest-mock"),
    "test_array_core::test_store_delayed_target": _ONE_PROCESS,
    "test_array_core::test_store": _ONE_PROCESS,
    "test_array_core::test_store_regions": _ONE_PROCESS,
    "test_array_core::test_store_compute_false": _ONE_PROCESS,
    "test_array_core::test_store_locks_count_calls[False]": _LOCK,
    "test_array_core::test_store_locks_count_calls[True]": _LOCK,
    "test_array_core::test_to_hdf5": (
        "shared memory",
        "stores into a file that is open in the test's process",
    ),
    "test_array_core::test_from_array_with_lock[True]": _LOCK,
    "test_array_core::test_from_array_with_lock[False]": _LOCK,
    "test_array_core::test_memmap": _ONE_PROCESS,
}


def test_dasks_own_tests(tmp_path):
    folder = Path(find_spec("dask").origin).parent
    files = (
        *("tests/test_multiprocessing.py", "tests/test_delayed.py", "bag/tests/test_bag.py"),
        *("array/tests/test_array_core.py", "array/tests/test_rechunk.py"),
    )
    options = ["-p", "dask_on_wrenlite", "--timeout=60", "--rootdir", folder]
    arguments = [*options, *(folder / each for each in files)]
    check_suite(f"dask {version('dask')}", arguments, _LEFT_OUT, tmp_path)


def both(collection, pool):
    ours = collection.compute(scheduler=wrenlite.dask_get, executor=pool)
    return ours, collection.compute(scheduler="synchronous")


def test_xarray_opens_files_and_computes_on_workers(pool, tmp_path):
    for day in range(3):
        values = np.random.default_rng(day).random((1, 20, 30))
        one = xarray.Dataset({"red": (("time", "y", "x"), values)}, {"time": [day]})
        one.to_netcdf(tmp_path / f"{day}.nc", engine="h5netcdf")
    files = sorted(tmp_path.glob("*.nc"))
    with dask.config.set(scheduler=wrenlite.dask_get, pool=pool):
        red = xarray.open_mfdataset(files, parallel=True, engine="h5netcdf", combine="by_coords").red
    median = red.chunk(time=-1, y=5).median("time")
    xarray.testing.assert_identical(*both(median, pool))
    doubled = xarray.apply_ufunc(lambda block: 2 * block, red, dask="parallelized", output_dtypes=[float])
    xarray.testing.assert_identical(*both(doubled, pool))
    # A file that several processes would write to is refused.
    with (
        dask.config.set(scheduler=wrenlite.dask_get, pool=pool),
        pytest.raises(wrenlite.ItemNotPicklable, match="lock"),
    ):
        doubled.to_netcdf(tmp_path / "out.nc", engine="h5netcdf")
