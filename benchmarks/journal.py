"""What the journal costs for each batch: time of the thread that schedules, time of its own thread, bytes.

Run ``python -m benchmarks.journal``.
"""

import tempfile
import time
from pathlib import Path

import wrenlite
from wrenlite.durable.journal import JobLog, Journal
from wrenlite.protocol import NOTHING, Ended, Outcome, Usage

_BATCHES = 2_000


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


if __name__ == "__main__":
    main()
