"""The AWS backend as a user meets it: the bed started by hand, the demo on it, and the zip from a wheel."""

import hashlib
import os
import pickle
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import wrenlite
from wrenlite.gallery.fractals.demo import POSTER, render
from wrenlite.gallery.fractals.lsystems import random_fractals
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.tiling import plan

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manual_bed():
    """A bed, started as ``make aws-bed`` does; gives the environment variables that it prints."""
    bed = subprocess.Popen(
        [sys.executable, "-m", "tests.aws.bed"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    lines = [bed.stdout.readline() for _ in range(5)]
    yield dict(re.fullmatch(r"export (\w+)=(.*)\n", line).groups() for line in lines)
    bed.send_signal(signal.SIGINT)
    bed.communicate(timeout=30)
    assert bed.returncode == 0


def test_fractals_are_the_same_bytes_on_lambda_as_on_local_cores(manual_bed, monkeypatch):
    for name, value in manual_bed.items():
        monkeypatch.setenv(name, value)
    # A few of each kind, since the whole poster is slow on the few cores of a test machine.
    deep = plan(replace(DEEP_VIEW, width=96, height=54), 2)
    tasks = [*random_fractals(8, seed=7), *plan(POSTER.sampled, 60)[:6], *deep]
    with wrenlite.Executor.local(2) as local, wrenlite.Executor.aws(max_concurrency=2) as aws:
        here, there = local.map(render, tasks), aws.map(render, tasks)
        for local_field, lambda_field in zip(here.results(), there.results(), strict=True):
            assert pickle.dumps(local_field) == pickle.dumps(lambda_field)
        assert there.cost.dollars > 0
        assert here.cost.dollars == 0


def test_the_command_runs_where_the_configuration_says(manual_bed, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f'backend = "aws"\nbucket = "{manual_bed["WRENLITE_BUCKET"]}"\nmax_concurrency = 2\n')
    env = {**os.environ, **manual_bed, "WRENLITE_CONFIG": str(config)}
    command = [str(Path(sys.executable).with_name("wrenlite")), "info"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert "AWS Lambda (wrenlite in us-east-1)" in done.stdout


def test_the_zip_of_the_function_is_the_same_from_a_checkout_and_from_a_wheel(tmp_path):
    def digest(python_path):
        program = "import sys, wrenlite.deploy.code_zip as f; sys.stdout.buffer.write(f.function_zip())"
        env = {**os.environ, "PYTHONPATH": str(python_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, check=True, cwd=tmp_path
        )
        return hashlib.sha256(done.stdout).hexdigest()

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, "wheel", *options, str(ROOT)], check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("wrenlite-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    checkout = digest(ROOT)
    assert digest(installed) == checkout
    assert digest(installed) == checkout, "and once more"
