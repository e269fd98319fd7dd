"""The handler of the Lambda function. It supervises one worker, the same program as on local cores.

Each sandbox imports this module once, which starts the worker, and then calls ``handler`` for one batch after
the other. A task that crashes, hangs or needs too much memory ends the worker and never this process, so that
the outcomes so far are returned in time. See ``wrenlite.backends.aws.sandbox``.
"""

from wrenlite.backends.aws.sandbox import from_environment

sandbox = from_environment()


def handler(event, context):
    """Run one batch of tasks, and return their outcomes."""
    return sandbox.handle(event, context)
