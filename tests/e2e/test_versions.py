"""Upgrades while jobs run: each executor stays with the version of the function that it was made with."""

import os
import time

import pytest
from botocore.exceptions import ClientError

import wrenlite
from tests.aws.deployments import BUCKET
from wrenlite.deploy.plan import Verb

pytestmark = pytest.mark.e2e

KINDS = ("PublishVersion", "CreateAlias", "UpdateAlias", "DeleteAlias")


@pytest.fixture
def executors(made):
    """A function that makes executors on the deployment of the test."""
    opened = []

    def make(function="deployed"):
        executor = wrenlite.Executor.aws(bucket=BUCKET, function=function, max_concurrency=1, progress=False)
        opened.append(executor)
        return executor

    yield make
    for executor in opened:
        executor.shutdown(cancel_futures=True)


def looking():
    """Return a function that returns what a task finds in the zip, the layer and the settings.

    It waits for a file, if it is given one. It travels by value: this module imports what no worker has.
    """

    def look(number, begun="", until=""):
        import importlib
        import os
        import time

        if begun:
            open(begun, "w").close()
            while not os.path.exists(until):
                time.sleep(0.01)
        found = (importlib.import_module(name).VALUE for name in ("of_the_zip", "in_the_layer"))
        return (*found, os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])

    return look


def published(made):
    """Return the numbers of the published versions and the targets of the aliases."""
    client = made.clients["lambda"]
    versions = client.list_versions_by_function(FunctionName="deployed")["Versions"]
    aliases = client.list_aliases(FunctionName="deployed")["Aliases"]
    return (
        [each["Version"] for each in versions if each["Version"] != "$LATEST"],
        {each["Name"]: each["FunctionVersion"] for each in aliases},
    )


def sent(made):
    return [name for name, _ in made.requests]


def test_a_job_goes_on_with_its_version_while_another_is_deployed(made, executors, code, bed, shared_path):
    begun, until = shared_path / "begun", shared_path / "until"
    made.settings |= {"packages": ("in-the-layer==1.0",), "memory_mb": 512}
    code("old")
    made.run()
    before = executors()
    job = before.map(looking(), range(3), args=(str(begun), str(until)), chunksize=1)
    while not begun.exists():
        time.sleep(0.01)
    made.settings = {"packages": ("in-the-layer==2.0",), "memory_mb": 640}
    code("new")
    made.run()
    new = executors().map(looking(), [1]).results(timeout=60)
    until.touch()
    assert job.results(timeout=60) == [("old", "1.0", "512")] * 3
    assert new == [("new", "2.0", "640")]
    bed.kill_sandboxes()
    assert before.map(looking(), [1]).results(timeout=60) == [("old", "1.0", "512")], "in a new sandbox, too"


def test_two_versions_stay_and_an_executor_of_an_older_one_says_what_to_do(made, executors):
    made.run()
    first = executors()
    pinned = f"deployed:{next(name for name in published(made)[1] if name.startswith('d-'))}"
    made.settings = {"memory_mb": 512}
    made.run()
    assert executors(pinned).map(abs, [-1]).results(timeout=60) == [1]
    assert first.map(abs, [-1]).results(timeout=60) == [1]
    made.settings = {"memory_mb": 640}
    assert made.steps()["alias"].verb is Verb.UPDATE
    made.run()
    versions, aliases = published(made)
    assert versions == ["2", "3"]
    assert aliases["current"] == "3"
    assert sorted(aliases.values()) == ["2", "3", "3"]
    with pytest.raises(wrenlite.FunctionMissing, match=r"no version '1' .* A new Executor uses the current"):
        first.map(abs, [-1]).results(timeout=60)
    with pytest.raises(wrenlite.FunctionMissing, match=r"no version 'd-\w+' of the Lambda function"):
        executors(pinned)


def test_going_back_publishes_nothing(made, executors):
    made.run()
    made.settings = {"memory_mb": 512}
    made.run()
    made.requests.clear()
    made.settings = {"memory_mb": 1769}
    made.run()
    assert made.steps() == {}
    assert published(made)[1]["current"] == "1"
    assert not {"PublishVersion", "CreateAlias"} & set(sent(made))


