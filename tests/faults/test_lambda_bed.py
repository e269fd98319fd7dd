"""The bed is as strict as Lambda: what works there by accident and fails on Lambda would hide mistakes."""

import base64
import io
import json
import os
import re
import time
import zipfile

import botocore.session
import pytest
from botocore.exceptions import ClientError

import wrenlite
from tests.aws.bed.processor import is_available
from tests.aws.bed.remote import RemoteBed
from tests.machine import other_python, skip_if_missing


@pytest.fixture
def own_disk(bed):
    """Skip the test where functions see this machine's disk."""
    skip_if_missing([f"disks of functions ({refusal})"] if (refusal := bed.refusal()) else [])


@pytest.fixture
def client(bed):
    """Lambda's own client."""
    return botocore.session.Session().create_client("lambda")


def report_of(response):
    """Return the REPORT line of an invocation, once it has succeeded."""
    assert "FunctionError" not in response, response["Payload"].read()
    log = base64.b64decode(response["LogResult"]).decode()
    return dict(re.findall(r"([A-Z][A-Za-z ]+): ([\d.]+) (?:ms|MB)", log))


def test_a_sandbox_has_the_share_of_a_processor_that_its_memory_gives_it(bed):
    skip_if_missing([] if is_available() else ["control groups, or the right to make them"])
    bed.kill_sandboxes()
    bed.settings(shares_processor=True)

    def compute(_):
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    with wrenlite.Executor.aws(max_concurrency=1) as executor:
        job = executor.map(compute, range(2), chunksize=2)
        job.results()
    bed.kill_sandboxes()
    advice = job.advice()
    assert job.stats()[1].seconds > 0.1 / (512 / 1769) - 0.02, "one period is 0.02 s"
    assert advice.fastest.memory_mb == 1769


# The disk


def test_tasks_see_neither_this_machines_files_nor_its_modules(aws, bed, own_disk, tmp_path, shared_path):
    bed.kill_sandboxes()  # one of an earlier test may have files of packages in /tmp
    (tmp_path / "secret_module.py").write_text("x = 1\n")

    def look(places):
        import os

        return [os.path.exists(place) for place in places], sorted(os.listdir("/tmp"))

    places = [str(tmp_path), __file__, os.getcwd(), "/var/task/handler.py"]
    seen, temporary = aws.map(look, [places]).results(timeout=30)[0]
    assert seen == [False, False, False, True]
    # Data files of packages, from earlier jobs of the same sandbox, are its own.
    found = {name for name in temporary if not name.startswith("wrenlite-data-")}
    assert not found - set(shared_path.parts), "what the bed shares, and no more"


def test_only_tmp_can_be_written_to_and_each_sandbox_has_its_own(aws, bed, own_disk):
    def write(path):
        with open(path, "x") as file:
            file.write("x")

    for path in ("/var/task/new", "/opt/new", "/new", "/usr/new"):
        with pytest.raises(OSError, match=r"Read-only file system|No such file"):
            aws.map(write, [path]).results(timeout=30)
    aws.map(write, ["/tmp/new"]).results(timeout=30)
    bed.kill_sandboxes()
    aws.map(write, ["/tmp/new"]).results(timeout=30)


@pytest.mark.parametrize("what", ["Lock", "Queue", "Pool"])
def test_what_needs_shared_memory_fails_with_what_to_use_instead(aws, own_disk, what):
    def make(name):
        import multiprocessing

        return str(getattr(multiprocessing, name)())

    error = aws.map(make, [what])[0].exception(timeout=30)
    assert isinstance(error, OSError)
    note = error.__notes__[0]
    assert re.search(r"Lambda has no /dev/shm.*task of its own.*ThreadPoolExecutor.*Pipe", note)


def test_another_oserror_has_no_such_note(aws):
    error = aws.map(open, ["/no/such/file"])[0].exception(timeout=30)
    assert not any("/dev/shm" in note for note in error.__notes__)


# Memory


def test_forty_threads_with_numpy_and_a_reduction_work_in_128_mb(connected, deploy):
    aws = connected(function=deploy("small", memory=128))

    def multiply(n):
        import threading

        import numpy as np

        matrix, totals, all_started = np.full((50, 50), n), [], threading.Barrier(41, timeout=60)

        def one():
            totals.append((matrix @ matrix).sum())
            all_started.wait()

        threads = [threading.Thread(target=one) for _ in range(40)]
        for thread in threads:
            thread.start()
        all_started.wait()
        for thread in threads:
            thread.join()
        return int(sum(totals))

    job = aws.map_reduce(multiply, range(3), sum)
    assert job.result(timeout=60) == 40 * 50**3 * (1 + 4)


