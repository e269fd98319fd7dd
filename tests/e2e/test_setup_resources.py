"""Layers, subnets and KMS keys of the user's: what is deployed with them, kept and refused."""

import io
import json
import random
import re
import zipfile

import pytest
from click.testing import CliRunner

import wrenlite
from tests.aws.deployments import BUCKET
from tests.aws.wheels import wheel
from wrenlite import cli
from wrenlite.config import Config
from wrenlite.deploy import packages, policies
from wrenlite.deploy.checks import check_users_resources
from wrenlite.deploy.doctor import run_checks
from wrenlite.deploy.plan import Verb

pytestmark = pytest.mark.e2e

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
ALIAS = "arn:aws:kms:us-east-1:123456789012:alias/data"


@pytest.fixture
def layer(bed):
    """A function that publishes a layer of the user's with one module, and returns the ARN of its version."""
    from botocore.session import Session

    client, made = Session().create_client("lambda"), []

    def make(name, value, **options):
        with io.BytesIO() as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("python/of_mine.py", f"VALUE = {value!r}")
            content = {"ZipFile": file.getvalue()}
        version = client.publish_layer_version(LayerName=name, Content=content, **options)
        made.append((name, version["Version"]))
        return version["LayerVersionArn"]

    yield make
    for name, number in made:
        client.delete_layer_version(LayerName=name, VersionNumber=number)


def value_of_mine(n):
    def value(n):  # travels by value
        import in_the_layer
        import of_mine

        return of_mine.VALUE, in_the_layer.VALUE, n

    with wrenlite.Executor.aws(bucket=BUCKET, function="deployed", max_concurrency=1) as executor:
        return executor.map(value, [n]).results(timeout=30)


def test_layers_of_the_user_lie_over_wrenlites_own_and_are_remembered(made, layer):
    first, second = layer("typed-mine", "first"), layer("typed-other", "second")
    made.settings |= {"packages": ("in-the-layer==1.0",), "layers": (second, first)}
    made.run()
    *_, sent = [json.loads(body) for name, body in made.requests if name == "CreateFunction"]
    own = sent["Layers"][0]
    assert ":layer:deployed:" in own
    assert sent["Layers"] == [own, second, first]
    assert value_of_mine(7) == [("first", "1.0", 7)]

    made.settings = {}
    assert made.steps() == {}
    made.settings = {"layers": (first, second)}
    assert made.steps()["function"].reason == "your layers in another order"
    made.settings = {"layers": (second,)}
    assert f"your layers -{first}" in made.steps()["function"].reason
    made.run()
    assert value_of_mine(8) == [("second", "1.0", 8)]
    made.settings = {"layers": (second,), "packages": ()}
    made.run()
    (sent,) = [
        json.loads(body)["Layers"] for name, body in made.requests if name == "UpdateFunctionConfiguration"
    ][-1:]
    assert sent == [second], "in place of wrenlite's"
    made.settings = {"layers": ()}
    made.run()
    assert made.steps() == {}


def test_packages_leave_room_for_layers_of_the_user(made, layer, network, index, monkeypatch):
    (subnet, *_), group = network
    monkeypatch.setattr(packages, "LAYER_BYTES", 130_000)
    wheel(index, "large", "1.0", {"__init__.py": "VALUE = 1\n", "data.txt": "large " * 20_000})
    made.settings |= {"packages": ("in-the-layer<2", "large")}
    made.run()
    assert "archives" not in made.steps(), "it fits"
    wheel(index, "in_the_layer", "1.5", {"__init__.py": "VALUE = '1.5'\n"})
    noise = random.Random(7).randbytes(10_000).hex()
    mine = layer("typed-mine", noise)
    made.settings = {"layers": (mine,), "subnets": (subnet,), "security_groups": (group,)}
    assert len(made.steps()["archives"].resource.digests) == 1
    assert "in-the-layer==1.0" in made.deployment().versions, "other layers are no reason for other versions"
    made.run()
    made.settings = {}
    assert made.steps() == {}
    status = ("status", "--function", "deployed")
    shown = CliRunner().invoke(cli.main, status, env={"WRENLITE_BUCKET": BUCKET}).stdout
    rows = dict(re.findall(r"^(archives|layers|network) +(.+)$", shown, re.MULTILINE))
    assert re.fullmatch(
        rf"s3://{BUCKET}/wrenlite/packages/deployed/ \(1 package that does not fit .*\)", rows.pop("archives")
    )
    assert rows == {"layers": mine, "network": f"{subnet}, {group}"}
    made.settings = {"layers": ()}
    assert made.steps()["layer"].verb is Verb.REPLACE


def test_a_map_is_not_refused_for_a_package_that_a_layer_of_the_user_may_have(made, layer):
    made.settings |= {"packages": ("in-the-layer==1.0",), "layers": (layer("typed-mine", 1),)}
    made.run()

    def lacks(n):
        import pandas

        return pandas.__name__

    with wrenlite.Executor.aws(bucket=BUCKET, function="deployed", max_concurrency=1) as executor:
        assert isinstance(executor.map(lacks, [1])[0].exception(timeout=30), ModuleNotFoundError)


