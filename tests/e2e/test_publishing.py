"""Publishing: what is refused before anything is made, what another run changes, and what is left."""

import json

import botocore.session
import pytest
from click.testing import CliRunner

import wrenlite
from tests.aws.deployments import BUCKET
from wrenlite import cli
from wrenlite.deploy.account import sign_in
from wrenlite.deploy.publisher import Publisher, Wish
from wrenlite.deploy.publishing import find_all_published, find_published
from wrenlite.deploy.publishing_report import changes, condition
from wrenlite.serving.publication import Every, Http, Objects

pytestmark = pytest.mark.e2e


def functions():
    def take(event=None):
        return event

    def drop(event=None):
        return None

    return take, drop


take, drop = functions()


class Publishing:
    """Publishes a function in a deployment, as a run of the command of its own would."""

    def __init__(self, made):
        self.made = made

    @property
    def publisher(self):
        return Publisher(self.made.clients, self.made.account, self.made.deployment().settings)

    def steps(self, on, name="mine", to=None, function=take, at_once=None):
        publisher = self.publisher
        job = publisher.prepare(Wish(function, "mine:take", on, name, to, at_once))
        return job, changes(job.plan(publisher.function))

    def __call__(self, on, name="mine", most=None, **options):
        job, steps = self.steps(on, name, **options)
        job.apply(steps[:most], lambda *_: None)
        return {step.resource.kind: step.verb.value for step in steps}

    def found(self):
        return find_all_published(self.made.clients, self.made.deployment().settings)

    def remove(self):
        for job in self.found():
            job.apply(job.plan_removal(), lambda *_: None)


@pytest.fixture
def publish(made, monkeypatch):
    monkeypatch.setenv("WRENLITE_BUCKET", BUCKET)
    made.run()
    made.clients["s3"].create_bucket(Bucket="watched")
    one = Publishing(made)
    yield one
    one.remove()
    assert one.found() == []


ON = Objects("watched", "in/", ".csv")


def notify(made, **ends):
    """Let somebody else be told of new objects in the bucket."""
    arn = made.clients["lambda"].get_function(FunctionName="deployed")["Configuration"]["FunctionArn"]
    made.clients["lambda"].add_permission(
        FunctionName="deployed",
        StatementId="theirs",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )
    rules = [{"Name": name, "Value": value} for name, value in ends.items()]
    theirs = {
        "Id": "theirs",
        "LambdaFunctionArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    made.clients["s3"].put_bucket_notification_configuration(
        Bucket="watched", NotificationConfiguration={"LambdaFunctionConfigurations": [theirs]}
    )


def test_what_cannot_work_is_refused_before_anything_is_made(publish, made, bed, monkeypatch):
    s3 = made.clients["s3"]
    elsewhere = botocore.session.Session().create_client("s3", region_name="eu-west-1")
    place = {"LocationConstraint": "eu-west-1"}
    elsewhere.create_bucket(Bucket="far-away", CreateBucketConfiguration=place)
    notify(made, prefix="in/deep/")

    def refused(message, on=ON, **options):
        with pytest.raises((wrenlite.ConfigError, wrenlite.PackageMissing), match=message):
            publish.steps(on, **options)

    made.requests.clear()
    refused("'theirs', which sends s3://watched/in/deep/ to arn")
    refused("there is no such bucket", Objects("no-such-bucket-here", "in/", ".csv"))
    refused("is in eu-west-1", Objects("far-away", "in/", ".csv"))
    refused("is in eu-west-1", Http(), to="s3://far-away/outputs")
    refused("would start others without end", Objects("watched", "out/", ".csv"), to="s3://watched/out/x")
    refused("would start others", Objects(BUCKET, "", ""))
    refused("serve watches folders", Objects("/tmp/folder", "", ""))
    refused("write s3://BUCKET/PREFIX", Http(), to="outputs")
    refused("write s3://BUCKET/PREFIX", Http(), to="s3://only-a-bucket")
    refused("it must take the event", function=lambda: 0)
    refused("cannot be called by rate", Every("rate(1 day)"), function=lambda one, two: 0)
    refused("is not the name of a published job", Http(), name="No_Such")
    refused("0 starts at once .* must be 1 to 100$", at_once=0)
    refused("must be 1 to 3, of the 5 invocations that a public URL has", Http(public=True), at_once=4)
    bed.settings(concurrency=104)
    made.clients, made.account = sign_in(made.clients.session, "us-east-1")
    refused("none can be reserved", Http(public=True))
    assert made.requests == []
    assert publish.found() == []
    elsewhere.delete_bucket(Bucket="far-away")
    s3.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration={})


