"""Signal handlers of the caller that use the executor, whatever they interrupt."""

import concurrent.futures
import contextlib
import signal
import sys
import time

import pytest

import wrenlite


@pytest.fixture
def on_signal():
    """A function that sets what the handler of SIGUSR1 does."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda act: signal.signal(signal.SIGUSR1, lambda *_: act())
    signal.signal(signal.SIGUSR1, before)


class Interrupts:
    """An object whose pickling sends this process a signal."""

    def __reduce__(self):
        signal.raise_signal(signal.SIGUSR1)
        return int, ()


SHUTDOWNS = [{"cancel_futures": True}, {"wait": False, "cancel_futures": True}, {}]


CALLS = {
    "map": lambda executor: executor.map(abs, [1, Interrupts()]),
    "put": lambda executor: executor.put(Interrupts()),
    "standard": lambda executor: executor.as_concurrent().submit(abs, Interrupts()),
}


@pytest.mark.parametrize("options", SHUTDOWNS, ids=str)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_handler_may_shut_down_while_something_is_pickled(on_signal, call, options):
    with wrenlite.Executor.local(1, progress=False) as executor:
        on_signal(lambda: executor.shutdown(**options))
        with pytest.raises(wrenlite.ExecutorClosed):
            call(executor)


def test_a_handler_may_shut_down_the_standard_executor_while_it_submits(pool, on_signal):
    standard = pool.as_concurrent()
    on_signal(lambda: standard.shutdown(cancel_futures=True))
    with pytest.raises(wrenlite.ExecutorClosed):
        standard.submit(abs, Interrupts())
    assert pool.submit(abs, -1).result(30) == 1


def use_inline(executor):
    """Use what an executor has that runs tasks in the calling thread."""
    executor.put("text")
    assert executor.map(abs, range(3), chunksize=1).results() == [0, 1, 2]
    assert executor.submit(abs, -1).result() == 1
    assert executor.map_reduce(abs, range(3), list).result() == [0, 1, 2]


def use(executor):
    """Use most of what an executor with workers has."""
    executor.put("text")
    futures = [executor.submit(abs, -1), *executor.map(abs, range(3))]
    futures[0].result(30)
    futures[1].done()
    concurrent.futures.wait(futures, 30)
    list(concurrent.futures.as_completed(futures, 30))
    job = executor.map(time.sleep, [60])  # one of two workers is left for what a handler runs
    repr(job)
    job[0].cancel()
    job.cancel()
    list(executor.map(abs, range(3)).values(timeout=30))
    standard = executor.as_concurrent()
    list(standard.map(abs, range(2)))
    standard.shutdown()
    executor.shutdown()


def interrupt_at(step, function, *args):
    """Call a function, and send this process a signal before a certain one of its instructions.

    Returns:
        Whether it had so many instructions.
    """
    left = step

    def trace(frame, event, _):
        nonlocal left
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if event == "opcode" and left == 0:
            sys.settrace(None)
            signal.raise_signal(signal.SIGUSR1)
        return trace if left > 0 else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return left <= 0


def handlers(executor, job):
    """Return what handlers do."""
    return [
        *(lambda options=options: executor.shutdown(**options) for options in SHUTDOWNS),
        lambda: job.cancel(),
        lambda: executor.map(abs, [-1]).results(timeout=30),
        lambda: executor.submit(abs, -1).result(30),
    ]


def without_closed(act):
    """Return what a handler does, without the error of an executor that is closed already.

    Python prints an exception that is raised while it clears a weak reference, and goes on.
    """

    def call():
        with contextlib.suppress(wrenlite.ExecutorClosed):
            act()

    return call


def two_workers():
    return wrenlite.Executor.local(2, progress=False)


@pytest.mark.parametrize(
    ("make", "use", "stride"),
    [
        (wrenlite.Executor.inline, use_inline, 1501),
        (two_workers, use, 6607),
        pytest.param(two_workers, use, 97, marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
def test_a_handler_may_use_the_executor_wherever_it_interrupts(on_signal, make, use, stride):
    with make() as executor:
        use(executor)  # so that nothing is imported later
    step, reached = 1, True
    while reached:
        with make() as executor:
            acts = handlers(executor, executor.map(abs, range(2)))
            on_signal(without_closed(acts[step % len(acts)]))
            with contextlib.suppress(wrenlite.ExecutorClosed, concurrent.futures.CancelledError):
                reached = interrupt_at(step, use, executor)
        step += stride


class Alarm(Exception):
    """What the handler of a time limit raises."""


# Python itself prints an exception that is raised while it clears a weak reference, and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_handler_raises_while_a_future_is_made_reaches_the_caller(on_signal, caplog):
    def alarm():
        raise Alarm

    on_signal(alarm)
    with wrenlite.Executor.inline() as executor:
        executor.submit(abs, -1).result()  # so that nothing is imported later
        step, reached = 1, True
        while reached:
            job = executor.map(abs, [-1])
            with contextlib.suppress(Alarm):
                reached = interrupt_at(step, job.__getitem__, 0)
            (future,), _ = concurrent.futures.wait([job[0]], 5)
            assert future.result() == 1
            step += 1
    assert step > 50
    assert "cannot be settled" not in caplog.text
