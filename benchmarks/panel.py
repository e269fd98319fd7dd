"""The cost of the job panel: jobs in a kernel with and without it, bytes of an update, widgets, the timeline.

Run: python -m benchmarks.panel
"""

import nbformat
from nbclient import NotebookClient

CELLS = (
    """
import statistics, time, ipywidgets, wrenlite
from wrenlite.display import html
from wrenlite.display.observer import Observer
executor = wrenlite.Executor.local(2)

def nothing(n):
    return n

def short(n):
    time.sleep(0.0005)

def seconds(function, count, panel):
    start = time.perf_counter()
    executor.map(function, range(count), progress=panel).results()
    return time.perf_counter() - start

executor.map(nothing, range(100), progress=False).results()
lines = []
""",
    """
pairs = [(seconds(nothing, 3, False), seconds(nothing, 3, True)) for _ in range(100)]
without, with_panel = map(statistics.median, zip(*pairs))
extra = with_panel - without
lines.append(f"      3 x nothing  {without * 1e3:8.2f} ms {with_panel * 1e3:7.2f} ms {extra * 1e3:+7.2f} ms")
""",
    """
for function, count in ((nothing, 10_000), (nothing, 100_000), (short, 10_000)):
    pairs = [(seconds(function, count, False), seconds(function, count, True)) for _ in range(5)]
    without, with_panel = map(statistics.median, zip(*pairs))
    extra = with_panel - without
    lines.append(
        f"{count:>7,} x {function.__name__:<8} {without:8.3f} s  {with_panel:7.3f} s  {extra:+7.3f} s"
    )
""",
    """
for _ in range(300):
    executor.map(nothing, range(3)).results()
executor.map(time.sleep, [1.5]).results()
lines.append(f"after 301 maps {len(ipywidgets.widgets.widget._instances)} widgets are left")
""",
    """
for count in (4, 200, 10_000, 100_000):
    job = executor.map(short, range(count), progress=False)
    job.wait(timeout=1)
    observer = Observer(job)
    start = time.perf_counter()
    size = len(html.panel([observer.observe()], time.time())["text/html"])
    took = time.perf_counter() - start
    job.cancel()
    lines.append(f"{count:>7,} tasks: an update has {size:,} bytes, and is made in {1e3 * took:.1f} ms")
job = executor.map(nothing, range(10_000), progress=False)
job.wait()
start = time.perf_counter()
picture = job.plot()._repr_png_()
lines.append(f" 10,000 tasks: a timeline takes {time.perf_counter() - start:.2f} s")
print("                    without  with panel  difference")
print(*lines, sep="\\n")
""",
)


def main() -> None:
    """Run the cells in a kernel, and print their output."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    print("".join(each.text for each in notebook.cells[-1].outputs if each.output_type == "stream"))


if __name__ == "__main__":
    main()
