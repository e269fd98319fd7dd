"""Published jobs from end to end, with the real zip: published, started, shown, and removed."""

import json
import sys

import pytest
from click.testing import CliRunner

from tests.aws.deployments import BUCKET
from wrenlite import cli
from wrenlite.deploy import policies
from wrenlite.deploy.publishing import find_all_published

pytestmark = pytest.mark.e2e

MODULE = """
import dataclasses
import wrenlite
from parts_of_test.powers import Number, square

@dataclasses.dataclass
class Row:
    n: int

def scaled(number, factor):
    return factor * square(number)

def squares(numbers, factor):
    with wrenlite.Executor(progress=False) as executor:
        return executor.map(scaled, map(Number, numbers), args=(factor,)).results()

def of_csv(event):
    values = squares([row.n for row in event.rows(of=Row)], 1)
    wrenlite.current_start().outputs.put("squares.txt", repr(values).encode())

def of_parameters(numbers: list[int], factor: int = 1, title: str = "none"):
    return {"title": title, "values": squares(numbers, factor)}

def of_time():
    wrenlite.current_start().outputs.put("time.txt", wrenlite.current_start().event["time"].encode())
"""


POWERS = """
from dataclasses import dataclass
from pathlib import Path
from .inner import multiply

@dataclass
class Number:
    n: int

def square(number):
    assert Path(__file__).with_name("table.txt").read_text() == "data"
    return multiply(number.n, number.n)
"""


class Commands:
    """The command line in a folder that has the module."""

    def __call__(self, *arguments, fails=False, answer=None):
        if arguments[0] != "info":
            arguments = (*arguments, "--function", "deployed")
        ended = CliRunner().invoke(cli.main, arguments, input=answer)
        assert bool(ended.exit_code) == fails, (ended.output, ended.exception)
        return ended.stderr if fails else ended.stdout

    def json(self, *arguments):
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    (tmp_path / "mine_of_test.py").write_text(MODULE)
    package = tmp_path / "parts_of_test"
    package.mkdir()
    files = {"__init__": "", "powers": POWERS, "inner": "def multiply(a, b): return a * b"}
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    (package / "table.txt").write_text("data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("WRENLITE_BUCKET", BUCKET)
    made.run()
    yield Commands()
    for name in [name for name in sys.modules if name.startswith(("mine_of_test", "parts_of_test"))]:
        del sys.modules[name]
    for job in find_all_published(made.clients, made.deployment().settings):
        job.apply(job.plan_removal(), lambda *_: None)


def kinds(document):
    return {step["kind"]: step["action"] for step in document["steps"]}


def left(made):
    """What there is of published jobs, by service."""
    lambda_, iam, logs = (made.clients[name] for name in ("lambda", "iam", "logs"))
    store = made.clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix="wrenlite/published/")
    names = [
        *(each["FunctionName"] for each in lambda_.list_functions()["Functions"]),
        *(each["RoleName"] for each in iam.list_roles()["Roles"]),
        *(each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]),
        *(each["Name"] for each in made.clients["events"].list_rules()["Rules"]),
        *(each["Key"] for each in store.get("Contents", ())),
    ]
    return [name for name in names if "-job-" in name or "published/" in name]


def outputs(made, name):
    found = made.clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix=f"wrenlite/outputs/{name}/")
    return [each["Key"].rpartition("/")[2] for each in found.get("Contents", ())]


def test_an_upload_starts_it(run, made, bed):
    s3 = made.clients["s3"]
    s3.create_bucket(Bucket="watched")
    made.clients["lambda"].add_permission(
        FunctionName="deployed",
        StatementId="theirs",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::watched",
    )
    theirs = {
        "Id": "theirs",
        "LambdaFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:deployed",
        "Events": ["s3:ObjectCreated:Put"],
        "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "other/"}]}},
    }
    others = {"EventBridgeConfiguration": {}, "LambdaFunctionConfigurations": [theirs]}
    s3.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration=others)
    on = ("publish", "mine_of_test:of_csv", "--on", "s3://watched/in put+/*ü.csv", "--yes")
    assert set(kinds(run.json(*on, "--dry-run")).values()) == {"create"}
    assert left(made) == []
    print(run(*on))
    assert set(kinds(run.json(*on)).values()) == {"keep"}
    s3.put_object(Bucket="watched", Key="in put+/a bü.csv", Body=b"n\n1\n2\nx\n")
    bed.wait_for_events(60)
    print(run("published"))
    print(run("published", "of-csv"))
    (start,) = run.json("published", "of-csv")["starts"]
    assert (start["status"], start["files"]) == ("done", ["squares.txt"]), start
    assert [row["line"] for row in start["rejected"]] == [4]
    print(run("status"))
    print(run("doctor"))
    print(run("unpublish", "of-csv", "--yes"))
    assert left(made) == []
    assert outputs(made, "of-csv") == ["squares.txt"]
    found = s3.get_bucket_notification_configuration(Bucket="watched")
    assert {name: found[name] for name in others} == others
    s3.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration={})


def test_a_request_starts_it(run, made, bed):
    print(run("publish", "mine_of_test:of_parameters", "--http", "--name", "sq", "--yes"))
    print(run("published", "sq"))
    started = run("start", "sq", "numbers=[1, 2, 3]", "factor=2", "title=3 squares", "--wait")
    assert "'values': [2, 8, 18]" in started
    assert "'title': '3 squares'" in started
    assert "numbers" in run("start", "sq", "numbers=three", fails=True)
    print(run("unpublish", "sq", "--yes"))
    assert left(made) == []


def test_a_schedule_starts_it(run, made, bed):
    print(run("publish", "mine_of_test:of_time", "--every", "1 day", "--yes"))
    assert bed.fire("deployed-job-of-time") == 1
    bed.wait_for_events(60)
    print(run("published", "of-time"))
    print(run("unpublish", "of-time", "--yes"))
    assert left(made) == []
    assert outputs(made, "of-time") == ["time.txt"]


@pytest.fixture
def user(made, run, bed, monkeypatch):
    """Enforces policies, and lets the commands be those of somebody with the user's policy alone."""
    iam, policy = made.clients["iam"], policies.of_user(made.deployment().settings)
    iam.create_role(RoleName="a-user", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName="a-user", PolicyName="wrenlite", PolicyDocument=json.dumps(policy))

    def enforce():
        bed.settings(enforce_policies=True)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-user")

    yield enforce
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    bed.settings(enforce_policies=False)
    iam.delete_role_policy(RoleName="a-user", PolicyName="wrenlite")
    iam.delete_role(RoleName="a-user")


def test_the_policies_suffice(run, made, bed, user):
    s3 = made.clients["s3"]
    s3.create_bucket(Bucket="watched-too")
    s3.create_bucket(Bucket="for-outputs")
    to = ("--to", "s3://for-outputs/here")
    run("publish", "mine_of_test:of_csv", "--on", "s3://watched-too/in/*.csv", "--yes", *to)
    run("publish", "mine_of_test:of_parameters", "--http", "--yes")
    user()
    s3.put_object(Bucket="watched-too", Key="in/a.csv", Body=b"n\n2\n")
    assert "'values': [4]" in run("start", "of-parameters", "numbers=[2]", "--wait")
    bed.wait_for_events(60)
    found = s3.list_objects_v2(Bucket="for-outputs")["Contents"]
    assert [each["Key"].rpartition("/")[2] for each in found] == ["squares.txt"]
    assert [each for each in bed.denials() if not each.startswith("a-user: GetLambda")] == []
    refused = run("unpublish", "of-csv", "--yes", fails=True)
    assert "does not allow" in refused
