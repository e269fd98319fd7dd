"""The API reference: its examples run, and each public name is in it and has an example."""

import doctest
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import wrenlite
from wrenlite.interop import lithops, lithops_futures

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / ".ci" / "docs"))
import examples  # noqa: E402

NOT_FOR_USERS = {
    "cost.Cost.plus",
    "cost.Cost.with_cost",
    "storage.base.Store.repair",
    "storage.base.Store.requests",
}
"""Methods of classes in the reference that wrenlite itself uses."""
SLOW = {"aws.md", "ndvi.md"}
"""Pages whose examples run on the test bed, or need the synthetic archive."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.e2e] if page.name in SLOW else [], id=page.stem)
        for page in examples.pages()
    ],
)
def test_the_examples_of_a_page_run(page, request, tmp_path, monkeypatch):
    if page.name == "aws.md":
        request.getfixturevalue("bed").settings(concurrency=16)  # a process each, on this machine
    if page.name == "ndvi.md":
        request.getfixturevalue("landsat_cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRENLITE_WORKERS", "2")
    monkeypatch.setenv("WRENLITE_PROGRESS", "false")
    monkeypatch.setenv("MPLBACKEND", "agg")
    found = list(examples.read(page))
    assert len(found) == page.read_text().count("\n## ")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    failures = []
    with wrenlite.Executor.local() as executor:
        for example in found:
            names = {"wrenlite": wrenlite, "executor": executor, "__name__": "__main__"}
            test = doctest.DocTestParser().get_doctest(
                example.code, names, example.names[0], str(page), example.line
            )
            runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


def in_the_reference():
    """Return the objects that the pages of the reference show, by name; of the errors, each class."""
    pages = (page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    shown = {name for page in pages for name in re.findall(r"^::: wrenlite\.(\S+)", page, re.MULTILINE)}
    errors = {name for name in wrenlite.__all__ if inspect.isclass(getattr(wrenlite.errors, name, None))}
    return shown - {"errors"} | errors


def methods(name):
    """Yield the names of the public methods and properties of a class; those of the gallery are records."""
    thing = None if name.startswith("gallery.") else pkgutil.resolve_name(f"wrenlite.{name}")
    for attribute in dir(thing) if inspect.isclass(thing) else ():
        kind, whole = inspect.getattr_static(thing, attribute), f"{name}.{attribute}"
        is_method = callable(kind) or isinstance(kind, property | classmethod)
        if is_method and not attribute.startswith("_") and examples.path_of(whole).startswith("wrenlite."):
            yield whole


def test_each_public_name_has_an_example():
    have = {
        examples.path_of(name)
        for page in examples.pages()
        for each in examples.read(page)
        for name in each.names
    }
    public = {each for name in in_the_reference() for each in (name, *methods(name))} - NOT_FOR_USERS
    assert sorted(name for name in public if examples.path_of(name) not in have) == []


def test_each_public_name_is_in_the_reference():
    shown = {examples.path_of(name) for name in in_the_reference()}
    names_of_lithops = {
        f"interop.{'lithops_futures' if hasattr(lithops_futures, name) else 'lithops'}.{name}"
        for name in lithops.__all__
    }
    public = {*wrenlite.__all__, *names_of_lithops}
    assert sorted(name for name in public if examples.path_of(name) not in shown) == []
