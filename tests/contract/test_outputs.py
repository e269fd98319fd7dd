"""Files that tasks write into a store of the user."""

import pytest
from botocore.session import Session

import wrenlite


def test_tasks_write_files_into_a_folder(pool, tmp_path):
    outputs = wrenlite.open_store(str(tmp_path / "made when it is written to"))
    job = pool.map(lambda n: outputs.put(f"numbers/{n}.txt", b"%d" % n), range(3))
    assert job.results() == [True] * 3
    assert (tmp_path / "made when it is written to" / "numbers" / "2.txt").read_bytes() == b"2"


def test_tasks_write_files_into_a_bucket(bed, executor):
    # The fixture bed comes first, so that workers inherit its environment.
    Session().create_client("s3").create_bucket(Bucket="pictures")
    outputs = wrenlite.open_store("s3://pictures/of/mine/")
    assert executor.map(lambda n: outputs.put(f"{n}.txt", b"%d" % n), range(3)).results(timeout=60)
    assert [entry.key for entry in outputs.list("")] == ["0.txt", "1.txt", "2.txt"]
    found = Session().create_client("s3").get_object(Bucket="pictures", Key="of/mine/1.txt")
    assert found["Body"].read() == b"1"


@pytest.mark.parametrize(
    "address",
    [
        *("https://bucket/prefix", "s3://", "s3:///key", "s3:/bucket", "s3://Bad_Bucket", "s3://a..b/x", ""),
        *("s3://192.168.0.1/x", "s3://-ab", "a\0b", 5, b"folder", None),
    ],
)
def test_an_invalid_address_is_refused(address):
    with pytest.raises(wrenlite.ConfigError, match=r"s3://BUCKET/PREFIX"):
        wrenlite.open_store(address)


@pytest.mark.parametrize("prefix", ["a//b", "../a", "a\n", "é" * 600, "\udc80"])
def test_a_prefix_that_makes_no_keys_is_refused(prefix):
    with pytest.raises(wrenlite.ConfigError, match="not the address of a store: its prefix"):
        wrenlite.open_store(f"s3://bucket/{prefix}")


def test_paths_are_folders_also_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    wrenlite.open_store(tmp_path / "a").put("x", b"1")
    wrenlite.open_store("~/b").put("x", b"2")
    assert (tmp_path / "a" / "x").read_bytes() + (tmp_path / "b" / "x").read_bytes() == b"12"


def test_local_workers_use_the_configured_profile(bed, tmp_path, monkeypatch):
    keys = [
        f"aws_{name.lower()} = {bed.env[f'AWS_{name}']}\n" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    ]
    (tmp_path / "credentials").write_text("[painter]\n" + "".join(keys))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("WRENLITE_PROFILE", "painter")
    outputs = wrenlite.open_store(f"s3://{bed.env['WRENLITE_BUCKET']}/pictures")
    with wrenlite.Executor.local(1) as executor:
        assert executor.submit(outputs.put, "a", b"1").result(timeout=60)
    assert outputs.get("a") == b"1"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(wrenlite.StoreError, match="file") as caught:
        wrenlite.open_store(str(tmp_path / "file")).put("a", b"")
    assert "TMPDIR" not in str(caught.value)
