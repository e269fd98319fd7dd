"""Options of ``wrenlite-setup`` that few accounts need: what is made with them, changed, kept and refused."""

import json

import botocore.session
import pytest

import wrenlite
from tests.aws.deployments import BUCKET
from wrenlite.deploy import policies
from wrenlite.deploy.plan import Verb
from wrenlite.deploy.setting_forms import split_tag

pytestmark = pytest.mark.e2e

BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}


@pytest.fixture
def made(made):
    """A deployment without a layer."""
    made.settings["packages"] = ()
    return made


@pytest.fixture
def boundary(bed):
    iam = botocore.session.Session().create_client("iam")
    iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(EVERYTHING))
    yield BOUNDARY
    iam.delete_policy(PolicyArn=BOUNDARY)


def tags_found(made):
    """Return the tags of each resource, by kind."""
    s3, iam, logs, function = (made.clients[name] for name in ("s3", "iam", "logs", "lambda"))
    bucket = s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]
    role = iam.list_role_tags(RoleName="deployed-us-east-1")["Tags"]
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/deployed"
    return {
        "bucket": {tag["Key"]: tag["Value"] for tag in bucket},
        "role": {tag["Key"]: tag["Value"] for tag in role},
        "log group": logs.list_tags_for_resource(resourceArn=arn)["tags"],
        "function": function.get_function(FunctionName="deployed")["Tags"],
    }


def tag_by_hand(made, **tags):
    """Give tags to the bucket and the function, as somebody else does."""
    s3 = made.clients["s3"]
    have = s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]
    more = [{"Key": key, "Value": value} for key, value in tags.items()]
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": have + more})
    made.clients["lambda"].tag_resource(Resource=made.deployment().settings.function_arn, Tags=tags)


def test_tags_are_set_on_everything_remembered_changed_and_removed(made):
    made.settings["tags"] = ("team=geo", "cost centre=a/b=c")
    made.run()
    ours = {"wrenlite": "deployed"}
    chosen = {"team": "geo", "cost centre": "a/b=c"}
    assert tags_found(made) == dict.fromkeys(("bucket", "role", "log group", "function"), ours | chosen)
    for name in ("CreateFunction", "CreateLogGroup"):
        bodies = [json.loads(body) for each, body in made.requests if each == name]
        assert len(bodies) == 2, "the driver is another"
        assert all(sent.get("Tags", sent.get("tags")) == ours | chosen for sent in bodies), "never without"

    made.settings = {}
    assert made.steps() == {}, "the next run remembers them"
    tag_by_hand(made, CreatedBy="somebody")
    assert made.steps() == {}, "tags of somebody else are not wrenlite's"

    made.settings = {"tags": ("team=sea", "project=ndvi")}
    steps = made.steps()
    drivers = {f"driver {kind}" for kind in ("role", "log group", "function")}
    assert set(steps) == {"bucket", "role", "log group", "function", "alias"} | drivers
    assert {step.reason for kind, step in steps.items() if kind != "alias"} == {
        "tags -cost centre=a/b=c -team=geo +project=ndvi +team=sea"
    }
    made.run(2)
    left = {"log group", "function", "alias"} | drivers
    assert set(made.steps()) == left, "a run that was cut short is completed"
    made.run()
    assert made.steps() == {}
    found = tags_found(made)
    wanted = ours | {"team": "sea", "project": "ndvi"}
    theirs = {"CreatedBy": "somebody"}
    assert found == {
        "bucket": wanted | theirs,
        "role": wanted,
        "log group": wanted,
        "function": wanted | theirs,
    }

    made.clients["iam"].untag_role(RoleName="deployed-us-east-1", TagKeys=["team"])
    made.settings = {}
    assert made.steps()["role"].reason == "tags +team=sea"
    made.settings = {"tags": ()}
    made.run()
    assert made.steps() == {}
    found = tags_found(made)
    assert found["bucket"] == found["function"] == ours | theirs
    assert found["role"] == found["log group"] == ours


def test_a_permissions_boundary_is_there_from_the_beginning_and_goes_only_when_that_is_said(made, boundary):
    made.settings["boundary"] = boundary
    made.run()
    created = [body["PermissionsBoundary"] for name, body in made.requests if name == "CreateRole"]
    assert created == [boundary] * 2, "that of the driver, too"
    iam, name = made.clients["iam"], "deployed-us-east-1"
    made.settings = {}
    assert made.steps() == {}
    iam.delete_role_permissions_boundary(RoleName=name)
    assert made.steps()["role"].reason == f"permissions boundary: none → {boundary}"
    made.requests.clear()
    made.run()
    names = [each for each, _ in made.requests]
    assert names.index("PutRolePermissionsBoundary") < names.index("PutRolePolicy")
    made.settings = {"boundary": ""}
    assert made.steps()["role"].reason == f"permissions boundary: {boundary} → none"
    made.run()
    assert "PermissionsBoundary" not in iam.get_role(RoleName=name)["Role"]

    made.settings = {}
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
    assert made.steps() == {}, "one that an administrator has set stays"
    made.run()
    assert "PermissionsBoundary" in iam.get_role(RoleName=name)["Role"]


