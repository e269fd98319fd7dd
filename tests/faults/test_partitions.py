"""China and GovCloud: their own ARNs, and prices that are not those of the table."""

import json

import pytest
from click.testing import CliRunner

import wrenlite
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.deploy import wizard

REGIONS = [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_messages_about_a_function_name_its_partition_and_prices_are_said_to_be_others(
    bed, region, partition
):
    bed.error("GetFunctionConfiguration", 403, "AccessDeniedException", count=2)
    bed.error("Invoke", 403, "AccessDeniedException")
    with (
        pytest.warns(UserWarning, match=f"prices in {region} are not known here"),
        wrenlite.Executor.aws(region=region, progress=False, max_concurrency=1) as executor,
        pytest.raises(wrenlite.AccessDenied, match=rf"arn:{partition}:lambda:{region}:\*:function:"),
    ):
        executor.submit(len, "four").result(timeout=20)


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_messages_about_objects_name_their_partition(bed, region, partition):
    store = S3Store("wrenlite-bucket", "mine", region=region)
    bed.error("GetObject", 403, "AccessDenied")
    with pytest.raises(wrenlite.AccessDenied, match=f"arn:{partition}:s3:::wrenlite-bucket/mine/key"):
        store.get("key")
    denied = "<Error><Key>mine/key</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
    bed.fault("DeleteObjects", "answer", status=200, body=f"<DeleteResult>{denied}</DeleteResult>")
    with pytest.raises(wrenlite.AccessDenied, match=f"arn:{partition}:s3:::wrenlite-bucket/mine/key"):
        store.delete(["key"])


@pytest.mark.parametrize(("region", "partition"), REGIONS)
def test_a_plan_for_another_partition(bed, index, monkeypatch, region, partition):
    monkeypatch.setenv("WRENLITE_CONFIG", "")
    monkeypatch.delenv("WRENLITE_BUCKET")

    def setup(*arguments):
        ended = CliRunner().invoke(wizard.main, [*arguments, "--region", region, "--function", "there"])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    plan = setup("--dry-run")
    assert "prices of us-east-1, " in plan
    assert f"Note: AWS's prices in {region} are not known here" in plan
    document = json.loads(setup("--dry-run", "--json"))
    assert document["settings"]["role"] == f"arn:{partition}:iam::123456789012:role/there-{region}"
    for whose in ("deployer", "user", "function"):
        policy = json.loads(setup("--print-policy", whose))
        arns = {arn for one in policy["Statement"] for arn in one["Resource"]} - {"*"}
        assert {arn.split(":")[1] for arn in arns} == {partition}
