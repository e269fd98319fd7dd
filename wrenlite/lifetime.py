"""``Lifetime``: how executors are made, and how they end: by ``shutdown``, or when nobody holds them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from wrenlite import arguments
from wrenlite.backends import local
from wrenlite.backends.base import Backend
from wrenlite.backends.factory import connect
from wrenlite.config import Config, Progress
from wrenlite.errors import ConfigError
from wrenlite.futures import wait_in_loop
from wrenlite.scheduler.dispatcher import AT_EXIT
from wrenlite.serialize.traceback_stubs import public
from wrenlite.submission import SHUT_DOWN, Submission
from wrenlite.task_logging import check_logging
from wrenlite.threads import no_interrupts
from wrenlite.wrong_calls import explain_wrong_calls, not_a_backend


@public
class Lifetime:
    """How executors are made and shut down."""

    _is_of_task = False

    @explain_wrong_calls
    def __init__(
        self,
        backend: Backend | None = None,
        *,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> None:
        """Create an executor. Its workers start with the first job.

        Args:
            backend: what to run on; default: what the configuration says, else this machine's cores; within
                a task: the thread of that task.
            progress: ``"auto"``: show the progress of jobs in a notebook, on a terminal while the main thread
                waits for them, and every 30 s in a file; True: in a file every second; False: show nothing.
            logging: what tasks log is handled by the loggers of this process, at the levels that they have
                when a job is started; default: if the root logger has a handler. Records have the attributes
                ``wrenlite_task`` and ``wrenlite_job``, and come when a task has ended, 64 KB of each at most.
                False: they are not sent, and warnings are printed into the task's output. Tasks that run in
                the calling thread log as the rest of the program does.

        Raises:
            ConfigError: a setting cannot be used.
            BackendError: nothing can run there; the message says what to do.
        """
        if backend is not None and not isinstance(backend, Backend):
            raise ConfigError(not_a_backend(backend))
        config = Config.load(progress=progress)
        config.log_to_stderr()
        if backend is None and local.in_inline_task():  # as in workers
            backend = local.connect_inline()
        self.backend = backend or connect(config)
        check_logging(logging)
        self._submission = Submission(self.backend, config, logging)
        # Nobody can submit to an executor that is freed: who sees the message does so while the program ends.
        self._finalizer = weakref.finalize(self, self._submission.close, AT_EXIT)

    @classmethod
    @explain_wrong_calls
    def local(
        cls,
        workers: int | None = None,
        *,
        memory_limit: int | str | None = None,
        max_tasks_per_worker: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Self:
        """Create an executor with worker processes on this machine.

        Args:
            workers: how many; default: one per core.
            memory_limit: memory that each worker may hold, in bytes or as ``"2GB"`` (enforced on Linux).
            max_tasks_per_worker: tasks that a worker runs before a new one takes its place, for functions
                that leak memory; default: any number.
            initializer: a function that each worker calls once, before its first task. What it assigns to
                global variables is there for the functions of ``map`` of the same module or notebook. It is
                sent as it is now, with the variables that it uses. If it fails, jobs fail with
                InitializerFailed. It may take 60 s longer than the ``timeout=`` of a job.
            initargs: the arguments of the initializer.
            progress: as for ``Executor``.
            logging: as for ``Executor``.

        Raises:
            ConfigError: a setting cannot be used, or this system has no worker processes.
            FunctionNotPicklable: the initializer, or one of its arguments, cannot be pickled.
        """
        config = Config.load(
            backend="local",
            workers=workers,
            memory_limit=memory_limit,
            max_tasks_per_worker=max_tasks_per_worker,
        )
        first = arguments.packed_initializer(initializer, initargs)
        return cls(connect(config, first), progress=progress, logging=logging)

    @classmethod
    @explain_wrong_calls
    def inline(
        cls,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        progress: Progress | None = False,
        logging: bool | None = None,
    ) -> Self:
        """Make an executor that runs tasks in the calling thread, for the debugger.

        ``map`` returns when all tasks have run. Output and log records go where the program's go, and
        ``timeout=`` cannot be enforced.

        Args:
            initializer: as for ``Executor.local``: it is called once, before the first task.
            initargs: the arguments of the initializer.
            progress: as for ``Executor``.
            logging: has no effect here: tasks log as the rest of the program does.

        Raises:
            ConfigError: a setting cannot be used.
            FunctionNotPicklable: as for ``Executor.local``.
        """
        first = arguments.packed_initializer(initializer, initargs)
        return cls(local.connect_inline(first), progress=progress, logging=logging)

    @classmethod
    @explain_wrong_calls
    def aws(
        cls,
        *,
        profile: str | None = None,
        region: str | None = None,
        bucket: str | None = None,
        bucket_owner: str | None = None,
        prefix: str | None = None,
        function: str | None = None,
        endpoint_url: str | None = None,
        max_concurrency: int | None = None,
        budget: float | None = None,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Self:
        """Create an executor that runs tasks on AWS Lambda. Settings not given come from the configuration.

        Args:
            profile: profile of the AWS configuration files; default: boto3's own chain.
            region: such as ``eu-west-1``; default: the profile's.
            bucket: S3 bucket for functions and large values; default: the function's.
            bucket_owner: account that the bucket must belong to; default: the function's.
            prefix: how the keys in the bucket begin; default: the function's.
            function: name or ARN of the Lambda function; default: ``wrenlite``.
            endpoint_url: address of servers that are used in place of AWS.
            max_concurrency: invocations at once; default: as many as the account allows.
            budget: dollars that this executor may spend, an estimate. Once the next request does not fit,
                nothing more is sent: tasks not sent fail with BudgetExceeded. While the duration of tasks is
                unknown, no more requests are in flight than the budget could pay if each ran until the
                function's time limit.
            progress: as for ``Executor``.
            logging: as for ``Executor``.

        Raises:
            ConfigError: a setting is missing or cannot be used.
            BackendError: nothing can run there. A missing bucket fails what needs it, with StoreError.
        """
        config = Config.load(
            backend="aws",
            profile=profile,
            region=region,
            bucket=bucket,
            bucket_owner=bucket_owner,
            prefix=prefix,
            function=function,
            endpoint_url=endpoint_url,
            max_concurrency=max_concurrency,
            budget=budget,
        )
        return cls(connect(config), progress=progress, logging=logging)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work, and release the workers once every task has ended.

        Args:
            wait: return only then, and once all done-callbacks have returned. Ctrl-C meanwhile cancels all
                tasks that have not ended.
            cancel_futures: cancel all tasks that have not ended, including those that run.
        """
        self._submission.is_shut_down = True
        dispatcher = self._submission.dispatcher
        if cancel_futures:
            dispatcher.cancel_all()
        self._finalizer.detach()
        self._submission.close(SHUT_DOWN)
        if wait:
            try:
                dispatcher.join(cancel=True)
                self._submission.delete_unreachable_values()
            except (KeyboardInterrupt, SystemExit):
                with no_interrupts():  # and the jobs that came meanwhile
                    dispatcher.cancel_all()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.shutdown(cancel_futures=interrupted)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down as ``__exit__`` does. Meanwhile the event loop goes on."""
        import asyncio

        interrupted = kind is not None and not issubclass(kind, Exception)
        self.shutdown(wait=False, cancel_futures=interrupted)
        dispatcher = self._submission.dispatcher
        await wait_in_loop(lambda: dispatcher.join(0), dispatcher.cancel_all, self.__repr__)
        await asyncio.to_thread(self._submission.delete_unreachable_values)
