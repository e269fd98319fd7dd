"""The AWS backend, on the test bed and against a sleeping TLS server: ``make bench-aws``.

Requests, latency, the client's CPU and memory, the worker's price in a sandbox, and the schedule in
simulated time. With LITHOPS=PYTHON, the Python of an environment that has Lithops, that is measured beside
ours on the same bed.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import wrenlite
from tests.aws.bed.remote import RemoteBed
from tests.simulation import cases, simulate, unknowing
from wrenlite.cost import prices

PRICE_GET, PRICE_PUT = 0.0004 / 1000, 0.005 / 1000


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def nothing(item: object) -> None:
    """A task that does nothing."""


def busy(item: object) -> None:
    """A task of a millisecond."""
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass


def dollars(counts: dict[str, int]) -> float:
    """What so many requests cost, the time of the function apart."""
    request = prices("us-east-1", "x86_64", memory_mb=512, limit_s=60).request
    gets, puts = counts.get("GetObject", 0), counts.get("PutObject", 0) + counts.get("ListObjectsV2", 0)
    return counts.get("Invoke", 0) * request + gets * PRICE_GET + puts * PRICE_PUT


def requests(bed: RemoteBed) -> None:
    """Requests of one map, by kind."""
    print("\nRequests of one map (moto + awslambdaric, 8 slots)")
    with wrenlite.Executor.aws(max_concurrency=8, progress=False) as executor:
        bed.forget()
        bed.reset()
        executor.map(nothing, range(100), chunksize=1).results()
        print(f"  new function, 100 tasks, chunksize 1, all sandboxes cold   {bed.counts()}")
        for count in (1, 10, 100, 1000):
            bed.reset()
            executor.map(nothing, range(count), chunksize=1).results()
            print(f"  warm, {count:>5} tasks, chunksize 1                           {bed.counts()}")
        bed.reset()
        executor.map(busy, range(1000)).results()  # a new function
        bed.reset()
        executor.map(busy, range(1000)).results()
        counts = bed.counts()
        print(f"  warm, 1,000 tasks of 1 ms, auto-batched                    {counts}")
        print(f"  … their cost, per 1,000 tasks                              ${dollars(counts):.7f}")
        bed.reset()
        executor.map(busy, range(1000), chunksize=1).results()
        print(f"  … at chunksize 1                                           ${dollars(bed.counts()):.7f}")


def latency(bed: RemoteBed) -> None:
    """Of one warm no-op."""
    print("\nLatency of one warm no-op")
    with wrenlite.Executor.aws(max_concurrency=8, progress=False) as executor:
        one = lambda: executor.map(nothing, [0]).results()  # noqa: E731
        one()
        plain = timed(one, 100)
        bed.settings(latency_s=0.075)
        far = timed(one, 20)
        bed.settings(latency_s=0.0)
    print(f"  no injected latency        {plain * 1e3:8.2f} ms")
    print(f"  75 ms a request            {far * 1e3:8.2f} ms   {far / 0.075:.2f} round trips")


def sandbox() -> None:
    """What the worker process costs in a sandbox: handler and worker here, without HTTP."""
    from wrenlite.backends.aws import payload
    from wrenlite.backends.aws.sandbox import Sandbox
    from wrenlite.protocol import Limits, Request, Style, code_key
    from wrenlite.serialize.class_table import Names
    from wrenlite.serialize.pickling import (
        Call,
        pack_call,
        pack_items,
    )
    from wrenlite.storage.base import digest
    from wrenlite.storage.local import LocalStore
    from wrenlite.worker.handle import WorkerProcess
    from wrenlite.worker.runner import Runner

    class Context:
        log_stream_name = "here"

        def get_remaining_time_in_millis(self) -> int:
            return 60_000

    names = Names(grows=True)
    items, blob = pack_items([0], names), pack_call(Call(nothing, (), {}, Style.ITEM), names)
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(folder)
        store.put(code_key(digest(blob)), blob)
        request = Request("job", "i", digest(blob), None, [0], items, {}, Limits())
        runner = Runner(store)
        list(runner.run(request))
        bare = timed(lambda: list(runner.run(request)), 1000)
        beside = WorkerProcess(store, sys.path, None, dict(os.environ))
        start = time.perf_counter()
        beside.wait_until_ready()
        booted = time.perf_counter() - start
        beside.close()
    os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = "2048"
    bucket_store = wrenlite.Executor.aws(bucket="wrenlite-bed", prefix="wrenlite").backend.store
    bucket_store.put(code_key(digest(blob)), blob)
    location = payload.StoreLocation("wrenlite-bed", "wrenlite", None)
    event = json.loads(payload.encode_request(request, location))
    start = time.perf_counter()
    made = Sandbox({**os.environ, "WRENLITE_PREFIX": "wrenlite"})
    started = time.perf_counter() - start
    made.handle(event, Context())
    cold = time.perf_counter() - start
    warm = timed(lambda: made.handle(event, Context()), 300)
    decode = timed(lambda: payload.decode_request(event), 300)
    made._worker.close()
    print("\nThe worker process in a sandbox (no HTTP, no runtime client)")
    print(f"  init phase, its start and botocore's import in it   {started * 1e3:8.2f} ms")
    print(f"  … the same worker without botocore                  {booted * 1e3:8.2f} ms")
    print(f"  first request, one GET in it                        {(cold - started) * 1e3:8.2f} ms")
    print(f"  warm request, handler and worker                    {warm * 1e3:8.2f} ms")
    print(f"  … of it decoding                                    {decode * 1e3:8.2f} ms")
    print(f"  the same task in the handler's own process          {bare * 1e3:8.2f} ms")


@contextmanager
def stub() -> Iterator[dict[str, str]]:
    """The sleeping server; the environment to reach it."""
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


def client() -> None:
    """CPU and memory of a client: for a process of its own."""
    count = int(sys.argv[3])
    with wrenlite.Executor.aws(max_concurrency=int(sys.argv[2]), progress=False) as executor:
        env = {"STUB_S": sys.argv[4]}
        executor.map(nothing, range(int(sys.argv[2])), chunksize=1, env=env).results()  # connections are open
        before, start = time.process_time(), time.perf_counter()
        executor.map(nothing, range(count), chunksize=1, env=env).results()
        cpu, wall = time.process_time() - before, time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"CPU {cpu / count * 1e3:.3f} ms an invoke, {wall:.2f} s, {peak:.0f} MB at the peak")


def clients() -> None:
    """What an invoke costs the client."""
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
    """Jobs in simulated time."""
    print("\nThe schedule in simulated time (75 ms round trips, cold starts of 0.4 s)")
    widths = {"ours": 9, "bound": 9, " ratio": 7, "unknowing": 11, "ratio": 7, "requests": 10, "refused": 9}
    print(" " * 48 + "".join(f"{title:>{width}}" for title, width in widths.items()))
    for case in cases():
        run, blind = simulate(case), unknowing(case)
        print(
            f"  {case.name:<46}{run.makespan_s:>9.2f}{run.best_s:>9.2f}{run.makespan_s / run.best_s:>7.2f}"
            f"{blind:>11.2f}{run.makespan_s / blind:>7.2f}{run.requests:>10,}{run.throttled:>9,}"
        )


def lithops(bed: RemoteBed, python: str) -> None:
    """The peer, on the same bed."""
    command = [python, str(Path(__file__).with_name("lithops_peer.py"))]
    env = {"PATH": os.environ["PATH"], **bed.env}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=400)
    found = json.loads(done.stdout)
    tuned = found["tuned"]
    print(f"\nLithops {found['version']} on the same bed (as it is / polling every {tuned['poll_s']} s)")
    print(f"  latency of one warm no-op  {found['warm_s'] * 1e3:8.2f} ms / {tuned['warm_s'] * 1e3:.2f} ms")
    for count in found["requests"]:
        print(f"  {count:>5} tasks, chunksize 1     {found['requests'][count]}")
        print(f"  {'':>5} polls every {tuned['poll_s']} s     {tuned['requests'][count]}")
    counts = found["requests"]["100"]
    gets = {
        **counts,
        "GetObject": counts["GetObject"] + counts.get("HeadBucket", 0),
    }  # a HEAD costs what a GET does
    print(f"  cost of the requests of 100, per 1,000 tasks              ${dollars(gets) * 10:.7f}")


def main() -> None:
    """All of it."""
    schedules()
    bed = RemoteBed()
    os.environ.update({**bed.env, "WRENLITE_CONFIG": ""})
    try:
        requests(bed)
        latency(bed)
        sandbox()
        if "LITHOPS" in os.environ:
            lithops(bed, os.environ["LITHOPS"])
    finally:
        bed.close()
    clients()


if __name__ == "__main__":
    client() if sys.argv[1:2] == ["client"] else main()
