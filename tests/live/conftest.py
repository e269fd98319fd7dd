"""Fixtures for tests on a real AWS account.

Only `pytest -m aws` runs them, with the settings and credentials of the user who starts it.
"""

import os

import pytest

import wrenlite

_USER_SETTINGS = {name: value for name, value in os.environ.items() if name.startswith("WRENLITE_")}
"""The user's settings, read before a fixture hides them from all tests."""


@pytest.fixture
def live(monkeypatch, socket_enabled):
    """An executor on the deployed function. A test costs less than a cent."""
    monkeypatch.delenv("WRENLITE_CONFIG")
    for name, value in _USER_SETTINGS.items():
        monkeypatch.setenv(name, value)
    with wrenlite.Executor.aws(budget=0.05, progress=False) as executor:
        yield executor
