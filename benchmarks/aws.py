"""The AWS backend on the test bed, and against a sleeping TLS server: ``make bench-aws``.

It prints the requests of a map, the latency, processor time and memory of the client, the overhead of the
worker process in a sandbox, and schedules in simulated time. With LITHOPS=PYTHON, where PYTHON is the Python
of an environment that has Lithops, Lithops is measured on the same bed, too.
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import wrenlite
from benchmarks.contest import run
from tests.aws.bed.remote import RemoteBed
from tests.simulation import best_makespan_s, cases, simulate
from wrenlite.cost import prices

PRICE_GET, PRICE_PUT = 0.0004 / 1000, 0.005 / 1000
"""Dollars per request to S3."""
LATENCY_S = 0.075


def median_s(call: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def nothing(item: object) -> None:
    """Do nothing: a task without work."""


def busy(item: object) -> None:
    """Use a processor for a millisecond."""
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass


def dollars(counts: dict[str, int]) -> float:
    """Return the cost of requests without the running time of the function.

    Args:
        counts: number of requests of each kind.
    """
    request = prices("us-east-1", "x86_64", memory_mb=512, limit_s=60).request
    gets, puts = counts.get("GetObject", 0), counts.get("PutObject", 0) + counts.get("ListObjectsV2", 0)
    return counts.get("Invoke", 0) * request + gets * PRICE_GET + puts * PRICE_PUT


def requests(bed: RemoteBed) -> None:
    """Print the requests of one map, by kind."""
    print("\nRequests of one map (moto + awslambdaric, 8 slots)")
    bed.kill_sandboxes()
    bed.reset()
    with wrenlite.Executor.aws(max_concurrency=8, progress=False) as executor:
        bed.reset()
        executor.map(nothing, range(100), chunksize=1).results()
        while not bed.counts().get("PutObject"):  # it travels beside the requests
            time.sleep(0.01)
        print(f"  new function, 100 tasks, chunksize 1, all sandboxes cold   {bed.counts()}")
        for count in (1, 10, 100, 1000):
            bed.reset()
            executor.map(nothing, range(count), chunksize=1).results()
            print(f"  warm, {count:>5} tasks, chunksize 1                           {bed.counts()}")
        bed.reset()
        executor.map(busy, range(1000)).results()  # uploads the new function
        while not bed.counts().get("PutObject"):
            time.sleep(0.01)
        bed.reset()
        executor.map(busy, range(1000)).results()
        counts = bed.counts()
        print(f"  warm, 1,000 tasks of 1 ms, auto-batched                    {counts}")
        print(f"  … cost of these requests                                   ${dollars(counts):.7f}")
        bed.reset()
        executor.map(busy, range(1000), chunksize=1).results()
        print(f"  … cost at chunksize 1                                      ${dollars(bed.counts()):.7f}")


def submits(bed: RemoteBed) -> None:
    """Print the requests and the time of calls that are submitted one by one."""
    print("\n300 submits of one function, warm, 1,000 slots")
    with wrenlite.Executor.aws(max_concurrency=1000, progress=False) as executor:
        executor.submit(nothing, 0).result()
        for _ in range(3):
            bed.reset()
            start = time.perf_counter()
            futures = [executor.submit(nothing, number) for number in range(300)]
            submitted_s = time.perf_counter() - start
            for future in futures:
                future.result()
            took_s = time.perf_counter() - start
            print(f"  {submitted_s * 1e3:6.0f} ms to submit, {took_s * 1e3:6.0f} ms in all   {bed.counts()}")


def delayed_upload(bed: RemoteBed) -> None:
    """Print how long the first value of a new function takes while its upload takes 5 s."""
    print("\nFirst value of a new function, warm sandbox, whose upload takes 5 s")
    with wrenlite.Executor.aws(max_concurrency=8, progress=False) as executor:
        executor.map(nothing, [0]).results()
        bed.reset()
        bed.fault("PutObject", "delay", seconds=5)
        start = time.perf_counter()
        executor.submit(sum, (1, 2)).result()
        first_s = time.perf_counter() - start
    print(f"  the first value            {first_s * 1e3:8.2f} ms")
    print(f"  the end of the executor    {(time.perf_counter() - start) * 1e3:8.2f} ms")


def latency(bed: RemoteBed) -> None:
    """Print the latency of one warm task without work."""
    print("\nLatency of one warm no-op")
    with wrenlite.Executor.aws(max_concurrency=8, progress=False) as executor:

        def map_one() -> None:
            executor.map(nothing, [0]).results()

        map_one()
        loopback_s = median_s(map_one, 100)
        bed.settings(latency_s=LATENCY_S)
        delayed_s = median_s(map_one, 20)
        bed.settings(latency_s=0.0)
    print(f"  no injected latency        {loopback_s * 1e3:8.2f} ms")
    print(
        f"  {LATENCY_S * 1e3:.0f} ms per request          {delayed_s * 1e3:8.2f} ms"
        f"   {delayed_s / LATENCY_S:.2f} round trips"
    )


def square(n: int) -> int:
    """Return the square of a number."""
    return n * n


def joined_size(values: Sequence[bytes]) -> int:
    """Return the number of bytes of all values."""
    return sum(map(len, values))


def reductions(bed: RemoteBed) -> None:
    """Print time and requests of ``map_reduce`` beside those of ``map``, from one run."""
    print("\nmap_reduce beside map, warm (8 slots)", end="")
    with wrenlite.Executor.aws(max_concurrency=8, progress=False) as executor:
        for title, function, data, reduce_fn in (
            ("2,000 squares", square, range(2000), sum),
            ("200 values of 16 KB", bytes, [16_000] * 200, joined_size),
            ("200 values of 64 KB", bytes, [64_000] * 200, joined_size),
        ):
            contestants = {
                "map_reduce": lambda f=function, d=data, r=reduce_fn: executor.map_reduce(f, d, r).result(),
                "map": lambda f=function, d=data: executor.map(f, d).results(),
            }
            for call in contestants.values():
                call()
            run(title, contestants, 9)
            for name, call in contestants.items():
                bed.reset()
                call()
                print(f"  requests of {name:<11} {bed.counts()}", flush=True)


def cold_start_s(folder: Path, environ: dict[str, str]) -> list[float]:
    """Return how long the handler's modules take to be imported in a new process, and the worker to start.

    Args:
        folder: the function's zip, unpacked.
        environ: the environment variables of the function.
    """
    program = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
import wrenlite.backends.aws.sandbox
print(time.perf_counter() - start)
start = time.perf_counter()
import handler
print(time.perf_counter() - start)
handler.sandbox._worker.close()
"""
    command = [sys.executable, "-S", "-P", "-c", program, str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, check=True)
    return list(map(float, done.stdout.split()))


