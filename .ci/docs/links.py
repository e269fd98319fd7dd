"""Relative links of the repository's Markdown, which work on GitHub, as links of the site.

A page keeps the links that GitHub follows: paths relative to its file. In the site, a link to a file that is
a page there goes to that page; one to another file of the repository goes to a page that shows this file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

_LINK = re.compile(
    r"""(?P<before>\]\(|\b(?:src|srcset)=")(?P<target>(?![a-z]+:|\#|/)[^)\s"#]+)(?P<anchor>\#[^)\s"]*)?(?P<end>[)"])"""
)
_FENCE = re.compile(r"^ {0,3}(```|~~~)")


def targets(text: str, page: str) -> Iterator[str]:
    """Yield the paths in the repository to which the page with this path and text links."""
    found: list[str] = []
    _replace(text, lambda target: found.append(_absolute(target, page)) or target)
    yield from found


def rewritten(text: str, page: str, place: str, places: Mapping[str, str]) -> str:
    """Return the text of a page with links that work in the site.

    Args:
        text: Markdown.
        page: the path of the page in the repository.
        place: its path in the site.
        places: for each path in the repository that is in the site, its path there. Links to other paths
            stay, and MkDocs reports them.
    """

    def there(target: str) -> str:
        path = places.get(_absolute(target, page))
        return target if path is None else posixpath.relpath(path, posixpath.dirname(place) or ".")

    return _replace(text, there)


def _absolute(target: str, page: str) -> str:
    """Return the path in the repository of a link's target."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def _replace(text: str, new: Callable[[str], str]) -> str:
    """Return a text in which each relative target outside of fenced code is replaced."""
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif not fence:
            line = _LINK.sub(lambda m: f"{m['before']}{new(m['target'])}{m['anchor'] or ''}{m['end']}", line)
        lines.append(line)
    return "\n".join(lines)