@pytest.mark.parametrize("threads", [0, 40])
def test_a_task_that_holds_too_much_runs_out_of_memory_also_after_threads(connected, deploy, threads):
    aws = connected(function=deploy("small", memory=128), max_concurrency=1)

    def hold(megabytes, count):
        import threading

        started = [threading.Thread(target=str) for _ in range(count)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return len(b"x" * (megabytes * 2**20))

    job = aws.starmap(hold, [(1, threads), (200, 0), (2, 0)], chunksize=3)
    values = job.results(return_exceptions=True, timeout=60)
    assert [values[0], values[2]] == [2**20, 2**21]
    assert isinstance(values[1], wrenlite.OutOfMemory)
    assert "128 MB" in str(values[1])
    assert "wrenlite-setup --memory" in str(values[1])


def test_the_report_has_the_most_memory_that_a_sandbox_ever_held(client, deploy):
    handler = "def handler(event, context):\n    return len(b'x' * (event * 2**20))\n"
    name = deploy("grows", files={"handler.py": handler})

    def used_mb(megabytes):
        response = client.invoke(FunctionName=name, Payload=json.dumps(megabytes), LogType="Tail")
        return int(report_of(response)["Max Memory Used"])

    base = used_mb(0)
    assert 5 < base < 60
    assert base + 195 <= used_mb(200) <= base + 230
    assert base + 195 <= used_mb(0), "the next invocation in this sandbox reports it too"


# Starts


def test_an_init_phase_over_the_limit_runs_again_within_the_first_invocation(
    client, bed, deploy, shared_path
):
    bed.settings(init_limit_s=3)
    starts = shared_path / "starts"
    source = f"""
import time
import zipfile
with open({str(starts)!r}, "a+") as file:
    file.write("x")
    file.seek(0)
    if len(file.read()) == 1:
        time.sleep(60)
def handler(event, context):
    return event
"""
    name = deploy("slow", files={"handler.py": source})
    report = report_of(client.invoke(FunctionName=name, Payload="1", LogType="Tail"))
    assert starts.read_text() == "xx"
    assert float(report["Billed Duration"]) >= 3000 + float(report["Duration"]), "both starts are billed"
    assert "Init Duration" not in report
    report_of(client.invoke(FunctionName=name, Payload="2", LogType="Tail"))
    assert starts.read_text() == "xx", "it is warm now"


def test_an_init_phase_over_the_time_limit_fails_the_invocation(client, bed, deploy):
    bed.settings(init_limit_s=0.5)
    name = deploy("too-slow", files={"handler.py": "import time\ntime.sleep(60)\n"}, timeout=1)
    failed = client.invoke(FunctionName=name, Payload="1")
    assert json.loads(failed["Payload"].read())["errorType"] == "Sandbox.Timedout"


def test_each_function_starts_so_many_sandboxes_per_second_and_no_more(client, bed, deploy):
    bed.settings(burst=1, ramp=0)
    handler = {"handler.py": "def handler(event, context):\n    return event\n"}
    one, other = deploy("one", files=handler), deploy("other", files=handler)
    client.invoke(FunctionName=one, Payload="1")
    client.invoke(FunctionName=one, Payload="1")  # warm
    bed.kill_sandboxes()
    once = botocore.session.Session().create_client(
        "lambda", config=botocore.config.Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(ClientError) as refused:
        once.invoke(FunctionName=one, Payload="1")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    client.invoke(FunctionName=other, Payload="1")
    bed.settings(burst=1, ramp=1000)
    client.invoke(FunctionName=one, Payload="1")


# Asynchronous invocations, and functions that invoke functions

RECORD = """
import json, os, time
def handler(event, context):
    with open(event["path"], "a+") as file:
        file.write(context.aws_request_id + "\\n")
        file.seek(0)
        if len(file.readlines()) <= event.get("failures", 0):
            raise ValueError("again")
    if event.get("exit"):
        os._exit(1)
    time.sleep(event.get("s", 0))
"""


def send(client, name, event):
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event), InvocationType="Event")
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("failures", "attempts", "state"), [(0, 1, "done"), (1, 2, "done"), (5, 3, "failed")]
)
def test_an_event_that_fails_runs_again_twice_at_most(
    client, bed, deploy, shared_path, failures, attempts, state
):
    bed.settings(event_pause_s=0.05)
    name, file = deploy("event", files={"handler.py": RECORD}), shared_path / "runs"
    request_id = send(client, name, {"path": str(file), "failures": failures})
    (event,) = bed.wait_for_events()
    expected = {"function": name, "request_id": request_id, "attempts": attempts, "state": state}
    assert event == expected
    assert file.read_text().split() == [request_id] * attempts


