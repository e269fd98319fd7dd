"""The behaviour of every store. A new implementation is added as a parameter of the fixture ``store``."""

import array
import io
import pickle
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.session import Session

from wrenlite.backends.aws.s3 import S3Store
from wrenlite.errors import NotFound, StoreError
from wrenlite.storage.base import Entry, Span
from wrenlite.storage.local import LocalStore


@pytest.fixture(params=["local", "moto", "radosgw"])
def store(request, tmp_path, monkeypatch):
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    if request.param == "moto":
        request.getfixturevalue("bed")
    else:
        for name, value in request.getfixturevalue("radosgw").items():
            monkeypatch.setenv(name, value)
    made = S3Store(f"store-{uuid.uuid4().hex}", "some/prefix")
    Session().create_client("s3").create_bucket(Bucket=made.bucket)
    return made


def test_get_returns_what_was_put(store):
    assert store.put("a/b", b"one") is True
    assert store.get("a/b") == b"one"
    assert store.put("a/b", b"two") is True
    assert store.get("a/b") == b"two"
    assert store.put("empty", b"")
    assert store.get("empty") == b""


def test_put_if_absent_keeps_an_existing_blob(store):
    assert store.put("a", b"one", if_absent=True) is True
    assert store.put("a", b"two", if_absent=True) is False
    assert store.get("a") == b"one"


def test_repair_writes_what_is_missing_and_replaces_what_is_another(store):
    assert store.repair("a/b", b"one") is False
    assert store.get("a/b") == b"one"
    before = next(iter(store.list("a/b")))
    assert store.repair("a/b", b"one") is False
    assert next(iter(store.list("a/b"))) == before
    for damage in (b"two", b"", b"a longer one"):
        store.put("a/b", damage)
        assert store.repair("a/b", b"one") is True
        assert store.get("a/b") == b"one"
    store.put("c/longer", b"")
    assert store.repair("c/long", b"one") is False, "a key that another key begins with"
    assert store.get("c/long") == b"one"


def test_get_with_a_span_returns_a_part_of_a_blob(store):
    store.put("a", b"0123456789")
    assert store.get("a", Span(2, 3)) == b"234"
    assert store.get("a", Span(8, 10)) == b"89"


@pytest.mark.parametrize("key", ["missing", "a/missing", "a/b/missing", "a"])
def test_a_missing_key_is_not_found(store, key):
    store.put("a/b", b"")
    with pytest.raises(NotFound, match=key):
        store.get(key)


def test_listing_is_in_the_order_of_keys(store):
    for key in ("x/b", "x/a", "x/a-b", "x/a.d/c", "x/B", "y/a", "xx"):
        store.put(key, key.encode())
    assert [entry.key for entry in store.list("x/")] == ["x/B", "x/a", "x/a-b", "x/a.d/c", "x/b"]
    assert [entry.key for entry in store.list("x/", after="x/a")] == ["x/a-b", "x/a.d/c", "x/b"]
    assert [entry.key for entry in store.list("x")][-1] == "xx"
    assert list(store.list("nothing")) == []


def test_entries_have_size_and_time(store):
    store.put("a", b"12345")
    (entry,) = store.list("")
    assert isinstance(entry, Entry)
    assert entry.size == 5
    assert entry.modified > 1.7e9


def test_existing_and_missing_keys_may_be_deleted(store):
    store.put("a", b"")
    store.put("b", b"")
    store.delete(["a", "nothing"])
    assert [entry.key for entry in store.list("")] == ["b"]


def test_invalid_keys_are_refused(store):
    keys = [
        "",
        "/a",
        "a//b",
        "../a",
        "a/..",
        "./a",
        "a/",
        "a\0b",
        "a\nb",
        "\x7f",
        "\udc80",
        "\ud800",
        5,
        b"a",
    ]
    for key in (*keys, "é" * 128, "a/" * 512 + "b"):
        for use in (lambda key: store.put(key, b""), store.get, lambda key: store.delete([key])):
            with pytest.raises(StoreError, match="is not a key") as caught:
                use(key)
            assert len(str(caught.value)) < 300
    assert list(store.list("")) == []


def test_blobs_are_anything_made_of_bytes_and_nothing_else(store):
    for blob in (bytearray(b"one"), memoryview(b"one"), array.array("B", b"one")):
        store.put("a", blob)
        assert store.get("a") == b"one"
    for wrong in ("text", 5, None, ["a"], io.BytesIO(b"a")):
        with pytest.raises(StoreError, match=r"the blob of 'b' must be bytes, and this one is of type"):
            store.put("b", wrong)
    with pytest.raises(StoreError, match=r"text\.encode\(\) makes bytes of text"):
        store.put("b", "text")
    assert [entry.key for entry in store.list("")] == ["a"]


def test_the_longest_keys_are_accepted(store):
    prefix = f"{store.prefix}/" if isinstance(store, S3Store) else ""
    longest = "/".join(["a" * 255] * 4)[: 1024 - len(prefix)]
    store.put(longest, b"1")
    assert store.get(longest) == b"1"
    store.put("é" * 127, b"2")
    assert [entry.key for entry in store.list("")] == sorted([longest, "é" * 127])
    if prefix:
        with pytest.raises(StoreError, match="with the store's prefix 'some/prefix' it is longer than 1,024"):
            store.put(longest + "a", b"")


def test_a_folder_lists_files_of_others_whatever_their_names(tmp_path):
    (tmp_path / "caf\udce9\n.png").write_bytes(b"12")
    assert [entry.size for entry in LocalStore(tmp_path).list("")] == [2]


@pytest.mark.parametrize(
    "store", ["radosgw", pytest.param("moto", marks=pytest.mark.full)], indirect=True
)  # a folder has no pages
def test_many_keys_are_listed_and_deleted_in_several_pages(store):
    keys = [f"many/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda key: store.put(key, b""), keys))
    assert [entry.key for entry in store.list("many/")] == keys
    assert [entry.key for entry in store.list("many/", after=keys[1002])] == keys[1003:]
    store.delete(keys)
    assert list(store.list("many/")) == []


def test_a_store_travels_without_credentials(store):
    store.put("a", b"one")
    pickled = pickle.dumps(store)
    assert b"SECRET" not in pickled.upper()
    assert pickle.loads(pickled).get("a") == b"one"


def test_of_concurrent_puts_if_absent_one_wins_and_no_reader_sees_half_a_blob(store, request):
    if "moto" in request.node.callspec.id:
        pytest.skip("a conditional put of moto is not atomic; radosgw is tested instead")
    start = threading.Barrier(8)
    won, seen = [], set()

    def put(number):
        start.wait()
        if store.put("raced", bytes([number]) * 500_000, if_absent=True):
            won.append(number)
        seen.add(store.get("raced"))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert seen == {bytes(won) * 500_000}
    assert [entry.key for entry in store.list("")] == ["raced"]


def test_a_folder_that_something_else_removes_meanwhile_takes_every_blob(tmp_path):
    store, ended = LocalStore(tmp_path / "store"), threading.Event()

    def clean():
        while not ended.is_set():
            shutil.rmtree(store.root, ignore_errors=True)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for number in range(50):
            assert store.put(f"results/job/{number}", b"x")
    finally:
        ended.set()
        cleaner.join()


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot write 'a/b' in the store"):
        LocalStore(tmp_path / "file").put("a/b", b"", if_absent=True)
    with pytest.raises(StoreError, match=r"cannot write .a. in the store .*file"):
        LocalStore(tmp_path / "file").put("a", b"")
