"""``wrenlite-setup`` and the commands around it, as a user types them, on an empty AWS account."""

import functools
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import botocore.session
import pexpect
import pytest
from click.testing import CliRunner

from tests.aws.wheels import wheel
from wrenlite import cli
from wrenlite.deploy import deployment, wizard

pytestmark = pytest.mark.e2e

BIN = Path(sys.executable).parent
BUCKET = "typed-123456789012-us-east-1"
READS = ("Get", "List", "Head", "Describe", "Filter")
ORDER = ("bucket", "role", "log group", "layer", "function", "alias")
KINDS = (*ORDER[:4], "role", "log group", "function", "alias", *ORDER[4:])
"""The kinds of what is created, in order: the driver before the function."""


@pytest.fixture
def typed(bed, index, tmp_path, monkeypatch):
    """Run a command in that account, and check that nothing is left there at the end."""
    monkeypatch.delenv("WRENLITE_BUCKET")
    monkeypatch.setenv("WRENLITE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("WRENLITE_FUNCTION", "typed")
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments, program=cli.main, **env):
        """Run it in this process, which is faster; there is no terminal."""
        ended = CliRunner().invoke(program, arguments, env=env)
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return SimpleNamespace(returncode=ended.exit_code, stdout=ended.stdout, stderr=ended.stderr)

    yield run
    if left():
        run("destroy", "--yes")
    assert left() == []


@functools.cache
def client(service, profile):
    return botocore.session.Session(profile=profile).create_client(service, region_name="us-east-1")


def left(profile=None):
    """Return the resources of these tests that exist in the account."""
    names = [one["Name"] for one in client("s3", profile).list_buckets()["Buckets"]]
    names += [one["RoleName"] for one in client("iam", profile).list_roles()["Roles"]]
    names += [one["logGroupName"] for one in client("logs", profile).describe_log_groups()["logGroups"]]
    names += [one["LayerName"] for one in client("lambda", profile).list_layers()["Layers"]]
    names += [one["FunctionName"] for one in client("lambda", profile).list_functions()["Functions"]]
    return [name for name in names if "typed" in name]


def setup(typed, *arguments, **env):
    return typed(*arguments, program=wizard.main, **env)


def test_a_deployment_from_setup_to_destroy(typed, bed, tmp_path):
    unreachable = str(tmp_path / "there-is-none")
    nothing = typed("status", WRENLITE_CONFIG="", UV_CONFIG_FILE=unreachable)
    assert nothing.returncode == 1, "it asks no package index"
    assert nothing.stdout == (
        "There is no deployment: no resource of wrenlite belongs to the function typed in us-east-1, account "
        "123456789012. wrenlite-setup creates one; wrenlite-setup --dry-run shows it before.\n"
    )
    document = typed("status", "--json", WRENLITE_CONFIG="", UV_CONFIG_FILE=unreachable)
    assert document.returncode == 1
    assert json.loads(document.stdout)["deployed"] is False
    first = setup(typed, "--yes", "--timeout", "20")
    assert first.returncode == 0, first.stderr
    assert re.findall(
        r"^  create +(bucket|role|log group|layer|function|alias) +\S+ … \d", first.stdout, re.MULTILINE
    ) == [*KINDS]
    assert "At rest: $0.00 a month" in first.stdout
    assert "function returned: Hello world" in first.stdout
    assert "Next: wrenlite demo --aws" in first.stdout
    assert tomllib.loads((tmp_path / "config.toml").read_text()) == {
        "region": "us-east-1",
        "bucket": BUCKET,
        "bucket_owner": "123456789012",
        "prefix": "wrenlite",
        "function": "typed",
    }

    bed.reset()
    second = setup(typed, "--yes")
    assert "There is nothing to do." in second.stdout
    changes = {kind for kind in bed.counts() if not kind.startswith(READS)}
    assert changes == {"Invoke", "PutObject"}, "the smoke test, and nothing else"

    reports_about_a_deployment(typed)
    cleanup_deletes_temporary_objects(typed)

    both = typed("destroy", "--yes", "--keep-bucket", "--with-outputs")
    assert both.returncode == 2
    assert "give one" in both.stderr
    kept = typed("destroy", "--yes", "--keep-bucket")
    assert kept.returncode == 0, kept.stderr
    part = typed("status")
    assert part.returncode == 1
    found = re.findall(
        r"^(bucket|function|versions|driver|role|packages|log) +(.+)$", part.stdout, re.MULTILINE
    )
    assert dict(found) == {
        "bucket": f"s3://{BUCKET}/wrenlite/",
        **dict.fromkeys(("function", "versions", "driver", "role", "packages", "log"), "does not exist"),
    }
    assert f"The objects in s3://{BUCKET}/wrenlite/ stay" in kept.stdout
    assert left() == [BUCKET]
    assert tomllib.loads((tmp_path / "config.toml").read_text()) == {}
    gone = typed("destroy", "--yes")
    assert f"delete  bucket     {BUCKET}, which is empty" in gone.stdout
    assert left() == []
    assert "There is nothing to delete" in typed("destroy", "--yes").stdout
    failing = typed("doctor")
    assert failing.returncode == 1
    pattern = r"^✗ function +typed does not exist yet\n +→ run wrenlite-setup$"
    assert re.search(pattern, failing.stdout, re.MULTILINE)