def test_a_deployment_without_driver_or_of_another_version_is_refused(publish, made, monkeypatch):
    made.settings = {"driver": False}
    made.run()
    with pytest.raises(wrenlite.ConfigError, match="wrenlite-setup --function deployed --driver makes one"):
        publish.steps(Http())
    made.settings = {"driver": True}
    made.run()
    monkeypatch.setattr("wrenlite.deploy.publisher.zip_digest", lambda: "another")
    with pytest.raises(wrenlite.ConfigError, match="another version of wrenlite or cloudpickle"):
        publish.steps(Http())
    monkeypatch.setattr("wrenlite.deploy.publisher.current_python", lambda: "3.99")
    with pytest.raises(wrenlite.ConfigError, match=r"this is Python 3\.99"):
        publish.steps(Http())


def test_somebody_elses_function_is_not_touched(publish, made):
    arn = made.clients["lambda"].get_function(FunctionName="deployed")["Configuration"]["FunctionArn"]
    publish(Http())
    job_arn = arn.replace("deployed", "deployed-job-mine")
    made.clients["lambda"].tag_resource(Resource=job_arn, Tags={"wrenlite": "another"})
    made.clients["iam"].untag_role(RoleName="deployed-job-mine-us-east-1", TagKeys=["wrenlite"])
    with pytest.raises(wrenlite.ConfigError, match="choose another --name"):
        publish(Http())
    made.clients["lambda"].tag_resource(Resource=job_arn, Tags={"wrenlite": "deployed"})
    tags = [{"Key": "wrenlite", "Value": "deployed"}]
    made.clients["iam"].tag_role(RoleName="deployed-job-mine-us-east-1", Tags=tags)