def test_an_event_whose_sandbox_ends_or_is_killed_runs_again(client, bed, deploy, shared_path):
    name, file = deploy("event", files={"handler.py": RECORD}), shared_path / "runs"
    send(client, name, {"path": str(file), "exit": True})
    (event,) = bed.wait_for_events()
    assert (event["attempts"], event["state"]) == (3, "failed")
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    killed = shared_path / "killed"
    send(client, name, {"path": str(killed), "s": 60})
    for attempt in (1, 2):
        wait_until(lambda attempt=attempt: killed.exists() and len(killed.read_text().split()) == attempt)
        bed.kill_sandboxes(name)
    assert bed.wait_for_events()[1]["attempts"] == 2, "the function's own limit of retries"


def test_an_event_may_be_delivered_twice_and_late(client, bed, deploy, shared_path):
    bed.settings(event_copies=2, event_delay_s=0.3)
    name, file = deploy("event", files={"handler.py": RECORD}), shared_path / "runs"
    request_id = send(client, name, {"path": str(file)})
    assert [event["state"] for event in bed.events()] == ["waiting", "waiting"]
    assert {event["state"] for event in bed.wait_for_events()} == {"done"}
    assert file.read_text().split() == [request_id] * 2


def test_an_event_is_dropped_when_it_is_too_old(client, bed, deploy, shared_path):
    bed.settings(event_pause_s=0.2, event_age_s=0.1)
    name, file = deploy("event", files={"handler.py": RECORD}), shared_path / "runs"
    send(client, name, {"path": str(file), "failures": 5})
    (event,) = bed.wait_for_events()
    assert (event["attempts"], event["state"]) == (1, "dropped")


def test_an_event_may_have_1_mb(client, bed, deploy):
    name = deploy("event", files={"handler.py": "def handler(event, context):\n    pass\n"})
    largest = json.dumps("x" * (2**20 - 2))
    assert client.invoke(FunctionName=name, Payload=largest, InvocationType="Event")["StatusCode"] == 202
    with pytest.raises(ClientError, match="too large"):
        client.invoke(FunctionName=name, Payload=largest + " ", InvocationType="Event")


CALLER = """
import json
import os
import botocore.session
def handler(event, context):
    client = botocore.session.Session().create_client("lambda")
    mine = [os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ.get("MINE"), os.environ["AWS_ACCESS_KEY_ID"]]
    answer = client.invoke(FunctionName=event, Payload="{}")
    return mine, json.loads(answer["Payload"].read())
"""
CALLED = """
import os
def handler(event, context):
    return [os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ.get("MINE"), os.environ["AWS_ACCESS_KEY_ID"]]
"""


def test_a_function_invokes_another_and_each_has_an_environment_and_keys_of_its_own(client, deploy):
    caller = deploy("caller", files={"handler.py": CALLER})
    called = deploy("called", files={"handler.py": CALLED}, timeout=3)
    variables, role = {"Variables": {"MINE": "caller"}}, "arn:aws:iam::123456789012:role/other"
    client.update_function_configuration(FunctionName=caller, Environment=variables, Role=role)
    answer = client.invoke(FunctionName=caller, Payload=json.dumps(called))
    assert json.loads(answer["Payload"].read()) == [
        ["caller", "caller", "other"],
        ["called", None, "wrenlite-us-east-1"],
    ]


LOOP = """
import json
import os
import botocore.session
client = botocore.session.Session().create_client("lambda")
def handler(event, context):
    with open(event["path"], "a") as file:
        file.write("x")
    if event["left"]:
        again = json.dumps({**event, "left": event["left"] - 1})
        name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        client.invoke(FunctionName=name, Payload=again, InvocationType="Event")
"""