@pytest.fixture
def network(bed):
    """Ids of two subnets and a security group of one VPC, and of a subnet of another."""
    from botocore.session import Session

    ec2 = Session().create_client("ec2")
    vpcs = [ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in range(2)]
    subnets = [
        ec2.create_subnet(VpcId=vpcs[n // 2], CidrBlock=f"10.{n // 2}.{n}.0/24")["Subnet"]["SubnetId"]
        for n in range(3)
    ]
    group = ec2.create_security_group(GroupName="mine", Description="mine", VpcId=vpcs[0])["GroupId"]
    yield subnets, group
    ec2.delete_security_group(GroupId=group)
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    for vpc in vpcs:
        ec2.delete_vpc(VpcId=vpc)


def test_a_function_goes_into_a_vpc_stays_there_and_leaves_it(made, network):
    (first, second, _), group = network
    made.settings |= {"packages": (), "subnets": (first,), "security_groups": (group,)}
    made.run()
    *_, sent = [json.loads(body) for name, body in made.requests if name == "CreateFunction"]
    assert sent["VpcConfig"] == {"SubnetIds": [first], "SecurityGroupIds": [group]}
    made.settings = {}
    assert made.steps() == {}
    settings = made.deployment().settings
    allow, deny = [
        one
        for one in policies.of_function(settings)["Statement"]
        if "ec2:CreateNetworkInterface" in one["Action"]
    ]
    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    function = "arn:aws:lambda:us-east-1:123456789012:function:deployed"
    assert deny["Condition"] == {"ArnLike": {"lambda:SourceFunctionArn": [function, f"{function}:*"]}}
    looks = [
        one for one in policies.of_deployer(settings)["Statement"] if "ec2:DescribeSubnets" in one["Action"]
    ]
    assert [one["Resource"] for one in looks] == [["*"]]

    made.settings = {"subnets": (first, second), "security_groups": (group,)}
    assert made.steps()["function"].reason == f"subnets +{second}"
    made.run()
    made.settings = {"subnets": ()}
    assert "-ec2:CreateNetworkInterface(*)" in made.steps()["role"].reason
    made.run()
    sent = [json.loads(body) for name, body in made.requests if name == "UpdateFunctionConfiguration"][-1]
    assert sent["VpcConfig"] == {"SubnetIds": [], "SecurityGroupIds": []}
    made.settings = {}
    assert made.steps() == {}


def test_a_role_that_may_not_yet_make_interfaces_is_waited_for(made, network, bed):
    (first, _, _), group = network
    made.settings |= {"packages": (), "subnets": (first,), "security_groups": (group,)}
    text = "The provided execution role does not have permissions to call CreateNetworkInterface on EC2"
    bed.error("PostLambdaFunctions", 400, "InvalidParameterValueException", text)
    made.run()
    assert bed.counts()["PostLambdaFunctions"] == 3, "with the driver"


MISSING = "0123456789abcdef0"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"subnets": ("mine",), "security_groups": (f"sg-{MISSING}",)},
            "--vpc-subnets 'mine': must be an id",
        ),
        ({"subnets": (f"subnet-{MISSING}",)}, "--security-groups is missing"),
        ({"security_groups": (f"sg-{MISSING}",)}, "--vpc-subnets is missing"),
        (
            {"subnets": (f"subnet-{MISSING}",), "security_groups": (f"sg-{MISSING}",)},
            "--vpc-subnets: .*does not",
        ),
        ({"subnets": 3, "security_groups": 1}, "must be in one VPC: subnet-"),
        ({"subnets": 1, "security_groups": (f"sg-{MISSING}",)}, "--security-groups: .*does not exist"),
        ({"layers": ("mine",)}, "--layer 'mine': must be the ARN of a version of a layer"),
        ({"layers": ("arn:aws:lambda:us-east-1:123456789012:layer:mine",)}, "ARN of a version"),
        (
            {"layers": ("arn:aws:lambda:eu-west-1:123456789012:layer:mine:1",)},
            "in the region of the function",
        ),
        ({"layers": ("arn:aws:lambda:us-east-1:123456789012:layer:deployed:1",)}, "must be another layer"),
        ({"layers": ("arn:aws:lambda:us-east-1:123456789012:layer:none:1",)}, "does not exist"),
        (
            {"layers": tuple(f"arn:aws:lambda:us-east-1:123456789012:layer:l{n}:1" for n in range(5))},
            "--layer: must be 4 at most beside that with the packages, and 5 with --package none",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(made, network, settings, words):
    subnets, group = network
    given = {"subnets": lambda number: tuple(subnets[:number]), "security_groups": lambda _: (group,)}
    made.settings = {
        name: given[name](value) if isinstance(value, int) else value for name, value in settings.items()
    }
    with pytest.raises(wrenlite.ConfigError, match=words):
        check_users_resources(made.clients, made.deployment().settings)
    assert made.requests == []


def test_a_layer_for_other_processors_is_refused(made, layer):
    made.settings["layers"] = (layer("typed-arm", 1, CompatibleArchitectures=["arm64"]),)
    with pytest.raises(wrenlite.ConfigError, match="is for arm64, and the function for x86_64"):
        check_users_resources(made.clients, made.deployment().settings)


def test_what_these_credentials_may_not_look_at_is_passed_over(made, bed):
    made.settings |= {
        "subnets": (f"subnet-{MISSING}",),
        "security_groups": (f"sg-{MISSING}",),
        "layers": ("arn:aws:lambda:us-east-1:123456789012:layer:none:1",),
    }
    code = "<Code>UnauthorizedOperation</Code><Message>You are not authorized</Message>"
    body = f"<Response><Errors><Error>{code}</Error></Errors><RequestID>1</RequestID></Response>"
    bed.fault("DescribeSubnets", "answer", status=403, body=body)
    bed.error("GetLambdaLayers", 403, "AccessDeniedException", "not authorized")
    check_users_resources(made.clients, made.deployment().settings)


@pytest.fixture
def encrypted(made):
    """A function that creates a bucket whose default encryption is with a key."""
    s3, names = made.clients["s3"], []

    def make(name, key):
        s3.create_bucket(Bucket=name)
        names.append(name)
        default = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules)

    yield make
    for name in names:
        s3.delete_bucket(Bucket=name)


