"""Fixtures of the gallery's tests."""

import pytest


@pytest.fixture(scope="session")
def scenes(landsat_archive):
    """All scenes of the synthetic archive, oldest first."""
    from wrenlite.gallery.landsat import catalog

    return catalog.stored(str(landsat_archive))
