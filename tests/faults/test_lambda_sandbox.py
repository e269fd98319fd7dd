"""Failures inside a Lambda sandbox, and requests and replies beyond Lambda's limit of 6 MB."""

import asyncio
import os
import signal
import time
from collections import Counter

import numpy as np
import pytest

import wrenlite
from tests.aws.tasks import ONCE, wait_until
from wrenlite.backends.aws import payload

# In the sandbox


def test_a_crash_fails_one_task_and_the_others_are_kept(aws, bed, runs):
    def crash(item, path):

        with open(path, "a") as file:
            file.write(f"{item}\n")
        if item == 5:
            os._exit(7)
        return item

    job = aws.map(crash, range(12), args=(runs.path,), chunksize=12)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values.pop(5), wrenlite.WorkerDied)
    assert values == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert "exited with code 7" in str(job[5].exception())
    assert runs() == ONCE
    assert bed.counts()["Invoke"] == 2


def test_a_task_that_hangs_is_ended_by_its_own_timeout(aws, runs):
    def hang(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        print("so far", item)
        time.sleep(600 if item == 1 else 0)
        return item

    job = aws.map(hang, range(4), args=(runs.path,), chunksize=4, timeout=0.5, retries=1)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.TaskTimeout)
    assert [values[0], values[2], values[3]] == [0, 2, 3]
    assert runs() == Counter({"0": 1, "1": 2, "2": 1, "3": 1})
    assert [job.logs(number) for number in range(4)] == [f"so far {number}\n" for number in range(4)]


@pytest.mark.e2e
def test_a_task_that_reaches_the_functions_time_limit_is_reported_before_it(connected, deploy, runs):
    aws = connected(function=deploy("short", timeout=2))

    def hang(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(600 if item == 1 else 0)
        return item

    job = aws.map(hang, range(3), args=(runs.path,), chunksize=3)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.TaskTimeout)
    assert "wrenlite-setup --timeout" in str(values[1])
    assert [values[0], values[2]] == [0, 2]
    # Its first run was cut short: it shared the time limit with the other tasks of its batch.
    assert runs() == Counter({"0": 1, "1": 2, "2": 1})
    assert job.stats()[1].attempts == 1


def test_a_handler_that_does_not_answer_in_time_is_stopped_by_lambda(connected, deploy, runs):
    handler = {"handler.py": "import time\ndef handler(event, context):\n    time.sleep(60)\n"}
    aws = connected(function=deploy("stuck", files=handler, timeout=1))
    with pytest.raises(wrenlite.TaskTimeout, match=r"stuck was stopped at its time limit of 1 s.*--timeout"):
        aws.map(abs, [1]).results(timeout=30)


@pytest.mark.e2e
def test_a_batch_longer_than_the_time_limit_is_finished_by_several_invocations(connected, deploy, runs):
    aws = connected(function=deploy("short", timeout=3))  # 4 s of work, and time for a cold start

    def nap(item, path):
        import time

        time.sleep(0.5)
        with open(path, "a") as file:
            file.write(f"{item}\n")
        return item

    job = aws.map(nap, range(8), args=(runs.path,), chunksize=8)
    assert job.results(timeout=30) == list(range(8))
    assert max(runs().values()) == 1, "who is cut short has not written yet"
    assert [stats.attempts for stats in job.stats()] == [1] * 8


def test_an_out_of_memory_error_has_the_figures(aws, runs):
    def grow(item, path):
        with open(path, "a") as file:
            file.write(f"{item}\n")
        return len(bytes(2**30)) if item == 1 else item

    job = aws.map(grow, range(3), args=(runs.path,), chunksize=3)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.OutOfMemory)
    assert "512 MB" in str(values[1])
    assert "wrenlite-setup --memory" in str(values[1])
    assert [values[0], values[2]] == [0, 2]
    assert runs() == Counter({"0": 1, "1": 1, "2": 1})


