"""The HTTP server of the bed: counts, faults and latency; the data plane; and moto for everything else."""

import io
import json
import os
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.aws.bed.corrections import (
    ignore_policy_conditions,
    keep_storage_and_architecture,
    replace_metric_filters,
    tag_bucket,
)
from tests.aws.bed.function_urls import PATH, answer_url, correct_urls
from tests.aws.bed.permissions import refusal, refusal_of
from tests.aws.bed.plane import Plane, Reply, error
from tests.aws.bed.triggers import correct_triggers, fire
from tests.aws.bed.versions import check_revision, correct_versions

_INVOKE = re.compile(r"^/2015-03-31/functions/([^/]+)/invocations$")
_RECURSION = re.compile(r"^/2024-08-31/functions/([^/]+)/recursion-config$")
_VERSIONS = re.compile(r"^/2015-03-31/functions/[^/]+/(aliases|versions)")
_VERSION_KINDS = {
    ("aliases", "GET"): "ListAliases",
    ("aliases", "POST"): "CreateAlias",
    ("aliases", "PUT"): "UpdateAlias",
    ("aliases", "DELETE"): "DeleteAlias",
    ("versions", "GET"): "ListVersionsByFunction",
    ("versions", "POST"): "PublishVersion",
}
_LAMBDA_KINDS = (
    ("GET", "/configuration", "GetFunctionConfiguration"),
    ("GET", "/account-settings", "GetAccountSettings"),
    ("GET", "/concurrency", "GetFunctionConcurrency"),
    ("GET", "/recursion-config", "GetFunctionRecursionConfig"),
    ("PUT", "/recursion-config", "PutFunctionRecursionConfig"),
    ("GET", "/policy", "GetPolicy"),
    ("POST", "/policy", "AddPermission"),
    ("DELETE", "/policy/", "RemovePermission"),
    ("GET", "/url", "GetFunctionUrlConfig"),
    ("POST", "/url", "CreateFunctionUrlConfig"),
    ("PUT", "/url", "UpdateFunctionUrlConfig"),
    ("DELETE", "/url", "DeleteFunctionUrlConfig"),
)
_S3_KINDS = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}


