"""Create, change, shrink, destroy on the test bed, with the real zip and layers; and maps between."""

import base64
import io
import json
import random
import zipfile

import pytest

import wrenlite
from tests.aws.deployments import BUCKET
from tests.aws.wheels import wheel
from wrenlite.deploy import policies
from wrenlite.deploy.plan import Verb
from wrenlite.deploy.publisher import Publisher, Wish
from wrenlite.deploy.publishing import find_all_published
from wrenlite.deploy.publishing_report import changes
from wrenlite.deploy.resources import canonical_policy
from wrenlite.serving.publication import Every, Http, Objects
from wrenlite.serving.starts import Starts

pytestmark = pytest.mark.e2e


def mapped():
    def value(n):  # travels by value: this module imports what no worker has
        import in_the_layer

        return in_the_layer.VALUE, n

    with wrenlite.Executor.aws(bucket=BUCKET, function="deployed", max_concurrency=2) as executor:
        return executor.map(value, range(3)).results(timeout=30)


def test_create_change_shrink_and_maps_between(made, bed):
    assert {step.verb for step in made.steps().values()} == {Verb.CREATE}
    made.settings["packages"] = ("in-the-layer==1.0",)
    made.run()
    assert mapped() == [("1.0", n) for n in range(3)]

    made.settings = {}  # the next run begins with what the last one chose
    assert made.steps() == {}
    made.requests.clear()
    made.run()
    assert made.requests == [], "a second run changes nothing"

    made.settings = {"memory_mb": 512, "read": ("usgs-landsat",)}
    steps = made.steps()
    assert steps["function"].reason == "memory in MB: 1769 → 512, read +usgs-landsat"
    assert steps["role"].reason == "policy +s3:GetObject(usgs-landsat/*) +s3:ListBucket(usgs-landsat)"
    assert set(steps) == {"function", "role", "alias"}
    made.run()
    assert made.steps() == {}

    made.settings = {"packages": ("in-the-layer==2.0",)}
    steps = made.steps()
    assert steps["layer"].verb is Verb.REPLACE
    assert steps["function"].reason == (
        "packages -in-the-layer==1.0 +in-the-layer==2.0, "
        "layer -in-the-layer==1.0 +in-the-layer==2.0, layer differs"
    )
    made.run()
    assert mapped() == [("2.0", n) for n in range(3)]
    versions = made.clients["lambda"].list_layer_versions(LayerName="deployed")["LayerVersions"]
    assert len(versions) == 1, "old versions are removed"

    made.settings = {"packages": (), "read": ()}
    assert made.steps()["layer"].verb is Verb.DELETE
    made.run()
    assert made.deployment().settings.memory_mb == 512
    assert made.steps() == {}
    with pytest.raises(ModuleNotFoundError, match="in_the_layer"):
        mapped()


def test_versions_are_kept_until_others_are_wanted(made, index, monkeypatch):
    made.settings["packages"] = ("in-the-layer<2", "needs-more")
    wheel(index, "needs_more", "1.0", {"__init__.py": ""}, needs="more")
    wheel(index, "more", "1.0", {"__init__.py": ""})
    made.run()
    versions = ("in-the-layer==1.0", "more==1.0", "needs-more==1.0")
    assert made.deployment().versions == versions
    wheel(index, "more", "2.0", {"__init__.py": ""})
    made.settings = {}
    with monkeypatch.context() as patch:
        patch.setenv("UV_CONFIG_FILE", str(index / "there-is-none"))
        assert made.steps() == {}, "the package index is not asked"
    made.settings = {"packages": ("in-the-layer<2", "needs-more>=1")}
    assert made.steps()["function"].reason == (
        "packages -needs-more +needs-more>=1, layer -more==1.0 +more==2.0, layer differs"
    )

    def lacks(n):
        import pandas

        return pandas, n

    bed_function = wrenlite.Executor.aws(bucket=BUCKET, function="deployed", max_concurrency=1)
    with bed_function as executor, pytest.raises(wrenlite.PackageMissing) as caught:
        executor.map(lacks, [1])
    assert str(caught.value).splitlines()[-1].strip() == (
        "wrenlite-setup --function deployed --package 'in-the-layer<2' --package needs-more --without numpy "
        "--without pillow --package pandas"
    )


