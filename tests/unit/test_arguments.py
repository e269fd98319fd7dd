"""First guesses: what the errors say to write instead. Everything here is refused before anything is sent."""

import concurrent.futures  # noqa: F401  # for eval
import dataclasses
import functools
import inspect
import operator
import threading

import numpy as np
import pytest

import wrenlite
from wrenlite import ArgumentError, ConfigError, Executor, wrong_calls


@pytest.fixture(scope="module")
def executor():
    with Executor.inline() as made:
        yield made


def add(a, b):
    return a + b


def takes(x, y=1, *more, **named):
    return x


def numbers():
    yield 1


lock = threading.Lock()  # pickling it would fail

MAKERS = {
    "Executor(workers=4)": "Executor takes no workers=. Write Executor.local(workers=4)",
    "Executor(max_workers=4)": "Write Executor.local(workers=4)",
    "Executor(n_jobs=-1)": "Write Executor.local() for one worker per core",
    "Executor(-1)": "Executor(-1): not a backend. Write Executor.local()",
    "Executor(memory_limit='2GB')": "Write Executor.local(memory_limit='2GB')",
    "Executor(region='eu-west-1')": "Write Executor.aws(region='eu-west-1')",
    "Executor(function='mine')": "Write Executor.aws(function='mine')",
    "Executor(retries=2)": "Write map(function, data, retries=2)",
    "Executor(progres=False)": "Write Executor(progress=False)",
    "Executor(nonsense=1)": "Executor takes no nonsense=; it takes backend, progress",
    "Executor(4)": "Executor(4): not a backend. Write Executor.local(4)",
    "Executor('aws')": "Executor('aws'): not a backend. Write Executor.aws()",
    "Executor(backend='local')": "Write Executor.local()",
    "Executor('k8s')": "Executor.local(4) takes a number of workers, Executor.aws() runs on Lambda",
    "Executor(True)": "not a backend. Executor.local(4) takes",
    "Executor(concurrent.futures.ThreadPoolExecutor)": "not a backend. Executor.local(4) takes",
    "Executor(None, False)": "options are given by name, as in Executor(progress=…)",
    "Executor.local(max_workers=2)": "Executor.local takes no max_workers=. Write Executor.local(workers=2)",
    "Executor.local(2, '2GB')": "Executor.local(2, '2GB'): options are given by name",
    "Executor.local(2, workers=3)": "multiple values for argument 'workers'. Write Executor.local(4)",
    "Executor.local(profile='x')": "Write Executor.aws(profile='x')",
    "Executor.aws(workers=2)": "Write Executor.aws(max_concurrency=2)",
    "Executor.aws(max_workers=2)": "Write Executor.aws(max_concurrency=2)",
    "Executor.aws('eu-west-1')": "options are given by name. Write Executor.aws(region='eu-west-1')",
    "Executor.aws('mine')": "options are given by name, as in Executor.aws(profile=…)",
    "Executor.aws(storage_bucket='mine')": "Write Executor.aws(bucket='mine')",
    "Executor.aws(aws_access_key_id='AKIA')": "where Executor.aws(profile='…') chooses a profile",
    "Executor.local(n_jobs=-1)": "takes no n_jobs=. Write Executor.local() for one worker per core",
    "Executor.local(n_jobs=-1, max_memory=2)": "Write Executor.local(memory_limit='2048MB')",
    "Executor.local(2, threads=True)": "Write Executor.local() for one worker per core",
    "Executor.aws(concurrency=0)": "Write Executor.aws() for as many invocations at once as the account",
    "Executor.local(2, timeout='10s')": "Write map(function, data, timeout=10)",
    "Executor.local(2, timeout='5 min')": "Write map(function, data, timeout=300)",
    "Executor.local(2, timeout=-1)": "Write map(function, data) for tasks without a time limit",
    "Executor.local(retries=-1)": "Write map(function, data) for no further attempts",
    "Executor.local(runtime_memory=512)": "Write Executor.local(memory_limit='512MB')",
    "Executor.local(memory=512)": "Write Executor.local(memory_limit='512MB')",
    "Executor.local(mem_limit=2**30)": "Write Executor.local(memory_limit=1073741824)",
    "Executor.local(n_jobs=np.int64(3))": "Write Executor.local(workers=",
    "Executor.local(memory=None)": "Write Executor.local() for workers without a limit",
    "Executor.aws(memory=1024)": "Memory is chosen when the function is deployed: wrenlite-setup --memory 10",
    "Executor.aws(memory_limit='2GB')": "is deployed: wrenlite-setup --memory 2048",
    "Executor.local(threads_per_worker=3)": "Each worker is a process that runs one task",
    "Executor(initializer=abs)": "Executor takes no initializer=. Write Executor.local(initializer=abs)",
    "Executor.aws(initializer=abs, initargs=(1,))": "initializer=: Lambda starts and ends its sandboxes by",
    "Executor.local(maxtasksperchild=3)": "Write Executor.local(max_tasks_per_worker=3)",
    "Executor.local(10**7)": "workers=10000000: must be at most 1,000, since each worker is a process",
    "Executor.inline(2)": "Executor.inline",
    "Executor.inline(workers=2)": "Executor.inline takes no workers=. Write Executor.local(workers=2)",
    "wrenlite.default_executor(2)": "config=2: must be a dict, as in PyWren",
    "wrenlite.default_executor(backend='lambda')": "is chosen with the executor: Executor.aws()",
}