def test_what_a_job_leaks_in_a_sandbox_does_not_fail_the_job_of_another_executor(connected):
    def leak(megabytes):
        import sys

        sys.leaked = [*getattr(sys, "leaked", ()), bytes(megabytes * 2**20)]
        return os.getpid()

    def need(megabytes):
        return os.getpid(), len(bytes(megabytes * 2**20))

    one, other = connected(max_concurrency=1), connected(max_concurrency=1)
    full = one.map(leak, [300, 300], chunksize=2)
    leaked_in = full.results(return_exceptions=True, timeout=60)
    assert isinstance(leaked_in[1], wrenlite.OutOfMemory)
    (pid, _) = other.submit(need, 300).result(timeout=30)
    assert pid != leaked_in[0], "a worker that ran out of memory is replaced"
    one.submit(leak, 300).result(timeout=30)
    job = other.map(need, [300])
    assert job.results(timeout=30)[0][1] == 300 * 2**20
    assert job.stats()[0].attempts == 1


def test_too_much_shared_memory_kills_the_worker_and_is_reported(aws, runs):
    def share(item):
        import mmap

        if item == 1:
            shared = mmap.mmap(-1, 700 * 2**20)  # shared memory, which the limit of a process does not count
            for place in range(0, len(shared), 4096):
                shared[place] = 1
        return item

    values = aws.map(share, range(3), chunksize=3).results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.WorkerDied)
    assert [values[0], values[2]] == [0, 2]


def test_a_module_that_is_missing_on_lambda_is_told_with_the_command_that_adds_it(aws):
    error = aws.map(lambda _: __import__("no_such_module_anywhere"), [1])[0].exception(timeout=30)
    assert isinstance(error, ModuleNotFoundError)
    assert any(
        "no module 'no_such_module_anywhere': wrenlite-setup --package" in note for note in error.__notes__
    )


def test_a_task_that_ends_the_whole_sandbox_fails_alone(aws, bed, runs):
    def end(item, path):

        with open(path, "a") as file:
            file.write(f"{item}\n")
        if item == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGSTOP)
        return item

    job = aws.map(end, range(4), args=(runs.path,), chunksize=4)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.WorkerDied)
    assert "Runtime.ExitError" in str(values[1])
    assert [values[0], values[2], values[3]] == [0, 2, 3]
    assert runs() == Counter({"0": 2, "1": 2, "2": 1, "3": 1}), "together, and then each alone"
    assert [stats.attempts for stats in job.stats()] == [1, 1, 1, 1]
    assert bed.counts()["Invoke"] == 1 + 4


def test_an_exit_of_the_handler_itself_fails_each_task_once(connected, deploy, bed):
    handler = {"handler.py": "import os\ndef handler(event, context):\n    os._exit(3)\n"}
    aws = connected(function=deploy("exits", files=handler))
    job = aws.map(abs, range(3), chunksize=3)
    values = job.results(return_exceptions=True, timeout=30)
    assert [type(value) for value in values] == [wrenlite.WorkerDied] * 3
    assert "exit status 3" in str(values[0])
    assert bed.counts()["Invoke"] == 1 + 3


def test_a_function_that_cannot_start_fails_the_job_with_the_reason(connected, deploy, bed):
    handler = {"handler.py": "import nowhere_to_be_found\n"}
    aws = connected(function=deploy("broken", files=handler))
    job = aws.map(abs, range(20), chunksize=20)
    with pytest.raises(
        wrenlite.FunctionBroken, match=r"broken cannot start.*nowhere_to_be_found.*wrenlite-setup"
    ):
        job.results(timeout=30)
    assert len(job.errors()) == 20
    assert bed.counts()["Invoke"] == 1


def test_a_function_that_is_not_wrenlites_is_refused(connected, deploy):
    handler = {"handler.py": "def handler(event, context):\n    return 'hello'\n"}
    aws = connected(function=deploy("theirs", files=handler))
    with pytest.raises(wrenlite.FunctionBroken, match=r"no reply of wrenlite's.*wrenlite-setup"):
        aws.map(abs, [1]).results(timeout=30)


