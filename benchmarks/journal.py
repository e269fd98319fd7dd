"""What the journal costs for each batch: time of the thread that schedules, time of its own thread, bytes.

And how long it takes to delete old jobs, and to list the others.

Run ``python -m benchmarks.journal``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wrenlite
from wrenlite.durable import places
from wrenlite.durable.journal import JobLog, Journal
from wrenlite.protocol import NOTHING, Ended, Outcome, Usage

_BATCHES, _JOBS = 2_000, 10_000


def main() -> None:
    """Print a line for each size of batch."""
    with wrenlite.Executor.inline() as executor:
        job = executor.map(abs, range(1))
        job.wait()
    print("tasks in a batch   caller µs   writing µs   bytes")
    for size in (1, 16, 64, 500):
        outcomes = [Outcome(task, True, NOTHING, time.time(), 1e-3, 1e-3, "") for task in range(size)]
        ended = Ended(None, Usage(worker="4711"), ())
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder))
            log = JobLog(journal, job)
            journal.flush()
            journal.put = journal._entries.append  # type: ignore[method-assign]  # its thread would write, too
            begin = time.perf_counter()
            for number in range(_BATCHES):
                log.sent(f"{number:016x}", range(size))
                log.reported(f"{number:016x}", outcomes, ended)
            put = time.perf_counter()
            journal.flush()
            written = time.perf_counter()
            (file,) = Path(folder).glob("jobs/*/events.jsonl")
            spent = [(put - begin) / _BATCHES * 1e6, (written - put) / _BATCHES * 1e6]
            print(f"{size:16}   {spent[0]:9.1f}   {spent[1]:10.1f}   {file.stat().st_size // _BATCHES:5}")
    _measure_many_jobs()


def _measure_many_jobs() -> None:
    """Print how long it takes to delete the oldest of 10,000 jobs, and to list the 1,000 that are left."""
    with tempfile.TemporaryDirectory() as path:
        folder, now = Path(path), time.time()
        for number in range(_JOBS):
            made = places.new_job_folder(folder, f"f-{number:06x}", now - _JOBS + number)
            header = {"kind": "submitted", "at": now, "id": f"f-{number:06x}", "name": "f", "backend": "b"}
            end = {"kind": "over", "at": now, "tasks": 1, "done": 1, "failed": 0, "cancelled": 0}
            lines = [{**header, "tasks": 1, "program": "ended"}, end]
            (made / places.EVENTS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        begin = time.perf_counter()
        deleted = places.prune(folder, now)
        print(f"{deleted:,} of {_JOBS:,} jobs deleted in {time.perf_counter() - begin:.2f} s")
        begin = time.perf_counter()
        places.prune(folder, now)
        print(f"nothing to delete of {_JOBS - deleted:,}: {(time.perf_counter() - begin) * 1e3:.0f} ms")
        os.environ["WRENLITE_JOURNAL"] = path
        begin = time.perf_counter()
        listed = len(wrenlite.jobs())
        print(f"wrenlite.jobs(): {listed:,} jobs in {time.perf_counter() - begin:.2f} s", end="; ")
        begin = time.perf_counter()
        command = [sys.executable, "-m", "wrenlite", "jobs", "--last", str(listed)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        print(f"wrenlite jobs: {time.perf_counter() - begin:.2f} s")


if __name__ == "__main__":
    main()