@pytest.mark.parametrize("guess", MAKERS)
def test_what_to_write_to_make_an_executor(guess):
    with pytest.raises(ConfigError) as caught:
        eval(guess)
    assert MAKERS[guess] in str(caught.value)


CALLS = {
    "map(add, [1], [2])": "map(add, …) takes one iterable, and got 2. Write starmap(add, zip(a, b))",
    "map(add, [1], [2], [3])": "Write starmap(add, zip(a, b, c))",
    "starmap(add, [1], [2])": "Write starmap(add, zip(a, b))",
    "map(abs, [1], 4)": "map(abs, [1], 4): options are given by name, as in map(chunksize=…)",
    "map_reduce(abs, [1], sum, 4)": "options are given by name, as in map_reduce(chunksize=…)",
    "map(abs)": "map: missing a required argument: 'data'. Write map(function, data)",
    "map()": "Write map(function, data)",
    "map_reduce(abs, [1])": "'reduce_fn'. Write map_reduce(function, data, reduce_function)",
    "map(func=abs, iterable=[1])": "map takes no func=, iterable=. Write map(fn=abs, data=[1])",
    "map(abs, iterdata=[1])": "map takes no iterdata=. Write map(data=[1])",
    "map(abs, [1], retry=2)": "map takes no retry=. Write map(retries=2)",
    "map(abs, [1], extra_env={})": "map takes no extra_env=. Write map(env={})",
    "map(abs, [1], chunk_size=2)": "map takes no chunk_size=. Write map(chunksize=2)",
    "map_reduce(map_function=abs, map_iterdata=[1], reduce_function=sum)": (
        "map_reduce takes no map_function=, map_iterdata=, reduce_function=. Write map_reduce(map_fn=abs, "
        "data=[1], reduce_fn=sum)"
    ),
    "map_reduce(abs, iterdata=[1], reducer=sum)": "Write map_reduce(data=[1], reduce_fn=sum)",
    "map(abs, [1], backend='threading')": "Where tasks run is chosen with the executor: Executor.local()",
    "map(abs, [1], backend='k8s')": "the executor: Executor(), Executor.local(4) or Executor.aws()",
    "map(abs, [1], verbose=3)": "map takes no verbose=. Write map(progress=True)",
    "map(abs, [1], verbose=0)": "Write map(progress=False)",
    "map(abs, [1], random_state=3)": "Write map(seed=3)",
    "map(abs, [1], workers=2)": "map takes no workers=. Write Executor.local(workers=2)",
    "starmap(add, [(1, 2)], nonsense=2)": "starmap takes no nonsense=; it takes fn, data, chunksize",
    "map(abs, 5)": "data=5: must be an iterable of items, such as a list: range(5) for 5 tasks, [5] for one",
    "map(abs, np.array(5))": "data=array(5): must be an iterable",
    "map(abs, executor.put([1]))": "pass it by args=(ref,), or as an item of a list",
    "map(abs, [1], callback=print)": "A job, and each of its futures, has add_done_callback(function)",
    "map(abs, [1], ordered=False)": "Values come in input order; job.values(ordered=False) gives them as",
    "map(abs, [1], name='mine')": "A job has the name of its function",
    "map(abs, None)": "data=None: must be an iterable",
    "map(abs, numbers)": "it was not called: pass what it returns",
    "map(abs, list)": "data=<class 'list'>: must be an iterable of items",
    "map(5, abs)": "fn=5: must be callable. The function comes first: map(abs, data)",
    "map([1, 2], abs)": "fn=[1, 2]: must be callable. The function comes first: map(abs, data)",
    "map(None, [1])": "Pass the function itself: map(function, data), not map(function(…), data)",
    "starmap([(1, 2)], add)": "The function comes first: starmap(add, data)",
    "starmap(None, [(1, 2)])": "starmap(function, data), not starmap(function(…), data)",
    "map_reduce([1], abs, sum)": "The function comes first: map_reduce(abs, data, sum)",
    "map_reduce(None, [1], sum)": "map_reduce(function, data, sum), not map_reduce(function(…), data, sum)",
    "map_reduce(abs, [1], None)": "Pass the function itself: map_reduce(function, data, reduce_function)",
    "map_reduce(abs, [1], 0)": "reduce_fn=0: must be callable",
    "map_reduce(abs, sum, [1])": "The data comes second: map_reduce(abs, data, sum)",
    "submit([1], abs)": "fn=[1]: must be callable. The function comes first: submit(abs, [1])",
    "submit()": "submit: missing a required argument: 'fn'. Write submit(function, argument)",
    "submit(fn=abs)": ". Write submit(function, argument)",
    "submit(add, (1, 2))": (
        "submit calls add((1, 2)), which fails: missing a required argument: 'b'. Write submit(add, 1, 2)"
    ),
    "submit(add, args=(1, 2))": "submit passes all arguments on: submit(add, 1, b=2) calls add(1, b=2)",
    "submit(add, 1, 2, timeout='3')": "timeout='3': must be seconds above 0, or None",
    "submit(add, 1, 2, chunksize=3)": "got an unexpected keyword argument 'chunksize'",
    "submit(add, 1)": "submit calls add(1), which fails: missing a required argument: 'b'",
    "submit(5)": "Write submit(function, argument), not submit(function(argument))",
    "map(abs, [1], args=(2))": "args=2: must be a tuple of positional arguments: args=(2,)",
    "map(abs, [1], args='ab')": "args=('ab',)",
    "map(abs, [1], args=np.array(2))": "must be a tuple of positional arguments",
    "map(abs, [1], args={'a': 1})": "kwargs= takes named ones",
    "map(abs, [1], retries=True)": "retries=True: must be a whole number from 0",
    "map(abs, [1], retries=1.0)": "retries=1.0: must be a whole number from 0",
    "map(abs, [1], chunksize=True)": "chunksize=True: must be a whole number from 1, or None",
    "map(abs, [1], chunksize=np.True_)": "must be a whole number from 1",
    "map(abs, [1], progress=0)": "progress=0: must be True, False, 'auto' or None",
    "map(abs, [1], progress='yes')": "progress='yes': must be True",
    "map(abs, [1]).results(5)": "return_exceptions=5: must be True or False. Seconds are given as timeout=5",
    "map(abs, [1]).results(return_exceptions='no')": "return_exceptions='no': must be True or False",
    "map(abs, [1])['a']": "'a' is not the number of a task: ",
    "map(abs, [1]).logs('x')": "tasks are numbered from 0, and job[0] is the future of the first",
    "map(abs, [1]).state(None)": "None is not the number of a task",
    "map(abs, [1]).values(0.5)": "ordered=0.5: must be True or False. Seconds are given as timeout=0.5",
    "map(abs, [1], timeout=True)": "timeout=True: must be seconds above 0, or None",
}


