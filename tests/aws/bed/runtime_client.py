"""AWS's runtime client in Python, for a Python that has none. The original is an extension module.

It replaces only what ``awslambdaric`` calls: ``next`` and ``post_invocation_result``.
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
    return response.read(), dict(response.getheaders())


def post_invocation_result(invoke_id, data, content_type, invocation_id=None):
    """Report the result of an event."""
    path = f"/2018-06-01/runtime/invocation/{invoke_id}/response"
    _connection.request("POST", path, data, {"Content-Type": content_type})
    _connection.getresponse().read()
