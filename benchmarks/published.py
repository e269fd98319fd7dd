"""Measure a published job on the test bed, from upload to pictures: ``python -m benchmarks.published``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import botocore.session

from tests.aws.bed.remote import RemoteBed
from wrenlite.cost import PRICES_DATE, prices

TARGET = "wrenlite.gallery.fractals.deployed:collage_of_csv"
ROWS = 12
LOOK_S = 0.02
"""Seconds between two looks at the outputs, which are not counted."""


def wrenlite(*arguments: str) -> str:
    """Run the command ``wrenlite``, and return what it prints."""
    command = [sys.executable, "-m", "wrenlite", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rows(shift: int) -> bytes:
    """Return a CSV file of small fractals, each drawn in a few hundredths of a second.

    Args:
        shift: another one makes other pictures.
    """
    lines = ["name,xpos,ypos,radius,iters,palette,width,height"]
    for row in range(ROWS):
        lines.append(f"picture {row},-0.7436,{0.1318 + 1e-4 * (row + ROWS * shift)},0.01,300,Hippi,160,120")
    return "\n".join(lines).encode()


class DriverMemory:
    """The most memory of the process that runs the function, and of the one that looks after it."""

    def __init__(self) -> None:
        """Begin to look, in a thread."""
        self.most_mb = {"main(message)": 0.0, "bootstrap": 0.0}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    words = (folder / "cmdline").read_bytes().decode(errors="replace")
                    status = (folder / "status").read_text()
                except OSError:  # it has ended
                    continue
                for name in self.most_mb:
                    is_driver = "serving.driver.handler" in words if name == "bootstrap" else name in words
                    if is_driver and "VmRSS" in status:
                        resident_mb = int(status.split("VmRSS:")[1].split()[0]) / 1024
                        self.most_mb[name] = max(self.most_mb[name], resident_mb)

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        self._thread.join()


def measure(bed: RemoteBed) -> None:
    """Print the figures."""
    s3 = botocore.session.Session().create_client("s3")
    wrenlite("publish", TARGET, "--name", "collage", "--on", "s3://wrenlite-bed/inbox/*.csv", "--yes")
    memory, done = DriverMemory(), set[str]()
    for shift, state in enumerate(("cold", "warm")):
        before, looks = Counter(bed.counts()), 0
        begun = time.perf_counter()
        s3.put_object(Bucket="wrenlite-bed", Key=f"inbox/{state}.csv", Body=rows(shift))
        found: dict[str, float] = {}
        names: set[str] = set()
        while not any(name.endswith("collage.png") for name in names):
            time.sleep(LOOK_S)
            looks += 1
            listed = s3.list_objects_v2(Bucket="wrenlite-bed", Prefix="wrenlite/outputs/collage/")
            news = {entry["Key"] for entry in listed.get("Contents", ())} - done
            if news - names:
                found.setdefault("first picture", time.perf_counter() - begun)
            names |= news
        found["collage"] = time.perf_counter() - begun
        bed.wait_for_events()
        counts = Counter(bed.counts()) - before - Counter({"ListObjectsV2": looks})
        done.update(names)
        print(f"{state}: " + ", ".join(f"{what} after {seconds:.2f} s" for what, seconds in found.items()))
        print(f"  requests: {dict(sorted(counts.items()))}")
    memory.close()
    starts = json.loads(wrenlite("published", "collage", "--json"))["starts"]
    for start in reversed(starts):
        tasks, dollars = start["tasks"]["done"], start["dollars"]
        print(f"  {start['id']}: {start['seconds']:.2f} s, {tasks} tasks, ${dollars:.6f}")
    for name, most_mb in memory.most_mb.items():
        print(
            f"most memory of {'the function' if name == 'main(message)' else 'its driver'}: {most_mb:.0f} MB"
        )
    wrenlite("unpublish", "collage", "--yes")
    for architecture in ("x86_64", "arm64"):
        hour = prices("us-east-1", architecture, memory_mb=1769, limit_s=900.0).request_dollars(3600)
        keeper = prices("us-east-1", architecture, memory_mb=1024, limit_s=900.0).request_dollars(3600)
        print(f"an hour of a start on {architecture}: ${hour:.3f}, and ${keeper:.3f} while a map of it runs")
    print(f"(prices of {PRICES_DATE}; nothing while nothing runs)")


def main() -> None:
    """Start a bed, and measure on it."""
    os.environ["WRENLITE_JOURNAL"] = tempfile.mkdtemp(prefix="wrenlite-bench-")
    bed = RemoteBed("--timeout", "60", "--concurrency", "8")
    os.environ.update(bed.env)
    try:
        measure(bed)
    finally:
        bed.close()


if __name__ == "__main__":
    main()
