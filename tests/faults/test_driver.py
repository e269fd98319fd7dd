"""Detached jobs on Lambda: the driver function keeps them, however it ends, and whoever else writes to the bucket."""

import time

import pytest

import wrenlite
from tests.aws.tasks import Runs


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))


def work(n, path, seconds):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    time.sleep(seconds)
    return n * n


@pytest.mark.e2e
def test_a_job_goes_on_without_its_client(driven, shared_path):
    runs = Runs(shared_path / "runs")
    job = driven.map(work, range(40), args=(str(runs.path), 0.1), detach=True)
    assert wrenlite.attach(job.token).results(timeout=60) == [n * n for n in range(40)]
    assert set(runs().values()) == {1}