def reports_about_a_deployment(typed):
    checked = typed("doctor")
    assert checked.returncode == 0, checked.stdout
    signs = re.findall(r"^([✓✗!]) (\S+)", checked.stdout, re.MULTILINE)
    assert {sign for sign, _ in signs} == {"✓"}
    document = json.loads(typed("doctor", "--json").stdout)
    checks = document["checks"]
    assert document["ok"] is True
    assert {tuple(check) for check in checks} == {("name", "ok", "detail", "fix")}
    wanted = {
        "credentials",
        "clock",
        "region",
        "bucket",
        "role",
        "function",
        "versions",
        "round trip",
        "driver",
        "limits",
    }
    assert wanted <= {check["name"] for check in checks}

    shown = typed("test").stdout
    assert shown.startswith("function returned: Hello world")
    assert f"  ✓ numpy {importlib.metadata.version('numpy')}\n" in shown
    tested = json.loads(typed("test", "--json").stdout)
    assert (tested["function"], tested["value"]) == ("typed", "Hello world")
    numpy = {"name": "numpy", "version": importlib.metadata.version("numpy"), "error": ""}
    assert numpy in tested["packages"]
    assert "Everything is up to date" in typed("status").stdout
    document = json.loads(typed("status", "--json").stdout)
    assert document["steps"][0]["action"] == "keep"
    assert document["deployed"] is True
    (version,) = document["versions"]
    assert (version["number"], version["current"], version["timeout_s"]) == (1, True, 20)
    line = re.search(r"^versions +(.+)$", typed("status").stdout, re.MULTILINE)[1]
    assert re.fullmatch(r"d-\w{12} \(number 1 of \d{4}-.*1,769 MB, 20 s\): new executors use it", line)
    assert re.search(r"^\d{4}-\d\d-\d\d .* REPORT RequestId: ", typed("logs").stdout, re.MULTILINE)
    events = [json.loads(line) for line in typed("logs", "--json").stdout.splitlines()]
    assert {tuple(event) for event in events} == {("time", "stream", "message")}
    assert any(event["message"].startswith("REPORT RequestId: ") for event in events)


def cleanup_deletes_temporary_objects(typed):
    every = ("cleanup", "--older-than", "0s")
    assert re.match(r"\d+ temporary objects", typed(*every, "--dry-run").stdout)
    planned = json.loads(typed(*every, "--dry-run", "--json").stdout)
    assert (planned["bucket"], planned["prefix"], planned["applied"]) == (BUCKET, "wrenlite", False)
    assert planned["objects"] > 0
    assert planned["bytes"] > 0
    assert typed(*every, "--yes").stdout.endswith("Deleted.\n")
    assert typed(*every).stdout.startswith("0 temporary objects")
    nothing = typed(*every, "--json")
    assert json.loads(nothing.stdout) == planned | {"objects": 0, "bytes": 0, "applied": True}
    assert nothing.stderr.startswith("0 temporary objects"), "messages go to stderr"


def test_setup_and_destroy_print_one_json_document(typed, tmp_path):
    deployed = setup(typed, "--yes", "--json")
    assert deployed.returncode == 0, deployed.stderr
    document = json.loads(deployed.stdout)
    assert document["applied"] is True
    assert document["smoke_test"]["value"] == "Hello world"
    assert document["config"] == str(tmp_path / "config.toml")
    assert re.search(r"create +function +typed", deployed.stderr), "messages go to stderr"
    client("s3", None).put_object(Bucket=BUCKET, Key="wrenlite/outputs/mine", Body=b"precious")
    versioned = {"Status": "Enabled"}
    client("s3", None).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioned)
    for key in ("results/of-mine", "deleted"):  # not below wrenlite's prefix, and not gone
        client("s3", None).put_object(Bucket=BUCKET, Key=key, Body=b"precious")
    client("s3", None).delete_object(Bucket=BUCKET, Key="deleted")

    planned = json.loads(typed("destroy", "--dry-run", "--json").stdout)
    assert [step["kind"] for step in planned["steps"]] == sorted(KINDS, key=ORDER.index, reverse=True)
    assert {step["action"] for step in planned["steps"]} == {"delete"}
    assert planned["bucket_content"]["permanent_objects"] == 3
    mine = ["deleted", "results/of-mine", "wrenlite/outputs/mine"]
    assert sorted(planned["bucket_content"]["permanent_keys"]) == mine
    assert planned["applied"] is False
    assert "delete  function" in typed("destroy", "--dry-run").stdout
    assert len(left()) == len(KINDS) - 2, "nothing was deleted"
    assert (tmp_path / "config.toml").exists()

    refused = typed("destroy", "--yes")
    assert refused.returncode == 2
    assert f"    yours  s3://{BUCKET}/wrenlite/outputs/mine" in refused.stdout
    assert "the bucket has 3 objects of yours, listed above; nothing was deleted" in refused.stderr
    assert len(left()) == len(KINDS) - 2

    gone = typed("destroy", "--yes", "--with-outputs", "--json")
    assert json.loads(gone.stdout) == planned | {"applied": True}
    assert re.search(r"delete +function +typed", gone.stderr)
    assert left() == []


