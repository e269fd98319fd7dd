"""Function URLs: HTTP requests that become invocations, on paths of the bed's own port.

A request must be signed for the service lambda, unless the URL takes requests of everybody. Then the policy
of the function must allow both actions that AWS asks for.
"""

import base64
import json
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.awslambda.models import FunctionUrlConfig
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from werkzeug.wrappers import Request, Response

from tests.aws.bed.triggers import may_invoke

PATH = re.compile(r"^/lambda-url/(?P<id>\w+)(?P<path>/.*)?$")
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$")
_TEXT = re.compile(r"text/|application/(json|xml|javascript)\b")
"""Types of bodies that AWS hands on as they are. All others are encoded with base64."""
_MOST_BYTES = 6 * 2**20


def correct_urls(plane: Any) -> None:
    """Make moto give function URLs that lead to the bed, and return them as AWS does.

    Args:
        plane: the data plane, which knows the address of the bed.
    """

    def made(self, function: Any, config: dict[str, Any]) -> None:
        original(self, function, config)
        identifier = uuid.uuid4().hex[:32]
        self.url = f"{plane.url}/lambda-url/{identifier}/"

    def described(self) -> dict[str, Any]:
        found = {**to_dict(self), "InvokeMode": self.config.get("InvokeMode") or "BUFFERED"}
        return {name: value for name, value in found.items() if value is not None}

    def update(self, changes: dict[str, Any]) -> None:
        change(self, changes)
        if "Cors" in changes:
            self.config["Cors"] = changes["Cors"] or None

    original, to_dict, change = (
        FunctionUrlConfig.__init__,
        FunctionUrlConfig.to_dict,
        FunctionUrlConfig.update,
    )
    FunctionUrlConfig.update = update
    FunctionUrlConfig.__init__ = made
    FunctionUrlConfig.to_dict = described


def answer_url(plane: Any, request: Request, body: bytes, refusal: Any) -> Response:
    """Answer a request to a function URL.

    Args:
        plane: the data plane.
        request: the request.
        body: its body.
        refusal: returns what the policies of the role that has signed it do not allow, for a function.
    """
    found = PATH.match(request.path)
    assert found is not None
    function = _function_of(found["id"])
    if function is None:
        return Response("null", 403, content_type="application/json")
    problem = _problem(plane, function, request, body, refusal)
    if problem:
        plane.denials.append(f"{function.function_name}: {problem}")
        return _message(403, "Forbidden", "AccessDeniedException")
    event = json.dumps(_event(found["id"], found["path"] or "/", request, body)).encode()
    if len(event) > _MOST_BYTES:
        return _message(413, "Request Entity Too Large", "RequestEntityTooLargeException")
    reply = plane.invoke(function.function_name, function.region, event, tail=False)
    if reply.status == 429:
        return _message(429, "Too Many Requests", "TooManyRequestsException")
    if reply.status != 200 or "X-Amz-Function-Error" in reply.headers:
        return Response("Internal Server Error", 502)
    return _response(json.loads(reply.body))


def _message(status: int, text: str, kind: str) -> Response:
    headers = {"x-amzn-ErrorType": kind}
    return Response(json.dumps({"Message": text}), status, headers, content_type="application/json")


def _function_of(identifier: str) -> Any:
    for region in get_backend("lambda")[DEFAULT_ACCOUNT_ID].values():
        for function in region.list_functions():
            if function.url_config and f"/{identifier}/" in function.url_config.url:
                return function
    return None


def _problem(plane: Any, function: Any, request: Request, body: bytes, refusal: Any) -> str:
    """Return why a request may not invoke the function; empty: it may."""
    if function.url_config.config["AuthType"] == "NONE":
        allowed = (
            may_invoke(function, "lambda:InvokeFunctionUrl", "*", FunctionUrlAuthType="NONE"),
            may_invoke(function, "lambda:InvokeFunction", "*", InvokedViaFunctionUrl="true"),
        )
        return "" if all(allowed) else "its policy does not allow both actions to everybody"
    signed = _SIGNED.match(request.headers.get("Authorization", ""))
    if signed is None:
        return "the request is not signed"
    key, _, region, service = signed[1].split("/")[:4]
    if (region, service) != (function.region, "lambda"):
        return f"the request is signed for {service} in {region}"
    if signed[3] != _signature(key, region, request, body, signed[2]):
        return "the signature is wrong"
    actions = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction") if plane.enforce_policies else ()
    return next(filter(None, (refusal(key, action, function.function_arn) for action in actions)), "")


def _signature(key: str, region: str, request: Request, body: bytes, names: str) -> str:
    """Return the signature that a request must have. All keys of the bed have the same secret."""
    auth = SigV4Auth(Credentials(key, "testing"), "lambda", region)
    headers = {name: request.headers.get(name, "") for name in names.split(";")}
    url = request.url if request.query_string else request.base_url
    copy = AWSRequest(request.method, url, headers, body)
    copy.context["timestamp"] = request.headers.get("X-Amz-Date", "")
    return auth.signature(auth.string_to_sign(copy, auth.canonical_request(copy)), copy)


def _event(identifier: str, path: str, request: Request, body: bytes) -> dict[str, Any]:
    """Return the event of a request, in version 2.0 of the payload's format."""
    is_text, now = bool(_TEXT.match(request.content_type or "")), datetime.now(UTC)
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query_string.decode(),
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "accountId": DEFAULT_ACCOUNT_ID if "Authorization" in request.headers else "anonymous",
            "apiId": identifier,
            "domainName": request.host,
            "domainPrefix": identifier,
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.remote_addr,
                "userAgent": request.headers.get("User-Agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(time.time() * 1000),
        },
        "isBase64Encoded": bool(body) and not is_text,
    }
    if request.args:
        event["queryStringParameters"] = {name: ",".join(request.args.getlist(name)) for name in request.args}
    if body:
        event["body"] = body.decode(errors="replace") if is_text else base64.b64encode(body).decode()
    return event


def _response(value: Any) -> Response:
    """Return what a function's value means: a response, or the JSON of its body."""
    if not isinstance(value, dict) or "statusCode" not in value:
        return Response(json.dumps(value), 200, content_type="application/json")
    body = value.get("body", "")
    body = base64.b64decode(body) if value.get("isBase64Encoded") else body
    headers = {"Content-Type": "application/json", **(value.get("headers") or {})}
    return Response(body, value["statusCode"], headers)