def test_another_major_version_is_said_before_consent(made, index):
    wheel(index, "pytest", "2.0", {"__init__.py": ""})
    made.settings["packages"] = ("pytest==2.0",)
    assert made.deployment().major_differences() == [f"pytest is 2.0 there and {pytest.__version__} here"]


def test_a_layer_that_is_not_what_was_sent_is_deleted(made, bed):
    version = {"Version": 7, "Description": f"wrenlite {'0' * 64}", "Content": {"CodeSha256": "another"}}
    bed.fault("PostLambdaLayers", "answer", status=201, body=json.dumps(version))
    with pytest.raises(wrenlite.BackendError, match=r"its SHA-256 is another, .*That version was deleted"):
        made.run()
    assert made.requests[-1][0] == "DeleteLayerVersion"
    made.run()
    assert made.steps() == {}


@pytest.mark.parametrize("done", [1, 3, 5, 7, 8, 9])
def test_a_run_that_was_cut_short_between_steps_is_completed_by_the_next_one(made, done):
    made.run(done)
    assert [step.verb for step in made.steps().values()] == [Verb.CREATE] * (10 - done)
    made.run()
    assert made.steps() == {}


def test_what_moto_does_not_keep_is_sent_as_it_should_be(made):
    made.settings |= {"ephemeral_mb": 1024, "architecture": "arm64", "reserved": 5}
    made.run()
    sent = {
        name: json.loads(body)
        for name, body in made.requests
        if body and name.endswith(("Function", "Concurrency"))
    }
    body = sent["CreateFunction"]  # the last one: that of the driver comes before
    assert body["EphemeralStorage"] == {"Size": 1024}
    assert body["Architectures"] == ["arm64"]
    assert body["Tags"] == {"wrenlite": "deployed"}
    assert body["Timeout"] == 20
    assert sent["PutFunctionConcurrency"] == {"ReservedConcurrentExecutions": 5}
    first, creation = made.requests[0]
    assert first == "CreateBucket"
    assert b"<Tag><Key>wrenlite</Key><Value>deployed</Value></Tag>" in creation, "never there without its tag"
    made.requests.clear()
    made.settings = {"ephemeral_mb": 2048, "architecture": "x86_64", "reserved": 0, "timeout_s": 30}
    made.run()
    sent = dict(made.requests)
    assert json.loads(sent["UpdateFunctionCode"])["Architectures"] == ["x86_64"]
    configuration = json.loads(sent["UpdateFunctionConfiguration"])
    assert configuration["EphemeralStorage"] == {"Size": 2048}
    assert configuration["Timeout"] == 30
    assert "DeleteFunctionConcurrency" in sent


def theirs_role(made):
    iam, name = made.clients["iam"], "deployed-us-east-1"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=canonical_policy({}))
    return (
        "role 'deployed-us-east-1'",
        lambda: iam.get_role(RoleName=name),
        lambda: iam.delete_role(RoleName=name),
    )


def theirs_log_group(made):
    logs, name = made.clients["logs"], "/aws/lambda/deployed"
    logs.create_log_group(logGroupName=name, tags={"wrenlite": "no"})  # or moto takes those of an earlier one
    return (
        "log group '/aws/lambda/deployed'",
        lambda: logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0],
        lambda: logs.delete_log_group(logGroupName=name),
    )