def test_a_dry_run_changes_nothing(typed, bed, index, tmp_path):
    wheel(index, "polars", "1.0", {"__init__.py": ""})
    bed.reset()
    plan = plan_of(typed, "--package", "in-the-layer<2")
    assert [(step["action"], step["kind"]) for step in plan["steps"]] == [("create", kind) for kind in KINDS]
    assert "in-the-layer==1.0" in plan["packages"], "the exact version"
    refused = setup(typed, "--dry-run", "--package", "in-the-layer==99")
    assert "these packages cannot be had" in refused.stderr
    assert "create  function" in setup(typed, "--dry-run").stdout
    kinds = [step["kind"] for step in plan_of(typed, "--package", "none")["steps"]]
    assert kinds == [kind for kind in KINDS if kind != "layer"]
    names = [name.partition("==")[0] for name in plan_of(typed, "--without", "Rasterio")["packages"]]
    assert names == ["numpy", "pillow"]
    refused = setup(typed, "--dry-run", "--without", "rastrio")
    assert "--without rastrio: the packages that were asked for are numpy, pillow, rasterio" in refused.stderr
    for whose, action in [
        ("deployer", "iam:PassRole"),
        ("user", "lambda:InvokeFunction"),
        ("function", "s3:GetObject"),
        ("driver", "lambda:InvokeFunction"),
    ]:
        printed = setup(typed, "--print-policy", whose)
        policy = json.loads(printed.stdout)
        assert any(action in statement["Action"] for statement in policy["Statement"])
        assert ("trusts everyone else who may" in printed.stderr) == (whose == "user")
    assert {kind for kind in bed.counts() if not kind.startswith(READS)} == set()
    assert not (tmp_path / "config.toml").exists()
    assert left() == []


def test_a_new_function_is_for_arm64_where_all_packages_are(typed, index, monkeypatch):
    monkeypatch.setattr(deployment, "current_python", lambda: "3.12")
    wheel(index, "only_intel", "1.0", {"__init__.py": ""}, platform="manylinux_2_17_x86_64")
    plan = setup(typed, "--dry-run").stdout
    assert "python3.12, arm64, 1,769 MB" in plan
    assert (
        "Processors: arm64 (every package has a wheel for it, and it costs a fifth less than x86_64)" in plan
    )
    assert "At work: $0.083 per hour" in plan
    plan = plan_of(typed, "--package", "only-intel")
    assert plan["settings"]["architecture"] == "x86_64"
    assert plan["architecture_reason"] == "only-intel: there is no wheel for arm64"
    assert "$0.104 per hour" in plan["costs"][1]
    refused = setup(typed, "--dry-run", "--package", "only-intel", "--architecture", "arm64")
    assert "cannot be had for Python 3.12 on arm64" in refused.stderr
    layer = "arn:aws:lambda:us-east-1:123456789012:layer:typed-none:1"
    refused = setup(typed, "--dry-run", "--layer", layer)
    assert f"--layer {layer}: this version of a layer does not exist" in refused.stderr


def plan_of(typed, *options):
    return json.loads(setup(typed, "--dry-run", "--json", *options).stdout)


def test_two_deployments_are_independent(typed, bed, tmp_path):
    assert setup(typed, "--yes").returncode == 0
    second = setup(typed, "--yes", "--function", "typed2", "--memory", "512")
    assert "referred to the function typed until now; from now on it refers to typed2" in second.stdout
    assert re.search(r"create +bucket +typed2-123456789012-us-east-1", second.stdout)
    client("s3", None).put_object(
        Bucket="typed2-123456789012-us-east-1", Key="wrenlite/outputs/mine", Body=b"precious"
    )
    assert typed("doctor", "--function", "typed2").returncode == 0
    gone = typed("destroy", "--yes", "--function", "typed")
    assert f"delete  bucket     {BUCKET}" in gone.stdout
    assert "no longer refers" not in gone.stdout, "the settings refer to the other function"
    assert typed("test", "--function", "typed2").returncode == 0
    gone = typed("destroy", "--yes", "--with-outputs", "--function", "typed2")
    assert "no longer refers to the function typed2" in gone.stdout
    assert "with 1 objects" not in gone.stdout
    assert "1 of them outputs" in gone.stdout


