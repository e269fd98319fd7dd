"""joblib's backend on the bed."""

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import wrenlite
import wrenlite.interop.joblib


@pytest.fixture
def on_lambda(bed):
    with (
        wrenlite.Executor.aws(max_concurrency=4, progress=False) as made,
        parallel_config("wrenlite", executor=made),
    ):
        yield made


def looked_at(array, extra):
    return float(array.sum()) + extra, array.flags.writeable


def test_a_call_and_a_large_array(on_lambda):
    assert joblib.effective_n_jobs(-1) == 4
    array = np.ones(400_000)
    assert Parallel()(delayed(looked_at)(array, n) for n in range(8)) == [(4e5 + n, False) for n in range(8)]
    store = on_lambda.backend.store
    on_lambda.shutdown()
    assert list(store.list("results/put")) == []
