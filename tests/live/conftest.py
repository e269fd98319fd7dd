"""Against a real account: opt-in, by `pytest -m aws`, with the settings and credentials of who runs it."""

import os

import pytest

import wrenlite

_OWN = {name: value for name, value in os.environ.items() if name.startswith("WRENLITE_")}
"""Read before the fixture that keeps the user's settings from all other tests."""


@pytest.fixture
def live(monkeypatch, socket_enabled):
    """An executor on the deployed function. Costs less than a cent."""
    monkeypatch.delenv("WRENLITE_CONFIG")
    for name, value in _OWN.items():
        monkeypatch.setenv(name, value)
    with wrenlite.Executor.aws(budget=0.05, progress=False) as executor:
        yield executor
