import dataclasses
import json
import re

import pytest

import wrenlite
from wrenlite.deploy import policies
from wrenlite.deploy.aliases import alias_of, desired_alias, published_versions
from wrenlite.deploy.plan import Found, Verb, outdated, plan
from wrenlite.deploy.provider import desired
from wrenlite.deploy.resources import (
    Alias,
    Bucket,
    Function,
    Layer,
    LogGroup,
    Role,
    canonical_policy,
    canonical_rules,
)
from wrenlite.deploy.settings import Settings

SETTINGS = Settings(account="123456789012", region="eu-west-1", bucket="wrenlite-123456789012-eu-west-1")
BUCKET = Bucket(SETTINGS.bucket, "{}", "{}")
ROLE = Role("wrenlite-eu-west-1", "{}", "{}")
LOG = LogGroup("/aws/lambda/wrenlite")
LAYER = Layer("wrenlite", "abc", "python3.12", "x86_64")
FUNCTION = Function(
    "wrenlite", "code", "python3.12", "x86_64", "handler.handler", 1769, 900, 512, None, (), ROLE.name, "abc"
)
ALIAS = Alias("wrenlite:current", "d-new")
WANT = (BUCKET, ROLE, LOG, LAYER, FUNCTION, ALIAS)


def managed(*resources):
    return [Found(resource, managed=True) for resource in resources]


def verbs(actions):
    return [(action.verb, action.resource.kind) for action in actions]


def test_an_empty_account_needs_everything_created():
    assert verbs(plan(WANT, [])) == [(Verb.CREATE, resource.kind) for resource in WANT]


def test_a_complete_deployment_is_kept():
    actions = plan(WANT, managed(*WANT))
    assert {action.verb for action in actions} == {Verb.KEEP}
    assert {action.reason for action in actions} == {"up to date"}


def test_an_interrupted_run_is_completed():
    assert verbs(plan(WANT, managed(BUCKET, ROLE))) == [
        (Verb.KEEP, "bucket"),
        (Verb.KEEP, "role"),
        (Verb.CREATE, "log group"),
        (Verb.CREATE, "layer"),
        (Verb.CREATE, "function"),
        (Verb.CREATE, "alias"),
    ]


def test_a_difference_is_updated_with_its_reason():
    have = managed(*WANT[:-2], dataclasses.replace(FUNCTION, memory_mb=512, digest="old"), ALIAS)
    action = plan(WANT, have)[-2]
    assert action.verb is Verb.UPDATE
    assert action.reason == "code differs, memory in MB: 512 → 1769"
    assert str(action).startswith("update  function  wrenlite  (code")
    action = plan(WANT, managed(dataclasses.replace(BUCKET, policy='{"long": "text"}'), *WANT[1:]))[0]
    assert action.reason == "policy differs"


def test_other_packages_need_another_layer():
    have = managed(*WANT[:3], dataclasses.replace(LAYER, digest="old", arn="arn"), *WANT[4:])
    action = plan(WANT, have)[3]
    assert action.verb is Verb.REPLACE
    assert plan([LAYER], managed(dataclasses.replace(LAYER, arn="arn")))[0].verb is Verb.KEEP


def test_resources_are_deleted_in_the_reverse_order_of_creation():
    assert [kind for _, kind in verbs(plan((), managed(*WANT)))] == [
        "alias",
        "function",
        "layer",
        "log group",
        "role",
        "bucket",
    ]


def test_unmanaged_resources_are_neither_changed_nor_deleted():
    unmanaged = Found(ROLE, managed=False)
    with pytest.raises(
        wrenlite.ConfigError, match="role 'wrenlite-eu-west-1' already exists and was not created by wrenlite"
    ):
        plan(WANT, [unmanaged])
    assert plan((), [unmanaged]) == ()


