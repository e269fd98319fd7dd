"""Lithops on the test bed: time and requests of maps of tasks without work, printed as JSON.

Run it with the Python of an environment that has Lithops, and with the environment variables of a running bed
(``python -m tests.aws.bed``). That Python must have the same minor version as the bed's Python, which runs
the function:

    python3 -m venv .venv-lithops
    .venv-lithops/bin/pip install 'lithops[aws]==3.8.0' numpy redis 'urllib3<2'
    .venv-lithops/bin/python benchmarks/lithops_peer.py

The following parts of Lithops are unchanged: its client and worker, the zip of its function, its deployment
(``create_function``, the wait, the metadata), and every setting that is not named here. These parts are
different, and the comparison is still fair:

* The layer with the packages that the worker imports. Lithops builds it with a function that runs ``pip
  install``. Here it is built from the same packages, which are installed beside Lithops, and published under
  the name that Lithops expects. Only deployment differs, and deployment is not measured.
* The address of ``Invoke``. Lithops writes Lambda's public address into each request, and no setting changes
  it. A subclass of its HTTP session sends the same signed request to the bed instead, over plain HTTP like
  all its other requests and all of ours.
* ``data_cleaner`` is off: the process that deletes a job's objects afterwards is neither timed nor counted,
  which is an advantage for Lithops.
* The function has 1769 MB, as ours has on the bed, not Lithops' default of 256 MB. The bed does not limit the
  processor of either function.

The bed runs at most ``--concurrency`` invocations at a time, and queues the others, as Lambda queues events.
All maps are warm: the function is uploaded, the metadata is cached, and the sandboxes are running.

``warm_s`` is the median of successive maps of one item. ``requests`` has the number of requests of client and
workers by kind, for maps of 1, 10 and 100 items at chunksize 1, each counted until its results have arrived
(``Bucket`` is HeadBucket). Lithops polls, so the number of ``ListObjectsV2`` depends on how long the map
took. Every 30 s it also asks for statuses that are not listed, which may add some ``GetObject``. The other
numbers do not vary.

By default, Lithops lists objects every 2 s (0.4 s after a change) and checks the list every 1 s, and
``warm_s`` consists mainly of these intervals. ``tuned`` has the same measurements with both intervals set to
``poll_s``, by Lithops' own parameters.
"""

import argparse
import importlib.metadata
import io
import json
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from typing import Any

SIZES = (1, 10, 100)
MEMORY_MB = 1769
TUNED_POLL_S = 0.05


def nothing(item: int) -> int:
    """Return the item: a task without work."""
    return item


def control_bed(verb: str, argument: Any = None) -> Any:
    """Send the bed a control request, which is not a request to AWS, and return the answer."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/_bed/{verb}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(argument).encode())) as answer:
        return json.loads(answer.read())


def create_role() -> str:
    """Create a role for the function if it is missing, and return its ARN."""
    import boto3

    iam = boto3.client("iam")
    try:
        return iam.create_role(RoleName="lithops", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName="lithops")["Role"]["Arn"]


def bed_session() -> Any:
    """Return an HTTP session that sends all requests to the bed."""
    from botocore.httpsession import URLLib3Session

    class Session(URLLib3Session):
        def send(self, request: Any) -> Any:
            request.url = os.environ["AWS_ENDPOINT_URL"] + urllib.parse.urlsplit(request.url).path
            return super().send(request)

    return Session()


def create_executor(role_arn: str, home: str, **settings: Any) -> Any:
    """Return a Lithops executor whose invocations are sent to the bed.

    Args:
        role_arn: role of the function.
        home: folder for temporary files of the function.
        settings: settings of Lithops in addition to those above.
    """
    import lithops

    executor = lithops.FunctionExecutor(
        config={
            "lithops": {"backend": "aws_lambda", "storage": "aws_s3", "data_cleaner": False, **settings},
            "aws": {"region": os.environ["AWS_DEFAULT_REGION"]},
            "aws_lambda": {
                "execution_role": role_arn,
                "runtime_memory": MEMORY_MB,
                "env_vars": [{"name": "TMPDIR", "value": home}],
            },
        },
        log_level=None,
    )
    backend = executor.compute_handler.backend
    assert hasattr(backend, "session"), "this version of Lithops has no backend.session: use version 3.8.0"
    backend.session = bed_session()
    return executor


def requirements() -> list[importlib.metadata.Distribution]:
    """Return the packages of Lithops' default runtime and all their dependencies, as installed here."""
    from lithops.serverless.backends.aws_lambda.config import DEFAULT_REQUIREMENTS

    found: dict[str, importlib.metadata.Distribution] = {}
    queue = list(DEFAULT_REQUIREMENTS)
    while queue:
        line = queue.pop()
        name = re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
        if name in found or "extra ==" in line:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if ";" in line:  # it is for another platform or another Python
                continue
            raise
        queue += found[name].requires or []
    return list(found.values())


