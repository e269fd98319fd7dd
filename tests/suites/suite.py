"""Runs the tests of another project on wrenlite, and compares what fails with a table of reasons."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

SITE_PACKAGES = Path(__file__).with_name("site-packages")
"""Packages that stand for those of other projects, with their names."""


def check_suite(name, arguments, expected, tmp_path, *, cwd=None, time_limit_s=1500):
    """Run tests in a process of their own, and print how many ran and passed.

    Each test that fails must be in the table, and each in the table must fail.

    Args:
        name: of the project, with its version.
        arguments: of pytest.
        expected: for each test that fails a class of reasons and one line, by ``Class::test``.
        tmp_path: an empty folder.
        cwd: the folder to run in.
        time_limit_s: seconds that the tests may take.
    """
    report = tmp_path / "report.xml"
    path = os.pathsep.join([str(SITE_PACKAGES), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "WRENLITE_PROGRESS": "false",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--import-mode=append", "--tb=short"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *map(str, arguments)],
        cwd=cwd or tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=time_limit_s,
    )
    assert report.exists(), ended.stdout
    failed, skipped, ran = [], [], 0
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('classname').rpartition('.')[2]}::{case.get('name')}"
        ran += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(test)
        elif case.find("skipped") is not None:
            skipped.append(test)
    reasons = Counter(expected[test][0] for test in failed if test in expected)
    classes = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    passed = ran - len(failed) - len(skipped)
    print(f"\n{name}: {ran} ran, {passed} passed, {len(skipped)} skipped by the suite itself, ", end="")
    print(f"{len(failed)} failed ({classes or 'none'})")
    assert sorted(failed) == sorted(expected), ended.stdout