def test_another_run_changes_only_what_differs(publish, made, code):
    publish(ON)
    assert publish(ON) == {}
    quota = publish.publisher.account.concurrency
    assert [job.publication.at_once for job in publish.found()] == [min(100, quota // 5)]
    assert publish(ON, at_once=1) == {"function": "update"}
    assert publish(ON) == {"function": "update"}
    assert publish(ON, function=drop) == {"code": "update", "function": "update"}
    s3 = made.clients["s3"]
    stored = s3.list_objects_v2(Bucket=BUCKET, Prefix="wrenlite/published/mine/")["Contents"]
    assert len(stored) == 2, "starts that go on have the function that they began with"
    assert publish(Objects("watched", "other/", ""), function=drop) == {
        "function": "update",
        "notification": "update",
        "role": "update",
    }
    (entry,) = s3.get_bucket_notification_configuration(Bucket="watched")["LambdaFunctionConfigurations"]
    assert [rule["Value"] for rule in entry["Filter"]["Key"]["FilterRules"]] == ["other/"]
    s3.create_bucket(Bucket="watched-now")
    steps = publish(Objects("watched-now", "other/", ""), function=drop)
    assert next(iter(steps)) == "notification", "what was watched ends first"
    found = s3.get_bucket_notification_configuration(Bucket="watched")
    assert "LambdaFunctionConfigurations" not in found
    every = publish(Every("rate(1 day)"), function=drop)
    assert every == {
        "notification": "delete",
        "role": "update",
        "function": "update",
        "permission": "update",
        "schedule": "create",
    }
    public = publish(Http(public=True), function=drop)
    assert (public["schedule"], public["URL"]) == ("delete", "create")
    assert publish(Http(public=True), function=drop) == {}
    answer = made.clients["lambda"].get_function_concurrency(FunctionName="deployed-job-mine")
    assert answer["ReservedConcurrentExecutions"] == 5
    url = find_published(made.clients, made.deployment().settings, "mine").url()
    publish(Http(), function=drop)
    (job,) = publish.found()
    assert job.url() == url, "it stays the same"
    assert "ReservedConcurrentExecutions" not in made.clients["lambda"].get_function_concurrency(
        FunctionName="deployed-job-mine"
    )
    publisher = publish.publisher
    assert condition(job, publisher.function) == ""
    cross = {"AllowOrigins": ["*"]}
    made.clients["lambda"].update_function_url_config(FunctionName="deployed-job-mine", Cors=cross)
    assert publish(Http(), function=drop) == {"URL": "update"}
    made.settings = {"memory_mb": 512, "ephemeral_mb": 1024}
    made.run()
    assert "outdated: function: ephemeral storage" in condition(job, publish.publisher.function)
    assert publish(Http(), function=drop) == {"function": "update"}


def test_a_run_that_was_stopped_is_completed_or_removed(publish, made):
    deployed = publish.publisher.function
    for most in (1, 3, 5):
        publish(ON, most=most)
        (job,) = publish.found()
        assert condition(job, deployed)
        assert publish(ON)
        assert publish(ON) == {}
        (job,) = publish.found()
        job.apply(job.plan_removal()[:most], lambda *_: None)
        publish.remove()
        assert publish.found() == []


def test_destroy_removes_what_is_published(publish, made):
    publish(ON)
    publish(Every("rate(1 day)"), name="nightly", most=2)
    arguments = ("destroy", "--function", "deployed", "--yes", "--json")
    ended = CliRunner().invoke(cli.main, arguments)
    assert ended.exit_code == 0, ended.output
    steps = json.loads(ended.stdout)["steps"]
    assert steps[0]["kind"] == "notification"
    names = [each["FunctionName"] for each in made.clients["lambda"].list_functions()["Functions"]]
    assert not [name for name in names if name.startswith("deployed")]
    made.run()


def test_a_program_publishes(publish, made, capsys, monkeypatch):
    def picture(width: int = 3):
        return width

    executor = wrenlite.Executor.aws(function="deployed", bucket=BUCKET, progress=False)
    with executor:
        monkeypatch.setattr("builtins.input", lambda *_: "no")
        with pytest.raises(wrenlite.ConfigError, match="the answer was no"):
            executor.publish(picture, "http")
        assert "a month" in capsys.readouterr().out
        answers = iter(["p", "yes"])
        monkeypatch.setattr("builtins.input", lambda *_: next(answers))
        made_now = executor.publish(picture, "http")
        assert '"Action": [' in capsys.readouterr().out
        assert (made_now.name, made_now.url[:7]) == ("picture", "http://")
        for on, message in (("tomorrow", "starts nothing"), (7, "'http' for requests"), ("s3://", "bucket")):
            with pytest.raises(wrenlite.ConfigError, match=message):
                executor.publish(picture, on)
        with pytest.raises(wrenlite.ConfigError, match="only requests come from anybody"):
            executor.publish(picture, "1 day", public=True)
        made_now.unpublish()
        with pytest.raises(wrenlite.ConfigError, match="nothing is published as 'picture'"):
            made_now.unpublish()
    with wrenlite.Executor.inline() as here, pytest.raises(wrenlite.ConfigError, match="wrenlite serve"):
        here.publish(picture, "http")


def test_a_change_by_somebody_else_at_the_same_time_is_told(publish, made, bed):
    new = {"EventBridgeConfiguration": {}}

    def intrude(**_):
        other = botocore.session.Session().create_client("s3")
        other.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration=new)

    refusal = "Unable to validate the following destination configurations"
    bed.error("PutBucketNotification", 400, "InvalidArgument", refusal)  # the permission is too new
    made.clients.session.register("after-call.s3.PutBucketNotificationConfiguration", intrude, "intruder")
    made.clients._clients.pop("s3")
    with pytest.raises(wrenlite.BackendError, match="somebody else has changed them at the same time"):
        publish(ON)
    made.clients.session.unregister("after-call.s3.PutBucketNotificationConfiguration", intrude, "intruder")
    made.clients._clients.pop("s3")
    assert publish(ON) == {"notification": "create"}
    found = made.clients["s3"].get_bucket_notification_configuration(Bucket="watched")
    assert found["EventBridgeConfiguration"] == {}


def test_a_dead_notification_of_somebody_else_is_no_obstacle(publish, made, monkeypatch):
    monkeypatch.setattr("wrenlite.deploy.triggers._NEW_PERMISSION_S", 0.0)
    notify(made, prefix="other/")
    made.clients["lambda"].remove_permission(FunctionName="deployed", StatementId="theirs")
    publish(ON)
    publish.remove()
    s3 = made.clients["s3"]
    (entry,) = s3.get_bucket_notification_configuration(Bucket="watched")["LambdaFunctionConfigurations"]
    assert entry["Id"] == "theirs"
    s3.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration={})


def test_doctor_and_status_say_what_is_missing(publish, made):
    def doctor():
        ended = CliRunner().invoke(cli.main, ("doctor", "--function", "deployed", "--json"))
        return [check for check in json.loads(ended.stdout)["checks"] if check["name"] == "published"]

    publish(ON)
    (check,) = doctor()
    assert (check["ok"], check["detail"]) == (True, "mine: s3://watched/in/*.csv starts mine:take")
    s3, client = made.clients["s3"], made.clients["lambda"]
    s3.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration={})
    client.remove_permission(FunctionName="deployed-job-mine", StatementId="wrenlite")
    for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="wrenlite/published/")["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=each["Key"])
    (check,) = doctor()
    missing = "outdated: code: does not exist yet, permission: does not exist yet, notification: does not"
    assert missing in check["detail"]
    assert check["fix"] == (
        "run wrenlite publish mine:take --name mine --on 's3://watched/in/*.csv' "
        f"--to s3://{BUCKET}/wrenlite/outputs/mine"
    )
    ended = CliRunner().invoke(cli.main, ("status", "--function", "deployed"))
    assert missing in ended.stdout
    s3.delete_bucket(Bucket="watched")
    assert not doctor()[0]["ok"]