@pytest.fixture
def other_bucket(bed):
    """A function that creates a bucket of the user's, which is deleted at the end."""
    made = []

    def make(name):
        client("s3", None).create_bucket(Bucket=name)
        made.append(name)

    yield make
    for name in made:
        client("s3", None).delete_bucket(Bucket=name)


def test_a_plan_lists_changes_item_by_item(typed, other_bucket, tmp_path):
    other_bucket("mine-to-read")
    setup(typed, "--yes", "--architecture", "x86_64")
    assert "Processors: x86_64 (that of the existing function)." in setup(typed, "--dry-run").stdout
    plan = setup(
        typed,
        "--dry-run",
        "--package",
        "in-the-layer==1.0",
        "--read",
        "mine-to-read",
        "--architecture",
        "arm64",
    ).stdout
    assert "packages -rasterio +in-the-layer==1.0" in plan
    assert "read +mine-to-read" in plan
    assert "+s3:GetObject(mine-to-read/*)" in plan
    assert "architecture: x86_64 → arm64: a new version" in plan
    plan = setup(typed, "--dry-run", "--bucket", "typed-another").stdout
    assert re.search(rf"leave +bucket +{BUCKET} +used until now: it stays", plan)
    command = [str(BIN / "wrenlite-setup"), "--dry-run", "--memory", "512"]
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert "memory in MB: 1769 ? 512" in ended.stdout, "a terminal that cannot show arrows"


def test_a_broken_layer_is_reported(typed, index):
    wheel(index, "broken_here", "1.0", {"__init__.py": "raise ImportError('no such library')"})
    ended = setup(typed, "--yes", "--package", "broken-here")
    assert ended.returncode == 1
    assert "the layer is not as it should be: broken-here 1.0: ImportError: no such library" in ended.stderr
    assert typed("doctor").returncode == 1


def test_without_a_terminal_to_ask_in(typed, tmp_path):
    ended = setup(typed, "--prefix", "mine")
    assert ended.returncode == 2
    assert "stdin is not a terminal: run it in a terminal, or give --yes" in ended.stderr
    assert "--config, --bucket, --backend" in ended.stderr
    ended = setup(typed, "--yes", AWS_DEFAULT_REGION="", AWS_CONFIG_FILE=str(tmp_path / "none"))
    assert ended.returncode == 2
    assert "--region is missing" in ended.stderr
    setup(typed, "--yes")
    ended = typed("destroy")
    assert ended.returncode == 2
    assert "run it in a terminal, or give --yes" in ended.stderr


def test_settings_for_local_cores_keep_the_rest_of_the_file(typed, tmp_path):
    (tmp_path / "config.toml").write_text('# mine\nbackend = "aws"\nworkers = 3 # few\n')
    assert setup(typed, "--local", "--dry-run").returncode == 2
    ended = setup(typed, "--local", "--yes")
    assert "Executor() runs on this machine's" in ended.stdout
    document = json.loads(setup(typed, "--local", "--yes", "--json").stdout)
    assert document == {"backend": "local", "config": str(tmp_path / "config.toml")}
    assert (tmp_path / "config.toml").read_text() == '# mine\nbackend = "local"\nworkers = 3 # few\n'


