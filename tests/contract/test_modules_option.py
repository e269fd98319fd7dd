"""``modules=``: local modules that no import statement names."""

import importlib
import json
import pickle
import sys
import types

import numpy as np
import pytest

import wrenlite

PACKAGE = {
    "wl_zoo/__init__.py": "",
    "wl_zoo/animals/__init__.py": "",
    "wl_zoo/animals/cat.py": "def sound():\n    return 'miaow'\n",
    "wl_zoo/animals/dog.py": "from wl_zoo import loud\n\ndef sound():\n    return loud.make('woof')\n",
    "wl_zoo/loud.py": "def make(text):\n    return text.upper()\n",
    "wl_records.py": "class Record:\n    def __init__(self, n):\n        self.n = n\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Local modules that can be imported here."""
    place = tmp_path / "code"
    for name, text in PACKAGE.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield place
    for name in [name for name in sys.modules if name.startswith("wl_")]:
        del sys.modules[name]


def test_a_package_whose_modules_have_computed_names(executor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["cat", "dog"]
    sound = lambda name: importlib.import_module(f"wl_zoo.animals.{name}").sound()  # noqa: E731
    assert executor.map(sound, names, modules=["wl_zoo"]).results() == ["miaow", "WOOF"]
    assert executor.map(sound, names).results() == ["miaow", "WOOF"], "later jobs send it, too"


def test_a_class_that_only_pickled_bytes_mention(executor):
    records = importlib.import_module("wl_records")
    blobs = [pickle.dumps(records.Record(n)) for n in range(3)]
    read = lambda blob: pickle.loads(blob).n  # noqa: E731
    assert executor.map(read, blobs, modules=[records]).results() == [0, 1, 2]
    assert executor.starmap(read, zip(blobs, strict=True), modules={"wl_records"}).results() == [0, 1, 2]
    assert executor.map_reduce(read, blobs, sum, modules=("wl_records",)).result() == 3


def test_without_it_the_error_says_to_pass_it(pool):
    with pytest.raises(ModuleNotFoundError) as caught:
        pool.submit(lambda: importlib.import_module("wl_records")).result()
    assert "Pass modules=['wl_records'], or write `import wl_records`" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("modules", "text"),
    [
        (["wl_nothing"], r"modules=\['wl_nothing'\]: there is no such module here"),
        (["wl_zoo.nothing"], r"modules=\['wl_zoo.nothing'\]: there is no such module here"),
        ([types.ModuleType("wl_made_up")], "there is no such module here"),
        (
            [np],
            r"modules=\['numpy'\]: it is installed, and such modules are not sent. Where workers lack it: ",
        ),
        (["json"], "every worker has this module: leave it out"),
        ([json, "sys"], "every worker has this module: leave it out"),
        (["wrenlite.cost"], "every worker has this module: leave it out"),
        (["__main__"], "no other code of it is"),
        ([5], "must be the name of a module"),
        (["wl_zoo/loud.py"], "must be the name of a module"),
        ("wl_zoo", r"must be a list of modules: modules=\['wl_zoo'\]"),
        (5, "must be a list of modules"),
    ],
)
def test_what_cannot_be_sent_is_refused(pool, modules, text):
    with pytest.raises(wrenlite.ConfigError, match=text):
        pool.map(abs, [1], modules=modules)


def test_a_package_that_lambda_lacks_needs_the_layer(bed):
    with wrenlite.Executor.aws(progress=False) as executor:
        with pytest.raises(wrenlite.ConfigError, match="wrenlite-setup"):
            executor.map(abs, [1], modules=["numpy"])
        assert bed.counts().get("Invoke", 0) == 0


def test_names_from_other_libraries(pool):
    with pytest.raises(wrenlite.ArgumentError, match=r"Write map\(modules=\['wl_zoo'\]\)"):
        pool.map(abs, [1], include_modules=["wl_zoo"])
