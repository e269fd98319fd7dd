"""Check a deployment from the credentials to a real invocation, each check with its fix."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from wrenlite.config import Config
from wrenlite.deploy import report
from wrenlite.deploy.account import Account
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.deployment import Deployment, client_config, current_python, locate_deployment
from wrenlite.deploy.plan import Found, Verb, plan
from wrenlite.deploy.publishing_report import shown_jobs
from wrenlite.deploy.resources import Function, Resource
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.smoke_test import run_smoke_test
from wrenlite.errors import AccessDenied, WrenliteError
from wrenlite.texts import counted

_MAX_SKEW_S = 240.0
"""Largest accepted error of the clock. AWS refuses requests whose time is off by more than 5 minutes."""
_SETUP = "run wrenlite-setup"
_CONDITIONAL_PUTS = "1.35.2"
"""The version of botocore (20 August 2024) with which ``PutObject`` takes ``IfNoneMatch``."""


class Check(NamedTuple):
    """The outcome of one check."""

    name: str
    ok: bool | None
    """Whether it passed; None: it could not be carried out, which is no failure."""
    detail: str
    """What was found."""
    fix: str = ""
    """What to do about it."""

    def __str__(self) -> str:
        sign = {True: "✓", False: "✗", None: "!"}[self.ok]
        return f"{sign} {self.name:<12} {self.detail}" + (f"\n  {'':<12} → {self.fix}" if self.fix else "")


def run_checks(config: Config) -> Iterator[Check]:
    """Check the deployment that a configuration selects.

    Args:
        config: the configuration.

    Yields:
        The checks in order, each as soon as it is done. They end early where nobody can sign in.
    """
    try:
        clients, account, settings = locate_deployment(config, allow_denied=True)
    except WrenliteError as error:
        yield Check(name="sign-in", ok=False, detail=str(error))
        return
    yield Check(name="credentials", ok=True, detail=f"account {account.id}, {account.identity}")
    yield _check_clock(account)
    yield Check(name="region", ok=True, detail=account.region)
    deployment = Deployment(clients, settings)
    function = yield from _check_resources(deployment)
    if function is None or function.managed:  # somebody else's function must not be invoked
        yield from _check_round_trip(config, deployment)
    if settings.has_driver:
        yield _check_driver(deployment)
    yield from _check_published(clients, settings, function)
    yield _check_quota(account)


def _check_clock(account: Account) -> Check:
    detail = f"{abs(account.skew_s):.0f} s {'ahead of' if account.skew_s > 0 else 'behind'} AWS's clock"
    if abs(account.skew_s) < _MAX_SKEW_S:
        return Check(name="clock", ok=True, detail=detail)
    fix = "set this machine's clock, for example with timedatectl set-ntp true"
    return Check(name="clock", ok=False, detail=detail, fix=fix)


def _check_resources(deployment: Deployment) -> Generator[Check, None, Found | None]:
    """Check all resources.

    Returns:
        The existing function; None where there is none.
    """
    settings = deployment.settings
    if not settings.managed_bucket:
        yield Check(name="bucket", ok=True, detail=f"{settings.bucket} (yours)")
    yield from _check_keys(deployment)
    if settings.role_arn is not None:
        detail = f"{settings.role_arn} (yours; wrenlite does not read its policy)"
        yield Check(name="role", ok=True, detail=detail)
    try:
        wanted: Sequence[Resource] = deployment.desired_resources()
    except WrenliteError as error:  # Lambda does not have this version of Python
        yield Check(name="versions", ok=False, detail=str(error))
        return None
    function = None
    for resource in wanted:
        check, found = _check_resource(deployment, resource)
        yield check
        if isinstance(resource, Function) and resource.name == settings.function:
            function = found
            yield _check_versions(resource, found)
            yield from _check_packages(deployment)
    return function


def _check_keys(deployment: Deployment) -> Iterator[Check]:
    """Check that the keys can be used with which buckets are encrypted."""
    for bucket, key in deployment.settings.keys:
        detail = f"{key} encrypts the objects in {bucket}"
        try:
            state = deployment.key_state(key)
        except AccessDenied as error:
            yield Check(name="key", ok=None, detail=f"{detail}; its state cannot be checked: {error}")
            continue
        except WrenliteError as error:
            yield Check(name="key", ok=False, detail=str(error), fix="let the bucket use another key")
            continue
        fix = "enable it (aws kms enable-key), or let the bucket use another one"
        enabled = state == "Enabled"
        yield Check(name="key", ok=enabled, detail=f"{detail}: {state}", fix="" if enabled else fix)


def _check_resource(deployment: Deployment, want: Resource) -> tuple[Check, Found | None]:
    """Compare a resource with the desired one.

    Returns:
        The check; and the resource, or None where it does not exist.
    """
    name, found = want.kind, None
    try:
        found = deployment.observe(want.kind, want.name)
        (step,) = plan([want], [] if found is None else [found])
    except AccessDenied as error:
        detail = f"cannot be checked with these credentials: {error}"
        return Check(name=name, ok=None, detail=detail), None
    except WrenliteError as error:
        return Check(name=name, ok=False, detail=str(error)), found
    if step.verb is Verb.KEEP:
        detail = f"{want.name} ({report.describe(deployment, want)})"
        return Check(name=name, ok=True, detail=detail), found
    detail = f"{want.name} {step.reason}" if step.verb is Verb.CREATE else f"{want.name}: {step.reason}"
    return Check(name=name, ok=False, detail=detail, fix=_SETUP), found


def _check_versions(want: Function, found: Found | None) -> Check:
    """Compare Python and the packages of the function with those of this process."""
    if found is None or not isinstance(found.resource, Function):
        detail = "there is no function to compare with, or it cannot be read"
        return Check(name="versions", ok=None, detail=detail)
    if found.resource.runtime != want.runtime:
        detail = f"the function runs {found.resource.runtime}, but this is Python {current_python()}"
        fix = f"{_SETUP}, or use an environment with the function's Python"
        return Check(name="versions", ok=False, detail=detail, fix=fix)
    if found.resource.digest != want.digest:
        detail = "the function has another version of wrenlite or cloudpickle than this environment"
        return Check(name="versions", ok=False, detail=detail, fix=_SETUP)
    detail = f"Python {current_python()}, wrenlite and cloudpickle are the same on both sides"
    return Check(name="versions", ok=True, detail=detail)


def _check_packages(deployment: Deployment) -> Iterator[Check]:
    """Compare the versions of the packages in the layer with those here."""
    if differences := deployment.major_differences():
        fix = report.DIFFERENT_VERSIONS
        yield Check(name="packages", ok=None, detail="; ".join(differences), fix=fix)
    elif deployment.versions:
        detail = f"the major versions are the same on both sides: {report.describe_packages(deployment)}"
        yield Check(name="packages", ok=True, detail=detail)


def _check_round_trip(config: Config, deployment: Deployment) -> Iterator[Check]:
    """Invoke the function, let it import the packages of its layer, and look at botocore there."""
    try:
        packages = deployment.packages.names
        answer = run_smoke_test(client_config(config, deployment.settings), packages)
        answer.check_packages()
    except WrenliteError as error:
        yield Check(name="round trip", ok=False, detail=str(error))
        return
    yield Check(name="round trip", ok=True, detail=report.smoke_test_text(answer))
    detail = f"botocore {answer.botocore} on Lambda"
    if answer.has_conditional_puts:
        yield Check(name="botocore", ok=True, detail=f"{detail} has conditional puts")
    else:
        fix = "wrenlite-setup --package botocore puts the version that is installed here into the layer"
        detail = f"{detail} is older than {_CONDITIONAL_PUTS}, and has no conditional puts"
        yield Check(name="botocore", ok=False, detail=detail, fix=fix)


def _check_driver(deployment: Deployment) -> Check:
    """Invoke the driver, if it is wrenlite's."""
    driver = deployment.settings.of_driver
    assert driver is not None
    try:
        found = deployment.observe("function", driver.function)
        if found is None or not found.managed:
            detail = f"{driver.function} does not exist, or is not wrenlite's"
            return Check(name="driver", ok=False, detail=detail, fix=f"{_SETUP}, or choose --no-driver")
    except AccessDenied:
        pass
    except WrenliteError as error:
        return Check(name="driver", ok=False, detail=str(error))
    try:
        version = deployment.ping_driver()
    except WrenliteError as error:
        return Check(name="driver", ok=False, detail=str(error), fix=_SETUP)
    return Check(name="driver", ok=True, detail=f"{driver.function} answers, with wrenlite {version}")


