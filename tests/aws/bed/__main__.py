"""Start a bed, deploy the function, print the environment to set, and serve until it is interrupted.

Usage: python -m tests.aws.bed [--json] [--port N] [--timeout S] [--memory MB] [--concurrency N]
                               [--with PACKAGE,...] [--python PATH] [--share FOLDER] [--empty]
"""

import argparse
import base64
import hashlib
import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

import botocore.session

from tests.aws.bed.plane import Plane
from tests.aws.bed.pythons import examine
from tests.aws.bed.server import serve
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.code_zip import function_zip
from wrenlite.deploy.plan import plan
from wrenlite.deploy.provider import Provider, desired
from wrenlite.deploy.settings import Settings


def main() -> None:
    """Parse the command line, start the bed, and serve until a signal or the end of stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the environment as JSON, for programs")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; default: a free one")
    parser.add_argument("--timeout", type=int, default=60, help="time limit of the function, in seconds")
    parser.add_argument("--memory", type=int, default=1769, help="memory of the function, in MB")
    parser.add_argument(
        "--concurrency", type=int, default=8 * (os.cpu_count() or 1), help="concurrency limit of the account"
    )
    parser.add_argument(
        "--with", dest="extra", default="numpy,PIL", help="installed packages that serve as a layer"
    )
    parser.add_argument("--empty", action="store_true", help="serve an empty account, for wrenlite-setup")
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the Python that functions run on, such as python3.12; default: this one",
    )
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder of this machine that functions see, and may write to",
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    extra = tuple(filter(None, options.extra.split(",")))
    plane = Plane(extra, (options.python,), tuple(map(os.path.abspath, options.share)))
    if plane.disks.refusal:
        print(f"# Functions see this machine's disk: {plane.disks.refusal}", file=sys.stderr)
    server = serve(options.port, plane)
    plane.concurrency = options.concurrency
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        "AWS_ENDPOINT_URL": plane.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    if not options.empty:
        env["WRENLITE_BUCKET"] = "wrenlite-bed"
    os.environ.update(env)
    if not options.empty:
        deploy(options.timeout, options.memory, examine(options.python, ()).version)
    stopped = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stopped.set())
    if options.json:
        print(json.dumps(env), flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    else:
        print("".join(f"export {name}={value}\n" for name, value in env.items()), flush=True)
        meaning = "wrenlite-setup deploys" if options.empty else "Executor.aws() runs"
        print(f"# {meaning} here now, in a shell or notebook with these set.", file=sys.stderr)
        print(f"# Tasks find {options.extra} (--with names others). Ctrl-C ends it.", file=sys.stderr)
    stopped.wait()
    plane.close()


def deploy(timeout_s: int, memory_mb: int, python: str) -> None:
    """Create the bucket, role, log group and function as wrenlite-setup does, but without a layer."""
    region = os.environ["AWS_DEFAULT_REGION"]
    settings = Settings(
        account="123456789012",  # the account number that moto uses
        region=region,
        bucket="wrenlite-bed",
        memory_mb=memory_mb,
        timeout_s=timeout_s,
        python=python,
    )
    code = function_zip()
    wanted = desired(settings, base64.b64encode(hashlib.sha256(code).digest()).decode(), None)
    clients = Clients(botocore.session.Session(), region)
    provider = Provider(clients, settings, layer=bytes, archives=Path, code=lambda: code)
    for action in plan(wanted, ()):
        provider.apply(action)
    # For other functions of the same code, which are then made without sending it.
    clients["s3"].put_object(Bucket=settings.bucket, Key="function.zip", Body=code)


main()
