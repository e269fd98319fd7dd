"""Notifications of a bucket are merged, and those of others that overlap are found; parameters of a start."""

import pytest

from wrenlite.deploy.starting import parse_parameters
from wrenlite.deploy.triggers import changed, overlapping
from wrenlite.errors import ConfigError
from wrenlite.serving.publication import Objects

ON = Objects("b", "in/", ".csv")


def entry(name, events=("s3:ObjectCreated:*",), destination="LambdaFunctionArn", **ends):
    rules = [{"Name": key.title(), "Value": value} for key, value in ends.items()]
    filters = {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
    return {"Id": name, destination: f"arn:of:{name}", "Events": list(events), **filters}


@pytest.mark.parametrize(
    ("ends", "events", "meets"),
    [
        ({}, ["s3:ObjectCreated:*"], True),
        ({"prefix": "in/"}, ["s3:ObjectCreated:Put"], True),
        ({"prefix": "in/deep/", "suffix": "v"}, ["s3:ObjectCreated:*"], True),
        ({"prefix": "", "suffix": "big.csv"}, ["s3:ObjectRemoved:*", "s3:ObjectCreated:Copy"], True),
        ({"prefix": "in/", "suffix": ".txt"}, ["s3:ObjectCreated:*"], False),
        ({"prefix": "out/"}, ["s3:ObjectCreated:*"], False),
        ({"prefix": "in/"}, ["s3:ObjectRemoved:*"], False),
    ],
)
def test_notifications_that_overlap_are_named(ends, events, meets):
    for kind, destination in (
        ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
        ("QueueConfigurations", "QueueArn"),
        ("TopicConfigurations", "TopicArn"),
    ):
        theirs = entry("theirs", events, destination, **ends)
        found = overlapping({kind: [theirs]}, ON, "mine")
        assert bool(found) == meets
        assert all("'theirs'" in each and "arn:of:theirs" in each for each in found)
        assert not overlapping({kind: [{**theirs, "Id": "mine"}]}, ON, "mine")


def test_a_notification_without_an_id_is_named_too():
    theirs = {key: value for key, value in entry("x").items() if key != "Id"}
    assert "without an id" in overlapping({"LambdaFunctionConfigurations": [theirs]}, ON, "mine")[0]


def test_filters_are_encoded_as_in_urls():
    theirs = entry("theirs", prefix="a+b%2Bc/", suffix="%C3%BC")
    found = {"LambdaFunctionConfigurations": [theirs]}
    (named,) = overlapping(found, Objects("b", "a b+c/deep/", ""), "mine")
    assert "s3://b/a b+c/*ü" in named
    assert not overlapping(found, Objects("b", "a+b+c/", ""), "mine")


def test_all_of_others_is_kept():
    theirs, mine, new = entry("theirs", prefix="x/"), entry("mine"), entry("mine", prefix="y/")
    rest = {"QueueConfigurations": [entry("q", destination="QueueArn")], "EventBridgeConfiguration": {}}
    found = {"LambdaFunctionConfigurations": [mine, theirs], **rest}
    assert changed(found, "mine", new) == {"LambdaFunctionConfigurations": [theirs, new], **rest}
    assert changed(found, "mine", None) == {"LambdaFunctionConfigurations": [theirs], **rest}
    assert changed({"LambdaFunctionConfigurations": [mine], **rest}, "mine", None) == rest
    assert changed({}, "mine", None) == {}
    assert changed({}, "mine", new) == {"LambdaFunctionConfigurations": [new]}


def test_parameters_are_json_where_they_are_and_texts_otherwise():
    words = [
        "a=1",
        "b=1.5",
        "c=Hippi",
        'd="1"',
        "e=true",
        "f=[1, 2]",
        "g=",
        "h=x=y",
        "i=NaN",
        "j=null",
        "k=01",
    ]
    assert parse_parameters(words) == {
        "a": 1,
        "b": 1.5,
        "c": "Hippi",
        "d": "1",
        "e": True,
        "f": [1, 2],
        "g": "",
        "h": "x=y",
        "i": "NaN",
        "j": None,
        "k": "01",
    }
    assert parse_parameters([f"deep={'[' * 100_000}"])["deep"].startswith("[[")
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(ConfigError, match=r"NAME=VALUE|given twice"):
            parse_parameters(wrong)
