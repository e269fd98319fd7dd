"""Release a version: check, write version and date, commit, tag, and build sdist and wheel into dist/.

Run: python .ci/release.py 0.2.0 [--yes]

Without ``--yes`` nothing but dist/ changes: the script checks, says what it would do, and builds. It never
uploads or pushes anything: it prints the commands that do.
"""

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""The headings of keep-a-changelog."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_UNRELEASED = "## [Unreleased]\n"


class NotReleased(Exception):
    """The release cannot be made; the message says why, and what to do."""


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version, for comparison."""
    if not (found := _VERSION.fullmatch(version)):
        raise NotReleased(f"{version!r} is no version: write three numbers, such as 0.2.0")
    return tuple(map(int, found.groups()))


def check_version(new: str, old: str, tags: list[str]) -> None:
    """Refuse a version that is not newer, or that has a tag already."""
    if numbers(new) <= numbers(old):
        raise NotReleased(f"version {new} is not newer than {old}, which wrenlite/__init__.py has")
    if f"v{new}" in tags:
        raise NotReleased(f"the tag v{new} exists: choose a higher version")


def dated_changelog(text: str, version: str, day: str) -> str:
    """Return the changelog with what is unreleased under a heading of the version and its day."""
    head, found, rest = text.partition(_UNRELEASED)
    if not found:
        raise NotReleased('CHANGELOG.md has no heading "## [Unreleased]"')
    news = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    if not re.search(r"^- ", news, re.MULTILINE):
        raise NotReleased('CHANGELOG.md lists nothing under "## [Unreleased]": say what has changed')
    if unknown := set(re.findall(r"^### (.*)$", news, re.MULTILINE)) - KINDS:
        raise NotReleased(f"CHANGELOG.md has headings that keep-a-changelog does not: {sorted(unknown)}")
    if f"## [{version}]" in text:
        raise NotReleased(f"CHANGELOG.md has a heading for {version} already")
    return f"{head}{_UNRELEASED}\n## [{version}] - {day}\n{rest}"


def with_field(text: str, pattern: str, value: str, file: str) -> str:
    """Return a text in which the one place that the pattern finds has another value, between its groups."""
    changed, count = re.subn(pattern, rf"\g<1>{value}\g<2>", text, flags=re.MULTILINE)
    if count != 1:
        raise NotReleased(f"{file} must have one line like {pattern!r}, and has {count}")
    return changed


def released(texts: dict[str, str], version: str, day: str) -> dict[str, str]:
    """Return the files of a release, by name, from what they are now."""
    code, citation = "wrenlite/__init__.py", "CITATION.cff"
    cited = with_field(texts[citation], r"^(version: ).*()$", version, citation)
    return {
        code: with_field(texts[code], r'^(__version__ = ")[^"]*(")$', version, code),
        citation: with_field(cited, r"^(date-released: ).*()$", day, citation),
        "CHANGELOG.md": dated_changelog(texts["CHANGELOG.md"], version, day),
    }


def git(*arguments: str) -> str:
    """Run git, and return what it prints."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def build() -> list[Path]:
    """Build sdist and wheel into dist/, which then has nothing else; return them."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--clean"],
        cwd=ROOT,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return sorted((ROOT / "dist").iterdir())


def release(version: str, *, yes: bool) -> None:
    """Make a release, or only check and build."""
    names = ("wrenlite/__init__.py", "CITATION.cff", "CHANGELOG.md")
    texts = {name: (ROOT / name).read_text() for name in names}
    [old] = re.findall(r'^__version__ = "([^"]*)"$', texts[names[0]], re.MULTILINE)
    if yes and (changed := git("status", "--porcelain")):
        raise NotReleased(f"there are changes that are not committed:\n{changed}")
    check_version(version, old, git("tag").split())
    files = released(texts, version, f"{datetime.now(UTC):%Y-%m-%d}")
    if yes:
        for name, text in files.items():
            (ROOT / name).write_text(text)
        git("commit", "-qm", f"Version {version}", *files)
        git("tag", "-a", f"v{version}", "-m", f"wrenlite {version}")
    for file in build():
        print(f"built dist/{file.name}: {file.stat().st_size:,} bytes")
    if yes:
        print(f"version {version} is committed and has the tag v{version}. Then:")
        print(f"    git push origin main v{version} && uv publish")
    else:
        print(f"nothing is changed: --yes would write {version} into {', '.join(files)}, commit and tag it")


def main() -> None:
    """Release the version of the command line."""
    parser = argparse.ArgumentParser(description="Release a version of wrenlite.")
    parser.add_argument("version", help="three numbers, such as 0.2.0")
    parser.add_argument(
        "--yes", action="store_true", help="write, commit and tag; otherwise only check and build"
    )
    arguments = parser.parse_args()
    try:
        release(arguments.version, yes=arguments.yes)
    except NotReleased as error:
        sys.exit(f"not released: {error}")


if __name__ == "__main__":
    main()
