"""The HTTP front of a published job."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrenlite import BadInput
from wrenlite.serving.front import MAX_BYTES, MAX_DEPTH, Request, answer, decode
from wrenlite.serving.parameters import bind
from wrenlite.serving.publication import Http, Publication

ID = "poster-0123456789ab"
PUBLICATION = Publication("poster", Http(), "a:b", "0" * 64, "", "s3://bucket/outputs")


class Kept:
    """Starts that remember what they were asked."""

    def __init__(self):
        self.begun = []
        self.read = []

    def start(self, event, key):
        self.begun.append((event, key))
        return ID

    def status(self, start):
        self.read.append(start)
        return {"id": ID, "status": "queued"} if start == ID else None


@pytest.fixture
def kept():
    return Kept()


def ask(kept, method, path, body=b"", check=lambda event: None, **headers):
    request = Request(method, path, {name.replace("_", "-"): text for name, text in headers.items()}, body)
    return answer(request, PUBLICATION, check, kept)


def poster(palette: str, width: int = 1024):
    pass


def check(event):
    bind(poster, event)


def test_a_start_is_answered_with_its_id_and_where_its_status_is(kept):
    response = ask(kept, "POST", "/start", b'{"palette": "Hippi"}', check)
    assert (response.status, response.body) == (202, {"id": ID, "url": f"/jobs/{ID}"})
    assert response.headers["content-type"] == "application/json"
    assert kept.begun == [({"palette": "Hippi"}, None)]


def test_a_key_is_passed_on(kept):
    assert ask(kept, "POST", "/start", b"{}", idempotency_key="order-17").status == 202
    assert kept.begun == [({}, "order-17")]


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "é", "x" * 201])
def test_a_key_that_cannot_be_kept_is_refused(kept, key):
    assert ask(kept, "POST", "/start", b"{}", idempotency_key=key).status == 400
    assert not kept.begun


def test_the_field_at_fault_is_in_the_answer(kept):
    response = ask(kept, "POST", "/start", b'{"palette": 3}', check)
    assert response.status == 400
    assert response.body == {"error": "palette must be text, not 3", "field": "palette"}
    assert not kept.begun


def test_what_starts_refuse_is_bad_input_too(kept):
    def start(event, key):
        raise BadInput("the key was used with other fields")

    kept.start = start
    response = ask(kept, "POST", "/start", b"{}")
    assert (response.status, response.body) == (400, {"error": "the key was used with other fields"})


def test_the_status_is_answered(kept):
    response = ask(kept, "GET", f"/jobs/{ID}")
    assert (response.status, response.body) == (200, {"id": ID, "status": "queued"})


def test_a_start_that_is_not_known_is_not_found(kept):
    response = ask(kept, "GET", "/jobs/poster-ffffffffffff")
    assert response.status == 404
    assert kept.read == ["poster-ffffffffffff"]


@pytest.mark.parametrize(
    "start",
    ["", "poster-0", "other-0123456789ab", "poster-0123456789AB", f"{ID}\n", "../x", "%2e%2e", "x" * 10_000],
)
def test_an_id_of_another_form_is_not_read(kept, start):
    assert ask(kept, "GET", f"/jobs/{start}").status == 404
    assert not kept.read


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/start", 405, "POST"),
        ("OPTIONS", "/start", 405, "POST"),
        ("DELETE", f"/jobs/{ID}", 405, "GET"),
        ("GET", "/", 404, None),
        ("POST", "/start/", 404, None),
        ("GET", f"/jobs/{ID}/x", 404, None),
    ],
)
def test_other_requests_are_refused(kept, method, path, status, allow):
    response = ask(kept, method, path)
    assert (response.status, response.headers.get("allow")) == (status, allow)
    assert response.body["error"]
    assert not kept.begun
    assert not kept.read


def test_no_page_of_another_site_may_read_an_answer(kept):
    responses = [ask(kept, "OPTIONS", "/start", origin="https://x.org"), ask(kept, "GET", f"/jobs/{ID}")]
    assert not [name for each in responses for name in each.headers if name.startswith("access-control")]


def test_a_large_body_is_refused_before_it_is_read(kept):
    assert ask(kept, "POST", "/start", b"[" * 300_000).status == 413
    assert ask(kept, "POST", "/start", b" " * (MAX_BYTES - 2) + b"{}").status == 202


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", None),
        (b"{", "the body is no JSON: "),
        (b"[1]", "the body must be a JSON object"),
        (b"3", "the body must be a JSON object"),
        (b'"a"', "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b'{"a": NaN}', "the body is no JSON: it has NaN"),
        (b'{"a": -Infinity}', "the body is no JSON: it has -Infinity"),
        (b'{"a": 1e999}', "the body has the number 1e999, which is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "the body is no JSON: "),
        (b'{"a": {"b": 1, "b": 2}}', "the body has the field 'b' twice"),
        (b'{"a": "\xff"}', "the body is not UTF-8: byte 7 is 0xff"),
        (b'\xef\xbb\xbf{"a": 1}', "the body is no JSON: "),
        (b'{"a": "\\ud800"}', "the body is no JSON: "),
        (b'{"\\udfff": 1}', "the body is no JSON: "),
        (b"[" * 100_000, "the body has more than 50 lists and objects within each other"),
        (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "the body has more than 50"),
        (b"{} {}", "the body is no JSON: "),
        (b"{'a': 1}", "the body is no JSON: "),
    ],
)
def test_a_body_that_is_no_object_of_json_is_refused(kept, body, error):
    response = ask(kept, "POST", "/start", body)
    assert response.status == (202 if error is None else 400)
    assert error is None or response.body["error"].startswith(error)
    assert len(json.dumps(response.body)) < 400
    assert bool(kept.begun) == (error is None)


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_body_is_an_object_or_bad_input(body):
    with contextlib.suppress(BadInput):
        assert isinstance(decode(body), dict)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
    )
)
def test_any_object_is_decoded_as_it_was(fields):
    assert decode(json.dumps(fields).encode()) == fields
