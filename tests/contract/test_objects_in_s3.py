"""``wrenlite.objects`` over buckets, on the bed."""

import pickle

import botocore.session
import pytest

import wrenlite
from wrenlite.serving.events import object_event

BUCKET = "data-of-a-user"


@pytest.fixture
def s3(bed):
    client = botocore.session.get_session().create_client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        if found := page.get("Contents"):
            client.delete_objects(
                Bucket=BUCKET, Delete={"Objects": [{"Key": each["Key"]} for each in found], "Quiet": True}
            )
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def aws(bed):
    with wrenlite.Executor.aws(max_concurrency=4, progress=False) as made:
        yield made


def keys(address, **options):
    return [item.key for item in wrenlite.objects(f"s3://{BUCKET}/{address}", **options)]


def lines_in(part):
    return [line.strip() for line in part.open("r")]


def test_tasks_read_objects_and_parts_of_them(s3, aws, bed):
    texts = {"in/a.txt": "1\n2\n3\n", "in/b.txt": "4\n5", "in/more/c.txt": "6\n", "in//odd /ä?.txt": "7"}
    for key, text in texts.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=text)
    s3.put_object(Bucket=BUCKET, Key="in/folder/", Body=b"")
    s3.put_object(Bucket=BUCKET, Key="input", Body=b"")
    assert keys("in/*.txt") == ["in/a.txt", "in/b.txt"]
    assert keys("in") == keys("in/") == sorted(texts)
    assert keys("in/a.txt") == ["in/a.txt"]
    assert keys("*") == ["input"]
    found = aws.map(lambda item: (item.key, item.read().decode()), wrenlite.objects(f"s3://{BUCKET}/in"))
    assert dict(found.results()) == texts
    parts = wrenlite.objects(f"s3://{BUCKET}/in/?.txt", by="lines", chunk_bytes=3)
    assert [line for lines in aws.map(lines_in, parts).results() for line in lines] == list("12345")
    assert parts.summary().region == "us-east-1"
    assert str(parts.summary()).startswith("2 objects, 9 bytes, 3 tasks, in us-east-1: about $0.00000")
    with pytest.raises(wrenlite.NotFound, match=f"no object s3://{BUCKET}/out, and none below a folder"):
        keys("out")


def test_an_event_reads_the_object_that_it_is_about_and_no_later_one(s3):
    def put(text):
        answer = s3.put_object(Bucket=BUCKET, Key="in/ä b.csv", Body=f"a\n{text}\n")
        record = {"bucket": BUCKET, "key": "in/ä b.csv", "etag": answer["ETag"].strip('"'), "size": 4}
        return object_event({**record, "version": answer.get("VersionId")})

    first = put(1)
    assert first.rows() == [{"a": "1"}]
    assert first.url == f"s3://{BUCKET}/in/ä b.csv"
    second = put(2)
    assert pickle.loads(pickle.dumps(second)).open("r").read() == "a\n2\n"
    with pytest.raises(wrenlite.NotFound, match="was replaced after the event that this start is for"):
        first.read()


def test_an_event_reads_its_version_where_the_bucket_has_versions(s3):
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    versions = [s3.put_object(Bucket=BUCKET, Key="a", Body=text) for text in (b"one", b"two")]
    s3.delete_object(Bucket=BUCKET, Key="a")
    found = [
        object_event({"bucket": BUCKET, "key": "a", "version": each["VersionId"], "etag": "x", "size": 3})
        for each in versions
    ]
    assert [pickle.loads(pickle.dumps(each)).open().read() for each in found] == [b"one", b"two"]
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=BUCKET, Key="a", VersionId=each["VersionId"])


def test_row_groups_are_read_in_parts(s3, pool, bed):
    arrow = pytest.importorskip("pyarrow")  # here: this module travels to workers that do not have it
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = arrow.BufferOutputStream()
    parquet.write_table(arrow.table({"n": range(400_000)}), sink, row_group_size=100_000, compression=None)
    s3.put_object(Bucket=BUCKET, Key="x.parquet", Body=sink.getvalue().to_pybytes())
    parts = list(wrenlite.objects(f"s3://{BUCKET}/x.parquet", by="rows"))
    assert len(parts) == 4
    bed.reset()
    assert pool.map(lambda part: part.read().num_rows, parts[1:2]).results() == [100_000]
    assert bed.sent() < 2 * 1_000_000  # of 3.2 MB


def test_who_may_not_read_is_told_what_to_add(s3, aws, bed):
    s3.put_object(Bucket=BUCKET, Key="a.txt", Body=b"1\n")
    bed.settings(enforce_policies=True)
    job = aws.map(lines_in, wrenlite.objects(f"s3://{BUCKET}/a.txt"))
    with pytest.raises(wrenlite.AccessDenied) as info:
        job.results()
    assert f'"Action": "s3:GetObject", "Resource": "arn:aws:s3:::{BUCKET}/a.txt"' in str(info.value)
    assert f"wrenlite-setup --read {BUCKET} adds it to the role of the function" in str(info.value)


def test_ten_thousand_keys_are_listed_page_by_page(s3, bed):
    for page in range(10):
        bed.fault("ListObjectsV2", "answer", status=200, body=listed(page))
    bed.settings(latency_s=0.02)
    found = iter(wrenlite.objects(f"s3://{BUCKET}/many/*"))
    assert next(found).key == "many/00000"
    assert bed.counts()["ListObjectsV2"] == 1
    assert sum(1 for _ in found) == 9_999
    assert bed.counts()["ListObjectsV2"] == 10


def listed(page):
    """Return the answer of S3 with a thousand keys: putting ten thousand objects takes minutes."""
    about = "<LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size>"
    found = "".join(
        f"<Contents><Key>many/{number:05}</Key>{about}</Contents>"
        for number in range(1000 * page, 1000 * page + 1000)
    )
    more = (
        "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>" if page < 9 else ""
    )
    return f"<ListBucketResult>{found}{more}</ListBucketResult>"