def _check_published(clients: Clients, settings: Settings, function: Found | None) -> Iterator[Check]:
    """Check that what is published is in place, and invoke each function, which starts nothing."""
    deployed = function.resource if function and isinstance(function.resource, Function) else None
    try:
        jobs = shown_jobs(clients, settings, deployed)
    except AccessDenied as error:
        detail = f"cannot be checked with these credentials: {error}"
        yield Check(name="published", ok=None, detail=detail)
        return
    for each in jobs:
        detail = f"{each.job.name}: {each.text()}"
        if each.condition:
            yield Check(name="published", ok=False, detail=detail, fix=each.fix())
            continue
        try:
            each.job.ping()
        except AccessDenied as error:
            yield Check(name="published", ok=None, detail=f"{detail}; it cannot be invoked: {error}")
        except WrenliteError as error:
            yield Check(name="published", ok=False, detail=f"{detail}: {error}", fix=each.fix())
        else:
            yield Check(name="published", ok=True, detail=detail)


def _check_quota(account: Account) -> Check:
    if account.concurrency is None:
        detail = "cannot be checked with these credentials (lambda:GetAccountSettings)"
        return Check(name="limits", ok=None, detail=detail)
    detail = f"{counted(account.concurrency, 'concurrent invocation')}"
    return Check(name="limits", ok=True, detail=detail, fix=report.quota_hint(account))