def test_what_all_versions_share_needs_no_other_one(made):
    made.run()
    made.settings = {"reserved": 5}
    assert set(made.steps()) == {"function"}
    made.run()
    assert published(made)[0] == ["1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_cut_short_while_it_published_is_completed_by_the_next_one(made, executors, bed, kind):
    for memory_mb in (256, 384):
        made.settings["memory_mb"] = memory_mb
        made.run()
    made.settings["memory_mb"] = 512
    bed.error(kind, 403, "AccessDeniedException", skip=1 if kind == "UpdateAlias" else 0)
    with pytest.raises(wrenlite.AccessDenied):
        made.run()
    assert executors().backend.memory_bytes == 384 * 2**20, "new executors have the old version, as a whole"
    made.settings = {}
    assert set(made.steps()) == {"alias"}
    made.run()
    assert made.steps() == {}
    assert executors().backend.memory_bytes == 512 * 2**20
    versions, aliases = published(made)
    assert sorted(aliases.values()) == sorted([*versions, versions[-1]])
    assert len(versions) == 2


def test_what_a_stopped_run_has_published_is_deleted_where_it_is_not_wanted_any_more(made, bed):
    made.settings["memory_mb"] = 256
    made.run()
    made.settings["memory_mb"] = 512
    bed.error("UpdateAlias", 403, "AccessDeniedException")  # before the version has its alias
    with pytest.raises(wrenlite.AccessDenied):
        made.run()
    assert published(made)[0] == ["1", "2"]
    made.settings["memory_mb"] = 256
    assert made.steps()["alias"].reason == "older versions of the function are deleted"
    made.run()
    assert published(made)[0] == ["1"]
    assert made.steps() == {}


def test_a_function_that_somebody_else_changes_meanwhile_is_not_published(made, executors, bed):
    made.run()
    made.settings["memory_mb"] = 512
    deployment = made.deployment()
    *others, alias = deployment.plan()
    deployment.apply(others, lambda *_: None)
    made.clients["lambda"].update_function_configuration(FunctionName="deployed", MemorySize=640)
    with pytest.raises(wrenlite.BackendError, match="somebody else has changed it meanwhile"):
        deployment.apply([alias], lambda *_: None)
    assert executors().backend.memory_bytes == 1769 * 2**20
    made.run()
    assert executors().backend.memory_bytes == 512 * 2**20


def test_a_revision_that_changes_by_itself_is_read_again(made, bed):
    bed.error("PublishVersion", 412, "PreconditionFailedException")
    made.run()
    assert made.steps() == {}
    assert sent(made).count("PublishVersion") == 3, "with the driver"


def test_versions_and_aliases_of_the_users_own_stay(made):
    made.run()
    client = made.clients["lambda"]
    client.create_alias(FunctionName="deployed", Name="mine", FunctionVersion="1")
    for memory_mb in (256, 384, 512):
        made.settings["memory_mb"] = memory_mb
        made.run()
    assert made.steps() == {}
    versions, aliases = published(made)
    assert versions == ["1", "3", "4"]
    assert aliases["mine"] == "1"


def test_an_alias_of_the_users_own_with_this_name_is_not_moved(made):
    made.run(-1)  # without the alias
    client = made.clients["lambda"]
    client.publish_version(FunctionName="deployed")
    client.create_alias(FunctionName="deployed", Name="current", FunctionVersion="1")
    with pytest.raises(wrenlite.ConfigError, match="alias 'deployed:current' already exists and was not"):
        made.steps()
    client.delete_alias(FunctionName="deployed", Name="current")
    made.run()
    assert made.steps() == {}


@pytest.mark.parametrize("before", ["", "arn:aws:lambda:us-east-1:123456789012:function:"])
def test_an_executor_reads_its_version_and_the_settings_in_one_request(made, executors, bed, before):
    made.run()
    bed.reset()
    executor = executors(f"{before}deployed")
    assert bed.counts() == {"GetFunctionConfiguration": 1}
    version = executor.map(lambda name: os.environ[name], ["AWS_LAMBDA_FUNCTION_VERSION"])
    assert version.results(timeout=60) == ["1"]


def test_a_function_of_an_older_wrenlite_runs_as_it_is_until_the_next_setup(made, executors):
    made.run(-1)  # without the alias
    executor = executors()
    assert executor.map(abs, [-1]).results(timeout=60) == [1]
    made.run()
    assert executor.map(abs, [-1]).results(timeout=60) == [1]
    assert made.steps() == {}


def test_a_policy_that_does_not_cover_versions_is_named(made, executors, bed):
    made.run()
    bed.error("GetFunctionConfiguration", 403, "AccessDeniedException")
    with pytest.warns(UserWarning, match="policy of this client covers .*deployed, and not its versions"):
        executor = executors()
    assert executor.map(abs, [-1]).results(timeout=60) == [1]
    bed.error("Invoke", 403, "AccessDeniedException", count=100)
    with pytest.raises(wrenlite.AccessDenied, match=r'"Resource": "arn:aws:lambda:.*:function:deployed:\*"'):
        executors().map(abs, [-1]).results(timeout=60)


def test_destroying_deletes_the_versions(made):
    made.run()
    made.destroy()
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        published(made)
