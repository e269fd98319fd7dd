"""Replies in a wrong form: a broken function, or a task that writes to the pipe of its worker's replies."""

import base64
import json
import math
import os
import pickle
import stat

import wrenlite
from wrenlite.backends.aws import payload
from wrenlite.protocol import (
    Died,
    Ended,
    Lost,
    Missing,
    Outcome,
    Packed,
    Refused,
    Stored,
    Throttled,
    Usage,
)
from wrenlite.serialize import framing

OUTCOME = Outcome(0, True, Packed(pickle.dumps(1)), 1.0, 0.1, 0.1, "")
USAGE = Usage(busy_s=0.1)
DONE = Ended(None, USAGE, ())


def reply(outcomes=(OUTCOME,), ended=DONE):
    return json.dumps(payload.encode_reply(payload.encode_body(outcomes, ended))).encode()


def reply_of(message):
    frame = framing.join(framing.frame(message))
    return json.dumps({"body": base64.b64encode(frame).decode()}).encode()


MALFORMED = {
    "no JSON": b"\xff{",
    "deep JSON": b"[" * 100_000,
    "no object": b"[1]",
    "no body": b"{}",
    "null as body": b'{"body": null}',
    "a number as body": b'{"body": 7}',
    "no base64": b'{"body": "*"}',
    "text as versions": b'{"versions": "mine"}',
    "null as versions": b'{"versions": null}',
    "the same versions": json.dumps({"versions": payload.versions()}).encode(),
    "no frame": json.dumps({"body": base64.b64encode(b"hello").decode()}).encode(),
    "a frame of something else": json.dumps(
        {"body": base64.b64encode(b"hello, world!" * 9).decode()}
    ).encode(),
    "a number as message": reply_of(7),
    "a short message": reply_of(([], None)),
    "outcomes that are a number": reply_of((7, None, tuple(USAGE), [])),
    "a short outcome": reply_of(([(0, True)], None, tuple(USAGE), [])),
    "a short usage": reply_of(([], None, (1.0,) * 9, [])),
    "nothing at all": reply([]),
    "a task out of range": reply([OUTCOME._replace(task=99)]),
    "a negative task": reply([OUTCOME._replace(task=-1)]),
    "a task of another batch": reply([OUTCOME._replace(task=1)]),
    "a duplicate": reply([OUTCOME, OUTCOME]),
    "a float as task": reply([OUTCOME._replace(task=0.0)]),
    "a bool as task": reply([OUTCOME._replace(task=False)]),
    "text as task": reply([OUTCOME._replace(task="0")]),
    "a number as ok": reply([OUTCOME._replace(ok=1)]),
    "text as seconds": reply([OUTCOME._replace(seconds="1")]),
    "NaN as seconds": reply([OUTCOME._replace(seconds=math.nan)]),
    "infinite seconds": reply([OUTCOME._replace(cpu_s=math.inf)]),
    "a huge number": reply([OUTCOME._replace(started=10**400)]),
    "bytes as output": reply([OUTCOME._replace(output=b"text")]),
    "no output": reply([OUTCOME._replace(output=None)]),
    "text as value": reply([OUTCOME._replace(packed=Packed("text"))]),
    "text as buffers": reply_of(([(0, True, (b"N.", "ab"), 1.0, 1.0, 1.0, "")], None, tuple(USAGE), [])),
    "a number as value": reply_of(([(0, True, 7, 1.0, 1.0, 1.0, "")], None, tuple(USAGE), [])),
    "a number as key": reply([OUTCOME._replace(packed=Stored(7, "0" * 64, 1))]),
    "a negative size": reply([OUTCOME._replace(packed=Stored("results/a", "0" * 64, -1))]),
    "text as busy_s": reply(ended=DONE._replace(usage=USAGE._replace(busy_s="1"))),
    "NaN as busy_s": reply(ended=DONE._replace(usage=USAGE._replace(busy_s=math.nan))),
    "text as a task's peak_bytes": reply([OUTCOME._replace(peak_bytes="1")]),
    "text as peak_bytes": reply(ended=DONE._replace(usage=USAGE._replace(peak_bytes="1"))),
    "a number as worker": reply(ended=DONE._replace(usage=USAGE._replace(worker=7))),
    "text as cause": reply(ended=DONE._replace(cause="because")),
    "text as error": reply([], ended=DONE._replace(cause=Died("because"))),
    "an error of another kind": reply([], ended=DONE._replace(cause=Refused(ValueError("no")))),
    "a number as key of what is missing": reply([], ended=DONE._replace(cause=Missing(7))),
    "text as a flag": reply([], ended=DONE._replace(cause=Throttled(wrenlite.ServiceUnavailable("x"), "no"))),
    "a throttle without end": reply([], DONE._replace(cause=Throttled(wrenlite.ServiceUnavailable("x")))),
    "a loss that the function cannot know": reply(
        [], DONE._replace(cause=Lost(wrenlite.ConnectionLost("x")))
    ),
    "a foreign task that was not started": reply(ended=DONE._replace(not_started=[5])),
    "a task that ended and was not started": reply(ended=DONE._replace(not_started=[0])),
    "a number as tasks not started": reply_of(([], None, tuple(USAGE), 7)),
}


