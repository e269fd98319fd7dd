"""Deployments on the test bed, as runs of ``wrenlite-setup`` make and change them, without its questions."""

import botocore.session

from wrenlite.deploy.account import sign_in
from wrenlite.deploy.deployment import Deployment, deployed_function, resolve_settings, with_buckets
from wrenlite.deploy.plan import Verb

BUCKET = "deployed-123456789012-us-east-1"
_READS = ("Get", "List", "Head", "Describe")


class Made:
    """A deployment whose settings a test changes."""

    def __init__(self, function="deployed", region="us-east-1", **settings):
        self.function = function
        self.settings = {"timeout_s": 20, **settings}
        self.requests = []
        self.operations = set()
        session = botocore.session.Session()
        session.register("before-call", self._sent)
        self.clients, self.account = sign_in(session, region)

    def _sent(self, model, params, **_):
        self.operations.add((model.service_model.service_name, model.name))
        if not model.name.startswith(_READS):
            self.requests.append((model.name, params["body"]))

    def deployment(self):
        """As a run of its own would see it."""
        before = deployed_function(self.clients, self.account, self.function)
        settings = resolve_settings(self.account, self.function, before, **self.settings)
        self.account.check(settings, before.reserved if before else None)
        return Deployment(self.clients, with_buckets(self.clients, settings))

    def steps(self):
        """What a run would change, by kind; what belongs to the driver as "driver function" and so on."""
        deployment = self.deployment()
        steps = [step for step in deployment.plan() if step.verb is not Verb.KEEP]
        drivers = deployment.settings.is_drivers
        return {f"{'driver ' * drivers(one.resource.name)}{one.resource.kind}": one for one in steps}

    def run(self, most=None):
        """Carry out the plan, or its first steps; with -1 all but the last one, which is the alias."""
        deployment = self.deployment()
        deployment.apply(deployment.plan()[:most], lambda *_: None)

    def destroy(self):
        deployment = self.deployment()
        deployment.apply(deployment.plan_destroy(), lambda *_: None)