@pytest.mark.e2e
def test_lambda_stops_a_function_that_starts_itself_unless_it_allows_that(client, bed, deploy, shared_path):
    name = deploy("loop", files={"handler.py": LOOP})
    for setting, runs in (("Terminate", 16), ("Allow", 20)):
        assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
        client.put_function_recursion_config(FunctionName=name, RecursiveLoop=setting)
        file = shared_path / setting
        send(client, name, {"path": str(file), "left": 19})
        bed.wait_for_events()
        assert len(file.read_text()) == runs
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_function_recursion_config(FunctionName="missing")


def wait_until(happened):
    """Wait for something that another process does."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# Python


@pytest.fixture
def other_bed(monkeypatch, servers):
    """A bed whose functions run on another Python; gives its version."""
    python = other_python()
    if python is None:
        pytest.skip("no other Python is installed")
    made = RemoteBed("--python", python)
    servers.add(made.pid)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    yield re.search(r"3\.\d+", os.path.basename(python))[0]
    made.close()


def test_a_function_of_another_python_answers_with_its_versions_and_is_refused(other_bed):
    from wrenlite.backends.aws.payload import versions

    client = botocore.session.Session().create_client("lambda")
    answer = client.invoke(FunctionName="wrenlite", Payload="{}")
    assert json.loads(answer["Payload"].read())["versions"]["python"] == other_bed
    own = versions()["python"]
    with pytest.raises(
        wrenlite.IncompatibleRuntime,
        match=rf"runs Python {other_bed} and this process Python {own}: .*Use Python {other_bed} here, or "
        rf"run wrenlite-setup with this Python: .*with Python {own}",
    ):
        wrenlite.Executor.aws()


# Versions


def source(value):
    """Return a handler that returns a value, its version and what a layer holds, if there is one."""
    return f"""
import os
def handler(event, context):
    try:
        from in_the_layer import LAYER
    except ImportError:
        LAYER = None
    return {value!r}, os.environ["AWS_LAMBDA_FUNCTION_VERSION"], os.environ.get("MINE"), LAYER
"""


def zip_of(**files):
    with io.BytesIO() as content, zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
        archive.close()
        return content.getvalue()


def test_a_published_version_keeps_its_code_settings_and_layer(client, deploy):
    name = deploy("published", files={"handler.py": source("old")})
    layer = {"ZipFile": zip_of(python__in_the_layer="LAYER = 'old layer'")}
    published = client.publish_layer_version(LayerName="published", Content=layer)
    arn, variables = published["LayerVersionArn"], {"Variables": {"MINE": "old"}}
    client.update_function_configuration(FunctionName=name, Layers=[arn], Environment=variables)
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    assert client.publish_version(FunctionName=name)["Version"] == "1", "nothing has changed"
    client.create_alias(FunctionName=name, Name="here", FunctionVersion="1")
    client.update_function_code(FunctionName=name, ZipFile=zip_of(handler=source("new")))
    client.update_function_configuration(FunctionName=name, Layers=[], Environment={"Variables": {}})
    client.delete_layer_version(LayerName="published", VersionNumber=published["Version"])

    def invoke(qualified, **more):
        answer = client.invoke(FunctionName=qualified, Payload="1", **more)
        return json.loads(answer["Payload"].read()), answer["ExecutedVersion"]

    old = ["old", "1", "old", "old layer"], "1"
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    for qualified in (f"{name}:1", f"{name}:here", f"{arn}:1"):
        assert invoke(qualified) == old
    assert invoke(name, Qualifier="here") == old
    assert invoke(name) == (["new", "$LATEST", None, None], "$LATEST")
    found = client.get_function_configuration(FunctionName=name, Qualifier="here")
    assert (found["Version"], found["Environment"]) == ("1", variables)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.invoke(FunctionName=f"{name}:2", Payload="1")


def test_versions_have_the_rules_of_lambda(client, deploy):
    name = deploy("ruled", files={"handler.py": source("")})
    revision = client.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    client.update_function_configuration(FunctionName=name, MemorySize=256)
    with pytest.raises(ClientError, match="PreconditionFailedException"):
        client.publish_version(FunctionName=name, RevisionId=revision)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="here", FunctionVersion="1")
    with pytest.raises(ClientError, match="ResourceConflictException"):
        client.delete_function(FunctionName=name, Qualifier="1")
    client.delete_alias(FunctionName=name, Name="here")
    client.delete_function(FunctionName=name, Qualifier="1")
    client.update_function_configuration(FunctionName=name, MemorySize=128)
    assert client.publish_version(FunctionName=name)["Version"] == "2", "no number is used again"
