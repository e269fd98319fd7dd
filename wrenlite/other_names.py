"""Names that people know from other libraries, and what to write for them here.

Objects of wrenlite have none of these names. Asking for one raises AttributeError as usual, and the message
says what to write.
"""

from __future__ import annotations

from collections.abc import Mapping

_LOCAL = "Executor.local(4) makes an executor with worker processes on this machine"
_AWS = "Executor.aws() makes an executor on AWS Lambda"
_MAP = "Executor().map(function, data) returns a job, and job.results() its values"
_LITHOPS = "wrenlite.interop.lithops has Lithops' names. wrenlite's own executor is Executor()"

PACKAGE: Mapping[str, str] = {
    **dict.fromkeys(("map", "starmap", "submit", "Parallel", "delayed", "run"), _MAP),
    **dict.fromkeys(("ProcessPoolExecutor", "ThreadPoolExecutor", "LocalExecutor", "local"), _LOCAL),
    **dict.fromkeys(("Client", "FunctionExecutors"), "Executor() runs where the configuration says"),
    **dict.fromkeys(("FunctionExecutor", "ServerlessExecutor", "LocalhostExecutor", "Storage"), _LITHOPS),
    **dict.fromkeys(
        ("lambda_executor", "serverless_executor", "remote_executor", "LambdaExecutor", "aws"), _AWS
    ),
    **dict.fromkeys(("get", "get_result", "gather"), "job.results() returns the values of a job"),
    "CloudObject": "open_store(address) opens a folder or a bucket for tasks",
    **dict.fromkeys(("compute", "results"), "job.results() returns the values of a job"),
    "init": "Executor() needs no other call before it",
    "shutdown": "executor.shutdown() releases the workers of an executor",
    "TimeoutError": "result() raises Python's own TimeoutError, and TaskTimeout where a task took too long",
    "CancelledError": "result() of a cancelled task raises the CancelledError of concurrent.futures",
    "cpu_count": "Executor() has one worker per core",
    "put": "executor.put(object) uploads an object once, for many tasks",
    **dict.fromkeys(("Memory", "memoize"), "map(function, data, cache=True) keeps values"),
}
"""For the module ``wrenlite``."""

_SUBMIT = "submit(function, argument) returns a future, and its result() the value"
_SHUTDOWN = "shutdown() waits for all tasks and releases the workers; cancel_futures=True cancels them"

EXECUTOR: Mapping[str, str] = {
    **dict.fromkeys(("mapreduce", "reduce"), "map_reduce(function, data, reduce_function) returns a future"),
    **dict.fromkeys(("star_map", "amap"), "starmap(function, [(1, 2), (3, 4)]) returns a job"),
    "filter": "map(function, data) returns a job; filter its results()",
    **dict.fromkeys(("plot", "stats", "to_pandas"), "map returns a job, which has plot() and stats()"),
    **dict.fromkeys(("clean", "clear"), "shutdown() releases the workers, and what the store holds for them"),
    "imap": "map(function, data).values() iterates over the values in input order",
    "imap_unordered": "map(function, data).values(ordered=False) iterates over values as tasks end",
    "map_async": "map(function, data) returns at once; results() of its job waits",
    "starmap_async": "starmap(function, data) returns at once; results() of its job waits",
    **dict.fromkeys(("apply", "apply_async", "call", "run"), _SUBMIT),
    **dict.fromkeys(("close", "terminate", "join", "stop"), _SHUTDOWN),
    **dict.fromkeys(
        ("get", "get_result", "gather", "compute", "results", "result"),
        "map returns a job, and job.results() its values",
    ),
    **dict.fromkeys(("scatter", "upload"), "put(object) uploads an object once, for many tasks"),
    **dict.fromkeys(
        ("max_workers", "n_workers", "n_jobs", "num_workers", "scale"),
        "local(4) makes an executor with 4 workers, and executor.workers is how many tasks run at once now",
    ),
    **dict.fromkeys(
        ("cancel", "cancel_all", "kill"), "cancel() of a job; shutdown(cancel_futures=True) cancels all jobs"
    ),
    "wait": "job.wait() waits for a job, and wrenlite.wait(jobs) for several",
    "as_completed": "job.as_completed() iterates over the futures of a job in the order in which they end",
}
"""For executors."""

_RESULTS = "results() waits for all values, and job[0].result() for one"
_ENDED = "wait(0) returns whether all tasks have ended, and snapshot() counts them"

JOB: Mapping[str, str] = {
    **dict.fromkeys(
        ("result", "get", "get_result", "get_results", "gather", "compute", "collect", "fetch"), _RESULTS
    ),
    **dict.fromkeys(("done", "ready", "running", "finished", "successful", "is_done"), _ENDED),
    **dict.fromkeys(("status", "progress"), "snapshot() counts the tasks by state, state(0) is that of one"),
    "cancelled": "snapshot().cancelled counts the cancelled tasks, and job[0].cancelled() is about one",
    "join": "wait() waits for all tasks",
    **dict.fromkeys(
        ("retry", "rerun", "resubmit"),
        "retry_failed() runs the failed tasks again; map(function, data, retries=2) does so by itself",
    ),
    **dict.fromkeys(("to_list", "tolist"), _RESULTS),
    **dict.fromkeys(
        ("to_df", "to_dataframe", "df"), "to_pandas() returns a row per task, and results() the values"
    ),
    **dict.fromkeys(("as_complete", "iter_completed"), "as_completed() iterates over futures as tasks end"),
    "futures": "the job is itself a sequence of futures: job[0], list(job)",
    **dict.fromkeys(
        ("exceptions", "error", "failed", "traceback"), "errors() returns the exceptions by task"
    ),
    **dict.fromkeys(
        ("log", "output", "outputs", "stdout", "stderr", "print_logs"),
        "logs() returns what the tasks printed",
    ),
    **dict.fromkeys(("terminate", "kill", "stop", "abort"), "cancel() cancels every task that has not ended"),
    **dict.fromkeys(("close", "shutdown"), "shutdown() of the executor releases the workers"),
}
"""For jobs."""

_RESULT = "result() waits for the value"

FUTURE: Mapping[str, str] = {
    **dict.fromkeys(("results", "get", "get_result", "value", "values", "wait", "join", "compute"), _RESULT),
    **dict.fromkeys(("ready", "finished"), "done() returns whether the task has ended"),
    "successful": "exception() returns None where the task has a value",
    **dict.fromkeys(("error", "errors", "traceback"), "exception() returns the exception of the task"),
    **dict.fromkeys(("status", "state"), "stats().state is the state of the task"),
    **dict.fromkeys(("log", "output", "stdout", "stderr"), "logs() returns what the task printed"),
    **dict.fromkeys(("terminate", "kill", "stop", "abort"), "cancel() cancels the task"),
}
"""For futures."""


REF: Mapping[str, str] = dict.fromkeys(
    ("get", "result", "value", "values", "results", "get_result", "load", "object", "obj"),
    "pass it to map(function, data, args=(ref,)) or the like; tasks get the object itself",
)
"""For references to objects that ``put`` has uploaded."""


def missing_attribute(owner: object, name: str, other_names: Mapping[str, str]) -> AttributeError:
    """Return the error for an attribute that an object does not have.

    Args:
        owner: the object.
        name: the name of the attribute.
        other_names: what to write in place of names from other libraries.
    """
    text = f"{type(owner).__name__!r} object has no attribute {name!r}"
    if name in other_names:
        return AttributeError(f"{text}: {other_names[name]}")
    return AttributeError(text, name=name, obj=owner)  # Python then suggests a similar name