def allowed_on_keys(policy):
    """Return the actions, conditions and resources of the statements about keys."""
    return [
        (one["Action"], one["Resource"], one.get("Condition"))
        for one in policy["Statement"]
        if any(action.startswith("kms:") for action in one["Action"])
    ]


THROUGH_S3 = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
USE = ["kms:Decrypt", "kms:GenerateDataKey"]


@pytest.mark.parametrize("key", [KEY, KEY.rpartition("/")[2]])
def test_a_bucket_under_a_key_of_the_user_gives_the_policies_its_statements(made, encrypted, key):
    encrypted("mine-under-a-key", key)
    made.settings["bucket"] = "mine-under-a-key"
    settings = made.deployment().settings
    assert settings.keys == (("mine-under-a-key", KEY),)
    for make in (policies.of_function, policies.of_user):
        assert allowed_on_keys(make(settings)) == [(USE, [KEY], THROUGH_S3)]
    assert (["kms:DescribeKey"], [KEY], None) in allowed_on_keys(policies.of_deployer(settings))


def test_keys_of_other_buckets_are_for_what_tasks_do_there(made, encrypted):
    encrypted("mine-to-read", ALIAS)
    encrypted("mine-to-write", KEY)
    encrypted("mine-by-aws", None)
    made.settings |= {"read": ("mine-to-read", "mine-by-aws"), "write": ("mine-to-write",)}
    settings = made.deployment().settings
    named = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/data"}}
    every_key = "arn:aws:kms:us-east-1:123456789012:key/*"
    assert allowed_on_keys(policies.of_function(settings)) == [
        (USE, [KEY], THROUGH_S3),
        (["kms:Decrypt"], [every_key], {**THROUGH_S3, **named}),
    ]
    assert allowed_on_keys(policies.of_user(settings)) == []


def test_doctor_names_a_key_that_is_disabled_or_that_denies(made, encrypted, bed):
    kms = made.clients["kms"]
    key = kms.create_key()["KeyMetadata"]
    encrypted("mine-under-a-key", key["Arn"])
    made.settings |= {"packages": (), "bucket": "mine-under-a-key"}
    made.run()
    config = Config(function="deployed", bucket="mine-under-a-key", region="us-east-1")
    (found,) = [check for check in run_checks(config) if check.name == "key"]
    assert found.ok
    kms.disable_key(KeyId=key["KeyId"])
    message = (
        "User: arn:aws:iam::123456789012:user/me is not authorized to perform: kms:GenerateDataKey on "
        f"resource: {key['Arn']} because no resource-based policy allows the kms:GenerateDataKey action"
    )
    bed.error("PutObject", 403, "AccessDenied", message, count=10)
    checks = {check.name: check for check in run_checks(config)}
    assert not checks["key"].ok
    assert checks["key"].detail.endswith(f"{key['Arn']} encrypts the objects in mine-under-a-key: Disabled")
    assert not checks["round trip"].ok
    assert f"AWS does not allow kms:GenerateDataKey on {key['Arn']}" in checks["round trip"].detail
    assert "the policy of the key itself must allow it too" in checks["round trip"].detail
    bed.reset()
    made.settings = {}
    made.destroy()
    for entry in made.clients["s3"].list_objects_v2(Bucket="mine-under-a-key").get("Contents", ()):
        made.clients["s3"].delete_object(Bucket="mine-under-a-key", Key=entry["Key"])
