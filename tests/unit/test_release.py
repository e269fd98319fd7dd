"""The script behind ``make release``: what it refuses, and what it writes."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("wrenlite/__init__.py", "CITATION.cff", "CHANGELOG.md")


@pytest.fixture
def release(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import release

    return release


def test_a_release_of_this_state_has_version_and_day_in_all_files(release):
    texts = {name: (ROOT / name).read_text() for name in NAMES}
    texts["CHANGELOG.md"] = texts["CHANGELOG.md"].replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n\n- One fault.\n", 1
    )
    files = release.released(texts, "99.0.0", "2031-02-03")
    assert '\n__version__ = "99.0.0"\n' in files["wrenlite/__init__.py"]
    assert "\nversion: 99.0.0\ndate-released: 2031-02-03\n" in files["CITATION.cff"]
    assert (
        "## [Unreleased]\n\n## [99.0.0] - 2031-02-03\n\n### Fixed\n\n- One fault.\n" in files["CHANGELOG.md"]
    )


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.2", "three numbers"),
        ("v0.2.0", "three numbers"),
        ("0.1.9", "not newer"),
        ("0.2.0", "not newer"),
        ("0.3.0", "the tag v0.3.0 exists"),
    ],
)
def test_a_version_is_refused(release, version, words):
    with pytest.raises(release.NotReleased, match=words):
        release.check_version(version, "0.2.0", ["v0.3.0"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Changelog\n", "no heading"),
        ("## [Unreleased]\n\n## [0.1.0]\n\n- Old.\n", "lists nothing"),
        ("## [Unreleased]\n\n### News\n\n- New.\n", "News"),
        ("## [Unreleased]\n\n### Added\n\n- New.\n\n## [0.2.0] - 2026-01-01\n", "already"),
    ],
)
def test_a_changelog_is_refused(release, text, words):
    with pytest.raises(release.NotReleased, match=words):
        release.dated_changelog(text, "0.2.0", "2026-11-30")
