"""``wrenlite serve`` for tests: a process, its log, and requests to it."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.aws.tasks import wait_until

COMMAND = str(Path(sys.executable).with_name("wrenlite"))


class Served:
    """A running ``wrenlite serve``."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.log = folder / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve", *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(lambda: "outputs" in self.text or self.process.poll() is not None)

    @property
    def text(self):
        return self.log.read_text()

    def ask(self, path, fields=None, **headers):
        """Return status and body of an answer."""
        url, token = re.search(r"pages +(\S+)/\?token=(\S+)", self.text).groups()
        data = None if fields is None else json.dumps(fields).encode()
        headers = {"Authorization": f"Bearer {token}", **headers}
        request = urllib.request.Request(url + path, data, headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def over(self, start):
        """Wait until a start is over, and return its status."""
        wait_until(lambda: self.ask(f"/jobs/{start}")[1]["status"] in ("done", "failed"), 40)
        return self.ask(f"/jobs/{start}")[1]

    def waited_for(self, pattern):
        """Wait until the log has a pattern, and return its first group."""
        wait_until(lambda: re.search(pattern, self.text))
        return re.search(pattern, self.text)[1]

    def marks(self):
        marks = self.folder / "marks"
        return marks.read_text().splitlines() if marks.exists() else []

    def end(self, number=signal.SIGINT):
        """Stop it, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)
