"""What tasks leave behind in a store of the user's own."""

import pytest
from botocore.session import Session

import wrenlite


def test_tasks_leave_files_in_a_folder(pool, tmp_path):
    outputs = wrenlite.open_store(str(tmp_path / "made when it is written to"))
    job = pool.map(lambda n: outputs.put(f"numbers/{n}.txt", b"%d" % n), range(3))
    assert job.results() == [True] * 3
    assert (tmp_path / "made when it is written to" / "numbers" / "2.txt").read_bytes() == b"2"


def test_tasks_leave_files_in_a_bucket(bed, executor):  # in this order: workers have its environment
    Session().create_client("s3").create_bucket(Bucket="pictures")
    outputs = wrenlite.open_store("s3://pictures/of/mine/")
    assert executor.map(lambda n: outputs.put(f"{n}.txt", b"%d" % n), range(3)).results(timeout=60)
    assert [entry.key for entry in outputs.list("")] == ["0.txt", "1.txt", "2.txt"]
    found = Session().create_client("s3").get_object(Bucket="pictures", Key="of/mine/1.txt")
    assert found["Body"].read() == b"1"


@pytest.mark.parametrize("address", ["https://bucket/prefix", "s3://", "s3:///key"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(wrenlite.ConfigError, match=r"s3://BUCKET/PREFIX"):
        wrenlite.open_store(address)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(wrenlite.StoreError, match="file") as caught:
        wrenlite.open_store(str(tmp_path / "file")).put("a", b"")
    assert "TMPDIR" not in str(caught.value)
