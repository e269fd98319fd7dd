"""The triggers of the test bed: it refuses what AWS refuses, and sends what AWS sends."""

import json
import urllib.request
import uuid
from urllib.error import HTTPError

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.aws.tasks import wait_until
from wrenlite.deploy.deployment import current_python
from wrenlite.serialize.zips import make_zip

CODE = """
import json
def handler(event, context):
    if "rawPath" in event:
        if event["rawPath"] == "/fail":
            raise ValueError("no")
        return {"statusCode": 201, "headers": {"x-mine": "yes"}, "body": json.dumps(event)}
    with open(FILE, "a") as file:
        file.write(json.dumps(event) + "\\n")
"""
ACCOUNT = "123456789012"


class Site:
    """A bucket, and a function that writes down what it is invoked with."""

    def __init__(self, shared):
        session = botocore.session.Session()
        self.s3, self.functions, self.rules, self.iam = (
            session.create_client(name) for name in ("s3", "lambda", "events", "iam")
        )
        self.credentials = session.get_credentials()
        self.bucket, self.name = f"site-{uuid.uuid4().hex[:8]}", f"f-{uuid.uuid4().hex[:8]}"
        self.file = shared / "events"
        self.s3.create_bucket(Bucket=self.bucket)
        code = CODE.replace("FILE", repr(str(self.file))).encode()
        self.arn = self.functions.create_function(
            FunctionName=self.name,
            Runtime=f"python{current_python()}",
            Role=f"arn:aws:iam::{ACCOUNT}:role/wrenlite-us-east-1",
            Handler="main.handler",
            Code={"ZipFile": make_zip({"main.py": code}, compress=False)},
        )["FunctionArn"]

    def events(self):
        text = self.file.read_text() if self.file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def permit(self, sid="s3", **changed):
        given = {
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
            "SourceArn": f"arn:aws:s3:::{self.bucket}",
            "SourceAccount": ACCOUNT,
            **changed,
        }
        given = {name: value for name, value in given.items() if value is not None}
        self.functions.add_permission(FunctionName=self.name, StatementId=sid, **given)

    def notify(self, *filters, more=None):
        configurations = [
            {
                "Id": f"c{number}",
                "LambdaFunctionArn": self.arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": n, "Value": v} for n, v in one.items()]}},
            }
            for number, one in enumerate(filters)
        ]
        configuration = {"LambdaFunctionConfigurations": configurations, **(more or {})}
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration=configuration
        )


@pytest.fixture
def site(bed, shared_path):
    made = Site(shared_path)
    yield made
    made.functions.delete_function(FunctionName=made.name)