def sandbox_times_s(make: Any, environ: dict[str, str], events: list[Any], context: Any) -> list[float]:
    """Return how long a new sandbox takes for its first requests, and for a warm one."""
    sandbox = make(environ)
    times = [median_s(partial(sandbox.handle, event, context), 1) for event in events]
    times.append(median_s(partial(sandbox.handle, events[0], context), 300))
    sandbox._worker.close()
    return times


def sandbox() -> None:
    """Print the overhead of the worker process in a sandbox: handler and worker run here, without HTTP."""
    from wrenlite.backends.aws import payload
    from wrenlite.backends.aws.sandbox import Sandbox
    from wrenlite.deploy.code_zip import function_zip
    from wrenlite.protocol import Limits, Request, Style, code_key
    from wrenlite.serialize.class_table import ClassTable
    from wrenlite.serialize.pickling import (
        Call,
        pack_call,
        pack_items,
    )
    from wrenlite.storage.base import digest
    from wrenlite.storage.local import LocalStore
    from wrenlite.worker.runner import Runner

    class Context:
        log_stream_name = "benchmark"

        def get_remaining_time_in_millis(self) -> int:
            return 60_000

    names = ClassTable(grows=True)
    items = pack_items([0], names)
    blobs = [pack_call(Call(function, (), {}, Style.ITEM), names) for function in (nothing, busy)]
    carrying, fetching = (
        Request("job", "i", digest(blob), None, [0], items, {}, Limits(), carried=carried)
        for blob, carried in zip(blobs, ([zlib.compress(blobs[0], 1)], []), strict=True)
    )
    environ = {**os.environ, "WRENLITE_PREFIX": "wrenlite", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048"}
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(LocalStore(folder))
        list(runner.run(carrying))
        in_process_s = median_s(lambda: list(runner.run(carrying)), 1000)
        with zipfile.ZipFile(io.BytesIO(function_zip())) as archive:
            archive.extractall(folder)
        colds = [cold_start_s(Path(folder), environ) for _ in range(11)]
    wrenlite.Executor.aws().backend.store.put(code_key(fetching.code), blobs[1])
    location = payload.StoreLocation("wrenlite-bed", "wrenlite", None)
    events = [json.loads(payload.encode_request(request, location)) for request in (carrying, fetching)]
    starts = [sandbox_times_s(Sandbox, environ, events, Context()) for _ in range(11)]
    first_s, get_s, warm_s = map(statistics.median, zip(*starts, strict=True))
    decode_s = median_s(lambda: payload.decode_request(events[0]), 300)
    print("\nThe worker process in a sandbox (no HTTP, no runtime client)")
    handler_s, worker_s = map(statistics.median, zip(*colds, strict=True))
    print(f"  init phase, from the zip: start of the worker       {worker_s * 1e3:8.2f} ms")
    print(f"  … and before it, import of the handler              {handler_s * 1e3:8.2f} ms")
    print(f"  first request, which carries its function           {first_s * 1e3:8.2f} ms")
    print(f"  first request with one GET, and import of botocore  {get_s * 1e3:8.2f} ms")
    print(f"  warm request, handler and worker                    {warm_s * 1e3:8.2f} ms")
    print(f"  … of which decoding                                 {decode_s * 1e3:8.2f} ms")
    print(f"  the same task in the handler's own process          {in_process_s * 1e3:8.2f} ms")


@contextmanager
def stub() -> Iterator[dict[str, str]]:
    """Run the sleeping server, and yield the environment variables that clients need to reach it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.stub", folder]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdin is not None
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        yield {
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
            "AWS_CA_BUNDLE": str(Path(folder) / "ca.pem"),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "WRENLITE_BUCKET": "bench",
        }
        server.stdin.close()
        server.wait()
        server.stdout.close()


def client(slots: int, count: int, sleep_s: str) -> None:
    """Print processor time and memory of this process as a client of the sleeping server.

    Args:
        slots: invocations in flight at a time.
        count: invocations in all.
        sleep_s: seconds that each invocation takes.
    """
    with wrenlite.Executor.aws(max_concurrency=slots, progress=False) as executor:
        env = {"STUB_S": sleep_s}
        executor.map(nothing, range(slots), chunksize=1, env=env).results()  # opens the connections
        cpu_before, start = time.process_time(), time.perf_counter()
        executor.map(nothing, range(count), chunksize=1, env=env).results()
        cpu_s, wall_s = time.process_time() - cpu_before, time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"CPU {cpu_s / count * 1e3:.3f} ms per invocation, {wall_s:.2f} s, {peak_mb:.0f} MB at the peak")


def clients() -> None:
    """Print the client's processor time and memory for invocations, each case in a process of its own."""
    print("\nThe client, against a sleeping TLS server on loopback (map, pickling and all)")
    with stub() as env:
        for name, slots, count, seconds in (
            ("one at a time", 1, 1000, 0.0),
            ("1,000 in flight", 1000, 5000, 1.0),
            ("1,000 in flight", 1000, 5000, 3.0),
        ):
            command = [sys.executable, "-m", "benchmarks.aws", "client", str(slots), str(count), str(seconds)]
            done = subprocess.run(
                command, env={**os.environ, **env}, capture_output=True, text=True, check=True
            )
            print(f"  {name:<16} each {seconds:g} s: {done.stdout.strip()}", flush=True)


def schedules() -> None:
    """Print the makespans of jobs in simulated time, beside a lower bound and a greedy schedule."""
    print("\nMakespans in simulated time, s (75 ms round trips, cold starts of 0.4 s)")
    widths = {"ours": 9, "bound": 9, " ratio": 7, "greedy": 11, "ratio": 7, "requests": 10, "throttled": 11}
    print(" " * 48 + "".join(f"{title:>{width}}" for title, width in widths.items()))
    for case in cases():
        ours, greedy_s = simulate(case), best_makespan_s(case)
        bound_s = ours.lower_bound_s
        print(
            f"  {case.name:<46}{ours.makespan_s:>9.2f}{bound_s:>9.2f}{ours.makespan_s / bound_s:>7.2f}"
            f"{greedy_s:>11.2f}{ours.makespan_s / greedy_s:>7.2f}{ours.requests:>10,}{ours.throttled:>11,}"
        )


def lithops(bed: RemoteBed, python: str) -> None:
    """Print latency and requests of Lithops on the same bed.

    Args:
        bed: the running bed.
        python: the Python of an environment that has Lithops.
    """
    command = [python, str(Path(__file__).with_name("lithops_peer.py"))]
    env = {"PATH": os.environ["PATH"], **bed.env}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=400)
    default = json.loads(done.stdout)
    tuned = default["tuned"]
    print(f"\nLithops {default['version']} on the same bed (default / polling every {tuned['poll_s']} s)")
    print(f"  latency of one warm no-op  {default['warm_s'] * 1e3:8.2f} ms / {tuned['warm_s'] * 1e3:.2f} ms")
    for count in default["requests"]:
        print(f"  {count:>5} tasks, chunksize 1     {default['requests'][count]}")
        print(f"  {'':>5} polling every {tuned['poll_s']} s   {tuned['requests'][count]}")
    counts = default["requests"]["100"]
    # A HEAD costs as much as a GET.
    counts = {**counts, "GetObject": counts["GetObject"] + counts.get("HeadBucket", 0)}
    print(f"  cost of the requests of 100, per 1,000 tasks              ${dollars(counts) * 10:.7f}")


def main() -> None:
    """Run all benchmarks of the AWS backend."""
    schedules()
    bed = RemoteBed()
    os.environ.update({**bed.env, "WRENLITE_CONFIG": ""})
    try:
        requests(bed)
        submits(bed)
        delayed_upload(bed)
        latency(bed)
        reductions(bed)
        sandbox()
        if "LITHOPS" in os.environ:
            lithops(bed, os.environ["LITHOPS"])
    finally:
        bed.close()
    clients()


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        main()
