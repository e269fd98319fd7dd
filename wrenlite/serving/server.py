"""The HTTP server of ``wrenlite serve``: who may ask, and uvicorn below ``front`` and ``pages``."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol
from urllib.parse import parse_qs

from wrenlite.errors import ConfigError, WrenliteError
from wrenlite.serving import front, pages
from wrenlite.serving.publication import Publication

_STARTED_S = 10.0
_STOP_S = 2
_FILE = re.compile(r"/jobs/([^/]+)/files/(.+)")
_FILE_POLICY = "default-src 'none'; sandbox"


class Known(front.Starts, Protocol):
    """Starts that pages are made of."""

    def recent(self, most: int) -> list[dict[str, Any]]:
        """Return the status of the newest starts."""


class Door:
    """Who may ask: who has the token, at an address that is this machine's."""

    def __init__(self, host: str, port: int, token: str) -> None:
        """Create it.

        Args:
            host: what the server listens on.
            port: the same.
            token: what who asks must have.
        """
        self._hosts = {host.lower(), "localhost", socket.gethostname().lower()}
        self._token = token.encode()
        self.cookie = f"wrenlite-{port}"
        """Name of the cookie of a browser. Ports of a machine share their cookies."""

    def is_own(self, host: str) -> bool:
        """Return whether a ``Host`` header names this machine.

        A page of another site can have its name lead here. It cannot do that with a number.
        """
        name = re.sub(r":\d*$", "", host.strip().lower())
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._hosts
        return True

    def knows(self, headers: Mapping[str, str], *, by_cookie: bool) -> bool:
        """Return whether a request has the token.

        Args:
            headers: of the request.
            by_cookie: whether that of a browser counts, too, as it does for reading.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return by_cookie and cookie is not None and self.is_token(cookie.value)

    def is_token(self, text: str) -> bool:
        """Return whether a text is the token. That takes the same time for every text."""
        return hmac.compare_digest(text.encode(errors="replace"), self._token)


class App:
    """The ASGI application."""

    def __init__(
        self,
        publication: Publication,
        check: Callable[[Mapping[str, Any]], object],
        starts: Known,
        door: Door,
    ) -> None:
        """Create it.

        Args:
            publication: what is served.
            check: as for ``front.answer``.
            starts: the same.
            door: says who may ask.
        """
        self._publication = publication
        self._check = check
        self._starts = starts
        self._door = door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import ClientDisconnect, Request

        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = b""
        if self._door.knows(request.headers, by_cookie=False):  # nobody else has a body that is read
            try:
                async for part in request.stream():
                    body += part
                    if len(body) > front.MAX_BYTES:
                        break
            except ClientDisconnect:
                return
        asked = front.Request(request.method, request.url.path, dict(request.headers), body)
        try:
            response = await run_in_threadpool(self._answer, asked, request.url.query)
        except WrenliteError as error:
            response = _json(500, {"error": str(error)})
        await response(scope, receive, send)

    def _answer(self, asked: front.Request, query: str) -> Any:
        as_page = asked.method == "GET" and "text/html" in asked.headers.get("accept", "")
        if not self._door.is_own(asked.headers.get("host", "")):
            return _refusal(403, "the Host header of the request names another machine", as_page)
        token = parse_qs(query).get("token", [""])[0]
        if as_page and token and self._door.is_token(token):
            return self._enter(asked.path, token)
        if not self._door.knows(asked.headers, by_cookie=asked.method == "GET"):
            text = "wrenlite serve has printed a token: send it as Authorization: Bearer TOKEN"
            return _refusal(401, f"{text}. In a browser, open the address that it printed", as_page)
        if asked.method == "GET" and (found := _FILE.fullmatch(asked.path)):
            return self._file(found[1], found[2], as_page)
        if as_page and (page := self._page(asked.path)):
            return _html(200, page)
        answer = front.answer(asked, self._publication, self._check, self._starts)
        if as_page and answer.status == 404:
            return _refusal(404, answer.body["error"], as_page)
        return _json(answer.status, answer.body, answer.headers)

    def _enter(self, path: str, token: str) -> Any:
        """Let a browser keep the token, and go on at an address without it."""
        from starlette.responses import RedirectResponse

        response = RedirectResponse("/" + path.lstrip("/"), status_code=303)
        response.set_cookie(self._door.cookie, token, httponly=True, samesite="strict")
        response.headers["referrer-policy"] = "no-referrer"
        return response

    def _page(self, path: str) -> str | None:
        """Return a page; None: there is none at this path."""
        if path == "/":
            published = self._publication
            return pages.starts_page(published.name, published.target, self._starts.recent(pages.MOST_STARTS))
        start = path.removeprefix("/jobs/")
        if path == start or not self._publication.has_start(start):
            return None
        status = self._starts.status(start)
        return None if status is None else pages.start_page(status)

    def _file(self, start: str, file: str, as_page: bool) -> Any:
        """Return an output of a start: one of those that its status names, and that is in its folder."""
        from starlette.responses import FileResponse

        status = self._starts.status(start) if self._publication.has_start(start) else None
        if status is not None and file in status["files"] and os.path.isabs(status["outputs"]):
            folder = os.path.realpath(status["outputs"])
            path = os.path.realpath(os.path.join(folder, file))
            if path.startswith(f"{folder}{os.sep}") and os.path.isfile(path):
                kind = pages.type_of(file)
                return FileResponse(
                    path,
                    media_type=kind if kind in pages.SHOWN else "application/octet-stream",
                    filename=os.path.basename(file),
                    content_disposition_type="inline" if kind in pages.SHOWN else "attachment",
                    headers={"content-security-policy": _FILE_POLICY, "x-content-type-options": "nosniff"},
                )
        return _refusal(404, f"there is no file {file[:80]!r} of the start {start[:80]!r}", as_page)


class HttpServer:
    """uvicorn in a thread."""

    def __init__(self, host: str, port: int) -> None:
        """Take the port.

        Args:
            host: address or name to listen on.
            port: 0: a free one.

        Raises:
            ConfigError: the port is taken, or there is no such address here.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on {host} port {port}: {error.strerror}. --http 0 takes a free port"
            ) from error
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        """Address of it, without a slash at its end."""
        self.is_open = not ipaddress.ip_address(self._socket.getsockname()[0]).is_loopback
        """Whether other machines reach it."""
        self._server: Any = None
        self._thread = threading.Thread(target=self._run, name="wrenlite-http")

    def start(self, app: App) -> None:
        """Answer requests from now on."""
        import uvicorn

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Answer no more. A request that is being answered has two seconds."""
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
    from starlette.responses import Response

    text = json.dumps(body, indent=2) + "\n"
    return Response(
        text, status, {**(headers or {}), "x-content-type-options": "nosniff"}, "application/json"
    )


def _html(status: int, page: str) -> Any:
    from starlette.responses import HTMLResponse

    headers = {
        "content-security-policy": pages.POLICY,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(page, status, headers)


def _refusal(status: int, error: str, as_page: bool) -> Any:
    if as_page:
        return _html(status, pages.refusal_page(error))
    challenge = {"www-authenticate": "Bearer"} if status == 401 else {}
    return _json(status, {"error": error}, challenge)
