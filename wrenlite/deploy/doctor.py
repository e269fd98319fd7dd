"""Whether everything is as it should be: a check at a time, each with its mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wrenlite.config import Config
from wrenlite.deploy import report
from wrenlite.deploy.account import Account
from wrenlite.deploy.deployment import Deployment, of_configuration, own_python, settled
from wrenlite.deploy.plan import Verb, plan
from wrenlite.deploy.resources import Function, Resource, Role
from wrenlite.deploy.smoke_test import run_smoke_test
from wrenlite.errors import AccessDenied, WrenliteError

_SKEW_S = 240.0
"""AWS refuses requests whose time is off by more than 5 minutes."""
_SETUP = "wrenlite-setup"


class Check(NamedTuple):
    """What became of one check."""

    name: str
    ok: bool | None
    """None: could not be seen, or is to be known; no failure."""
    said: str
    mend: str = ""

    def __str__(self) -> str:
        sign = {True: "✓", False: "✗", None: "!"}[self.ok]
        return f"{sign} {self.name:<12} {self.said}" + (f"\n  {'':<12} → {self.mend}" if self.mend else "")


def checks(config: Config) -> Iterator[Check]:
    """Check what a configuration says, as far as it goes."""
    try:
        clients, account, settings = of_configuration(config, blind=True)
    except WrenliteError as error:
        yield Check("sign-in", False, str(error))
        return
    yield Check("credentials", True, f"account {account.id}, {account.identity}")
    yield _clock(account)
    yield Check("region", True, account.region)
    deployment = Deployment(clients, settings)
    stranger = False
    for check in _resources(deployment):
        yield check
        stranger |= check.name == "function" and "not wrenlite's" in check.said
    if not stranger:  # what runs there is not ours to invoke
        yield _round_trip(config, deployment)
    yield _limits(account)


def _clock(account: Account) -> Check:
    said = f"{abs(account.skew_s):.0f} s {'ahead of' if account.skew_s > 0 else 'behind'} AWS's"
    if abs(account.skew_s) < _SKEW_S:
        return Check("clock", True, said)
    return Check("clock", False, said, "set it, such as with timedatectl set-ntp true")


def _resources(deployment: Deployment) -> Iterator[Check]:
    settings = deployment.settings
    if not settings.own_bucket:
        yield Check("bucket", True, f"{settings.bucket} (yours)")
    if settings.role_arn is not None:
        yield Check("policy", True, f"of {settings.role_arn} (yours: wrenlite does not look at it)")
    try:
        wanted: Sequence[Resource] = deployment.wanted()
    except WrenliteError as error:  # a Python that Lambda does not have
        yield Check("versions", False, str(error))
        return
    for resource in wanted:
        yield _resource(deployment, resource)
        if isinstance(resource, Function):
            yield _versions(deployment, resource)


def _resource(deployment: Deployment, want: Resource) -> Check:
    name = "policy" if isinstance(want, Role) else want.kind
    try:
        found = deployment.look(want.kind)
        (step,) = plan([want], [] if found is None else [found])
    except AccessDenied as error:
        return Check(name, None, f"these credentials may not look at it: {error}")
    except WrenliteError as error:
        return Check(name, False, str(error))
    if step.verb is Verb.KEEP:
        return Check(name, True, f"{want.name} ({report.description(deployment, want)})")
    if step.verb is Verb.CREATE:
        return Check(name, False, f"{want.name} {step.reason}", _SETUP)
    return Check(name, False, f"{want.name}: {step.reason}", _SETUP)


def _versions(deployment: Deployment, want: Function) -> Check:
    """Whether both sides run the same."""
    try:
        found = deployment.look("function")
    except WrenliteError as error:
        return Check("versions", None, str(error))
    if found is None or not isinstance(found.resource, Function):
        return Check("versions", None, "there is no function to compare with")
    if found.resource.runtime != want.runtime:
        said = f"the function runs {found.resource.runtime}, and this is Python {own_python()}"
        return Check("versions", False, said, f"{_SETUP}, or another environment")
    if found.resource.digest != want.digest:
        return Check("versions", False, "the function has another wrenlite or cloudpickle than this", _SETUP)
    return Check("versions", True, f"Python {own_python()}, and the same wrenlite and cloudpickle")


def _round_trip(config: Config, deployment: Deployment) -> Check:
    """A real one, with the packages where it is known what they should be."""
    settings = deployment.settings
    try:
        names = deployment.packages.names
        return Check("round trip", True, report.said(run_smoke_test(settled(config, settings), names)))
    except WrenliteError as error:
        return Check("round trip", False, str(error))


def _limits(account: Account) -> Check:
    if account.concurrency is None:
        return Check("limits", None, "these credentials may not see them (lambda:GetAccountSettings)")
    return Check("limits", True, f"{account.concurrency:,} invocations at once", report.more(account))
