"""Start a bed, deploy the function, print the environment to set, and serve until it is interrupted.

Usage: python -m tests.aws.bed [--json] [--port N] [--timeout S] [--memory MB] [--concurrency N]
                               [--with PACKAGE,...]
"""

import argparse
import json
import os
import signal
import sys
import threading
import warnings

import botocore.session

from tests.aws.bed.server import serve
from wrenlite.deploy.function import HANDLER, function_zip


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the environment as JSON, for programs")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--timeout", type=int, default=60, help="seconds, of the function")
    parser.add_argument("--memory", type=int, default=1769, help="MB, of the function")
    parser.add_argument("--concurrency", type=int, default=8 * (os.cpu_count() or 1), help="of the account")
    parser.add_argument("--with", dest="extra", default="numpy,PIL", help="packages, as if from a layer")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    server, plane = serve(options.port, tuple(filter(None, options.extra.split(","))))
    plane.concurrency = options.concurrency
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        "AWS_ENDPOINT_URL": plane.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "WRENLITE_BUCKET": "wrenlite-bed",
    }
    os.environ.update(env)
    deploy(options.timeout, options.memory)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    if options.json:
        print(json.dumps(env), flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    else:
        print("".join(f"export {name}={value}\n" for name, value in env.items()), flush=True)
        print("# Executor.aws() runs here now, in a shell or notebook with these set.", file=sys.stderr)
        print(f"# Tasks find {options.extra} (--with names others). Ctrl-C ends it.", file=sys.stderr)
    done.wait()
    plane.close()


def deploy(timeout_s: int, memory_mb: int) -> None:
    """A bucket, a role and the function, as wrenlite's set-up makes them."""
    session = botocore.session.Session()
    session.create_client("s3").create_bucket(Bucket="wrenlite-bed")
    settings = {
        "WRENLITE_BUCKET": "wrenlite-bed",
        "WRENLITE_PREFIX": "wrenlite",
        "WRENLITE_BUCKET_OWNER": "123456789012",  # the account of moto
    }
    role = session.create_client("iam").create_role(RoleName="wrenlite", AssumeRolePolicyDocument="{}")
    session.create_client("lambda").create_function(
        FunctionName="wrenlite",
        Runtime=f"python{sys.version_info[0]}.{sys.version_info[1]}",
        Role=role["Role"]["Arn"],
        Handler=HANDLER,
        Code={"ZipFile": function_zip()},
        Timeout=timeout_s,
        MemorySize=memory_mb,
        Environment={"Variables": settings},
    )


main()
