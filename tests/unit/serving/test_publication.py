"""What people write for published jobs, and what is refused before anything is made."""

import os

import pytest

import wrenlite
from wrenlite.serving import publication
from wrenlite.serving.publication import Every, Http, Objects, Publication, parse_every, parse_objects


def published(on, outputs="s3://elsewhere/out", name="posters"):
    return Publication(name, on, "studio:render", "f" * 64, "", outputs)


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("s3://my-bucket/inbox/*.csv", Objects("my-bucket", "inbox/", ".csv")),
        ("s3://my-bucket/inbox/", Objects("my-bucket", "inbox/")),
        ("s3://my-bucket/a*", Objects("my-bucket", "a")),
        ("S3://my-bucket/*.csv", Objects("my-bucket", "", ".csv")),
        ("s3://my-bucket", Objects("my-bucket")),
        ("inbox", Objects(os.path.abspath("inbox"))),
        ("inbox/*.csv", Objects(os.path.abspath("inbox"), "", ".csv")),
        ("/data/in/a*.csv", Objects("/data/in", "a", ".csv")),
    ],
)
def test_objects_are_written_as_an_address_with_one_star(text, objects):
    assert parse_objects(text) == objects
    assert parse_objects(str(objects)) == objects


@pytest.mark.parametrize(
    "text",
    ["", " ", "s3:/bucket", "s3://", "s3://UPPER/x", "gs://bucket/x", "s3://b/x/../*.csv", "s3://bucket//*"],
)
def test_what_names_no_objects_is_refused(text):
    with pytest.raises(wrenlite.ConfigError):
        parse_objects(text)


@pytest.mark.parametrize("text", ["s3://bucket/**/*.csv", "s3://bucket/a?.csv", "in/[ab]*.csv"])
def test_other_wildcards_are_refused_with_what_is_possible(text):
    with pytest.raises(wrenlite.ConfigError, match=r"one \* between the two"):
        parse_objects(text)


def test_a_key_fits_where_beginning_and_end_do_not_overlap():
    on = Objects("bucket", "a.c", ".csv")
    assert on.fits("a.c.csv")
    assert not on.fits("a.csv")


@pytest.mark.parametrize(
    ("text", "expression", "seconds"),
    [
        ("1 day", "rate(1 day)", 86_400),
        ("hour", "rate(1 hour)", 3600),
        ("15 minutes", "rate(15 minutes)", 900),
        ("15minutes", "rate(15 minutes)", 900),
        ("1 days", "rate(1 day)", 86_400),
        ("2 weeks", "rate(14 days)", 14 * 86_400),
        ("rate(5 minute)", "rate(5 minutes)", 300),
        ("cron(0 3 * * ? *)", "cron(0 3 * * ? *)", None),
        ("cron(0  18 ? * MON-FRI *)", "cron(0 18 ? * MON-FRI *)", None),
    ],
)
def test_a_schedule_becomes_an_expression_of_aws(text, expression, seconds):
    assert parse_every(text) == Every(expression)
    assert parse_every(text).seconds == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write"),
        ("0 days", "write"),
        ("30 seconds", "15 minutes"),
        ("1.5 hours", "15 minutes"),
        ("0 3 * * *", "six fields"),
        ("cron(0 3 * * *)", "six fields"),
        ("cron(0 3 * * * *)", r"needs \?"),
        ("cron(0 3 ? * ? *)", r"needs \?"),
        ("cron(0 3 * * ? ;*)", "six fields"),
        (None, "write"),
        ("²days", "write"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_to_write(text, words):
    with pytest.raises(wrenlite.ConfigError, match=words):
        parse_every(text)


@pytest.mark.parametrize("on", [Objects("bucket", "in/", ".csv"), Http(public=True), Every("rate(1 day)")])
def test_a_record_is_read_as_it_was_written(on):
    record = published(on)
    assert Publication.from_json(record.to_json()) == record


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"on": {"http": {}}}', '{"name": 1, "on": {"ftp": {}}}'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(wrenlite.ConfigError, match="Publish it again"):
        Publication.from_json(text)


@pytest.mark.parametrize(
    ("watched", "outputs"),
    [
        ("s3://b-1/in/*.csv", "s3://b-1/in"),
        ("s3://b-1/in/*.csv", "s3://b-1/in/done"),
        ("s3://b-1/in*.csv", "s3://b-1/input"),
        ("s3://b-1/out/posters-*", "s3://b-1/out"),
        ("s3://b-1/*.csv", "s3://b-1/out"),
        ("s3://b-1/in/", "s3://b-1"),
        ("inbox/*.csv", "inbox/out"),
        ("inbox", "inbox"),
    ],
)
def test_outputs_that_are_watched_are_refused_whatever_their_names_end_with(watched, outputs):
    with pytest.raises(wrenlite.ConfigError, match="start others without end"):
        publication.check_recursion(published(parse_objects(watched), outputs))


@pytest.mark.parametrize(
    ("watched", "outputs"),
    [
        ("s3://b-1/in/*.csv", "s3://b-1/out"),
        ("s3://b-1/in/*.csv", "s3://b-1/inner"),
        ("s3://b-1/*.csv", "s3://b-2/out"),
        ("inbox/*.csv", "inbox-out"),
        ("inbox", "outputs"),
    ],
)
def test_other_outputs_are_not(watched, outputs):
    publication.check_recursion(published(parse_objects(watched), outputs))


def test_what_wrenlite_writes_must_not_be_watched():
    record = published(parse_objects("s3://b-1/*.csv"))
    with pytest.raises(wrenlite.ConfigError, match="wrenlite itself writes to"):
        publication.check_recursion(record, "s3://b-1/wrenlite")
    publication.check_recursion(published(parse_objects("s3://b-1/in/")), "s3://b-1/wrenlite")
    others = parse_objects("s3://b-1/wrenlite/outputs/tables/*.csv")
    publication.check_recursion(published(others), "s3://b-1/wrenlite")


@pytest.mark.parametrize("name", ["", "a" * 25, "Posters", "a_b", "-a", "a-", "ü", None, "a\n"])
def test_names_that_cannot_be_used_are_refused(name):
    with pytest.raises(wrenlite.ConfigError, match="1 to 24 of"):
        publication.check_name(name)


def test_a_role_whose_name_would_be_too_long_is_refused_with_by_how_much():
    publication.check_names("wrenlite", "a" * 24, "ap-southeast-1")
    with pytest.raises(wrenlite.ConfigError, match="3 shorter"):
        publication.check_names("f" * 28, "a" * 24, "us-east-1")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("studio:render_all", "render-all"),
        ("a.b:Maker.make", "make"),
        ("m:" + "long_" * 9, "long-long-long-long-long"),
        ("m:_", "job"),
        ("m:f__", "f"),
    ],
)
def test_a_function_names_its_job(target, name):
    assert publication.default_name(target) == name
    publication.check_name(name)


def test_ids_of_starts_have_a_form():
    record = published(Http())
    assert record.has_start(record.start_id("0123456789abcdef"))
    for other in (
        "posters-0123456789a",
        "poster-0123456789ab",
        "posters-0123456789ab\n",
        "x/../0123456789ab",
    ):
        assert not record.has_start(other)