@pytest.mark.parametrize("guess", CALLS)
def test_what_to_write_to_run_tasks(executor, guess):
    with pytest.raises(ConfigError) as caught:
        eval(f"executor.{guess}")
    assert CALLS[guess] in str(caught.value)


def test_a_method_of_the_class_needs_an_executor():
    with pytest.raises(
        ArgumentError, match=r"map is a method of executors. Write Executor\(\)\.map\(function"
    ):
        Executor.map(abs, [1])
    for call in (Executor.map, lambda: Executor.submit(abs, 1), lambda: Executor.map_reduce(abs, [1], sum)):
        with pytest.raises(ArgumentError, match="is a method of executors"):
            call()


def test_waiting_takes_futures_and_jobs(executor):
    one, two = executor.map(abs, [-1]), executor.map(abs, [-2, -3])
    for given, futures in (
        (one[0], [one[0]]),
        (one, [one[0]]),
        ([one, two], [one[0], two[0], two[1]]),
        ((two, one[0]), [two[0], two[1], one[0]]),
    ):
        assert wrenlite.wait(given) == (futures, [])
        assert set(wrenlite.as_completed(given)) == set(futures)
        assert wrenlite.get_all_results(given) == [future.result() for future in futures]
    for function in (wrenlite.wait, wrenlite.as_completed, wrenlite.get_all_results):
        for wrong in (5, [5], one.results, [one[0], None]):
            with pytest.raises(ConfigError, match="neither a future nor a job: pass futures, a job, or jobs"):
                function(wrong)


