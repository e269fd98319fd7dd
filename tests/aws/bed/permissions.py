"""What the policies of roles allow, for those who sign requests with the name of a role as their access key.

It knows the form of the policies that wrenlite writes: statements that allow actions on resources, and
listing under a condition on the prefix.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.exceptions import NotFoundException
from werkzeug.wrappers import Request

_ACTIONS = {
    "Invoke": "lambda:InvokeFunction",
    "GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "GetFunctionConcurrency": "lambda:GetFunctionConcurrency",
    "GetFunctionUrlConfig": "lambda:GetFunctionUrlConfig",
    "GetAccountSettings": "lambda:GetAccountSettings",
    "PutObject": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
}
"""The action that an operation needs. No policy of a role allows any other operation."""


def refusal(role: str, kind: str, request: Request, region: str) -> str:
    """Return the action and the resource that the policies of a role do not allow; empty: they do.

    Args:
        role: its name. Nothing is refused to somebody of another name.
        kind: the operation.
        request: the request.
        region: the region that it is signed for.
    """
    if kind == "GetCallerIdentity":  # which needs no permission
        return ""
    action = _ACTIONS.get(kind, kind)
    if action == "s3:GetObject" and "versionId" in request.args:
        action = "s3:GetObjectVersion"
    prefix = request.args.get("prefix", "")
    refused = (refusal_of(role, action, each, prefix) for each in _resources(kind, request, region))
    return next(filter(None, refused), "")


def refusal_of(role: str, action: str, resource: str, prefix: str = "") -> str:
    """Return an action and a resource, if the policies of a role do not allow them; empty: they do.

    Args:
        role: its name. Nothing is refused to somebody of another name.
        action: the action.
        resource: the ARN of what it is about.
        prefix: the beginning of the keys that are listed.
    """
    try:
        documents = get_backend("iam")[DEFAULT_ACCOUNT_ID]["aws"].get_role(role).policies.values()
    except NotFoundException:
        return ""
    statements = [one for text in documents for one in json.loads(text)["Statement"]]
    allowed = any(_allows(one, action, resource, prefix) for one in statements)
    return "" if allowed else f"{action} on {resource}"


def _allows(statement: dict[str, Any], action: str, resource: str, prefix: str) -> bool:
    listed = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
    return (
        statement["Effect"] == "Allow"
        and action in statement["Action"]
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and any(fnmatch.fnmatchcase(prefix, pattern) for pattern in listed)
    )


def _resources(kind: str, request: Request, region: str) -> Iterator[str]:
    """Yield the ARNs of what a request is about."""
    path = unquote(request.path)
    if kind == "DeleteObjects":
        body = request.get_data()
        keys = re.findall(rb"<Key>([^<]*)</Key>", body)
        yield from (f"arn:aws:s3:::{path.strip('/')}/{key.decode()}" for key in keys)
    elif _ACTIONS.get(kind, "").startswith("s3:"):
        yield f"arn:aws:s3:::{path.strip('/')}"
    elif found := re.match(r"/20\d\d-\d\d-\d\d/functions/([^/]+)/", path):
        name = found[1].rpartition(":function:")[2]
        qualifier = f":{request.args['Qualifier']}" if "Qualifier" in request.args else ""
        yield f"arn:aws:lambda:{region}:{DEFAULT_ACCOUNT_ID}:function:{name}{qualifier}"
    else:
        yield "*"