def theirs_layer(made):
    client = made.clients["lambda"]
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("python/mine.py", "")
        content = {"ZipFile": file.getvalue()}
    made_it = client.publish_layer_version(LayerName="deployed", Description="mine", Content=content)
    return (
        "layer 'deployed'",
        lambda: client.list_layer_versions(LayerName="deployed")["LayerVersions"][0],
        lambda: client.delete_layer_version(LayerName="deployed", VersionNumber=made_it["Version"]),
    )


def theirs_function(made):
    client, iam = made.clients["lambda"], made.clients["iam"]
    arn = iam.create_role(RoleName="mine", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client.create_function(
        FunctionName="deployed", Role=arn, PackageType="Image", Code={"ImageUri": "mine:1"}
    )

    def delete():
        client.delete_function(FunctionName="deployed")
        iam.delete_role(RoleName="mine")

    return "function 'deployed'", lambda: client.get_function(FunctionName="deployed"), delete


@pytest.mark.parametrize("make", [theirs_role, theirs_log_group, theirs_layer, theirs_function])
def test_what_is_not_ours_stays_as_it_is(made, make):
    name, look, delete = make(made)
    made.requests.clear()
    with pytest.raises(
        wrenlite.ConfigError, match=f"the {name} already exists and was not created by wrenlite"
    ):
        made.steps()
    made.destroy()
    assert made.requests == []
    assert look()
    delete()


def test_a_bucket_of_another_function_is_not_shared(made):
    s3 = made.clients["s3"]
    tags = {"Tags": [{"Key": "wrenlite", "Value": "another"}]}
    s3.create_bucket(Bucket="of-another", CreateBucketConfiguration=tags)
    made.settings = {"bucket": "of-another"}
    with pytest.raises(wrenlite.ConfigError, match="belongs to another function of wrenlite's, 'another'"):
        made.deployment()
    s3.delete_bucket(Bucket="of-another")


IMPLIED = {
    "iam:PassRole",  # by CreateFunction
    "lambda:GetLayerVersion",
    "lambda:ListTags",
    "s3:TagResource",  # by CreateBucket
    "s3:GetObject",  # of a layer, by PublishLayerVersion; and by maps, as the next three
    "lambda:InvokeFunction",
    "lambda:GetFunctionConfiguration",
    "lambda:GetFunctionConcurrency",  # by maps, too
    "s3:ListBucket",
    "logs:FilterLogEvents",  # by wrenlite logs
    "lambda:ListFunctions",  # by wrenlite status, doctor and destroy
}


def test_the_deployers_policy_is_what_deploying_takes(made, index):
    noise = base64.b85encode(random.Random(7).randbytes(11 * 2**20)).decode()
    wheel(index, "heavy", "1.0", {"__init__.py": "", "data.txt": noise})
    made.settings |= {"packages": ("heavy",), "reserved": 5, "tags": ("team=geo",)}
    made.settings |= {"dashboard": True, "alarms": ("dollars=5",)}
    made.run()
    iam = made.clients["iam"]
    arn = iam.create_policy(PolicyName="more", PolicyDocument=policy_of_all())["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="deployed-us-east-1", PolicyArn=arn)
    made.operations -= {("iam", "CreatePolicy"), ("iam", "AttachRolePolicy")}
    made.settings = {"packages": (), "reserved": 0, "architecture": "arm64", "read": ("usgs-landsat",)}
    made.settings |= {"tags": (), "alarms": ("dollars=6",)}
    made.run()
    trust = canonical_policy(policies.trust()).replace("lambda.", "ec2.")
    iam.update_assume_role_policy(RoleName="deployed-us-east-1", PolicyDocument=trust)
    made.run()
    settings = made.deployment().settings
    made.clients["s3"].put_object(Bucket=BUCKET, Key="wrenlite/outputs/mine", Body=b"")
    made.destroy()
    iam.delete_policy(PolicyArn=arn)
    made.operations.discard(("iam", "DeletePolicy"))
    asked = {iam_action(service, name) for service, name in made.operations if service != "sts"}
    granted = {action for one in policies.of_deployer(settings)["Statement"] for action in one["Action"]}
    assert asked - granted == set(), "it suffices"
    assert granted - asked == IMPLIED - asked, "nothing is granted that is not needed"


OF_OTHER_RUNS = {
    *("lambda:GetFunctionConcurrency", "lambda:GetAccountSettings"),  # by maps
    *("lambda:InvokeFunctionUrl", "lambda:GetFunctionConfiguration"),  # by wrenlite start
    *("events:UntagResource", "iam:UntagRole", "lambda:UntagResource", "logs:UntagResource"),
    *("iam:DetachRolePolicy", "iam:UpdateAssumeRolePolicy", "logs:TagResource", "lambda:UpdateFunctionCode"),
}


def test_the_publishers_policy_is_what_publishing_takes(made):
    def take(event=None):
        return event

    made.run()
    settings = made.deployment().settings
    publisher = Publisher(made.clients, made.account, settings)
    made.operations.clear()
    for on in (Objects(BUCKET, "in/", ".csv"), Every("rate(1 day)"), Http(public=True), Http()):
        job = publisher.prepare(Wish(take, "mine:take", on, "mine"))
        job.apply(job.plan(publisher.function), lambda *_: None)
        assert not changes(publisher.prepare(Wish(take, "mine:take", on, "mine")).plan(publisher.function))
    job.ping()
    Publisher(made.clients, made.account, made.deployment().settings)
    (job,) = find_all_published(made.clients, settings)
    assert Starts(job.store, job.publication).recent(1) == []
    job.apply(job.plan_removal(), lambda *_: None)
    assert find_all_published(made.clients, settings) == []
    asked = {iam_action(service, name) for service, name in made.operations if service != "sts"}
    asked -= {"s3:DeleteObjectVersion"}  # it names no versions
    granted = {action for one in policies.of_publisher(settings)["Statement"] for action in one["Action"]}
    assert asked - granted == set(), "it suffices"
    assert granted - asked <= IMPLIED | OF_OTHER_RUNS | {"s3:DeleteObject"}, "nothing more is granted"


def policy_of_all():
    return json.dumps(
        {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    )


def iam_action(service, operation):
    """As the service authorization reference names it."""
    names = {
        "HeadBucket": "ListBucket",
        "ListObjectsV2": "ListBucket",
        "ListObjectVersions": "ListBucketVersions",
        "DeleteObjects": "DeleteObjectVersion",
        "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
        "GetBucketEncryption": "GetEncryptionConfiguration",
        "PutBucketEncryption": "PutEncryptionConfiguration",
        "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
        "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
        "Invoke": "InvokeFunction",
        "GetBucketNotificationConfiguration": "GetBucketNotification",
        "PutBucketNotificationConfiguration": "PutBucketNotification",
    }
    return f"{service}:{names.get(operation, operation)}"


def test_whose_a_function_is_cannot_be_seen_without_its_tags(made, bed):
    made.run()
    answer = {"Configuration": {"FunctionArn": "arn:f"}, "TagsError": {"ErrorCode": "AccessDenied"}}
    bed.fault("GetLambdaFunctions", "answer", status=200, body=json.dumps(answer))
    with pytest.raises(wrenlite.AccessDenied, match='"Action": "lambda:ListTags", "Resource": "arn:f"'):
        made.deployment()


@pytest.mark.parametrize(("state", "looks"), [("failed", 3), ("update failed", 3)])
def test_a_function_that_failed_is_mended(made, bed, state, looks):
    made.run()
    answer = made.clients["lambda"].get_function(FunctionName="deployed")
    answer.pop("ResponseMetadata")
    word = "State" if state == "failed" else "LastUpdateStatus"
    answer["Configuration"][word] = "Failed"
    bed.fault("GetLambdaFunctions", "answer", status=200, body=json.dumps(answer), count=looks)
    made.run()
    names = {name for name, _ in made.requests}
    made.requests.clear()
    assert ("DeleteFunction" in names) == (state == "failed")
    bed.reset()
    assert made.steps() == {}


def test_what_passes_is_waited_for(made, bed):
    bed.error("PutBucket", 409, "OperationAborted")
    bed.error(
        "PostLambdaFunctions", 400, "InvalidParameterValueException", "The role cannot be assumed by Lambda"
    )
    made.run()
    assert made.steps() == {}
    counts = bed.counts()
    assert (counts["PutBucket"], counts["PostLambdaFunctions"]) == (2, 3), "with the driver"


def test_a_bucket_and_a_role_of_the_users_own_are_used_as_they_are_and_never_deleted(made):
    s3, iam = made.clients["s3"], made.clients["iam"]
    s3.create_bucket(Bucket="mine-deployed")
    iam.create_role(RoleName="mine", AssumeRolePolicyDocument="{}")
    made.settings |= {"bucket": "mine-deployed", "role_arn": "arn:aws:iam::123456789012:role/mine"}
    assert list(made.steps()) == ["log group", "layer", "function", "alias"]
    made.run()
    made.settings = {}
    assert made.steps() == {}, "the next run knows the bucket and the role"
    made.destroy()
    assert made.deployment().existing_resources() == []
    assert s3.head_bucket(Bucket="mine-deployed")
    s3.delete_bucket(Bucket="mine-deployed")
    iam.delete_role(RoleName="mine")


def test_going_over_to_a_role_of_the_users_own_removes_the_one_that_was_made(made):
    made.run()
    made.clients["iam"].create_role(RoleName="mine", AssumeRolePolicyDocument="{}")
    made.settings["role_arn"] = "arn:aws:iam::123456789012:role/mine"
    steps = made.steps()
    assert "role" not in steps, "the version that is current until now uses it"
    assert steps["function"].reason.startswith("role: ")
    made.run()
    assert made.steps() == {}
    made.settings["memory_mb"] = 512
    assert made.steps()["role"].verb is Verb.DELETE
    made.run()
    assert made.steps() == {}
    made.clients["iam"].delete_role(RoleName="mine")


def test_a_bucket_is_emptied_of_all_versions(made):
    made.run()
    s3 = made.clients["s3"]
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        s3.put_object(Bucket=BUCKET, Key="wrenlite/outputs/mine", Body=body)
    s3.delete_object(Bucket=BUCKET, Key="wrenlite/outputs/mine")
    made.destroy()
    assert made.deployment().existing_resources() == []


def test_a_large_layer_goes_by_way_of_the_bucket(made, index):
    noise = base64.b85encode(random.Random(7).randbytes(11 * 2**20)).decode()
    wheel(index, "heavy", "1.0", {"__init__.py": "", "data.txt": noise})
    made.settings["packages"] = ("heavy",)
    made.run()
    names = [name for name, _ in made.requests]
    assert names.index("PutObject") < names.index("PublishLayerVersion") < names.index("DeleteObject")
    assert made.steps() == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reserved": 950}, r"reserved concurrency 950: .* keeps 100 of those free: 900 at most"),
        ({"bucket": "sthree-mine"}, "S3 reserves names of this form"),
        ({"packages": tuple(f"package-{n}" for n in range(300))}, "1,500 characters at most"),
        ({"timeout_s": 901}, "--timeout: must be 1 to 900"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_anything_is_made(made, settings, words):
    made.settings = settings
    with pytest.raises(wrenlite.ConfigError, match=words):
        made.deployment()
    assert made.requests == []


def test_a_bucket_in_another_region_is_named_with_its_region(made):
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    s3 = made.clients.session.create_client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="mine-elsewhere", **elsewhere)
    made.settings = {"bucket": "mine-elsewhere"}
    with pytest.raises(wrenlite.ConfigError, match="is in eu-west-1, and the function would be in us-east-1"):
        made.deployment()
    s3.delete_bucket(Bucket="mine-elsewhere")
