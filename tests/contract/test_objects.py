"""``wrenlite.objects``: files and objects as data."""

import csv
import sys

import fsspec
import pyarrow as arrow
import pytest
from pyarrow import parquet

import wrenlite


@pytest.fixture
def inline():
    with wrenlite.Executor.inline() as made:
        yield made


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder with some files, in the folder that the program runs in."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv", "b.txt", "more/c.csv", ".hidden/d.csv", "a[1].csv"):
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"name,size\n{name},1\n")
    return tmp_path / "data"


def keys(*arguments, **options):
    return [item.key for item in wrenlite.objects(*arguments, **options)]


def test_a_task_gets_a_record_and_reads_the_file(pool, data, tmp_path, monkeypatch):
    job = pool.map(describe, wrenlite.objects("data/?.csv"))
    monkeypatch.chdir(tmp_path.parent)  # it was listed before
    text = "name,size\na.csv,1\n"
    assert job.results()[0] == ("data/a.csv", 18, text.encode(), text, [["name", "size"], ["a.csv", "1"]])
    assert [key for key, *_ in job.results()] == ["data/a.csv", "data/b.csv"]


def describe(item):
    with item.open("r") as file:
        text = file.read()
    with item.open("r") as file:
        rows = list(csv.reader(file))
    return item.key, item.size, item.read(), text, rows


def test_folders_and_patterns(data):
    csvs = ["data/a.csv", "data/a[1].csv", "data/b.csv"]
    assert keys("data/*.csv") == csvs
    assert keys("./data//*.csv") == csvs
    assert keys("data/**/*.csv") == [*csvs, "data/more/c.csv"]
    assert keys("data") == [*csvs, "data/b.txt", "data/more/c.csv"]
    assert keys("data/a[1].csv") == ["data/a[1].csv"]
    assert keys("data/.hidden/*") == ["data/.hidden/d.csv"]
    (data / "more/run[1]").mkdir()
    (data / "more/run[1]/e.csv").touch()
    assert keys("data/more/run[1]") == keys("data/more/run[1]/") == ["data/more/run[1]/e.csv"]
    (data / "more/run[1]/e.csv").unlink()
    assert keys(str(data / "more")) == keys(f"file://{data}/more") == [str(data / "more/c.csv")]
    assert keys(".") == keys("data")


def test_links_are_followed_but_not_in_circles(data):
    (data / "more" / "up").symlink_to(data)
    (data.parent / "link").symlink_to(data / "more")
    (data / "broken.csv").symlink_to("nowhere")
    assert "data/broken.csv" not in keys("data/*.csv")
    assert keys("data/more/**/*.csv")[0] == "data/more/c.csv"
    assert keys("link/*.csv") == ["link/c.csv"]
    assert "link/up/b.txt" in keys("**/*.txt")


@pytest.mark.parametrize("address", ["data/*.json", "nowhere", "nowhere/*", "data/a.csv/x"])
def test_nothing_there(data, inline, address):
    with pytest.raises(wrenlite.NotFound, match="there is no object"):
        inline.map(describe, wrenlite.objects(address))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((b"data",), {}, "is not the address of objects"),
        (("",), {}, "is not the address of objects"),
        (("s3:/x/y",), {}, "give s3://BUCKET/PATTERN"),
        (("s3://X/y",), {}, "'X' is not the name of a bucket"),
        (("data",), {"by": "words"}, "must be 'lines', 'rows' or None"),
        (("data",), {"chunk_bytes": 5}, "is for by='lines' only"),
        (("data",), {"by": "lines", "chunk_bytes": 0}, "must be a whole number of bytes from 1"),
        (("data",), {"by": "lines", "chunk_bytes": 1.5}, "must be a whole number of bytes from 1"),
        (("nothing://x",), {}, "is not a protocol of fsspec"),
    ],
)
def test_wrong_arguments(arguments, options, message):
    with pytest.raises(wrenlite.ConfigError, match=message):
        wrenlite.objects(*arguments, **options)


