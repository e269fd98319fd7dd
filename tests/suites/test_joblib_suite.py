"""joblib's own tests of ``Parallel``, with wrenlite in the place of loky and multiprocessing."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest

import wrenlite
import wrenlite.interop.joblib
from tests.suites.suite import check_suite

pytestmark = [pytest.mark.suites, pytest.mark.timeout(1000)]


def _names(test, *choices):
    """Return the names of a test with each combination of these parameters."""
    names = [""]
    for choice in choices:
        names = [f"{name}-{each}".lstrip("-") for name in names for each in choice]
    return [f"test_parallel::{test}[{name}]" if choices else f"test_parallel::{test}" for name in names]


_PROCESSES = ("multiprocessing", "loky")
_CONTEXTS = ("parallel_config", "parallel_backend")
_ORDERS = ("generator", "generator_unordered")
_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_LEFT_OUT = {
    **dict.fromkeys(
        _names("test_nested_parallel_warnings", ["loky", "multiprocessing"], ["multiprocessing"], ["True"])
        + _names("test_nested_parallel_warnings", ["multiprocessing"], ["loky"], ["True"])
        + _names("test_nested_parallel_warnings", ["threading"], _PROCESSES, ["True"]),
        (
            "fork",
            "wants the warning that processes cannot fork inside threads or daemons; here nothing forks",
        ),
    ),
    **dict.fromkeys(
        _names("test_auto_memmap_on_arrays_from_generator", _PROCESSES)
        + _names("test_memmapping_leaks", _PROCESSES),
        ("shared memory", "wants arrays that are files mapped into memory; here they come from the store"),
    ),
    **dict.fromkeys(
        _names("test_multiple_generator_call_separated_gc", _ORDERS, _ORDERS, ["loky"], ["True"]),
        ("works here", "wants the second of two calls to fail, because loky has one pool for both"),
    ),
    **dict.fromkeys(
        _names("test_error_capture", _PROCESSES),
        (
            "interrupts",
            "a task raises KeyboardInterrupt: wrenlite raises RemoteError, not an interrupt of the user",
        ),
    ),
    **dict.fromkeys(
        _names("test_parallel_pickling"),
        (
            "class of an error",
            "wants loky's PicklingError; wrenlite raises ItemNotPicklable, which names the part",
        ),
    ),
    **dict.fromkeys(
        _names("test_threadpool_limitation_in_child_override", _CONTEXTS, _VARIABLES, ["2", "-1"]),
        ("workers live on", "sets a variable after the workers have started, and ends those of loky itself"),
    ),
    **dict.fromkeys(
        _names("test_initializer_context", _CONTEXTS, _PROCESSES, ["2", "4"])
        + _names("test_initializer_parallel", _PROCESSES, ["2", "4"])
        + _names("test_initializer_reused", ["2", "4"])
        + _names("test_initializer_not_reused", ["2", "4"]),
        (
            "option of the executor",
            "initializer= is an option of Executor.local, not of the backend: said so",
        ),
    ),
}


def test_joblibs_own_tests(tmp_path):
    tests = Path(find_spec("joblib").origin).with_name("test")
    arguments = ["-p", "joblib_on_wrenlite", "--timeout=60", "--rootdir", tests, tests / "test_parallel.py"]
    check_suite(f"joblib {version('joblib')}", arguments, _LEFT_OUT, tmp_path)


def _data():
    from sklearn.datasets import make_classification

    return make_classification(500, 20, random_state=0)


def grid_search():
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    search = GridSearchCV(SVC(), {"C": [0.1, 1], "gamma": [0.01, 0.1]}, cv=3, error_score="raise").fit(
        *_data()
    )
    return search.cv_results_["mean_test_score"]


def cross_validation():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    return cross_val_score(RandomForestClassifier(20, random_state=0), *_data(), cv=4)


def forest():
    from sklearn.ensemble import RandomForestClassifier

    data, labels = _data()
    return RandomForestClassifier(40, random_state=0).fit(data, labels).predict_proba(data)


@pytest.mark.parametrize("work", [grid_search, cross_validation, forest])
def test_scikit_learn_has_the_same_results(work):
    expected = work()  # in this process
    with (
        wrenlite.Executor.local(2, progress=False) as executor,
        joblib.parallel_config("wrenlite", executor=executor),
    ):
        assert np.array_equal(work(), expected)
