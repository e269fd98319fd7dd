"""The cost of the job panel: jobs in a kernel with and without it, bytes of an update, and the timeline.

Run: python -m benchmarks.panel
"""

import nbformat
from nbclient import NotebookClient

CELLS = (
    """
import statistics, time, wrenlite
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
""",
    """
lines = []
for function, count in ((nothing, 10_000), (nothing, 100_000), (short, 10_000)):
    pairs = [(seconds(function, count, False), seconds(function, count, True)) for _ in range(5)]
    without, with_panel = map(statistics.median, zip(*pairs))
    extra = with_panel - without
    lines.append(
        f"{count:>7,} x {function.__name__:<8} {without:8.3f} s {with_panel:8.3f} s {extra:+8.3f} s"
    )
""",
    """
for count in (200, 10_000, 100_000):
    job = executor.map(short, range(count), progress=False)
    job.wait(timeout=1)
    observer = Observer(job)
    size = len(html.panel(observer.observe())["text/html"])
    job.cancel()
    lines.append(f"{count:>7,} tasks: an update has {size:,} bytes")
job = executor.map(nothing, range(10_000), progress=False)
job.wait()
start = time.perf_counter()
picture = job.plot()._repr_png_()
lines.append(f" 10,000 tasks: a timeline takes {time.perf_counter() - start:.2f} s")
print("                   without    with panel")
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