class Greeter:
    def greet(self, first, last):
        return first + last

    def hello(self, name):
        return name


MISFITS = {
    "map(add, [(1, 2)])": (
        "map calls add(item) for each item, which fails: missing a required argument: 'b'. Write "
        "starmap(add, data) or lambda item: add(*item), which passes the parts of each item"
    ),
    "map(lambda a, b: [lock], [[1, 2]])": "map calls <lambda>(item) for each item, which fails: missing",
    "map(lambda a, b: 1, [(1, 2)])": "Write starmap(function, data) or lambda item: function(*item)",
    "map(Greeter().greet, [('a', 'b')])": "Write starmap(Greeter.greet, data)",
    "map(functools.partial(add, b=1), [(1, 2)], args=(3,))": "map calls partial(add)(item, …)",
    "map(add, [(1,)], kwargs={'c': 2})": "map calls add(item, c=…) for each item, which fails",
    "map(add, zip([1], [2]))": "Write starmap(add, data)",
    "map(add, [{'a': 1, 'b': 2}])": "Write lambda item: add(**item)",
    "map(add, [1])": "Further arguments are passed by args= and kwargs=",
    "map(lambda: lock, [1])": "arguments. It takes no item: write lambda item: function()",
    "map(Greeter().hello, [1], args=(2,))": "It takes the item alone: leave out args= and kwargs=, which are",
    "map(takes, [1], kwargs={'x': 1})": "for argument 'x'. x is the item itself: leave it out of kwargs=",
    "map(takes, [1], args=(1,), kwargs={'x': 1})": "x is the item itself: leave it out of kwargs=",
    "map(takes, [1], args=(1,), kwargs={'y': 1})": "args= passes y already: leave it out of kwargs=",
    "map(lambda *, c: lock, [1], kwargs={'c': 2})": "write lambda item, **kwargs: function(**kwargs)",
    "map_reduce(add, [1], list)": "map_reduce calls add(item) for each item, which fails",
    "map_reduce(add, [(1, 2)], list)": ". Write lambda item: add(*item), which passes",
    "map_reduce(abs, [1], add)": (
        "reduce_fn=add: it is called once, as add(values), with an iterator of all values. To join them two "
        "by two, pass lambda values: functools.reduce(add, values)"
    ),
}


