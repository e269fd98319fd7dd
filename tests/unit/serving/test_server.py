"""Who may ask ``wrenlite serve``, and what it answers and shows."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from wrenlite import ConfigError, StoreError
from wrenlite.serving.parameters import bind
from wrenlite.serving.publication import Http, Publication
from wrenlite.serving.server import App, Door, HttpServer

ID = "poster-0123456789ab"
TOKEN = "token-of-a-test"
BEARER = {"authorization": f"Bearer {TOKEN}"}
COOKIE = {"cookie": f"other=1; wrenlite-8000={TOKEN}", "accept": "text/html,*/*"}
EVIL = "<script>alert(1)</script>\x1b[31m"


def poster(palette: str):
    pass


class Kept:
    """Starts of which one is known."""

    def __init__(self, outputs):
        self.begun = []
        self.known = {
            "id": ID,
            "name": "poster",
            "event": EVIL,
            "status": "running",
            "queued": "2026-01-01T00:00:00Z",
            "begun": None,
            "seconds": None,
            "tasks": {"total": 8, "done": 3, "failed": 1},
            "outputs": str(outputs),
            "files": ["a.png", "sub/b c.csv", EVIL, "page.html", "../secret", "link.png", "gone.png"],
            "rejected": [{"line": 3, "field": EVIL, "error": EVIL}],
            "rejected_rows": 2_000,
            "result": {EVIL: [EVIL]},
            "error": {"type": EVIL, "message": EVIL, "traceback": EVIL},
        }

    def start(self, event, key):
        self.begun.append(event)
        return ID

    def status(self, start):
        if start == "poster-000000000000":
            raise StoreError("the disk is gone")
        return self.known if start == ID else None

    def recent(self, most):
        return [self.known]


@pytest.fixture
def kept(tmp_path):
    outputs = tmp_path / "outputs" / ID
    (outputs / "sub").mkdir(parents=True)
    (outputs / "a.png").write_bytes(b"picture")
    (outputs / "sub" / "b c.csv").write_text("1,2")
    (outputs / "page.html").write_text("<script>")
    (tmp_path / "outputs" / "secret").write_text("secret")
    (outputs / "link.png").symlink_to(tmp_path / "outputs" / "secret")
    return Kept(outputs)


@pytest.fixture
def ask(kept):
    app = App(
        Publication("poster", Http(), EVIL, "", "", "/outputs"),
        lambda fields: bind(poster, fields),
        kept,
        Door("127.0.0.1", 8000, TOKEN),
    )

    def ask(method, path, headers, body=b"", host="127.0.0.1:8000"):
        """Return status, headers and body of the answer."""
        sent = {"host": host, **headers}
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        parts = [{"type": "http.request", "body": body[:1000], "more_body": True}]
        parts += [{"type": "http.request", "body": body[1000:], "more_body": False}]
        answers = []

        async def receive():
            return parts.pop(0) if parts else await asyncio.Event().wait()

        async def send(message):
            answers.append(message)

        asyncio.run(app(scope, receive, send))
        found = {name.decode(): value.decode() for name, value in answers[0]["headers"]}
        return answers[0]["status"], found, b"".join(each.get("body", b"") for each in answers[1:])

    return ask


def test_a_request_with_the_token_begins_a_start(ask, kept):
    status, headers, body = ask("POST", "/start", BEARER, b'{"palette": "Hippi"}')
    assert (status, json.loads(body)) == (202, {"id": ID, "url": f"/jobs/{ID}"})
    assert headers["content-type"] == "application/json"
    assert kept.begun == [{"palette": "Hippi"}]
    assert json.loads(ask("GET", f"/jobs/{ID}", BEARER)[2])["status"] == "running"
    assert ask("POST", "/start", BEARER, b'{"palette": 3}')[0] == 400
    assert ask("POST", "/start", BEARER, b" " * 300_000)[0] == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer t\xf6ken"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"cookie": f"wrenlite-8000={TOKEN}"},
    ],
)
def test_without_the_token_nothing_begins(ask, kept, headers):
    status, found, body = ask("POST", "/start", headers, b'{"palette": "Hippi"}')
    assert (status, found["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer TOKEN" in json.loads(body)["error"]
    assert not kept.begun


@pytest.mark.parametrize(
    "cookie", ["", "wrenlite-8000=", f"wrenlite-8001={TOKEN}", "\x00=;;;=,", f"{TOKEN}", "a" * 9000]
)
def test_without_the_token_nothing_is_shown(ask, cookie):
    for path in ("/", f"/jobs/{ID}", f"/jobs/{ID}/files/a.png", "/x"):
        status, _, body = ask("GET", path, {"accept": "text/html", "cookie": cookie})
        assert status == 401
        assert ID.encode() not in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("192.168.1.7:8000", 200),
        ("evil.example:8000", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused(ask, host, status):
    assert ask("GET", f"/jobs/{ID}", BEARER, host=host)[0] == status
    assert ask("GET", "/", COOKIE, host=host)[0] == status


def test_a_browser_gets_a_cookie_and_an_address_without_the_token(ask):
    status, headers, _ = ask("GET", f"/jobs/{ID}?token={TOKEN}", {"accept": "text/html"})
    assert (status, headers["location"]) == (303, f"/jobs/{ID}")
    assert f"wrenlite-8000={TOKEN}; HttpOnly; Path=/; SameSite=strict" in headers["set-cookie"]
    assert (
        ask("GET", f"//evil.example?token={TOKEN}", {"accept": "text/html"})[1]["location"] == "/evil.example"
    )
    assert ask("GET", "/?token=wrong", {"accept": "text/html"})[0] == 401
    assert ask("GET", "/", COOKIE)[0] == 200


def test_the_pages_show_what_there_is_and_nothing_in_it_is_markup(ask):
    for path in ("/", f"/jobs/{ID}"):
        status, headers, body = ask("GET", path, COOKIE)
        page = body.decode()
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert ID in page
        assert "&lt;script&gt;" in page
        assert "<script" not in page.lower()
        assert "\x1b" not in page
        assert "3 of 8" in page
        assert 'http-equiv="refresh" content="2"' in page
        assert not re.search(r"(src|href)=\"?(https?:)?//", page)


def test_a_page_that_is_over_stays_as_it_is(ask, kept):
    kept.known |= {
        "status": "done",
        "error": None,
        "files": [],
        "rejected": [],
        "result": None,
        "seconds": 75.0,
    }
    page = ask("GET", f"/jobs/{ID}", COOKIE)[2].decode()
    assert "refresh" not in page
    assert "1 min 15 s" in page


def test_a_browser_that_asks_for_json_gets_json(ask):
    assert json.loads(ask("GET", f"/jobs/{ID}", {**COOKIE, "accept": "*/*"})[2])["id"] == ID


def test_pages_that_are_not_there(ask):
    for path in ("/x", "/jobs/poster-ffffffffffff", "/jobs/x"):
        status, _, body = ask("GET", path, COOKIE)
        assert status == 404
        assert body.startswith(b"<!doctype html>")
    assert json.loads(ask("GET", "/x", BEARER)[2])["error"] == "there are POST /start and GET /jobs/ID"


def test_a_store_that_fails_is_said(ask):
    status, _, body = ask("GET", "/jobs/poster-000000000000", BEARER)
    assert (status, json.loads(body)) == (500, {"error": "the disk is gone"})


def test_outputs_are_shown_or_saved_and_never_run(ask):
    status, headers, body = ask("GET", f"/jobs/{ID}/files/a.png", COOKIE)
    assert (status, headers["content-type"], body) == (200, "image/png", b"picture")
    assert headers["content-disposition"] == 'inline; filename="a.png"'
    for file, kind in (("sub/b c.csv", "b%20c.csv"), ("page.html", '"page.html"')):
        status, headers, _ = ask("GET", f"/jobs/{ID}/files/{file}", BEARER)
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert headers["content-disposition"].startswith("attachment")
        assert kind in headers["content-disposition"]
        assert headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert headers["x-content-type-options"] == "nosniff"


OTHERS = (
    "../secret",
    "link.png",
    "gone.png",
    "sub",
    "unlisted",
    "/etc/passwd",
    "..%2fsecret",
    "a.png/",
    "\0",
)


@pytest.mark.parametrize("file", [*OTHERS, EVIL, "x" * 5000])
def test_no_other_file_can_be_read(ask, kept, file):
    Path(kept.known["outputs"], "unlisted").write_text("1")
    status, _, body = ask("GET", f"/jobs/{ID}/files/{file}", COOKIE)
    assert status == 404
    assert b"secret</" not in body.replace(b"../secret", b"")


def test_a_port_that_is_taken_is_refused_and_0_takes_a_free_one():
    first = HttpServer("127.0.0.1", 0)
    try:
        assert first.url == f"http://127.0.0.1:{first.port}"
        assert not first.is_open
        with pytest.raises(
            ConfigError, match=f"cannot listen on 127.0.0.1 port {first.port}: Address already in use"
        ):
            HttpServer("127.0.0.1", first.port)
    finally:
        first.stop()


def test_an_address_of_all_networks_is_open():
    server = HttpServer("0.0.0.0", 0)
    server.stop()
    assert server.is_open