def test_without_a_log_the_time_until_the_response_is_charged(aws, bed):
    aws.map(abs, [1]).results(timeout=30)
    bed.fault("Invoke", "drop-log")
    started_at = time.monotonic()
    job = aws.map(time.sleep, [0.2])
    job.results(timeout=30)
    assert 0.2 * 0.5 <= job.cost.gb_s <= (time.monotonic() - started_at) * 0.5


def test_an_executor_for_lambda_is_refused_inside_lambda(aws):
    def nested(n):
        import wrenlite

        with wrenlite.Executor() as inside:  # runs in this task
            values = inside.map(lambda x: x + n, range(3)).results()
        try:
            wrenlite.Executor.aws()
        except wrenlite.ConfigError as error:
            return values, str(error)

    values, message = aws.map(nested, [10]).results(timeout=30)[0]
    assert values == [10, 11, 12]
    assert "Executor() runs in this task" in message


def test_a_map_inside_a_task_draws_nothing_and_what_only_programs_need_is_named(aws):
    def drawn(n):
        with wrenlite.Executor(progress=True) as executor:
            return executor.map(abs, [-n]).results(), list(executor.as_concurrent().map(abs, [-n]))

    assert aws.map(drawn, [3]).results(timeout=30) == [([3], [3])]
    with pytest.raises(ModuleNotFoundError) as caught:
        aws.map(lambda n: wrenlite.Executor().map(abs, [n]).plot(), [3]).results(timeout=30)
    assert "Workers elsewhere are without wrenlite.display" in caught.value.__notes__[0]


# Sizes


def test_values_that_together_exceed_a_reply_go_through_the_store(aws, bed):
    arrays = aws.map(lambda n: np.full(250_000, n), range(6), chunksize=6).results(timeout=60)
    assert [array.sum() for array in arrays] == [250_000 * n for n in range(6)]
    assert arrays[0].flags.writeable
    aws.shutdown()  # which waits for the upload of the function
    counts = bed.counts()
    assert counts["Invoke"] == 1
    assert counts["PutObject"] == 1 + 4, "the function, and what did not fit beside the first two"


def test_a_value_larger_than_a_reply_goes_through_the_store(aws, bed):
    job = aws.map(lambda n: np.arange(n), [1_000_000])
    bed.reset()
    assert job.results(timeout=60)[0].sum() == 499_999_500_000
    assert bed.counts().get("GetObject", 0) >= 1


def test_a_stored_value_is_fetched_once_on_its_first_use(aws, bed):
    job = aws.map(lambda n: b"x" * n, [5_000_000])
    assert job.wait(30)
    before = bed.counts().get("GetObject", 0)
    assert len(job[0].result()) == 5_000_000
    assert len(job[0].result()) == 5_000_000
    assert bed.counts()["GetObject"] == before + 1


def test_an_event_loop_keeps_running_while_a_value_is_fetched(aws, bed):
    job = aws.map(lambda n: b"x" * n, [5_000_000])
    assert job.wait(30)
    bed.fault("GetObject", "delay", seconds=1, path="/results/")

    async def main():
        turns = 0
        waiting = asyncio.ensure_future(await_it(job[0]))
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0.01)
        return len(waiting.result()), turns

    async def await_it(future):
        return await future

    size, turns = asyncio.run(main())
    assert size == 5_000_000
    assert turns > 20