# Each request comes right before or after a change. It hangs, and the run is killed meanwhile.
@pytest.mark.parametrize(
    "kind",
    [
        "CreateRole",
        *(
            pytest.param(kind, marks=pytest.mark.full)
            for kind in (
                *("PutBucket", "PutBucketPublicaccessblock", "PutBucketPolicy", "PutRolePolicy"),
                *("CreateLogGroup", "PutRetentionPolicy", "PostLambdaLayers"),
                *("PostLambdaFunctions", "DeleteLambdaFunctions"),
                *("PublishVersion", "CreateAlias", "UpdateAlias"),
            )
        ),
    ],
)
def test_a_run_that_was_killed_is_completed_by_the_next_one(typed, bed, kind):
    bed.fault(kind, "hang", seconds=5)
    killed = subprocess.Popen([str(BIN / "wrenlite-setup"), "--yes"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not bed.counts().get(kind):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    again = setup(typed, "--yes")
    assert again.returncode == 0, again.stderr
    assert "function returned: Hello world" in again.stdout
    assert "There is nothing to do." in setup(typed, "--dry-run").stdout


def test_a_run_that_was_killed_is_removed_by_destroy(typed, bed):
    bed.fault("PostLambdaFunctions", "hang", seconds=5)
    started = subprocess.Popen(
        [str(BIN / "wrenlite-setup"), "--yes", "--bucket", "typed-of-another-name"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not bed.counts().get("PostLambdaFunctions"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    _, stderr = started.communicate(timeout=30)
    assert started.returncode == 1
    assert (
        "Stopped. Run wrenlite-setup again to continue, or wrenlite destroy to delete what exists." in stderr
    )
    assert typed("destroy", "--yes").returncode == 0
    assert left() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            ("GetCallerIdentity", 403, "ExpiredToken"),
            "the AWS credentials have expired. Sign in again (aws sso login",
        ),
        (
            ("CreateRole", 403, "AccessDenied"),
            '"Action": "iam:CreateRole", "Resource": "arn:aws:iam::1:role/x"',
        ),
        (("PutBucket", 403, "AccessDenied"), "AWS does not allow s3:CreateBucket"),
        (("HeadBucket", 403, ""), f"the bucket '{BUCKET}' is another account's"),
        (
            ("PostLambdaLayers", 400, "CodeStorageExceededException"),
            "CodeStorageExceededException: said the bed",
        ),
        (
            ("GetCallerIdentity", 403, "InvalidClientTokenId"),
            "is not enabled in this account: aws account enable-region",
        ),
    ],
)
def test_an_error_of_aws_is_one_line_with_its_fix(typed, bed, fault, words):
    kind, status, code = fault
    message = (
        "User: x is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::1:role/x because"
    )
    bed.error(kind, status, code, message if kind == "CreateRole" else "said the bed")
    region = "eu-west-1" if code == "InvalidClientTokenId" else "us-east-1"
    ended = setup(typed, "--yes", "--region", region)
    assert ended.returncode == 1, ended.stdout
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if line.startswith("Error: ")]) == 1


