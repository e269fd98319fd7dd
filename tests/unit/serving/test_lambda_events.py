"""What Lambda sends to the function of a published job, and what of that starts it."""

import pytest

from wrenlite.serving.driver import events_in
from wrenlite.serving.publication import Every, Http, Objects

ON = Objects("inbox", "in/", ".csv")


def record(key="in/a.csv", bucket="inbox", name="ObjectCreated:Put", **more):
    thing = {"key": key, "size": 3, "eTag": "e", "sequencer": "0A", **more}
    return {
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": bucket}, "object": thing},
    }


def test_the_objects_of_a_notification_are_events():
    found = events_in({"Records": [record("in/a+b%2B.csv", versionId="v1"), record(versionId="null")]}, ON)
    assert [each.event["key"] for each in found] == ["in/a b+.csv", "in/a.csv"]
    assert [each.event["version"] for each in found] == ["v1", None]
    assert found[1].sent == {"Records": [record(versionId="null")]}
    assert found[0].event["sequencer"] == "0A"


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Records": []},
        {"Records": [record(name="ObjectRemoved:Delete")]},
        {"Records": [record("other/a.csv")]},
        {"Records": [record(bucket="another")]},
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"},
        {"detail-type": "Scheduled Event", "id": "x", "time": "t"},
        {"hello": "world"},
    ],
)
def test_other_events_start_nothing(sent):
    assert events_in(sent, ON) == []


def test_the_time_of_a_schedule_is_an_event():
    sent = {"detail-type": "Scheduled Event", "id": "x", "time": "2026-01-01T00:00:00Z"}
    (found,) = events_in(sent, Every("rate(1 day)"))
    assert (found.event, found.key) == ({"time": "2026-01-01T00:00:00Z"}, "x")
    assert events_in(sent, Http()) == []
    assert events_in({"Records": [record()]}, Every("rate(1 day)")) == []