def test_objects_start_the_function_with_the_record_that_s3_sends(site, bed):
    with pytest.raises(ClientError, match="Unable to validate the following destination"):
        site.notify({"prefix": "in/", "suffix": ".csv"})
    site.permit()
    bridge = {"EventBridgeConfiguration": {}}
    site.notify({"prefix": "in/", "suffix": ".csv"}, more=bridge)
    found = site.s3.get_bucket_notification_configuration(Bucket=site.bucket)
    assert found["EventBridgeConfiguration"] == {}
    (one,) = found["LambdaFunctionConfigurations"]
    assert one["Filter"]["Key"]["FilterRules"][0] == {"Name": "Prefix", "Value": "in/"}
    del found["ResponseMetadata"]
    site.s3.put_bucket_notification_configuration(Bucket=site.bucket, NotificationConfiguration=found)
    site.s3.put_bucket_versioning(Bucket=site.bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("in/a b+ü.csv", "in/no.txt", "other/a.csv"):
        site.s3.put_object(Bucket=site.bucket, Key=key, Body=b"123")
    source = {"Bucket": site.bucket, "Key": "in/no.txt"}
    site.s3.copy_object(Bucket=site.bucket, Key="in/b.csv", CopySource=source)
    bed.wait_for_events()
    records = [record for event in site.events() for record in event["Records"]]
    records.sort(key=lambda record: record["s3"]["object"]["sequencer"])
    assert [record["eventName"] for record in records] == ["ObjectCreated:Put", "ObjectCreated:Copy"]
    first = records[0]["s3"]["object"]
    assert first["key"] == "in/a+b%2B%C3%BC.csv"
    assert (first["size"], len(first["eTag"])) == (3, 32)
    assert {record["s3"]["configurationId"] for record in records} == {"c0"}
    assert all(record["s3"]["object"]["versionId"] for record in records)
    site.functions.remove_permission(FunctionName=site.name, StatementId="s3")
    bed.settings(notification_copies=2)
    site.s3.put_object(Bucket=site.bucket, Key="in/c.csv", Body=b"")
    assert len(bed.wait_for_events()) == 2, "nobody permits the third"
    site.permit()
    site.s3.put_object(Bucket=site.bucket, Key="in/d.csv", Body=b"")
    assert len(bed.wait_for_events()) == 4


FILTERS = [
    ({"prefix": "a/"}, {"prefix": "a/b/"}, False),
    ({"prefix": "a/", "suffix": ".csv"}, {"prefix": "a/b", "suffix": "v"}, False),
    ({"suffix": ".csv"}, {"prefix": "b/"}, False),
    ({"prefix": "a/", "suffix": ".csv"}, {"prefix": "a/b", "suffix": ".txt"}, True),
    ({"prefix": "a/"}, {"prefix": "b/"}, True),
]


def test_configurations_may_not_overlap(site):
    site.permit()
    for one, other, fine in FILTERS:
        if fine:
            site.notify(one, other)
            continue
        with pytest.raises(ClientError, match="overlapping suffixes"):
            site.notify(one, other)
        found = site.s3.get_bucket_notification_configuration(Bucket=site.bucket)
        assert "LambdaFunctionConfigurations" not in found


def ask(site, url, method="GET", body=None, service="lambda", key=None, **headers):
    request = AWSRequest(method, url, headers, body)
    if service:
        SigV4Auth(key or site.credentials, service, "us-east-1").add_auth(request)
    sent = urllib.request.Request(url, body, dict(request.headers), method=method)
    try:
        with urllib.request.urlopen(sent) as answer:
            return answer.status, json.loads(answer.read()), dict(answer.headers)
    except HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_a_url_takes_signed_requests(site, bed):
    made = site.functions.create_function_url_config(FunctionName=site.name, AuthType="AWS_IAM")
    url = made["FunctionUrl"]
    assert (made["AuthType"], url[-1]) == ("AWS_IAM", "/")
    status, event, headers = ask(
        site,
        url + "start?x=1&x=2",
        "POST",
        b'{"a": 1}',
        **{"Content-Type": "application/json", "X-Some": "A"},
    )
    assert (status, headers["x-mine"]) == (201, "yes")
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == ("/start", "x=1&x=2", '{"a": 1}')
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["headers"]["x-some"] == "A"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    event = ask(site, url, "POST", b'{"a": 1}', **form)[1]
    assert (event["isBase64Encoded"], event["body"]) == (True, "eyJhIjogMX0=")
    assert "body" not in ask(site, url)[1]
    assert ask(site, url + "fail")[0] == 502
    assert ask(site, url, service=None)[0] == 403
    assert ask(site, url, service="execute-api")[0] == 403
    assert ask(site, url.replace("lambda-url/", "lambda-url/0"))[0] == 403


def test_both_permissions_are_needed(site, bed):
    public = {"AuthType": "NONE", "FunctionName": site.name}
    url = site.functions.create_function_url_config(**public)["FunctionUrl"]
    assert ask(site, url, service=None)[0] == 403
    everybody = {"Principal": "*", "SourceArn": None, "SourceAccount": None}
    site.permit("url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE", **everybody)
    assert ask(site, url, service=None)[0] == 403
    site.permit("invoke", InvokedViaFunctionUrl=True, **everybody)
    assert ask(site, url, service=None)[0] == 201
    with pytest.raises(ClientError, match="already exists"):
        site.permit("invoke", InvokedViaFunctionUrl=True, **everybody)


def test_a_role_needs_both_in_its_own_policy(site, bed):
    url = site.functions.create_function_url_config(FunctionName=site.name, AuthType="AWS_IAM")["FunctionUrl"]
    role, both = f"r-{uuid.uuid4().hex[:6]}", ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
    site.iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    bed.settings(enforce_policies=True)
    for actions, status in ((both[:1], 403), (both[1:], 403), (both, 201)):
        statement = {"Effect": "Allow", "Action": actions, "Resource": [site.arn]}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        site.iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=policy)
        assert ask(site, url, key=Credentials(role, "testing"))[0] == status


def test_a_rule_starts_its_target_when_it_is_permitted(site, bed):
    arn = site.rules.put_rule(Name=site.name, ScheduleExpression="rate(1 day)")["RuleArn"]
    site.rules.put_targets(Rule=site.name, Targets=[{"Id": "1", "Arn": site.arn}])
    assert bed.fire(site.name) == 0
    site.permit(Principal="events.amazonaws.com", SourceArn=arn)
    assert bed.fire(site.name, event="e-1") == 1
    wait_until(lambda: site.events())
    (event,) = site.events()
    assert (event["id"], event["detail-type"], event["resources"]) == ("e-1", "Scheduled Event", [arn])
    site.rules.disable_rule(Name=site.name)
    assert bed.fire(site.name) == 0
    with pytest.raises(ClientError, match="targets"):
        site.rules.delete_rule(Name=site.name)
    site.rules.remove_targets(Rule=site.name, Ids=["1"])
    site.rules.delete_rule(Name=site.name)