class Bed:
    """The WSGI application: paths below ``/_bed/`` control the bed, all others are requests to AWS."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._bytes_sent = 0
        self._faults: list[dict[str, Any]] = []
        self._latency_s = 0.0
        self._until_reset = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        if request.path.startswith("/_bed/"):
            answer = self._control(request.path[6:], json.loads(request.get_data() or b"null"))
            return Response(json.dumps(answer))(environ, start_response)
        kind = _operation(request)
        with self._lock:
            self._counts[kind] += 1
            latency_s = self._latency_s
            fault = self._take_fault(kind, request.path)
        if latency_s:
            time.sleep(latency_s)
        denial = None if kind == "InvokeFunctionUrl" else self._denial(kind, request)
        early_response = denial or self._apply_fault(fault, request, environ)
        if early_response is not None:
            return early_response(environ, start_response)
        if kind == "InvokeFunctionUrl":
            answer = answer_url(self.plane, request, request.get_data(), refusal_of)
            return answer(environ, start_response)
        invoke = _INVOKE.match(request.path)
        if invoke is None:
            return (
                self._application_for(request, kind)(environ, self._with_counted_bytes(start_response)) or ()
            )
        reply = self._invoke(unquote(invoke[1]), request)
        if self.plane.closing.is_set():  # the bed killed the sandbox, so its end is not the task's failure
            _reset(environ)
        if fault is not None and fault["action"] == "twice":
            reply = self._invoke(unquote(invoke[1]), request)
        if fault is not None and fault["action"] == "reset-after":
            _reset(environ)
        if fault is not None and fault["action"] == "drop-log":
            reply.headers.pop("X-Amz-Log-Result", None)
        return Response(reply.body, reply.status, reply.headers)(environ, start_response)

    def _denial(self, kind: str, request: Request) -> Response | None:
        """Return the response to a request that the role of its sender does not allow; None: it does."""
        if not self.plane.enforce_policies:
            return None
        role, _, region, service = _credential_scope(request)[:4]
        _body(request)
        refused = refusal(role, kind, request, region)
        _body(request)
        if not refused:
            return None
        self.plane.denials.append(f"{role}: {refused}")
        text = f"{role} is not authorized to perform: {refused}"
        if service == "s3":
            body = f"<Error><Code>AccessDenied</Code><Message>{text}</Message></Error>"
            return Response(body, 403, content_type="application/xml")
        reply = error(403, "AccessDeniedException", text)
        return Response(reply.body, reply.status, reply.headers)

    def _with_counted_bytes(self, start_response: Any) -> Any:
        """Wrap a WSGI callable so that the bytes of a response's body are counted."""

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            with self._lock:
                self._bytes_sent += sum(
                    int(value) for name, value in headers if name.lower() == "content-length"
                )
            return start_response(status, headers, *more)

        return start

    def _invoke(self, name: str, request: Request) -> Reply:
        region = _credential_scope(request)[2]
        if "Qualifier" in request.args:
            name = f"{name}:{request.args['Qualifier']}"
        trace = unquote(request.headers.get("X-Amzn-Trace-Id", ""))
        if request.headers.get("X-Amz-Invocation-Type") == "Event":
            return self.plane.invoke_async(name, region, request.get_data(), trace)
        tail = request.headers.get("X-Amz-Log-Type") == "Tail"
        return self.plane.invoke(name, region, request.get_data(), tail=tail, trace=trace)

    def _application_for(self, request: Request, kind: str) -> Any:
        """Return the application that answers a request other than ``Invoke``.

        The data plane knows the account settings and the recursion configuration. moto answers the rest; the
        tags of a new bucket are added, and the revision is compared of what is published.
        """
        if request.path.startswith("/2016-08-19/account-settings"):
            limit, free = self.plane.concurrency, self.plane.unreserved(_credential_scope(request)[2])
            body = {"AccountLimit": {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": free}}
            return Response(json.dumps(body), content_type="application/json")
        if found := _RECURSION.match(request.path):
            setting = json.loads(_body(request) or b"{}").get("RecursiveLoop")
            reply = self.plane.recursion_config(unquote(found[1]), _credential_scope(request)[2], setting)
            return Response(reply.body, reply.status, reply.headers)
        if kind == "PublishVersion":
            expected = json.loads(_body(request) or b"{}").get("RevisionId")
            name = unquote(request.path.split("/")[-2])
            if refusal := check_revision(name, _credential_scope(request)[2], expected):
                reply = error(412, "PreconditionFailedException", refusal)
                return Response(reply.body, reply.status, reply.headers)
        if kind == "PutBucket" and b"<Tags>" in (body := _body(request)):
            answer = Response.from_app(self._moto, request.environ)
            if answer.status_code == 200:
                tag_bucket(request.path.strip("/"), body)
            return answer
        return self._moto

    def _take_fault(self, kind: str, path: str) -> dict[str, Any] | None:
        for fault in self._faults:
            if fault["kind"] == kind and re.search(fault.get("path", ""), path):
                if fault.get("skip", 0) > 0:
                    fault["skip"] -= 1
                    return None
                if time.time() > fault.get("until", float("inf")):
                    continue
                if fault.get("count", 1) > 0:
                    fault["count"] = fault.get("count", 1) - 1
                    return fault
        return None

    def _apply_fault(
        self, fault: dict[str, Any] | None, request: Request, environ: dict[str, Any]
    ) -> Response | None:
        """Apply a fault; return the response that replaces the true one, or None if the request goes on."""
        if fault is None:
            return None
        action = fault["action"]
        if action == "answer":
            request.get_data()
            return Response(fault.get("body", ""), fault["status"], fault.get("headers", {}))
        if action == "reset-before":
            _reset(environ)
        if action == "hang":  # half-open connection: the request is read and never answered
            request.get_data()
            time.sleep(fault.get("seconds", 3600))
            _reset(environ)
        if action == "delay":
            self._until_reset.wait(fault["seconds"])
        if action == "reset-early":  # the function runs on
            name = _INVOKE.match(request.path)
            assert name is not None
            request.get_data()
            threading.Thread(target=self._invoke, args=(unquote(name[1]), request), daemon=True).start()
            time.sleep(fault["seconds"])
            _reset(environ)
        return None

    def _control(self, verb: str, argument: Any) -> Any:
        with self._lock:
            if verb == "counts":
                return dict(self._counts)
            if verb == "sent":
                return self._bytes_sent
            if verb == "reset":
                self._counts.clear()
                self._bytes_sent = 0
                self._faults.clear()
                self._until_reset.set()
                self._until_reset = threading.Event()
                self._latency_s = 0.0
                self.plane.reset()
            elif verb == "fault":
                self._faults.append(argument)
            elif verb == "settings":
                self._latency_s = argument.pop("latency_s", self._latency_s)
                self.plane.set_limits(**argument)
            elif verb == "peak_concurrency":
                return self.plane.peak_concurrency
        others: dict[str, Callable[[], Any]] = {
            "kill_sandboxes": lambda: self.plane.kill_sandboxes(argument),
            "denials": lambda: self.plane.denials,
            "events": self.plane.events.described,
            "wait_for_events": lambda: self.plane.events.wait(argument),
            "refusal": lambda: self.plane.disks.refusal,
            "fire": lambda: fire(self.plane, **argument),
        }
        return others[verb]() if verb in others else None


def _reset(environ: dict[str, Any]) -> None:
    """Reset the TCP connection (RST), and end this request with it."""
    connection = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # close() would wait for the file objects of this socket
    raise ConnectionResetError


def _credential_scope(request: Request) -> list[str]:
    """Return the access key, date, region and service that the request is signed for."""
    found = re.search(r"Credential=([^,]+)", request.headers.get("Authorization", ""))
    return found[1].split("/") if found else ["", "", "us-east-1", ""]


def _operation(request: Request) -> str:
    """Return the name of the operation, as IAM policies name it."""
    if _INVOKE.match(request.path):
        return "Invoke"
    if PATH.match(request.path):
        return "InvokeFunctionUrl"
    if _credential_scope(request)[3] == "s3":
        query = parse_qs(request.query_string.decode(), keep_blank_values=True)
        if "list-type" in query:
            return "ListObjectsV2"
        if "delete" in query:
            return "DeleteObjects"
        if request.path.strip("/").count("/"):
            return _S3_KINDS.get(request.method, request.method)
        return f"{request.method.title()}Bucket{''.join(sorted(query)).title()}"
    for method, part, kind in _LAMBDA_KINDS:
        if request.method == method and part in request.path:
            return kind
    if versions := _VERSIONS.match(request.path):
        return _VERSION_KINDS[versions[1], request.method]
    return _other_operation(request)


def _other_operation(request: Request) -> str:
    """Return the operation that the body names (IAM, STS), or a header (logs), or else method and path."""
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    form = parse_qs(_body(request).decode(errors="replace")) if request.path == "/" else {}
    if "Action" in form:
        return form["Action"][0]
    return f"{request.method.title()}Lambda{''.join(request.path.split('/')[2:3]).title()}"


def _body(request: Request) -> bytes:
    """Return the body of a request, and leave it to be read again."""
    data = request.get_data()
    request.environ["wsgi.input"] = io.BytesIO(data)
    return data


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True

    def log(self, *_: object, **__: object) -> None:
        pass

    def log_request(self, *_: object) -> None:
        pass

    def connection_dropped(self, *_: object) -> None:
        pass


def serve(port: int, plane: Plane) -> Any:
    """Return a server, ready for ``serve_forever``.

    Args:
        port: port to listen on; 0 for a free one.
        plane: its data plane.
    """
    ignore_policy_conditions()
    keep_storage_and_architecture()
    replace_metric_filters()
    correct_versions()
    correct_triggers(plane)
    correct_urls(plane)
    server = make_server("127.0.0.1", port, Bed(plane), threaded=True, request_handler=_Handler)
    server.daemon_threads = True
    plane.url = f"http://127.0.0.1:{server.server_port}"
    return server