NOWHERE = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ([], NOWHERE, "no AWS credentials"),
        (["--profile", "nobody"], {}, "AWS's configuration has no profile 'nobody'; it has mine"),
        ([], {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot reach AWS in us-east-1"),
        (["--region", "eu-wst-1"], {}, "knows no region 'eu-wst-1' with Lambda; it knows eu-west-1"),
        (["--reserved-concurrency", "950"], {}, "keeps 100 of those free"),
        (["--package", "no-such-thing"], {}, "these packages cannot be had for Python"),
        (["--memory", "40000"], {}, "--memory: must be 128 to 10,240 MB"),
        (["--memory", "40000"], NOWHERE, "--memory: must be 128 to 10,240 MB"),
        (["--timeout", "901", "--reserved-concurrency", "none"], NOWHERE, "--timeout: must be 1 to 900"),
        (["--bucket", "No_Bucket"], {}, "--bucket 'No_Bucket': must be a bucket's name"),
        (["--function", "arn:aws:lambda:us-east-1:123456789012:function:typed"], {}, "--function: must be"),
        (["--package", "=>2"], {}, "--package '=>2': must be a package's name"),
        (
            ["--role-arn", "arn:aws:iam::123456789012:role/typed-none"],
            {},
            "the role arn:aws:iam::123456789012:role/typed-none does not exist",
        ),
        (
            ["--role-arn", "arn:aws:iam::999999999999:role/mine"],
            {},
            "belongs to another account than 123456789012",
        ),
        ([], {"AWS_ENDPOINT_URL": "foo"}, "AWS_ENDPOINT_URL must be URLs"),
        (["--config", "/proc/nowhere/config.toml"], {}, "cannot write /proc/nowhere/config.toml"),
    ],
)
def test_an_invalid_setting_is_one_line_with_its_fix(typed, tmp_path, arguments, env, words):
    (tmp_path / "aws").write_text("[profile mine]\nregion = us-east-1\n")
    files = {"AWS_CONFIG_FILE": str(tmp_path / "aws"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    ended = setup(typed, "--yes", *arguments, **files, **env)
    assert ended.returncode == 1, ended.stdout
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert left() == []


def test_an_expired_single_sign_on_names_its_profile(typed, tmp_path):
    (tmp_path / "aws").write_text(
        "[profile mine]\nregion = us-east-1\nsso_session = mine\nsso_account_id = 123456789012\n"
        "sso_role_name = all\n[sso-session mine]\nsso_region = us-east-1\n"
        "sso_start_url = https://127.0.0.1/start\n"
    )
    env = {"AWS_CONFIG_FILE": str(tmp_path / "aws"), "HOME": str(tmp_path), **NOWHERE}
    ended = setup(typed, "--yes", "--profile", "mine", **env)
    assert ended.returncode == 1
    assert "Sign in again: aws sso login --profile mine" in ended.stderr


class Terminal:
    """A command in a terminal, and a user who answers it."""

    def __init__(self, program, arguments):
        self.child = pexpect.spawn(
            str(BIN / program), list(arguments), timeout=60, encoding="utf-8", dimensions=(50, 160)
        )
        self.prompts = 0

    def answer(self, question, text=""):
        self.child.expect_exact(question)
        self.prompts += 1
        self.child.sendline(text)

    def sees(self, text):
        self.child.expect_exact(text)

    def interrupt(self, text):
        """Press Ctrl-C until the text appears: Python's input() misses one right before it starts to read."""
        self.child.sendintr()
        while self.child.expect_exact([text, pexpect.TIMEOUT], timeout=5):
            assert self.child.isalive()
            self.child.sendintr()

    def ends(self, code=0):
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == code, self.child.before


@pytest.fixture
def terminals(typed):
    """Start commands, each in its own terminal."""
    started = []

    def start(*arguments, program="wrenlite-setup"):
        started.append(Terminal(program, arguments))
        return started[-1]

    yield start
    for terminal in started:
        terminal.child.close(force=True)


def test_the_default_path_in_a_terminal(terminals, tmp_path):
    terminal = terminals()
    terminal.sees("Signed in to account 123456789012 as arn:aws:sts::123456789012:user/moto")
    terminal.answer("AWS region [us-east-1]:")
    terminal.answer(f"S3 bucket [{BUCKET}]:")
    terminal.answer("Prefix of all keys in the bucket [wrenlite]:")
    terminal.answer(f"Settings file [{tmp_path}/config.toml]:")
    terminal.sees("create  bucket")
    terminal.answer("Go ahead?", "y")
    terminal.sees("function returned: Hello world")
    terminal.answer("Should Executor() run on Lambda from now on? [y/N]:")
    terminal.ends()
    assert terminal.prompts == 6
    assert "backend" not in (tmp_path / "config.toml").read_text()


@pytest.fixture
def profiles(typed, tmp_path, monkeypatch):
    """Two profiles in AWS's own files, and no credentials in the environment."""
    (tmp_path / "aws").write_text("[default]\nregion = eu-west-1\n[profile mine]\nregion = us-east-1\n")
    (tmp_path / "keys").write_text("[mine]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            patch.delenv(name)
        yield


def test_every_prompt_in_a_terminal(typed, terminals, other_bucket, profiles, tmp_path):
    other_bucket("usgs-landsat")
    (tmp_path / "config.toml").write_text("workers = 2 # here\n")
    terminal = terminals()
    terminal.answer("AWS profile (default, mine) [default]:", "mine")
    terminal.answer("AWS region [us-east-1]:", "us-esat-1")
    terminal.sees("knows no region 'us-esat-1' with Lambda; it knows us-west-1, us-east-1")
    terminal.answer("AWS region [us-east-1]:")
    terminal.answer("S3 bucket", "No Bucket")
    terminal.sees("must be a bucket's name")
    terminal.answer("S3 bucket", "typed-chosen")
    terminal.answer("Prefix of all keys", "maps/mine")
    terminal.answer("Settings file")
    terminal.answer("already exists. Add this deployment to it, and keep its other settings? [Y/n]:")
    terminal.answer("Go ahead?", "p")
    terminal.sees("Policy for people who run wrenlite-setup and wrenlite destroy:")
    terminal.sees('"iam:PassRole"')
    terminal.sees("Policy of the function's role:")
    terminal.answer("Go ahead?", "what")
    terminal.answer("Go ahead?", "A")
    terminal.answer("Name of the function [typed]:")
    terminal.answer("ARN of an IAM role of your own, or none [none]:")
    terminal.answer("Memory in MB, 128 to 10240; 1769 come with one CPU [1769]:", "64")
    terminal.sees("--memory: must be 128 to 10,240 MB")
    terminal.answer("Memory in MB", "512")
    terminal.answer("Timeout in seconds, 1 to 900 [900]:", "20")
    usual = "x86_64" if sys.version_info < (3, 12) else "arm64"
    terminal.answer(f"Architecture, x86_64 or arm64 [{usual}]:")
    terminal.answer("Ephemeral storage in MB, 512 to 10240 [512]:", "1024")
    terminal.answer("Reserved concurrency, which limits spending, or none [none]:", "0")
    terminal.sees("With 0 nothing could ever run")
    terminal.answer("Reserved concurrency", "3")
    terminal.answer("Packages that tasks import", "numpy=>2")
    terminal.sees("--package 'numpy=>2': must be a package's name")
    terminal.answer("Packages that tasks import", "in-the-layer==1.0")
    terminal.answer("Other buckets that tasks may read, or none", "usgs-landsat")
    terminal.answer("Other buckets that tasks may read and write", "none")
    terminal.sees("in-the-layer==1.0")
    terminal.sees("512 MB, 20 s, at most 3 at once")
    terminal.answer("Go ahead?", "y")
    terminal.sees("function returned: Hello world")
    terminal.answer("Should Executor() run on Lambda from now on?", "y")
    terminal.sees("in a notebook wrenlite.Executor()")
    terminal.ends()
    settings = tomllib.loads((tmp_path / "config.toml").read_text())
    assert settings == {
        "workers": 2,
        "profile": "mine",
        "region": "us-east-1",
        "bucket": "typed-chosen",
        "bucket_owner": "123456789012",
        "prefix": "maps/mine",
        "function": "typed",
        "backend": "aws",
    }
    again = setup(typed, "--dry-run", "--profile", "mine")
    assert "There is nothing to do." in again.stdout, "the next run starts from the settings of this one"

    terminal = terminals("destroy", program="wrenlite")
    terminal.sees("delete  function")
    terminal.answer("Type the function's name (typed) to delete all of this", "no")
    terminal.sees("Nothing was deleted.")
    terminal.ends(1)
    terminal = terminals("destroy", program="wrenlite")
    terminal.answer("Type the function's name", "typed")
    terminal.ends()
    assert left("mine") == []
    assert (tmp_path / "config.toml").read_text() == "workers = 2 # here\n"


def test_a_refusal_and_ctrl_c_change_nothing(terminals, tmp_path):
    terminal = terminals("--json")
    for question in ("AWS region", "S3 bucket", "Prefix", "Settings file"):
        terminal.answer(question)
    terminal.answer("Go ahead?", "n")
    terminal.sees("Nothing was changed.")
    terminal.ends(1)
    terminal = terminals()
    terminal.answer("AWS region")
    terminal.sees("S3 bucket")
    terminal.interrupt("Aborted!")
    terminal.ends(1)
    assert left() == []
    assert not (tmp_path / "config.toml").exists()


def test_the_wizard_from_a_checkout(typed):
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, str(root / "setup_wizard.py"), "--dry-run"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "create  function" in ended.stdout
    assert "create  function" in typed("setup", "--dry-run").stdout


REFUSED = [
    (["--profile", "nobody"], "AWS's configuration has no profile 'nobody'"),
    (["--region", "mars-1"], "knows no region 'mars-1'"),
    (
        ["--region", "cn-north-1"],
        "cn-north-1 is in the partition aws-cn of AWS, which has accounts of its own",
    ),
    (["--config", f"{__file__}/config.toml"], "test_setup.py is not a folder"),
    (["--bucket", "s3://mine"], "--bucket 's3://mine': must be a bucket's name"),
    (["--bucket", "mine--x-s3"], "S3 reserves names of this form"),
    (["--prefix", "a//b"], "--prefix 'a//b': must be letters"),
    (["--prefix", "p" * 129], "--prefix: must be 128 characters at most"),
    (["--function", "no name"], "function"),
    (["--function", "f" * 60], "--function: must be 54 characters at most"),
    (["--role-arn", ""], "must not be empty"),
    (["--role-arn", "mine"], "--role-arn: must be a role's ARN"),
    (
        ["--role-arn", "arn:aws-cn:iam::123456789012:role/mine"],
        "belongs to another account than 123456789012",
    ),
    (["--role-arn", "arn:aws:iam::123456789012:role/for-ec2"], "Lambda may not assume the role"),
    (["--memory", "127"], "--memory: must be 128 to 10,240 MB"),
    (["--timeout", "0"], "--timeout: must be 1 to 900 seconds"),
    (["--architecture", "riscv"], "riscv"),
    (["--ephemeral-storage", "511"], "--ephemeral-storage: must be 512 to 10,240 MB"),
    (["--reserved-concurrency", "0"], "With 0 nothing could ever run"),
    (["--reserved-concurrency", "-1"], "must be a whole number from 1, or none"),
    (["--reserved-concurrency", "901"], "900 at most can be reserved"),
    (["--package", "numpy==99"], "there is no version of numpy==99"),
    (["--package", "no-such-thing"], "no-such-thing was not found"),
    (["--package", "none", "--package", "scipy"], "none cannot be combined with others"),
    ([word for n in range(280) for word in ("--package", f"p{n}")], "1,500 characters at most, all together"),
    (["--read", "no-such-bucket"], "--read no-such-bucket: there is no such bucket in S3"),
    (["--write", "no-such-bucket"], "--write no-such-bucket: there is no such bucket in S3"),
    (["--read", "s3://mine/data"], "--read 's3://mine/data': must be a bucket's name"),
    (["--backend", "mars"], "mars"),
    (["--tag", "team"], "--tag 'team': must be KEY=VALUE"),
    (["--vpc-subnets", "subnet-01234567"], "--security-groups is missing"),
    (["--security-groups", "sg-01234567"], "--vpc-subnets is missing"),
    (["--vpc-subnets", "a", "--security-groups", "sg-01234567"], "--vpc-subnets 'a': must be an id"),
    (["--layer", "mine"], "--layer 'mine': must be the ARN of a version of a layer"),
    (["--role-path", "teams"], "--role-path 'teams': must begin and end with /"),
    (
        ["--permissions-boundary", "arn:aws:iam::123456789012:policy/missing"],
        "the policy arn:aws:iam::123456789012:policy/missing does not exist",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[" ".join(case[0])[:50] for case in REFUSED])
def test_a_dry_run_refuses_what_cannot_be_deployed(typed, bed, arguments, words):
    if "cn-north-1" in arguments:
        bed.error("GetCallerIdentity", 403, "InvalidClientTokenId")
    if arguments[-1].endswith("for-ec2"):
        trust = {"Statement": [{"Principal": {"Service": "ec2.amazonaws.com"}}]}
        iam = client("iam", None)
        iam.create_role(RoleName="for-ec2", AssumeRolePolicyDocument=json.dumps(trust))
    ended = setup(typed, "--dry-run", *arguments)
    assert ended.returncode in (1, 2)
    assert words in ended.stderr
    assert "create" not in ended.stdout, "no plan is shown"
    if arguments[-1].endswith("for-ec2"):
        iam.delete_role(RoleName="for-ec2")


def test_a_plan_names_buckets_that_these_credentials_may_not_look_at(typed, bed, other_bucket):
    other_bucket("of-somebody-else")
    bed.error("HeadBucket", 403, "", count=100, path="of-somebody-else")
    shown = setup(typed, "--dry-run", "--read", "of-somebody-else").stdout
    assert "Note: these credentials may not look at of-somebody-else (s3:ListBucket)" in shown
    policy = json.loads(
        setup(typed, "--dry-run", "--read", "of-somebody-else", "--print-policy", "deployer").stdout
    )
    looks = [one for one in policy["Statement"] if one["Resource"] == ["arn:aws:s3:::of-somebody-else"]]
    assert [one["Action"] for one in looks] == [["s3:ListBucket"]]


def test_a_plan_and_the_status_show_the_options_of_an_account(typed, bed):
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    iam = client("iam", None)
    made = iam.create_policy(PolicyName="limits", PolicyDocument=json.dumps(allow))
    boundary = made["Policy"]["Arn"]
    options = (
        "--tag",
        "team=geo",
        "--tag",
        "for=maps",
        "--role-path",
        "/geo/",
        "--permissions-boundary",
        boundary,
    )
    shown = setup(typed, "--yes", "--package", "none", *options).stdout
    assert "Note: the tags team=geo, for=maps are set on all that wrenlite creates, except the layer" in shown
    assert f"; permissions boundary {boundary}" in shown
    status = typed("status").stdout
    assert re.search(r"^role +arn:aws:iam::123456789012:role/geo/typed-us-east-1$", status, re.MULTILINE)
    assert re.search(r"^tags +team=geo, for=maps$", status, re.MULTILINE)
    checked = typed("doctor").stdout
    assert f"permissions boundary {boundary}" in checked
    iam.untag_role(RoleName="typed-us-east-1", TagKeys=["team"])
    assert re.search(r"^✗ role +typed-us-east-1: tags \+team=geo$", typed("doctor").stdout, re.MULTILINE)
    typed("destroy", "--yes")
    iam.delete_policy(PolicyArn=boundary)


def test_a_package_that_fails_is_named_with_its_reason_and_the_others_are_imported(typed, index):
    wheel(index, "broken_here", "1.0", {"__init__.py": "raise ImportError('no such library')"})
    wheel(index, "kills", "2.0", {"__init__.py": "import os; os._exit(3)"})
    ended = setup(typed, "--yes", "--package", "broken-here", "--package", "kills", "--timeout", "20")
    assert ended.returncode == 1
    tested = typed("test")
    assert tested.returncode == 1
    assert "  ✗ broken-here 1.0: ImportError: no such library\n" in tested.stdout
    assert re.search(r"^  ✗ kills: .*exit", tested.stdout, re.MULTILINE)
    assert re.search(r"^  ✓ numpy \S+$", tested.stdout, re.MULTILINE)
    assert "the layer is not as it should be: broken-here 1.0: ImportError" in tested.stderr