def test_lines(pool, data):
    numbers = "".join(f"{number}\r\n" for number in range(2000))
    (data / "numbers.txt").write_bytes(numbers.encode())
    parts = wrenlite.objects("data/numbers.txt", by="lines", chunk_bytes=1000)
    read = pool.map(lambda part: (part.read(), [line.strip() for line in part.open("r")]), parts).results()
    assert len(read) == -(-len(numbers) // 1000)
    assert b"".join(text for text, _ in read) == numbers.encode()
    assert [int(line) for _, lines in read for line in lines] == list(range(2000))


def test_compressed_files_are_not_cut(data):
    (data / "x.csv.gz").write_bytes(b"...")
    with pytest.raises(wrenlite.ConfigError, match="is compressed, and cannot be cut at newlines"):
        keys("data/*.gz", by="lines")


def test_row_groups(pool, data):
    table = arrow.table({"n": range(1000), "name": [str(n) for n in range(1000)]})
    parquet.write_table(table, data / "x.parquet", row_group_size=300)
    parts = wrenlite.objects("data/*.parquet", by="rows")
    assert [(part.number, part.rows) for part in parts] == [(0, 300), (1, 300), (2, 300), (3, 100)]
    tables = pool.map(lambda part: (part.read(), part.read(["n"]).column_names), parts).results()
    assert arrow.concat_tables([part for part, _ in tables]) == table
    assert {tuple(names) for _, names in tables} == {("n",)}
    with pytest.raises(wrenlite.ConfigError, match=r"data/a\.csv is no Parquet file"):
        keys("data/a.csv", by="rows")


@pytest.mark.parametrize(
    ("package", "address", "by"), [("pyarrow", "data/a.csv", "rows"), ("fsspec", "memory://x", None)]
)
def test_packages_that_are_missing(data, monkeypatch, package, address, by):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(wrenlite.PackageMissing, match=f"needs {package}.* pip install {package}"):
        keys(address, by=by)


def test_stores_of_fsspec(inline):
    memory = fsspec.filesystem("memory")
    memory.pipe({"/box/a.txt": b"one\ntwo\n", "/box/b.txt": b"three", "/box/in/c.txt": b"four"})
    try:
        found = inline.map(
            lambda item: (item.key, item.read(), item.open().read()), wrenlite.objects("memory://box/*.txt")
        )
        assert found.results() == [
            ("/box/a.txt", b"one\ntwo\n", b"one\ntwo\n"),
            ("/box/b.txt", b"three", b"three"),
        ]
        assert len(keys("memory://box")) == 3
        lines = wrenlite.objects("memory://box/a.txt", by="lines", chunk_bytes=2)
        assert b"".join(inline.map(lambda item: item.read(), lines).values()) == b"one\ntwo\n"
        with pytest.raises(wrenlite.NotFound):
            keys("memory://nothing")
    finally:
        memory.rm("/box", recursive=True)


def test_files_are_listed_as_they_are_needed(data):
    found = iter(wrenlite.objects("data/*.csv"))
    assert next(found).key == "data/a.csv"
    (data / "b.csv").unlink()
    [last] = found
    (data / "a[1].csv").unlink()
    with pytest.raises(wrenlite.NotFound, match=r"no file .*a\[1\]\.csv here"):
        last.read()


def test_a_summary(data):
    summary = wrenlite.objects("data/*.csv", by="lines", chunk_bytes=10).summary()
    assert (summary.objects, summary.region, summary.dollars) == (3, None, None)
    assert str(summary).startswith("3 objects, ")


def test_objects_show_what_they_are(data):
    assert repr(wrenlite.objects("data/*.csv", by="lines")) == "wrenlite.objects('data/*.csv', by='lines')"
    [part, *_] = wrenlite.objects("data/a.csv", by="lines", chunk_bytes=9)
    assert repr(part) == "<Lines data/a.csv, lines from byte 0>"
    with pytest.raises(wrenlite.ConfigError, match="objects can only be read"):
        part.open("w")


def test_an_estimate_chooses_by_size(pool, data):
    for number in range(20):
        (data / f"{number:02}.bin").write_bytes(bytes(1 + 1000 * (number % 10)))
    estimate = pool.estimate(lambda item: len(item.read()), wrenlite.objects("data/*.bin"), sample=3)
    sizes = estimate.sample.results()
    assert (estimate.tasks, max(sizes) - min(sizes) > 4000) == (20, True)
