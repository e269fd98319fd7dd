"""Figures that tasks make with pyplot."""

import pytest

import wrenlite


@pytest.mark.parametrize("chosen", ["", "module://matplotlib_inline.backend_inline", "Agg"])
def test_a_task_that_shows_a_figure_is_told_to_return_it(chosen, monkeypatch):
    def plots(n):
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        axes.plot([n, n])
        plt.show()
        return figure, plt.get_fignums()

    monkeypatch.setenv("MPLBACKEND", chosen)  # as a notebook does, whose workers inherit it
    with wrenlite.Executor.local(1, progress=False) as executor:
        job = executor.map(plots, [1, 2])
        for figure, others in job.results():
            assert len(figure.axes[0].lines) == 1
            assert others == []  # the figure of one task does not meet the next one
        for index in range(2):
            assert job.logs(index).splitlines() == [
                "wrenlite: a task cannot show a figure. Return the figure from the function, or save it with "
                "savefig()"
            ]


def test_a_program_that_a_task_starts_has_its_own_backend_of_matplotlib(pool):
    def start(_):
        import os
        import subprocess
        import sys

        import matplotlib.pyplot

        program = "import os; print(os.environ.get('MPLBACKEND'))"
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return matplotlib.get_backend(), ended.stdout.strip(), os.environ.get("MPLBACKEND")

    backend, childs, own = pool.submit(start, 0).result()
    assert backend == "module://wrenlite.worker.figures"
    assert childs == str(own)
    assert "wrenlite" not in childs
