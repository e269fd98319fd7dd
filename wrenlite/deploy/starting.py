"""Start a published job over HTTP, with signed requests, and follow how far it is."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.deploy.clients import Clients, retry, suppress_codes
from wrenlite.deploy.settings import Settings
from wrenlite.errors import BackendError, BadInput, ConfigError, JobNotFound, ServiceUnavailable
from wrenlite.serving import front
from wrenlite.serving.publication import Http, Publication, check_name, function_of
from wrenlite.serving.starts import OVER
from wrenlite.texts import counted

_PATIENCE_S = 60.0
"""Seconds for which a request is repeated that Lambda does not serve for the moment."""
_TRANSIENT = (429, 500, 502, 503, 504)
_POLL_S, _SLOWEST_POLL_S = 0.5, 5.0


class _NotServedError(Exception):
    """Lambda, or the function, did not serve a request for the moment."""


def parse_parameters(words: Sequence[str]) -> dict[str, Any]:
    """Return the parameters in words such as ``width=800``: as JSON where the value is JSON, else as text.

    Raises:
        ConfigError: a word has another form, or two have the same name.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"{word!r}: write parameters as NAME=VALUE, such as width=800 palette=Hippi")
        if name in found:
            raise ConfigError(f"the parameter {name!r} is given twice")
        found[name] = _parsed(text)
    return found


def _parsed(text: str) -> Any:
    def no_number(name: str) -> None:
        raise ValueError(name)

    try:
        return json.loads(text, parse_constant=no_number)
    except (ValueError, RecursionError):
        return text


class Starter:
    """What starts one published job over HTTP."""

    def __init__(self, clients: Clients, settings: Settings, name: str) -> None:
        """Find its URL.

        Args:
            clients: clients of AWS.
            settings: settings of the deployment.
            name: name of the job.

        Raises:
            ConfigError: there is no such job, or it has no URL.
            AccessDenied: these credentials may not look.
        """
        check_name(name)
        self._clients = clients
        self._arn = function_of(settings.function_arn, name)
        self._region = settings.region
        self.name = name
        self.url = self._find_url(function_of(settings.function, name), settings)

    def _find_url(self, function: str, settings: Settings) -> str:
        client = self._clients["lambda"]
        with self._clients.translate_errors(self._arn):
            with suppress_codes("ResourceNotFoundException"):
                return str(client.get_function_url_config(FunctionName=function)["FunctionUrl"])
            with suppress_codes("ResourceNotFoundException"):
                client.get_function_configuration(FunctionName=function)
                raise ConfigError(
                    f"{self.name!r} has no URL, since it was not published with --http: wrenlite published "
                    f"{self.name} shows what starts it"
                )
        raise ConfigError(
            f"nothing is published as {self.name!r} in the deployment {settings.function!r}: wrenlite "
            "published lists what is"
        )

    def start(self, parameters: Mapping[str, Any], key: str | None = None) -> str:
        """Begin a start, and return its id. A request that is repeated begins no second one.

        Args:
            parameters: of the function.
            key: what makes two requests the same one; None: this one is like no other.

        Raises:
            BadInput: the function does not take these parameters.
            AccessDenied: IAM does not allow it.
            ServiceUnavailable: Lambda cannot be reached, or the function fails.
        """
        key = uuid.uuid4().hex if key is None else key
        front.check_key(key)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        body = json.dumps(parameters, allow_nan=False).encode()
        return str(self._send("POST", "start", body, headers)["id"])

    def status(self, start: str) -> dict[str, Any]:
        """Return how far a start is.

        Raises:
            WrenliteError: as of ``start``.
        """
        return self._send("GET", f"jobs/{start}", None, {})

    def follow(self, start: str, on_change: Callable[[str], None]) -> dict[str, Any]:
        """Wait until a start is over, and return its status.

        Args:
            start: its id.
            on_change: called with a line about how far it is, whenever that has changed.

        Raises:
            WrenliteError: as of ``start``.
        """
        shown, pause_s = "", _POLL_S
        while True:
            status = self.status(start)
            if status["status"] in OVER:
                return status
            if (line := progress(status)) != shown:
                shown, pause_s = line, _POLL_S
                on_change(line)
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _SLOWEST_POLL_S)

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
        """Send a request, again and again while it is not served, and return the JSON of the answer."""
        from botocore.exceptions import BotoCoreError

        def send() -> tuple[int, bytes]:
            try:
                answer = self._signed_request(method, self.url + path, body, headers)
            except BotoCoreError as error:
                raise _NotServedError(str(error)) from error
            if answer[0] in _TRANSIENT:
                raise _NotServedError(f"it answers {answer[0]}: {answer[1].decode(errors='replace'):.200}")
            return answer

        try:
            status, content = retry(
                send,
                timeout_s=_PATIENCE_S,
                is_transient=lambda error: isinstance(error, _NotServedError),
            )
        except _NotServedError as error:
            raise ServiceUnavailable(
                f"{self.url}{path} cannot be used: {error}. wrenlite logs --published {self.name} may say "
                "more"
            ) from error
        try:
            found: dict[str, Any] = json.loads(content)
        except ValueError:
            found = {}
        self._check(status, found, path)
        return found

    def _check(self, status: int, found: Mapping[str, Any], path: str) -> None:
        """Raise an error where an answer is none of those that are hoped for."""
        if status == 400:
            raise BadInput(str(found.get("error", "the request was refused")), field=found.get("field"))
        if status == 403:
            both = "and lambda:InvokeFunction on it, too: URLs need both"
            raise errors.access_denied("lambda:InvokeFunctionUrl", self._arn, both)
        if status == 404:
            raise JobNotFound(str(found.get("error", f"{self.url}{path} does not exist")))
        if status not in (200, 202) or not found:
            raise BackendError(
                f"{self.url}{path} answers {status}: {found.get('error', found)!r:.200}. Publish {self.name} "
                "again with this version of wrenlite"
            )

    def _signed_request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.httpsession import URLLib3Session

        request = AWSRequest(method, url, headers, body)
        credentials = self._clients.session.get_credentials()
        SigV4Auth(credentials, "lambda", self._region).add_auth(request)
        answer = URLLib3Session().send(request.prepare())
        return answer.status_code, answer.content


def progress(status: Mapping[str, Any]) -> str:
    """Return a line about how far a start is."""
    tasks = status["tasks"]
    of = f", {tasks['done']:,} of {counted(tasks['total'], 'task')} done" if tasks["total"] else ""
    failed = f", {tasks['failed']:,} failed" if tasks["failed"] else ""
    return f"{status['id']} {status['status']}{of}{failed}"


def curl_line(publication: Publication, url: str, region: str) -> str:
    """Return the command that starts a published job with curl.

    Args:
        publication: the job.
        url: its URL.
        region: its region.
    """
    line = f"curl -X POST {url}start -H 'Content-Type: application/json' -d '{{\"NAME\": \"VALUE\"}}'"
    if isinstance(publication.on, Http) and publication.on.public:
        return line
    return (
        f'{line} --aws-sigv4 aws:amz:{region}:lambda --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
        '-H "X-Amz-Security-Token: $AWS_SESSION_TOKEN"'
    )
