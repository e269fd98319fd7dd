"""What the first map of a program on local workers imports, so that it is fast."""

import subprocess
import sys

PROGRAM = """
import math, sys
import wrenlite
with wrenlite.Executor.local(1) as executor:
    assert executor.map(math.sqrt, [4.0]).results() == [2.0]
    for name in ("cloudpickle", "html", "zipfile"):
        assert name not in sys.modules, name
    assert executor.map(lambda item: item, [1]).results() == [1]
"""


def test_a_function_of_a_module_needs_neither_cloudpickle_nor_what_draws_a_notebook():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
