"""Zips whose bytes depend on nothing but what is in them."""

import io
import zipfile

import pytest

from wrenlite.serialize.zips import make_zip

FILES = {"b.so": b"two" * 1000, "a.py": b"one"}


@pytest.mark.parametrize("compress", [False, True])
def test_equal_files_give_equal_bytes_in_whatever_order(compress):
    made = make_zip(FILES, compress=compress)
    assert made == make_zip(dict(reversed(FILES.items())), compress=compress)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.namelist() == ["a.py", "b.so"]
        assert {name: archive.read(name) for name in FILES} == FILES
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.create_system for entry in archive.infolist()} == {3}
    assert (len(made) < 3000) == compress


def test_permissions_follow_from_the_name():
    made = make_zip(FILES, compress=False, mode=lambda name: 0o755 if name.endswith(".so") else 0o644)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        modes = [entry.external_attr >> 16 for entry in archive.infolist()]
    assert modes == [0o644, 0o755]