def test_a_malformed_reply_is_a_broken_function_and_the_executor_goes_on(aws, bed):
    accepted = []
    for name, body in MALFORMED.items():
        bed.fault("Invoke", "answer", status=200, body=body.decode("latin-1"))
        error = aws.map(abs, [-1]).results(timeout=30, return_exceptions=True)[0]
        if not (isinstance(error, wrenlite.FunctionBroken) and "no reply of wrenlite's" in str(error)):
            accepted.append((name, error))
    assert not accepted
    unstored = reply([OUTCOME._replace(packed=Packed(pickle.dumps(bytes(20_000))))])
    bed.fault("Invoke", "answer", status=200, body=unstored.decode())  # a value that should have been stored
    assert isinstance(aws.map_reduce(abs, [-1], sum).exception(30), wrenlite.FunctionBroken)
    assert aws.map(abs, [-1]).results(timeout=30) == [1]


def replies_descriptor():
    """Return the file descriptor of the pipe of replies, the only pipe that a worker can write to."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(number).st_mode)
        except OSError:  # the descriptor of the listing itself
            continue
        if is_pipe and os.readlink(f"/proc/self/fd/{name}") and _may_write(number):
            return number
    raise AssertionError("no pipe")


def _may_write(number):
    import fcntl

    return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY


FORGED = {
    "text": b"hello, world: this is a line that a library prints",
    "few bytes": b"hi\n",
    "a whole frame of something else": framing.small_frame("hello"),
    "an outcome of another task": framing.small_frame((2, 7, True, (b"N.", ()), 1.0, 1.0, 1.0, "")),
    "a negative task": framing.small_frame((2, -1, True, (b"N.", ()), 1.0, 1.0, 1.0, "")),
    "two ends": framing.small_frame((3, tuple(USAGE), None)) * 2,
    "a pickle that cannot be loaded": framing._HEAD.pack(framing._MARK, 0, 3) + b"abc",
    "a huge buffer": framing._HEAD.pack(framing._MARK, 1, 2) + (2**62).to_bytes(8, "little") + b"N.",
    "another greeting": framing.small_frame((0, 1)),
}


def test_answers_of_lambda_in_any_form_are_understood(aws, bed):
    for body in ("[1]", "7", "null", '"text"', "[" * 100_000, "\x80", ""):
        bed.fault("Invoke", "answer", status=429, body=body)
        bed.fault("Invoke", "answer", status=503, body=body)
        assert aws.map(abs, [-1]).results(timeout=30) == [1], "sent again"
    headers = {"X-Amz-Function-Error": "Unhandled", "X-Amz-Log-Result": "*"}
    bed.fault("Invoke", "answer", status=200, body="[1]", headers=headers)
    error = aws.map(abs, [-1])[0].exception(30)
    assert isinstance(error, wrenlite.FunctionBroken)


def test_a_task_that_writes_to_the_pipe_of_replies_fails_alone(pool):
    def write(item):
        if isinstance(item, bytes):
            os.write(replies_descriptor(), item)
        return "done"

    items = [text for forged in FORGED.values() for text in (forged, 1, 2)]
    job = pool.map(write, items, chunksize=3)
    other = pool.map(abs, range(-50, 0), chunksize=5)
    values = job.results(timeout=60, return_exceptions=True)
    for name, value in zip(FORGED, values[::3], strict=True):
        assert isinstance(value, wrenlite.WorkerDied), name
        assert "no reply" in str(value)
    assert values[1::3] == values[2::3] == ["done"] * len(FORGED)
    assert [stats.attempts for stats in job.stats()] == [1, 1, 1] * len(FORGED)
    assert other.results(timeout=60) == list(range(50, 0, -1))


def test_a_worker_to_whose_pipe_something_was_written_while_it_was_idle_is_replaced(pool, tmp_path):
    def write_later(path):
        import threading
        import time

        def write():
            while not os.path.exists(path):
                time.sleep(0.005)
            os.write(replies_descriptor(), b"late")
            os.unlink(path)

        threading.Thread(target=write, daemon=True).start()
        return os.getpid()

    flag = tmp_path / "flag"
    before = pool.submit(write_later, str(flag)).result(30)
    flag.touch()
    while flag.exists():
        os.sched_yield()
    after = {pool.submit(os.getpid).result(30) for _ in range(4)}
    assert before not in after
