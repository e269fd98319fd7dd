"""AWS's runtime client in Python, for a Python that has none. The original is an extension module.

It replaces only what ``awslambdaric`` calls.
"""

import http.client
import os

_connection: http.client.HTTPConnection


def initialize_client(user_agent):
    """Connect to the Runtime API."""
    global _connection
    _connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def next():
    """Wait for the next event. Return its body, and its headers."""
    _connection.request("GET", "/2018-06-01/runtime/invocation/next")
    response = _connection.getresponse()
    headers = dict(response.getheaders())
    deadline = "Lambda-Runtime-Deadline-Ms"
    return response.read(), {**headers, deadline: int(headers[deadline])}


def post_invocation_result(invoke_id, data, content_type, invocation_id=None):
    """Report the result of an event."""
    path = f"/2018-06-01/runtime/invocation/{invoke_id}/response"
    _connection.request("POST", path, data, {"Content-Type": content_type})
    _connection.getresponse().read()


def post_error(invoke_id, data, xray_fault, invocation_id=None):
    """Report that the handler has failed on an event."""
    path = f"/2018-06-01/runtime/invocation/{invoke_id}/error"
    headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": "Unhandled"}
    _connection.request("POST", path, data, headers)
    _connection.getresponse().read()