@pytest.mark.parametrize("guess", MISFITS)
def test_a_function_that_cannot_take_the_items_is_refused(executor, guess):
    with pytest.raises(ArgumentError) as caught:
        eval(f"executor.{guess}")
    assert MISFITS[guess] in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ConfigError)


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_where_the_parameters_are_not_certain_the_error_of_the_task_has_a_note(executor):
    def with_a_database(function):
        @functools.wraps(function)
        def call(*args):
            return function("database", *args)

        return call

    assert executor.map(with_a_database(add), ["a"]).results() == ["databasea"]
    assert executor.map(add, []).results() == []
    assert executor.map(lambda a, b=1, *more, c=2: a, [(1, 2)]).results() == [(1, 2)]
    assert executor.map(add, [1], args=(2,)).results() == [3]
    note = "wrenlite: map passes the item, a tuple, as one argument; starmap passes its parts as several"
    for function in (Point, operator.add):
        error = executor.map(function, [(1, 2)])[0].exception()
        assert type(error) is TypeError
        assert error.__notes__[0] == note
    future = executor.map_reduce(operator.add, [(1, 2)], list)
    assert future.job.exception(0).__notes__[0] == note
    error = executor.starmap(add, [1])[0].exception()
    assert "starmap passes the parts of an item as arguments" in error.__notes__[0]

    def fails(item):
        return 1 + item

    error = executor.map(fails, [(1, 2)])[0].exception()
    assert not any("starmap" in note for note in error.__notes__)


table = np.zeros(1_400_000)  # 10.7 MB
small = np.zeros(140_000)  # 1.1 MB


look_up = lambda n: table[n] + small[0]  # noqa: E731  # by value, as functions of a notebook


class Model:
    def __init__(self):
        self.weights = table

    def predict(self, n):
        return self.weights[n]


def within_a_generator():
    big = table
    return lambda n: sum(big[n] for _ in range(1))


LARGE = {
    "look_up": (look_up, "'table' 10.7 MB, 'small' 1.1 MB."),
    "calls it": (lambda n: look_up(n), "'table' 10.7 MB, 'small' 1.1 MB."),
    "in a generator": (lambda n: sum(table[n] for _ in range(1)), "'table' 10.7 MB."),
    "closure of a generator": (within_a_generator(), "'big' 10.7 MB."),
    "partial": (functools.partial(operator.getitem, table), "argument 0 of the partial 10.7 MB."),
    "method": (Model().predict, "attribute 'weights' 10.7 MB."),
    "default": (lambda n, big=table, *, more=small: big[n], "'big' 10.7 MB, 'more' 1.1 MB."),
    "builtin method": (table.take, "itself 10.7 MB."),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_function_is_named_with_its_largest_parts(executor, case):
    function, parts = LARGE[case]
    with pytest.warns(
        UserWarning, match=r"1[0-9]\.[0-9] MB pickled, and every job with it sends all"
    ) as caught:
        assert executor.map(function, [0]).results() == [0]
    (warning,) = caught
    assert warning.filename == __file__
    assert f"Its largest parts: {parts} executor.put(...) uploads a large object once" in str(warning.message)


def test_large_arguments_are_named_too_and_a_ref_is_not_large(executor):
    with pytest.warns(UserWarning, match=r"largest parts: argument 0 10\.7 MB, more= 1\.1 MB\.") as caught:
        executor.map_reduce(lambda n, big, more: n, [1], list, args=(table,), kwargs={"more": small})
    assert [warning.filename for warning in caught] == [__file__]
    ref = executor.put(table)
    assert executor.map(lambda n, big: big[n], [0], args=(ref,)).results() == [0]  # warnings are errors
    assert executor.map(lambda n: small[n], [0]).results() == [0]


def test_the_options_in_hints_exist():
    for option, owner in wrong_calls._OWNERS.items():
        method = operator.attrgetter(owner)(wrenlite) if "Executor" in owner else getattr(Executor, owner)
        assert option in inspect.signature(method).parameters, option


def test_wrapped_methods_keep_their_signatures_and_errors(executor):
    assert list(inspect.signature(executor.map).parameters)[:2] == ["fn", "data"]
    assert list(inspect.signature(Executor).parameters) == ["backend", "progress", "logging"]

    class Breaks:
        def __iter__(self):
            return self

        def __next__(self):
            raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$") as caught:
        executor.map(abs, Breaks())
    assert not isinstance(caught.value, wrenlite.WrenliteError)
