"""Make the pictures of the docs again, from what wrenlite draws: docs/pictures/NAME.webp.

Run: python .ci/make_pictures.py [NAME...]

A picture is a function in ``PICTURES``. Each is opaque, so that it looks the same on light and dark pages.
"""

import io
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import notebook_pictures
from diagram import diagram
from original_mandelbrot import Original
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
QUALITY = 80
WIDTH = 400
"""Pixels of a picture that has another one beside it."""
WIDE = "-smoothness 10 -width 1920 -height 1080"
ORIGINAL = {
    "defaults": "",
    "hippi": "-palette Hippi -xpos -0.0091275 -ypos 0.7899912 -radius .01401245",
    "plan9": "-palette Plan9 -xpos -0.0091275 -ypos 0.7899912 -radius .01401245 -iteration 600 -step 600",
    "vivid": "-palette Vivid -xpos -0.00991275 -ypos 0.7899912 -radius .02401245 -iteration 800 -step 600"
    f" {WIDE}",
    "antenna": f"-palette Hippi -xpos -0.00275 -ypos 1.012 -radius .089999 -iteration 800 -step 600 {WIDE}",
    "wide": f"-palette Hippi -xpos -0.00275 -ypos 0.78912 -radius .1256789 -iteration 800 -step 6000 {WIDE}",
}
"""The commands in the README of the original program, without names of files."""


def wrenlite(*arguments: str, folder: Path) -> None:
    """Run a command of wrenlite in a folder."""
    program = Path(sys.executable).with_name("wrenlite")
    subprocess.run([program, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def drawn(command: str, width: int = 640, file: str = "picture.png") -> Image.Image:
    """Return the picture that a command of ``wrenlite demo`` writes, scaled down to a width."""
    with tempfile.TemporaryDirectory() as folder:
        wrenlite("demo", *shlex.split(command), folder=Path(folder))
        with Image.open(Path(folder, file)) as picture:
            return on_white(picture, width)


def original(options: str) -> Image.Image:
    """Return what the original program draws, by the model of it."""
    words = shlex.split(options)
    given = dict(zip((name[1:] for name in words[::2]), words[1::2], strict=True))
    kinds = {field: type(default) for field, default in vars(Original()).items()}
    return Image.fromarray(
        Original(**{name: kinds[name](text) for name, text in given.items()}).drawn(WIDTH, 3)
    )


def ours(options: str) -> Image.Image:
    """Return what ``wrenlite demo mandelbrot`` draws with the same options, at the size of the docs."""
    height = WIDTH * 9 // 16 if WIDE in options else WIDTH * 3 // 4
    size = f"-smoothness 4 -width {WIDTH} -height {height}"
    return drawn(f"mandelbrot {options} {size} -file picture.png", WIDTH)


def plot_of_a_job() -> Image.Image:
    """Return what ``Job.plot`` draws of tasks on eight workers, of which some are longer than others."""
    program = """
import time, wrenlite

def simulate(n):
    time.sleep(0.2 + n % 5 / 10)

if __name__ == "__main__":
    with wrenlite.Executor.local(workers=8) as executor:
        executor.warm(8)
        job = executor.map(simulate, range(120))
        job.wait()
        job.plot().savefig("plot.png", dpi=150)
"""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        with Image.open(Path(folder, "plot.png")) as picture:
            return on_white(picture, 640)


def on_white(picture: Image.Image, width: int) -> Image.Image:
    """Return a picture with a white background, scaled down to a width."""
    filled = Image.new("RGB", picture.size, "white")
    filled.paste(picture, mask=picture.convert("RGBA"))
    return filled.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)


def zoom_frames() -> Image.Image:
    """Return four frames of a zoom."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        command = "demo zoom --radius 1e-6 --seconds 2 --width 640 --height 360 --out zoom.mp4"
        wrenlite(*command.split(), folder=Path(folder))
        with av.open(str(Path(folder, "zoom.mp4"))) as video:
            frames = [frame.to_image() for frame in video.decode(video=0)]
    shown = [frames[place].resize((320, 180), Image.Resampling.LANCZOS) for place in (0, 24, 42, 59)]
    sheet = Image.new("RGB", (640, 360))
    for number, frame in enumerate(shown):
        sheet.paste(frame, (number % 2 * 320, number // 2 * 180))
    return sheet


def pyramid_viewer() -> Image.Image:
    """Return the page of a pyramid in a browser, zoomed in."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = "demo pyramid --width 4096 --height 4096 --out tiles"
        wrenlite(*command.split(), folder=Path(folder))
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 960, "height": 600})
        page.goto(Path(folder, "tiles", "mandelbrot.html").as_uri())
        page.keyboard.press("+")
        page.wait_for_function("loading === 0 && wanted.length === 0 && !drawing")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    return shot.resize((640, 400), Image.Resampling.LANCZOS)


DEEP = "--xpos=-1.768667862837488812627419470 --ypos=0.001645580546820209430325900 --radius 12e-22"
PICTURES: dict[str, Callable[[], Image.Image]] = {
    **{f"original-{name}": partial(original, options) for name, options in ORIGINAL.items()},
    **{f"wrenlite-{name}": partial(ours, options) for name, options in ORIGINAL.items()},
    "deep": partial(
        drawn, f"mandelbrot {DEEP} --iters 50000 --palette Wren --width 640 --height 360 --out picture.png"
    ),
    **{
        f"place-{name}": partial(
            drawn, f"mandelbrot --place {name} --width 1280 --height 720 --out picture.png", 960
        )
        for name in ("whirlpool", "rosette", "sunflower")
    },
    "burning-ship": partial(
        drawn, "mandelbrot --set burning-ship --palette Wren --width 640 --height 360 --out picture.png"
    ),
    "newton": partial(
        drawn, "mandelbrot --set newton --palette Wren --width 640 --height 360 --out picture.png"
    ),
    "buddhabrot": partial(drawn, "buddhabrot --width 480 --height 640 --out picture.png", 480),
    "zoom": zoom_frames,
    "collage": partial(drawn, "fractals --every --size 240 --out here", 800, "here/fractals/collage.png"),
    "pyramid": pyramid_viewer,
    "panel": notebook_pictures.panel,
    "traceback": notebook_pictures.traceback,
    "plot": plot_of_a_job,
    "diagram": diagram,
    "ndvi": partial(drawn, "ndvi --out .", 640, "ndvi-map.png"),
}


def main(names: list[str]) -> None:
    """Make the pictures with these names, or all of them."""
    for name in names or PICTURES:
        file = FOLDER / f"{name}.webp"
        PICTURES[name]().save(file, quality=QUALITY, method=6)
        print(f"{file.name}: {file.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
