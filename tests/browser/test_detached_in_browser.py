"""A kernel that is restarted while a detached job runs: the same notebook attaches to it."""

import re

from playwright.sync_api import expect

_START = """
import os
import time
import wrenlite

class Reading:
    def __init__(self, n):
        self.n = n

def work(n, gate):
    while n >= 20 and not os.path.exists(gate):
        time.sleep(0.02)
    return Reading(n)

executor = wrenlite.Executor.local(2)
"""
_MAP = """
job = executor.map(work, range(40), args=({gate!r},), chunksize=1, detach=True)
job[19].result()
print("mapped", job.id)
"""
_ATTACH = """
job = wrenlite.attach(wrenlite.jobs()[0].id)
job.wait()
"""
_VALUES = """
values = job.results()
print("all", [each.n for each in values] == list(range(40)), isinstance(values[3], Reading))
"""


def test_after_a_restart_of_the_kernel_the_panel_is_live_and_the_values_are_right(notebook, tmp_path):
    gate = tmp_path / "gate"
    opened = notebook(_START, _MAP.format(gate=str(gate)), _ATTACH, _VALUES)
    opened.run(0, 1)
    opened.wait_for_text(1, "mapped work-")
    opened.restart_kernel()
    opened.run(0)
    opened.start(2)
    live = opened.wait_for(2, ".wrenlite-panel")
    expect(live).to_contain_text(
        re.compile("map work × 40 on 2 local workers · running"), use_inner_text=True
    )
    expect(live).to_contain_text("20 done", use_inner_text=True)
    expect(opened.cell(2).get_by_role("button", name="Cancel")).to_be_visible()
    opened.screenshot("attached")
    gate.touch()
    opened.wait_for_end(2)
    opened.wait_for_text(2, "40 done")
    opened.run(3)
    opened.wait_for_text(3, "all True True")
