"""Lithops on the test bed: how long a map of no-ops takes and how many requests it sends, as JSON.

Run it by the Python of an environment that has Lithops, with the environment variables of a running bed
(``python -m tests.aws.bed``). That Python must be of the same minor version as the bed's, which runs the
function:

    python3 -m venv .venv-lithops
    .venv-lithops/bin/pip install 'lithops[aws]==3.8.0' numpy redis 'urllib3<2'
    .venv-lithops/bin/python benchmarks/lithops_peer.py

Lithops' own, unchanged, are its client and worker, the zip of its function, its deployment
(``create_function``, the wait, the metadata), and every setting that is not named here. What is not, and why
that is fair:

* The layer with what the worker imports. Lithops has a function run ``pip install`` for it; here it is made
  of what is installed beside Lithops, the same packages, and published under the name that Lithops looks for.
  Only deployment differs, and that is not measured.
* The address of ``Invoke``. Lithops writes Lambda's public one into each request, and no setting changes it.
  Its HTTP session is subclassed to send the same signed request to the bed instead: over plain HTTP, as all
  its other requests and all of ours go there.
* ``data_cleaner`` is off: the process that deletes a job's objects afterwards is neither timed nor counted,
  which is in Lithops' favour.
* The function has 1769 MB, as ours has on the bed, not Lithops' 256 MB. The bed gives both all the processor.

The bed runs as many invocations at once as ``--concurrency`` says, and queues the others, as Lambda queues
events. All maps are warm: the function is uploaded, the metadata is cached, the sandboxes are up.

``warm_s`` is the median of maps of 1, back to back. ``requests`` has those of client and workers by kind, for
maps of 1, 10 and 100 items at chunksize 1, each counted until its results are there (``Bucket``: HeadBucket).
Lithops polls, so the number of ``ListObjectsV2`` depends on how long the map took; and every 30 s it asks for
statuses that are not listed, which may be some ``GetObject`` more. The other numbers do not vary.

By default Lithops lists every 2 s (0.4 s after news) and looks at what was listed every 1 s: ``warm_s`` is
these intervals. ``tuned`` has the same with both at ``poll_s``, by Lithops' own parameters for that.
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
    """The task."""
    return item


def bed(verb: str, what: Any = None) -> Any:
    """Ask the bed something that is not a request to AWS."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/_bed/{verb}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(what).encode())) as answer:
        return json.loads(answer.read())


def role() -> str:
    """The ARN of a role for the function."""
    import boto3

    iam = boto3.client("iam")
    try:
        return iam.create_role(RoleName="lithops", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName="lithops")["Role"]["Arn"]


def to_the_bed() -> Any:
    """An HTTP session that sends everything to the bed."""
    from botocore.httpsession import URLLib3Session

    class Session(URLLib3Session):
        def send(self, request: Any) -> Any:
            request.url = os.environ["AWS_ENDPOINT_URL"] + urllib.parse.urlsplit(request.url).path
            return super().send(request)

    return Session()


def executor(role_arn: str, home: str, **settings: Any) -> Any:
    """A Lithops executor whose invocations go to the bed."""
    import lithops

    made = lithops.FunctionExecutor(
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
    backend = made.compute_handler.backend
    assert hasattr(backend, "session"), "not the Lithops that this was written for"
    backend.session = to_the_bed()
    return made


def requirements() -> list[importlib.metadata.Distribution]:
    """What Lithops' default runtime is made of, and all that this needs in turn."""
    from lithops.serverless.backends.aws_lambda.config import DEFAULT_REQUIREMENTS

    found: dict[str, importlib.metadata.Distribution] = {}
    todo = list(DEFAULT_REQUIREMENTS)
    while todo:
        line = todo.pop()
        name = re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
        if name in found or "extra ==" in line:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if ";" in line:  # for another platform or another Python
                continue
            raise
        todo += found[name].requires or []
    return list(found.values())


def publish_layer(lithops: Any) -> None:
    """The layer that Lithops looks for, from what is installed here; by way of S3, as Lithops does it."""
    import boto3

    backend = lithops.compute_handler.backend
    runtime = lithops.invoker.runtime_name
    if backend._get_layer(runtime) is not None:
        return
    name, bucket = backend._format_layer_name(runtime), lithops.internal_storage.bucket
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", strict_timestamps=False) as archive:
        for package in requirements():
            for file in package.files or ():
                if ".." not in file.parts and file.suffix != ".pyc":
                    archive.write(file.locate(), f"python/{file}")
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key=name, Body=packed.getvalue())
    boto3.client("lambda").publish_layer_version(LayerName=name, Content={"S3Bucket": bucket, "S3Key": name})
    s3.delete_object(Bucket=bucket, Key=name)


def run(lithops: Any, count: int, poll_s: float | None) -> float:
    """One map and its results: seconds."""
    start = time.perf_counter()
    futures = lithops.map(nothing, range(count), chunksize=1)
    results = lithops.get_result(futures, wait_dur_sec=poll_s, show_progressbar=False)
    seconds = time.perf_counter() - start
    assert sorted(results) == list(range(count)), results
    return seconds


def start_counting(options: argparse.Namespace) -> None:
    """From zero, and with the bed's limit set again."""
    bed("reset")
    bed("settings", {"concurrency": options.concurrency})


def measure(lithops: Any, options: argparse.Namespace, poll_s: float | None = None) -> dict[str, Any]:
    """Warm up, then time maps of one item, then count requests."""
    start_counting(options)
    run(lithops, 4 * options.concurrency, poll_s)
    times = [run(lithops, 1, poll_s) for _ in range(options.repeats)]
    requests, seconds = {}, {}
    for count in SIZES:
        start_counting(options)
        seconds[str(count)] = run(lithops, count, poll_s)
        requests[str(count)] = bed("counts")
    return {"warm_s": statistics.median(times), "runs_s": times, "requests": requests, "map_s": seconds}


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=11, help="warm maps of one item")
    parser.add_argument("--concurrency", type=int, default=4, help="invocations that the bed runs at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:  # Lithops keeps caches and logs in both of these
        os.environ.update(HOME=home, TMPDIR=home)
        tempfile.tempdir = home
        os.chdir(home)  # where it makes its zip
        arn = role()
        with executor(arn, home) as lithops:
            publish_layer(lithops)
            found = measure(lithops, options)
        with executor(arn, home, monitoring_interval=TUNED_POLL_S) as lithops:
            found["tuned"] = {"poll_s": TUNED_POLL_S, **measure(lithops, options, TUNED_POLL_S)}
        bed("reset")
    found |= {"version": importlib.metadata.version("lithops"), "python": sys.version.split()[0]}
    json.dump(found, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