@pytest.mark.parametrize("ordered", [True, False])
def test_stored_values_are_fetched_ahead_of_their_consumer(aws, bed, ordered):
    job = aws.map(lambda n: bytes([n]) * 3_000_000, range(12), chunksize=12)
    assert job.wait(60)
    bed.reset()
    values = job.values(ordered)
    first = [next(values)[0] for _ in range(3)]  # some of them may have come in the reply
    wait_until(lambda: bed.counts()["GetObject"] > 3)  # though nobody has asked for a fourth value
    assert sorted([*first, *(value[0] for value in values)]) == list(range(12))
    with pytest.raises(wrenlite.ValueReleased):
        job[3].result()


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_reply_one_byte_below_at_and_above_the_size_limit(aws, bed, offset):
    # A pickled bytes object is larger than its bytes, and the rest of the reply needs reserved space.
    from wrenlite.worker.runner import RESERVED_BYTES

    overhead = len(__import__("pickle").dumps(b"x" * 2**20, 5)) - 2**20
    size = payload.REPLY_BYTES - RESERVED_BYTES - overhead + offset
    assert len(aws.map(lambda n: b"x" * n, [size]).results(timeout=60)[0]) == size
    aws.shutdown()
    assert bed.counts()["PutObject"] == (2 if offset > 0 else 1)


@pytest.mark.parametrize("output", ["ä".encode(), b"\x80"])
def test_a_reply_full_of_output_still_fits(aws, bed, output):
    def talk(n):
        os.write(1, output * 40_000)
        return b"x" * 100_000

    job = aws.map(talk, range(40), chunksize=40)
    assert [len(value) for value in job.results(timeout=60)] == [100_000] * 40
    assert all(output.decode(errors="replace") in job.logs(index) for index in range(40))


@pytest.mark.parametrize("offset", [-20_000, 20_000])
def test_items_just_below_and_just_above_the_size_of_a_request(aws, bed, offset):
    size = payload.FRAME_BYTES + offset
    assert aws.map(len, [b"x" * size]).results(timeout=60) == [size]
    aws.shutdown()
    assert bed.counts()["PutObject"] == (2 if offset > 0 else 1)


def test_items_too_large_for_a_request_are_stored_once_per_batch(aws, bed):
    arrays = [np.full(400_000, n) for n in range(4)]
    assert aws.map(lambda a: a.sum(), arrays, chunksize=4).results(timeout=60) == [
        400_000 * n for n in range(4)
    ]
    aws.shutdown()
    counts = bed.counts()
    assert (counts["Invoke"], counts["PutObject"]) == (1, 2)


def test_the_error_for_a_large_function_names_its_large_variables(aws, bed):
    table, small = np.ones(7_000_000), np.ones(10)
    with pytest.raises(
        wrenlite.FunctionNotPicklable, match=r"53.4 MB pickled.*'table' 53.4 MB.*executor.put"
    ):
        aws.map(lambda n: table[n] + small[0], [1])
    assert bed.counts().get("PutObject", 0) == 0
    ref = aws.put(table)
    assert aws.map(lambda n, table: table[n] + small[0], [1, 2], args=(ref,)).results(timeout=60) == [2, 2]


def test_an_object_is_uploaded_once_and_fetched_once_per_worker(connected, bed):
    aws = connected(max_concurrency=1)
    bed.reset()
    ref = aws.put({"table": np.arange(1_000_000)})
    assert aws.put({"table": np.arange(1_000_000)}).digest == ref.digest

    def look(item):
        n, inside = item
        return int(inside[0]["table"][n]), inside[0]["table"].flags.writeable

    job = aws.map(look, [(n, [ref]) for n in range(10)], chunksize=2)
    assert job.results(timeout=60) == [(n, False) for n in range(10)]
    aws.shutdown()  # which waits for the upload of the function
    counts = bed.counts()
    assert counts.pop("ListObjectsV2") == 2
    assert counts == {"PutObject": 1 + 1, "GetObject": 1, "Invoke": 5}, "the function came along"


def test_an_environment_too_large_for_a_request_is_refused(aws):
    with pytest.raises(wrenlite.BackendError, match=r"without its items.*env="):
        aws.map(abs, [1], env={"BIG": "x" * 7_000_000}).results(timeout=30)