@pytest.mark.parametrize(
    ("setting", "value", "option"),
    [
        ("memory_mb", 40_000, "--memory"),
        ("timeout_s", 901, "--timeout"),
        ("architecture", "sparc", "--architecture"),
        ("ephemeral_mb", 1, "--ephemeral-storage"),
        ("reserved", 0, "--reserved-concurrency"),
        ("function", "no spaces", "--function"),
        ("account", "12", "account"),
        ("role_arn", "me", "--role-arn"),
    ],
)
def test_settings_that_aws_would_refuse_are_errors(setting, value, option):
    with pytest.raises(wrenlite.ConfigError, match=f"{option}.*: must be"):
        dataclasses.replace(SETTINGS, **{setting: value})


def layer_of(*versions):
    return dataclasses.replace(LAYER, versions=versions)


def test_lists_that_aws_has_no_room_for_are_errors():
    many = dataclasses.replace(SETTINGS, write=tuple(f"{n:03}" for n in range(190)))
    with pytest.raises(wrenlite.ConfigError, match="characters are too many for a role's policy"):
        desired(many, "code", None)
    packages = tuple(f"a{n}" for n in range(190))
    with pytest.raises(wrenlite.ConfigError, match="characters are too many for a function's environment"):
        desired(
            dataclasses.replace(SETTINGS, packages=packages),
            "code",
            layer_of(*(f"{name}==1.10.100" for name in packages)),
        )
    assert desired(SETTINGS, "code", layer_of("numpy==2.2.6"))