def test_another_path_makes_another_role_and_another_function(made, boundary):
    made.settings |= {"role_path": "/teams/geo/", "boundary": boundary, "tags": ("team=geo",)}
    made.run()
    arn = "arn:aws:iam::123456789012:role/teams/geo/deployed-us-east-1"
    client, iam = made.clients["lambda"], made.clients["iam"]
    assert client.get_function(FunctionName="deployed")["Configuration"]["Role"] == arn
    made.settings = {}
    assert made.steps() == {}

    made.settings = {"role_path": "/"}
    steps = made.steps()
    assert steps["role"].verb is Verb.REPLACE
    assert steps["role"].reason == (
        "path: /teams/geo/ → /: IAM cannot move it, so it is deleted and created again"
    )
    assert steps["function"].verb is Verb.REPLACE, "with versions that use the role that is gone"
    made.run(2)
    made.settings = {}
    assert made.steps()["role"].verb is Verb.REPLACE, "the function says where the role was"
    made.settings = {"role_path": "/"}
    made.run()
    role = iam.get_role(RoleName="deployed-us-east-1")["Role"]
    assert role["Arn"] == "arn:aws:iam::123456789012:role/deployed-us-east-1"
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert client.get_function(FunctionName="deployed")["Configuration"]["Role"] == role["Arn"]
    made.settings = {}
    assert made.steps() == {}


def test_going_over_to_a_role_of_the_users_own_forgets_the_path_and_the_boundary(made, boundary):
    made.settings |= {"role_path": "/teams/geo/", "boundary": boundary}
    made.run()
    iam = made.clients["iam"]
    iam.create_role(RoleName="mine", Path="/teams/geo/", AssumeRolePolicyDocument="{}")
    made.settings = {"role_arn": "arn:aws:iam::123456789012:role/teams/geo/mine"}
    assert "→ arn:aws:iam::123456789012:role/teams/geo/mine" in made.steps()["function"].reason
    made.run()
    made.settings = {}
    assert made.steps() == {}
    assert made.deployment().settings.role_path == "/"
    made.settings = {"memory_mb": 512}
    assert made.steps()["role"].verb is Verb.DELETE, "no version uses it any more"
    made.run()
    iam.delete_role(RoleName="mine")


def statements_of(settings, action):
    return [one for one in policies.of_deployer(settings)["Statement"] if action in one["Action"]]


def test_a_deployer_may_change_only_a_role_with_the_boundary(made, boundary):
    made.settings |= {"role_path": "/teams/geo/", "boundary": boundary}
    settings = made.deployment().settings
    arn = "arn:aws:iam::123456789012:role/teams/geo"
    roles = [f"{arn}/deployed-us-east-1", f"{arn}/deployed-driver-us-east-1"]
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        (statement,) = statements_of(settings, action)
        assert statement["Resource"] == roles
        assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    assert statements_of(settings, "iam:PassRole")[0]["Resource"] == roles
    assert not statements_of(settings, "iam:DeleteRolePermissionsBoundary")


THEIRS = "arn:aws:iam::123456789012:role/mine"
MANY = tuple(f"key{n}=v" for n in range(50))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tags": ("team",)}, "--tag 'team': must be KEY=VALUE, such as team=geo"),
        ({"tags": ("=geo",)}, "the key or the sign = is missing"),
        ({"tags": ("AWS:team=geo",)}, "AWS keeps keys that begin with aws: to itself"),
        ({"tags": ("Wrenlite=mine",)}, "the key wrenlite is wrenlite's own"),
        ({"tags": ("k" * 129 + "=v",)}, "a key has 128 characters at most"),
        ({"tags": ("k=" + "v" * 257,)}, "and a value 256"),
        ({"tags": ("team=geo;sea",)}, "AWS takes letters, digits, spaces and .*, and not ;"),
        (
            {"tags": ("team=geo", "Team=sea")},
            "--tag 'Team=sea': this key is given twice|'team=geo': this key",
        ),
        ({"tags": MANY}, "49 tags at most"),
        ({"boundary": "boundary"}, "--permissions-boundary 'boundary': must be a policy's ARN"),
        ({"boundary": BOUNDARY.replace("123456789012", "999999999999")}, "belongs to another account"),
        ({"role_path": "teams"}, "--role-path 'teams': must begin and end with /"),
        ({"role_path": "/teams"}, "must begin and end with /"),
        ({"role_path": "/te ams/"}, "must begin and end with /"),
        (
            {"role_path": "/a/", "role_arn": "arn:aws:iam::123456789012:role/mine"},
            "--role-path: must be left out",
        ),
        ({"boundary": BOUNDARY, "role_arn": THEIRS}, "creates no role"),
    ],
)
def test_what_aws_would_refuse_is_refused_before_anything_is_made(made, settings, words):
    made.settings = settings
    with pytest.raises(wrenlite.ConfigError, match=words):
        made.deployment()
    assert made.requests == []


def test_tags_take_what_aws_takes(made):
    made.settings["tags"] = ("équipe=géo 7", "empty=", "url=https://x/y?".rstrip("?"), "a:b.c/d+e-f@g_h=1")
    assert dict(map(split_tag, made.deployment().settings.tags))["url"] == "https://x/y"
