"""Fixtures for what a user sees from end to end."""

import pytest

from tests.aws.deployments import Made


@pytest.fixture
def made(bed, index):
    """A deployment on the bed whose settings a test changes."""
    one = Made()
    yield one
    one.settings = {}
    one.destroy()
    assert one.deployment().existing_resources() == []