def publish_layer(executor: Any) -> None:
    """Publish the layer that Lithops expects, built from installed packages and uploaded through S3."""
    import boto3

    backend = executor.compute_handler.backend
    runtime = executor.invoker.runtime_name
    if backend._get_layer(runtime) is not None:
        return
    name, bucket = backend._format_layer_name(runtime), executor.internal_storage.bucket
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", strict_timestamps=False) as archive:
        for package in requirements():
            for file in package.files or ():
                if ".." not in file.parts and file.suffix != ".pyc":
                    archive.write(file.locate(), f"python/{file}")
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key=name, Body=content.getvalue())
    boto3.client("lambda").publish_layer_version(LayerName=name, Content={"S3Bucket": bucket, "S3Key": name})
    s3.delete_object(Bucket=bucket, Key=name)


def map_s(executor: Any, count: int, poll_s: float | None) -> float:
    """Run one map, and return the seconds until its results have arrived.

    Args:
        executor: a Lithops executor.
        count: number of items.
        poll_s: interval at which results are polled. None: Lithops' default.
    """
    start = time.perf_counter()
    futures = executor.map(nothing, range(count), chunksize=1)
    results = executor.get_result(futures, wait_dur_sec=poll_s, show_progressbar=False)
    seconds = time.perf_counter() - start
    assert sorted(results) == list(range(count)), results
    return seconds


def start_counting(options: argparse.Namespace) -> None:
    """Reset the bed's counts and settings, and set its concurrency again."""
    control_bed("reset")
    control_bed("settings", {"concurrency": options.concurrency})


def measure(executor: Any, options: argparse.Namespace, poll_s: float | None = None) -> dict[str, Any]:
    """Warm up, time maps of one item, and then count the requests of maps of different sizes."""
    start_counting(options)
    map_s(executor, 4 * options.concurrency, poll_s)
    times = [map_s(executor, 1, poll_s) for _ in range(options.repeats)]
    requests, seconds = {}, {}
    for count in SIZES:
        start_counting(options)
        seconds[str(count)] = map_s(executor, count, poll_s)
        requests[str(count)] = control_bed("counts")
    return {"warm_s": statistics.median(times), "runs_s": times, "requests": requests, "map_s": seconds}


def main() -> None:
    """Run the measurements, and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11, help="warm maps of one item")
    parser.add_argument("--concurrency", type=int, default=4, help="invocations that the bed runs at a time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:  # Lithops keeps caches and logs in both folders
        os.environ.update(HOME=home, TMPDIR=home)
        tempfile.tempdir = home
        os.chdir(home)  # Lithops writes its zip to the current folder
        arn = create_role()
        with create_executor(arn, home) as executor:
            publish_layer(executor)
            report = measure(executor, options)
        with create_executor(arn, home, monitoring_interval=TUNED_POLL_S) as executor:
            report["tuned"] = {"poll_s": TUNED_POLL_S, **measure(executor, options, TUNED_POLL_S)}
        control_bed("reset")
    report |= {"version": importlib.metadata.version("lithops"), "python": sys.version.split()[0]}
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
