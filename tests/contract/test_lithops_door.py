"""Lithops' ``FunctionExecutor`` on each backend."""

import concurrent.futures
import functools
import io
import tempfile
import time
import traceback
from pathlib import Path

import pytest

import wrenlite
from wrenlite.interop import lithops


@pytest.fixture
def fexec(executor, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return lithops.FunctionExecutor(executor=executor)


def _by_value():
    """Return a function that is sent itself: the module here imports pytest, which Lambda does not have."""

    def add(x, y):
        return x + y

    return add


add = _by_value()


def test_tuples_dicts_and_first_arguments(fexec):
    assert fexec.map(add, [(1, 2), {"x": 3, "y": 4}]).get_result() == [3, 7]
    assert fexec.map(add, [1, (2,)], extra_args=(10,)).get_result() == [11, 12]
    assert fexec.map(add, [{"x": 1}], extra_args={"y": 2}).get_result() == [3]
    assert fexec.map(sum, [[1, 2], [3]]).get_result() == [3, 3]
    assert fexec.map(functools.partial(add, 1), {2}).get_result() == [3]

    def all_of(a, b=2, *args, c, **kwargs):
        return a, b, args, c, kwargs

    given = [{"a": 1, "c": 3, "kwargs": {"d": 4}}, {"a": 1, "c": 3, "d": 4}]
    assert fexec.map(all_of, given).get_result() == [(1, 2, (), 3, {"d": 4})] * 2
    assert fexec.map(lambda *args: args, [{"args": (1, 2)}, (3, 4), 5]).get_result() == [(1, 2), (3, 4), (5,)]


def test_a_task_gets_its_number_and_a_storage(fexec):
    def write(id, text, storage):
        storage.put_object(storage.bucket, f"wrenlite/outputs/{id}", text)
        return id, storage.get_object(storage.bucket, f"wrenlite/outputs/{id}")

    assert fexec.map(write, ["a", "b"]).get_result() == [(0, b"a"), (1, b"b")]
    assert fexec.map(lambda x, id: (x, id), [(5, 6)]).get_result() == [(5, 6)], "the data has a value for it"
    place = fexec.storage.put_cloudobject("text")
    assert fexec.call_async(lambda co, storage: storage.get_cloudobject(co), place).result() == b"text"
    fexec.clean(cs=[place])
    with pytest.raises(lithops.StorageNoSuchKeyError):
        fexec.storage.get_cloudobject(place)


def test_results_are_those_that_nobody_has_got_yet(fexec):
    fexec.map(abs, [-1])
    assert fexec.get_result() == [1]
    fexec.call_async(abs, -2)
    assert fexec.get_result() == 2
    assert fexec.get_result([]) == []
    fexec.map(lambda _: None, [1, 2])
    assert fexec.get_result() == [None, None]


def test_values_of_calls_are_the_data_of_others(fexec):
    numbers = fexec.map(abs, [-1, -2, -3])
    fexec.map(lambda x: 10 * x, numbers[:2])
    assert fexec.get_result() == [3, 10, 20], "the values that were passed on are not asked for"
    assert fexec.map(lambda x: (x, x), [1, 2]).map(add).get_result() == [2, 4]
    with pytest.raises(wrenlite.ArgumentError, match="make two maps"):
        fexec.map(abs, [numbers[0], 1])


def test_a_reduction(fexec):
    futures = fexec.map_reduce(
        add, [(1, 2), (3, 4)], lambda values, more: (values, more), extra_args_reduce=(5,)
    )
    assert len(futures) == 3
    assert fexec.get_result() == ([3, 7], 5)


def test_futures_that_a_task_returns_are_followed(fexec):
    def inner(n):
        within = lithops.FunctionExecutor()
        return within.map(lambda x: x + 1, range(n)) if n else within.call_async(abs, -7)

    futures = fexec.map(inner, [2, 0])
    assert fexec.get_result() == [1, 2, 7]
    assert [each.result() for each in futures] == [[1, 2], 7]
    assert futures[0].futures


def test_values_of_returned_futures_are_passed_on(pool):
    fexec = lithops.FunctionExecutor(executor=pool)

    def several(n):
        return lithops.FunctionExecutor().map(abs, [-n, n])

    def one(n):
        return lithops.FunctionExecutor().call_async(abs, -n)

    def nested(n):
        return lithops.FunctionExecutor().map(several, [n, n + 1])

    def failing(_):
        return lithops.FunctionExecutor().map(lambda x: 1 / x, [1, 0])

    assert fexec.map(several, [1]).map(lambda values: values).get_result() == [[1, 1]]
    assert fexec.map(one, [1, 2]).map(lambda x: -x).get_result() == [-1, -2]
    assert fexec.map_reduce(several, [1, 2], list).get_result() == [[1, 1], [2, 2]]
    assert fexec.map_reduce(one, [1, 2], lambda values, id: (id, values)).get_result() == (0, [1, 2])
    assert fexec.map(add, [(fexec.call_async(one, 1), 2)]).get_result() == [3]
    assert fexec.map(nested, [1]).get_result() == [1, 1, 2, 2]
    with pytest.raises(ZeroDivisionError):
        fexec.map_reduce(failing, [0], list).get_result()


def test_an_executor_in_what_is_mapped_is_that_of_the_task(fexec):
    def outer(n):
        return sum(fexec.map(abs, range(n)).get_result()), fexec.storage.bucket

    assert fexec.call_async(outer, 4).result() == (6, fexec.storage.bucket)


def test_a_failure_is_raised_once_and_hides_nothing(fexec):
    futures = fexec.map(lambda x: 1 / x, [1, 0, 2])
    with pytest.raises(ZeroDivisionError) as caught:
        fexec.get_result()
    assert "lithops_calls" not in "".join(traceback.format_exception(caught.value))
    assert fexec.get_result() == []
    assert [each.result(throw_except=False) for each in futures] == [1, None, 0.5]
    assert [each.error for each in futures] == [False, True, False]
    reduction = fexec.map_reduce(lambda x: 1 / x, [0], sum)
    with pytest.raises(ZeroDivisionError):
        reduction[-1].result()
    assert fexec.wait(reduction, throw_except=False) == (reduction, [])


def test_environment_retries_and_stats(fexec):
    def read(_):
        import os

        return os.environ["FLAG"]

    [future] = fexec.map(read, [0], extra_env={"FLAG": "up"})
    assert future.result() == "up"
    stats = future.stats
    assert stats["worker_end_tstamp"] - stats["worker_start_tstamp"] == pytest.approx(
        stats["worker_exec_time"],
        abs=1e-6,  # a double has 2e-7 of a second of today
    )
    assert future.status()["exception"] is False
    with lithops.RetryingFunctionExecutor(fexec) as retrying:
        futures = retrying.map(abs, ["no"], retries=1)
        done, left = retrying.wait(futures, throw_except=False)
        assert (len(done), left) == (1, [])
        assert futures[0]._future.stats().attempts == 2


def test_objects_are_divided_at_lines(fexec, executor):
    text = b"".join(b"line %d\n" % number for number in range(1000))
    storage = fexec.storage
    for name in ("a", "b"):
        storage.put_object(storage.bucket, f"wrenlite/outputs/words/{name}", text)

    def lines(obj, id):
        return obj.key.rpartition("/")[2], obj.part, obj.data_stream.read()

    address = f"{storage.backend}://{storage.bucket}/wrenlite/outputs/words/"
    found = fexec.map(lines, address, obj_chunk_number=3).get_result()
    assert [each[:2] for each in found] == [(name, part) for name in "ab" for part in (1, 2, 3)]
    assert b"".join(each[2] for each in found[:3]) == text
    assert all(each[2].endswith(b"\n") for each in found)
    others = lithops.FunctionExecutor(executor=executor)
    others.map_reduce(
        lambda obj: len(obj.data_stream.readlines()),
        [f"{storage.bucket}/wrenlite/outputs/words/*"],
        sum,
        obj_chunk_size=2000,
        obj_reduce_by_key=True,
    )
    assert others.get_result() == [1000, 1000]
    with pytest.raises(wrenlite.NotFound, match="no objects at"):
        fexec.map(lines, f"{storage.bucket}/wrenlite/outputs/nothing/")


def test_files_are_objects_too(pool, tmp_path):
    (tmp_path / "x.txt").write_bytes(b"1\n2\n")
    fexec = lithops.FunctionExecutor(executor=pool)
    future = fexec.call_async(lambda obj: (obj.path, obj.data_stream.read()), str(tmp_path))
    assert future.result() == (str(tmp_path / "x.txt"), b"1\n2\n")


def _call_with_two_files(fexec):
    with tempfile.TemporaryDirectory() as folder:
        for name in "ab":
            Path(folder, name).write_bytes(b"1")
        fexec.call_async(lambda obj: obj.path, folder)


def test_an_address_on_the_web_that_nobody_serves(pool):
    with pytest.raises(wrenlite.StoreError, match=r"cannot read http://127\.0\.0\.1:9/x: "):
        lithops.FunctionExecutor(executor=pool).map(lambda obj: obj, "http://127.0.0.1:9/x")


def test_bodies_of_objects(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    storage = lithops.Storage({"lithops": None})
    for body in (b"ab", bytearray(b"ab"), memoryview(b"ab"), io.BytesIO(b"ab"), io.StringIO("ab"), "ab"):
        storage.put_object("bucket", "key", body)
        assert storage.get_object("bucket", "key") == b"ab"
    with pytest.raises(wrenlite.ConfigError, match=r"must be .*FIRST-LAST"):
        storage.get_object("bucket", "key", extra_get_args={"Range": "bytes=1-0"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fexec: fexec.map(add, [(1, 2, 3)]), "element 0 of the data, .* does not fit add"),
        (lambda fexec: fexec.map(add, [{"x": 1}]), "missing a required argument: 'y'.* A dict is spread"),
        (lambda fexec: fexec.map(add, 5), "map_iterdata=5: must be a list"),
        (lambda fexec: fexec.map(add, [(1,)], extra_args={"y": 2}), "extra_args: must be a tuple"),
        (lambda fexec: fexec.map(add, [1], extra_args=0), "extra_args=0: must be a tuple of arguments"),
        (lambda fexec: fexec.map(add, ["a"], extra_args="b"), "extra_args='b': must be a tuple"),
        (lambda fexec: fexec.map(lambda obj: 1, "x", obj_chunk_size=1e6), "obj_chunk_size=1000000.0: must"),
        (lambda fexec: fexec.map(lambda obj: 1, "x", obj_newline="\r\n"), "obj_newline=.* one character"),
        (lambda _: lithops.wait(["a"]), "'a' is no future of FunctionExecutor"),
        (lambda fexec: fexec.map(abs, [1], chunk_size=2), "unknown options: chunk_size"),
        (lambda _: lithops.FunctionExecutor(backend="ibm_cf"), "backend 'ibm_cf': must be 'localhost' or"),
        (lambda _: lithops.FunctionExecutor(mode="standalone"), "mode='standalone': must be"),
        (lambda _: lithops.FunctionExecutor(config_file="c.yaml"), "a file of Lithops is not read"),
        (lambda _: lithops.FunctionExecutor(colour=1), "unknown options of FunctionExecutor: colour"),
        (lambda _: lithops.Storage(backend="ceph"), "storage 'ceph': must be"),
        (lambda _: lithops.FunctionExecutor(max_workers=0), "max_workers=0: must be a whole number from 1"),
        (lambda fexec: fexec.storage.delete_objects("b", "key"), "key_list='key': must be a list of keys"),
        (
            lambda _: lithops.Storage().put_object("../out", "key", b""),
            "'../out' is not the name of a bucket",
        ),
        (
            lambda _: lithops.Storage().put_object("b", "key", None),
            "body=None: must be bytes, a text or a file",
        ),
        (lambda _: lithops.FunctionExecutor(config="c.yaml"), "config='c.yaml': must be a dict"),
        (lambda _: lithops.FunctionExecutor(executor="local"), "executor='local': must be an Executor"),
        (_call_with_two_files, "call_async takes one object, and not 2: use map"),
    ],
)
def test_refusals(pool, call, message):
    with pytest.raises(wrenlite.ConfigError, match=message):
        call(lithops.FunctionExecutor(executor=pool))


def test_waiting(pool, shared_path):
    fexec = lithops.FunctionExecutor(executor=pool)
    gate = shared_path / "gate"

    def wait_for(path):
        while not path.exists():
            time.sleep(0.01)

    futures = fexec.map(lambda x: wait_for(gate) if x else x, [0, 1])
    done, left = fexec.wait(futures, return_when=lithops.ANY_COMPLETED)
    assert [each.call_id for each in done] == ["00000"]
    assert fexec.wait(futures, return_when=50) == (done, left)
    with pytest.raises(TimeoutError):
        lithops.wait(futures, timeout=0.1)
    assert left[0].status(check_only=True) is None
    gate.touch()
    assert lithops.get_result(futures, timeout=float("inf")) == [0, None]
    assert len(wrenlite.wait([each._future for each in futures], timeout=float("inf"))[0]) == 2
    slow = fexec.call_async(wait_for, shared_path / "never")
    assert slow.cancel()
    assert slow.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        slow.result()


def test_a_timeout_leaves_values_to_be_got(pool, shared_path):
    fexec = lithops.FunctionExecutor(executor=pool)
    gate = shared_path / "gate"

    def wait_for(path):
        while path and not path.exists():
            time.sleep(0.01)
        return 1

    fexec.map(wait_for, [None, gate])
    with pytest.raises(TimeoutError):
        fexec.get_result(timeout=0.1)
    gate.touch()
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        found = [each.result() for each in [threads.submit(fexec.get_result, timeout=1e30) for _ in range(2)]]
    assert sorted(found) == [[], [1, 1]], "one thread gets all values"
    assert fexec.get_result() == []


def test_extra_arguments_may_come_from_a_generator(pool):
    fexec = lithops.FunctionExecutor(executor=pool)
    assert fexec.map(add, [1, 2], extra_args=(n for n in [10])).get_result() == [11, 12]


def test_a_plot_is_saved(pool, tmp_path):
    fexec = lithops.FunctionExecutor(executor=pool)
    fexec.map(abs, range(3)).get_result()
    fexec.plot(dst=f"{tmp_path}/run")
    assert (tmp_path / "run_timeline.png").stat().st_size > 1000