def statements(policy):
    return {
        (action, resource): statement
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def test_the_function_may_read_uploads_and_write_values():
    granted = statements(policies.of_function(SETTINGS))
    place = f"arn:aws:s3:::{SETTINGS.bucket}/wrenlite"
    assert {resource for action, resource in granted if action == "s3:PutObject"} == {
        f"{place}/results/*",
        f"{place}/outputs/*",
    }
    assert {resource for action, resource in granted if action == "s3:GetObject"} == {
        f"{place}/{part}/*" for part in ("code", "args", "refs", "results", "packages/wrenlite")
    }
    assert not any(resource == "*" for _, resource in granted)
    listing = granted["s3:ListBucket", f"arn:aws:s3:::{SETTINGS.bucket}"]
    assert "wrenlite/code/*" in listing["Condition"]["StringLike"]["s3:prefix"]


def test_the_function_may_use_other_buckets_only_when_they_are_named():
    settings = dataclasses.replace(SETTINGS, read=("usgs-landsat",), write=("mine",))
    granted = statements(policies.of_function(settings))
    assert ("s3:GetObject", "arn:aws:s3:::usgs-landsat/*") in granted
    assert ("s3:PutObject", "arn:aws:s3:::usgs-landsat/*") not in granted
    assert ("s3:PutObject", "arn:aws:s3:::mine/*") in granted


def test_a_user_may_invoke_one_function_and_not_read_code():
    granted = statements(policies.of_user(SETTINGS))
    assert ("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:123456789012:function:wrenlite") in granted
    assert ("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:123456789012:function:wrenlite:*") in granted
    assert {action for action, resource in granted if resource == "*"} == {"lambda:GetAccountSettings"}
    assert not any(action == "s3:GetObject" and "/code/" in resource for action, resource in granted)


FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:wrenlite"


def test_the_driver_may_invoke_the_function_and_itself_and_nothing_else():
    granted = statements(policies.of_driver(SETTINGS.of_driver))
    on_functions = {pair for pair in granted if pair[0].startswith("lambda:") and pair[1] != "*"}
    read = ("lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration")
    assert on_functions == {
        *((action, f"{FUNCTION_ARN}{end}") for action in read for end in ("", ":*")),
        *(("lambda:InvokeFunction", f"{FUNCTION_ARN}{end}") for end in ("", ":*", "-driver", "-driver:*")),
    }
    assert {action for action, resource in granted if resource == "*"} == {"lambda:GetAccountSettings"}


def test_a_user_may_invoke_the_driver_where_there_is_one():
    action = ("lambda:InvokeFunction", f"{FUNCTION_ARN}-driver:*")
    assert action in statements(policies.of_user(SETTINGS))
    without = dataclasses.replace(SETTINGS, driver=False)
    assert action not in statements(policies.of_user(without))
    deployer = statements(policies.of_deployer(without))
    assert ("lambda:DeleteFunction", f"{FUNCTION_ARN}-driver") in deployer, "there may be one to remove"


def names_of(settings):
    return [resource.name for resource in desired(settings, "code", None)]


def test_the_driver_is_made_before_the_function_which_records_its_version():
    resources = desired(SETTINGS, "code", None)
    *_, driver_alias, function, _ = resources
    (driver,) = [one for one in resources if one.name == "wrenlite-driver"]
    assert driver_alias == desired_alias(driver)
    assert json.loads(dict(function.environment)["WRENLITE_SETUP"])["driver"] == [driver_alias.target]
    assert (driver.handler, driver.memory_mb, driver.timeout_s) == (
        "wrenlite.durable.driver.handler",
        1024,
        900,
    )
    assert dict(driver.environment) == {
        "WRENLITE_BUCKET": SETTINGS.bucket,
        "WRENLITE_PREFIX": "wrenlite",
        "WRENLITE_BUCKET_OWNER": "123456789012",
        "WRENLITE_DRIVER": "wrenlite-driver",
    }
    assert driver.tags == function.tags, "both belong to one deployment"


def test_a_function_with_a_role_of_the_user_has_a_driver_only_with_another():
    mine = dataclasses.replace(SETTINGS, role_arn="arn:aws:iam::123456789012:role/mine")
    assert not any("driver" in name for name in names_of(mine))
    both = dataclasses.replace(mine, driver_role_arn="arn:aws:iam::123456789012:role/driver-of-mine")
    assert names_of(both)[1:] == [
        "/aws/lambda/wrenlite",
        "/aws/lambda/wrenlite-driver",
        "wrenlite-driver",
        "wrenlite-driver:current",
        "wrenlite",
        "wrenlite:current",
    ]


def test_a_name_that_is_too_long_for_a_driver_is_refused_with_what_to_do():
    with pytest.raises(wrenlite.ConfigError, match=r"--function: must be 47 characters.* --no-driver"):
        dataclasses.replace(SETTINGS, function="f" * 48)
    assert names_of(dataclasses.replace(SETTINGS, function="f" * 47))
    assert len(names_of(dataclasses.replace(SETTINGS, function="f" * 48, driver=False))) == 5


def test_policies_are_equal_in_every_form_that_aws_returns():
    sent = policies.of_function(SETTINGS)
    returned = {
        "Statement": [
            {
                **{key: one[key] for key in reversed(one)},
                "Action": one["Action"][0] if len(one["Action"]) == 1 else one["Action"][::-1],
                "Resource": one["Resource"][0] if len(one["Resource"]) == 1 else one["Resource"][::-1],
            }
            for one in reversed(sent["Statement"])
        ],
        "Version": "2012-10-17",
    }
    assert canonical_policy(returned) == canonical_policy(sent)
    assert canonical_policy(policies.of_user(SETTINGS)) != canonical_policy(sent)
    everybody = json.loads(canonical_policy(policies.of_bucket(SETTINGS)))["Statement"][0]["Principal"]
    assert everybody == "*", "a principal of * must not become a list"


def test_lifecycle_rules_are_equal_in_every_form_that_s3_returns():
    sent = policies.lifecycle_rules(SETTINGS)
    returned = [dict(reversed(rule.items())) for rule in reversed(sent)]
    returned[0] = {**returned[0], "Filter": {}}
    assert canonical_rules(returned) == canonical_rules(sent)
    assert canonical_rules(sent[1:]) != canonical_rules(sent)


def test_a_function_that_failed_or_lost_its_role_is_created_again_with_its_versions():
    def last(*have):
        return [(each.verb, each.reason) for each in plan(WANT, managed(*have))[-2:]]

    again = (Verb.CREATE, "its function is created again")
    failed = dataclasses.replace(FUNCTION, state="failed")
    assert last(*WANT[:-2], failed, ALIAS) == [
        (Verb.REPLACE, "it has failed and must be created again"),
        again,
    ]
    update_failed = dataclasses.replace(FUNCTION, state="update failed")
    assert last(*WANT[:-2], update_failed, ALIAS) == [
        (Verb.UPDATE, "state: update failed → ready"),
        (Verb.KEEP, "up to date"),
    ]
    assert last(BUCKET, LOG, LAYER, FUNCTION, ALIAS) == [
        (Verb.REPLACE, "its role is created again"),
        again,
    ]


# Versions


def test_a_change_moves_the_alias_for_new_executors():
    (step,) = plan([ALIAS], managed(dataclasses.replace(ALIAS, target="d-old")))
    assert step.verb is Verb.UPDATE
    assert step.reason == "d-old → d-new: new executors use it; those that exist stay with d-old"
    (step,) = plan([ALIAS], managed(dataclasses.replace(ALIAS, target="")))
    assert step.reason == "another version → d-new: new executors use it"
    (step,) = plan([ALIAS], managed(dataclasses.replace(ALIAS, outdated=1)))
    assert (step.verb, step.reason) == (Verb.UPDATE, "older versions of the function are deleted")


@pytest.mark.parametrize("field", [each.name for each in dataclasses.fields(Function)])
def test_the_alias_of_a_version_follows_from_all_that_a_version_has_of_its_own(field):
    changed = dataclasses.replace(FUNCTION, **{field: "another"})
    shared = field in ("reserved", "state", "revision", "tags", "may_loop")
    assert (alias_of(changed) == alias_of(FUNCTION)) == shared


def test_the_name_of_an_alias_is_one_that_lambda_takes():
    want = desired_alias(FUNCTION)
    assert want.name == "wrenlite:current"
    assert re.fullmatch(r"d-[0-9a-f]{12}", want.target)
    assert want.target == alias_of(dataclasses.replace(FUNCTION)), "the same for equal functions"


_FACTS = ("LastModified", "MemorySize", "Timeout", "Role")


def listed(*names, ours="wrenlite d-x"):
    """Return versions 1, 2 and so on, and aliases of them; an empty name: a version without an alias."""
    versions = [
        {"Version": str(n), "Description": ours, **dict.fromkeys(_FACTS, n)} for n in range(1, len(names) + 1)
    ]
    versions.append({**versions[0], "Version": "$LATEST", "Description": ""})
    numbered = [(name, str(n)) for n, name in enumerate(names, 1) if name]
    aliases = [
        {"Name": name, "FunctionVersion": n, "Description": ours if name.startswith("d-") else "theirs"}
        for name, n in numbered
    ]
    return published_versions(aliases, versions)


@pytest.mark.parametrize(
    ("names", "targets", "gone"),
    [
        (("d-a",), ("d-a",), []),
        (("d-a", "d-b"), ("d-b",), []),
        (("d-a", "d-b", "d-c"), ("d-c", "d-b"), [1]),
        (("d-a", "d-b", "d-c"), ("d-a", "d-b"), [3]),  # going back to settings of before
        (("d-a", "d-b", "d-c"), ("d-a", "d-a"), [2]),
        (("d-a", "", "d-c"), ("d-c",), [2]),  # a run was stopped before it made the alias
        (("d-a", "", "d-c", ""), ("d-c", ""), [4, 2]),
    ],
)
def test_the_current_version_and_one_more_stay(names, targets, gone):
    assert [version.number for version in outdated(listed(*names), *targets)] == gone


def test_versions_of_somebody_else_are_not_counted():
    assert [version.number for version in listed("d-a", "prod", "d-c")] == [3, 1]
    assert listed("prod", "", ours="theirs") == ()
