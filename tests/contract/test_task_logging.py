"""What tasks log: the caller's own loggers handle it, on every backend."""

import contextlib
import io
import logging
import os
import tempfile
import time

import pytest

import wrenlite
from wrenlite.task_logging import RECORDS_BYTES


class Records(logging.Handler):
    """A handler of the root logger that keeps its records, and the only one."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        if record.name.startswith(("wl", "root")):  # wrenlite and botocore log too
            self.records.append(record)


@pytest.fixture
def records(monkeypatch):
    handler = Records()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(root, "level", logging.INFO)
    root.manager._clear_cache()
    yield handler.records
    root.manager._clear_cache()


@contextlib.contextmanager
def level_of(name, level):
    logger = logging.getLogger(name)
    logger.setLevel(level)
    try:
        yield logger
    finally:
        logger.setLevel(logging.NOTSET)


def work(n):
    import logging

    log = logging.getLogger("wl.site")
    log.debug("not wanted")
    log.info("site %d of %s", n, "ten", extra={"site": n, "kind": {1}})
    logging.getLogger("wl.quiet").warning("not wanted either")
    logging.getLogger("wl.chatty").debug("chatty")
    if n == 3:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            log.exception("failed")
        raise ValueError(n)
    return n


def test_records_of_tasks_come_to_the_callers_loggers_at_their_levels(executor, records):
    with level_of("wl.quiet", logging.ERROR), level_of("wl.chatty", logging.DEBUG):
        job = executor.map(work, range(4), chunksize=2)
        assert job.results(return_exceptions=True)[:3] == [0, 1, 2]
    shown = sorted((record.name, record.levelname, record.getMessage()) for record in records)
    assert shown == [
        *([("wl.chatty", "DEBUG", "chatty")] * 4),
        ("wl.site", "ERROR", "failed"),
        *(("wl.site", "INFO", f"site {n} of ten") for n in range(4)),
    ]
    assert [job.logs(n) for n in range(4)] == [""] * 4
    (failed,) = [record for record in records if record.levelname == "ERROR"]
    assert "ZeroDivisionError" in logging.Formatter("%(message)s").format(failed)
    if executor.backend.runs_in_caller:  # there they are the caller's own records
        return
    by_task = {record.wrenlite_task: record for record in records if record.levelname == "INFO"}
    assert sorted(by_task) == [0, 1, 2, 3]
    assert {record.wrenlite_job for record in records} == {job.id}
    record = by_task[2]
    assert (record.site, record.kind, record.funcName, record.filename) == (2, "{1}", "work", __file__[-20:])


def test_records_are_sent_if_asked_for_or_where_the_root_logger_has_a_handler(pool, monkeypatch, records):
    def warns(_):
        import logging

        logging.getLogger("wl").warning("careful")

    def handled(**options):
        records.clear()
        job = pool.map(warns, [0], **options)
        job.wait()
        return len(records), job.logs(0)

    assert handled() == (1, "")
    assert handled(logging=False) == (0, "careful\n")
    assert handled(logging=True) == (1, "")
    logging.disable(logging.WARNING)
    assert handled() == (0, "")
    logging.disable(logging.NOTSET)
    logging.getLogger("wl").addHandler(own := Records())
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert handled() == (0, "careful\n")
    assert (len(own.records), handled(logging=True), len(own.records)) == (0, (0, ""), 1)
    logging.getLogger("wl").removeHandler(own)
    for value in (1, "yes"):
        with pytest.raises(wrenlite.ConfigError, match="must be True, False or None"):
            pool.map(warns, [0], logging=value)
    for make in (wrenlite.Executor.local, wrenlite.Executor.inline):
        with pytest.raises(wrenlite.ConfigError, match="logging=0"):
            make(logging=0)
    for value in (True, False, None):
        with wrenlite.Executor.inline(logging=value, progress=False) as inline:
            inline.submit(warns, 0).result()
    records.clear()
    with wrenlite.Executor.local(1, progress=False, logging=True) as executor:
        logging.getLogger("wl").addHandler(own)
        executor.submit(warns, 0).result()
        logging.getLogger("wl").removeHandler(own)
    assert len(own.records) == 2


@pytest.mark.parametrize("end", ["exit", "timeout", "cancel", "exit on lambda"])
def test_records_of_a_task_that_is_cut_short_come_too(pool, records, tmp_path, request, end):
    if end == "exit on lambda":
        request.getfixturevalue("bed")
        pool = wrenlite.Executor.aws(max_concurrency=2, progress=False)

    def dies(n):
        import logging
        import os
        import time

        logging.warning("begun %d", n)
        logging.info("at work")
        if n == 1:
            (tmp_path / "logged").touch()
            if end.startswith("exit"):
                os._exit(3)
            time.sleep(600)

    job = pool.map(dies, range(3), chunksize=3, timeout=1 if end == "timeout" else None)
    if end == "cancel":
        while not (tmp_path / "logged").exists():
            assert not job.wait(0.01)
        job[1].cancel()
    job.wait()
    pool.shutdown()
    assert [job.state(n) for n in range(3)] == ["done", "cancelled" if end == "cancel" else "failed", "done"]
    shown = sorted((record.wrenlite_task, record.getMessage()) for record in records)
    assert shown == [(n, text) for n in range(3) for text in ("at work", f"begun {n}")]


def test_extra_attributes_of_records_are_plain_values_or_text(pool, records):
    cyclic = []
    cyclic.append(cyclic)
    plain = {"a": {"b": [1, 2.5, None, True, "x"]}, "b": [], "c": False}
    others = {"d": (1, 2), "e": {1: 2}, "f": {"x": {3}}, "g": b"x", "h": cyclic}

    def work():
        import logging

        logging.info("here", extra={**plain, **others})

    pool.submit(work).result()
    (record,) = records
    assert {name: getattr(record, name) for name in plain} == plain
    assert {name: getattr(record, name) for name in others} == {
        key: str(each) for key, each in others.items()
    }


def test_a_task_that_logs_without_end_is_cut_short(pool, records):
    def chatters(n):
        import logging

        log = logging.getLogger("wl")
        log.warning("bad arguments %d", "text")
        for _ in range(10_000 * n):
            log.warning("x" * 100)

    pool.submit(lambda: __import__("logging").warning("y" * RECORDS_BYTES)).result()
    (record,) = records
    assert "1 further log records" in record.getMessage()
    records.clear()
    job = pool.map(chatters, [1, 0], chunksize=2)
    job.results()
    sizes = [len(record.getMessage()) for record in records[:-1]]
    assert 100 * len(sizes) < RECORDS_BYTES
    assert "further log records of this task were dropped" in records[-1].getMessage()
    assert {record.wrenlite_task for record in records} == {0}
    assert "Message: 'bad arguments %d'" in job.logs(1)  # as logging reports it


def test_what_a_child_of_a_task_logs_is_in_the_output(pool, records):
    def forks(_):
        import logging
        import os

        child = os.fork()
        if not child:
            logging.warning("in the child")
            os._exit(0)
        os.waitpid(child, 0)

    job = pool.map(forks, [0])
    job.results()
    assert (job.logs(0), records) == ("in the child\n", [])


def test_a_handler_that_raises_ends_no_job(pool, records, monkeypatch):
    class Fails(logging.Handler):
        def handle(self, record):
            if record.name != "wrenlite":
                raise SystemExit("by the handler")

    monkeypatch.setattr(logging.getLogger(), "handlers", [Fails()])
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        job = pool.map(work, range(3))
        assert job.results() == [0, 1, 2]
    assert "SystemExit: by the handler" in text.getvalue()
    assert pool.submit(abs, -1).result() == 1


class Waits(Records):
    """A handler that waits for a job whenever it gets a record."""

    job = None

    def emit(self, record):
        super().emit(record)
        if self.job is not None and record.name.startswith("wl"):
            self.values = self.job.results(timeout=60)


def test_a_handler_may_wait_for_the_executor(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler := Waits()])
    with wrenlite.Executor.local(2, progress=False) as pool:

        def waits_for_a_file(n):
            while not os.path.exists(n):
                time.sleep(0.01)
            logging.getLogger("wl").warning("found")
            return n

        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "go")
            handler.job = job = pool.map(waits_for_a_file, [file] * 3)
            with open(file, "w"):
                pass
            assert job.results(timeout=60) == [file] * 3
            # The lock of the handler is held by this thread, which waits for tasks that log.
            handler.job = pool.map(waits_for_a_file, [file] * 3)
            logging.getLogger("wl").warning("in this process")
            assert handler.values == [file] * 3
    assert [record.getMessage() for record in handler.records].count("found") == 6


def test_tasks_that_configure_logging_lose_no_record_of_the_next_job(pool, records):
    def configures(_):
        import logging

        logging.basicConfig(level=logging.DEBUG)
        logging.warning("one")
        logging.basicConfig(level=logging.DEBUG, force=True)  # this removes the handler of the worker
        logging.warning("two")

    for _ in range(2):
        job = pool.map(configures, [0])
        job.results()
        assert "WARNING:root:two\n" in job.logs(0)
    assert [record.getMessage() for record in records] == ["one", "one"]


def test_a_level_of_the_caller_keeps_its_name(pool, records, monkeypatch):
    monkeypatch.setitem(logging._levelToName, 25, "NOTICE")
    pool.submit(lambda: __import__("logging").getLogger("wl").log(25, "noted")).result(30)
    assert [(record.levelname, record.getMessage()) for record in records] == [("NOTICE", "noted")]
