"""What a client for Lambda imports, so that it needs no system on which local workers could run."""

import subprocess
import sys

PROGRAM = """
import sys
for name in ("fcntl", "resource", "termios"):
    sys.modules[name] = None  # importing it fails, as where it is missing
import wrenlite.backends.aws.connect as connect
assert "wrenlite.worker.handle" not in sys.modules
assert connect._limit_to_descriptors(100_000) == 100_000
"""


def test_a_client_for_lambda_imports_nothing_that_only_posix_has():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
