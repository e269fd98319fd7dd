"""The diagram of the README: what runs where, on this machine and on AWS."""

import io

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from PIL import Image

INK, GREEN, BLUE, GREY = "#1f2328", "#33806a", "#2f7fc1", "#59636e"


def box(axes: Axes, left: float, bottom: float, width: float, height: float, colour: str, fill: str) -> None:
    """Draw a rounded box."""
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.12",
            edgecolor=colour,
            facecolor=fill,
            linewidth=1.5,
        )
    )


def workers(axes: Axes, left: float, bottom: float, columns: int, rows: int, colour: str) -> None:
    """Draw a small square for each worker."""
    for place in range(columns * rows):
        x, y = left + place % columns * 0.24, bottom + place // columns * 0.24
        axes.add_patch(plt.Rectangle((x, y), 0.18, 0.18, color=colour))


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow with two heads."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "<|-|>", "color": INK, "linewidth": 1.4})


def diagram() -> Image.Image:
    """Return the diagram, 1,280 pixels wide, for a width of 640."""
    figure, axes = plt.subplots(figsize=(8, 3.1), dpi=160)
    axes.set_xlim(0, 8)
    axes.set_ylim(0, 3.1)
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    text = {"color": INK, "fontsize": 10, "va": "center"}
    small = {**text, "color": GREY, "fontsize": 8.5}

    box(axes, 0.1, 0.55, 2.5, 2.0, INK, "#f6f8fa")
    axes.text(0.3, 2.28, "your notebook or script", weight="bold", **text)
    axes.text(0.3, 1.86, "job = executor.map(fn, data)", family="monospace", **{**text, "fontsize": 8.5})
    for line, words in enumerate(
        ("futures in the order of the data", "true tracebacks, output, progress", "times and cost")
    ):
        axes.text(0.3, 1.46 - 0.28 * line, words, **small)

    box(axes, 4.3, 1.75, 3.6, 1.2, GREEN, "#eef6f3")
    axes.text(4.5, 2.67, "this machine (the default)", weight="bold", **text)
    axes.text(4.5, 2.36, "one worker process per core", **small)
    workers(axes, 4.5, 1.94, 8, 1, GREEN)

    box(axes, 4.3, 0.15, 3.6, 1.4, BLUE, "#eef5fb")
    axes.text(4.5, 1.27, "AWS Lambda, in your account", weight="bold", **text)
    axes.text(4.5, 0.96, "one function, run a thousand times at once", **small)
    workers(axes, 4.5, 0.33, 9, 2, BLUE)
    axes.text(6.85, 0.54, "S3 for what\nis large", linespacing=1.3, **small)

    arrow(axes, (2.68, 1.8), (4.22, 2.35))
    arrow(axes, (2.68, 1.3), (4.22, 0.85))
    axes.text(3.42, 2.42, "pipes", ha="center", **small)
    axes.text(3.42, 0.68, "HTTPS: pickled\nbatches of tasks", ha="center", linespacing=1.3, **small)

    buffer = io.BytesIO()
    figure.savefig(buffer, facecolor="white")
    plt.close(figure)
    return Image.open(buffer).convert("RGB")
