"""Jobs that import what tasks would not find: refused before anything is sent, and nothing else is."""

import dataclasses
import decimal
import functools
import importlib.metadata

import cloudpickle
import iniconfig
import numpy as np
import pandas as pd
import PIL.Image
import pytest

import wrenlite
from wrenlite.backends.aws.deployed import remote_packages
from wrenlite.backends.packages import RemotePackages

HERE = importlib.metadata.version
_ALWAYS = frozenset({"botocore", "cloudpickle", "wrenlite"})


@pytest.fixture
def executor():
    """Tasks find numpy in the version that is here, pillow in an older one, and botocore."""
    packages = RemotePackages(
        {"numpy": HERE("numpy"), "pillow": "1.0"}, _ALWAYS, "wrenlite-setup --package numpy"
    )
    with wrenlite.Executor.inline() as plain:
        backend = dataclasses.replace(plain.backend, packages=packages)
        with wrenlite.Executor(backend) as made:
            yield made


def refused():
    """Yield functions that certainly import pandas, each with an item. Inner functions travel by value."""

    def at_its_top(n):
        import json

        import pandas.api

        return json, pandas.api, n

    class Method:
        def run(self, n):
            import pandas

            return pandas, n

    yield lambda n: pd.Timestamp(n) and n, 1
    yield at_its_top, 1
    yield functools.partial(at_its_top), 1
    yield Method().run, 1
    yield lambda item: 1, pd.DataFrame
    yield lambda item: 1, {"frame": pd.DataFrame({"a": [1]})}


@pytest.mark.parametrize(("function", "item"), [*refused()])
def test_a_missing_package_is_refused_with_the_command_that_adds_it(executor, function, item):
    with pytest.raises(wrenlite.PackageMissing, match="imports pandas, which tasks would not find") as caught:
        executor.map(function, [item])
    assert str(caught.value).endswith("\n  wrenlite-setup --package numpy --package pandas")


def test_what_a_local_module_imports_is_refused_too(executor, tmp_path, monkeypatch):
    (tmp_path / "mine_outer.py").write_text("import mine_inner\n\ndef f(n):\n    return n\n")
    (tmp_path / "mine_inner.py").write_text("from pandas import DataFrame\n")
    (tmp_path / "mine_careful.py").write_text(
        "try:\n    import pandas\nexcept ImportError:\n    pandas = None\n\ndef f(n):\n    return n\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import mine_careful
    import mine_outer

    with pytest.raises(wrenlite.PackageMissing, match="f imports pandas"):
        executor.map(mine_outer.f, [1])
    assert executor.map(mine_careful.f, [1]).results() == [1]


def allowed():
    """Yield functions that may work without pandas."""

    def imports(n):
        import pandas

        return pandas

    def may_fail(n):
        try:
            import pandas as found
        except ImportError:
            found = None
        return n if found or n else 0

    def in_a_branch(n):
        if n > 1:
            import pandas as found

            return found
        return n

    def has_other_names(n):
        import zoneinfo

        import botocore.session
        import numpy.linalg

        return n if PIL.Image and botocore and numpy and zoneinfo else 0

    yield may_fail
    yield in_a_branch
    yield lambda n: imports(n) if n > 1 else n
    yield has_other_names
    yield lambda n: int(np.abs(n)) * int(decimal.Decimal(1))


@pytest.mark.parametrize("function", [*allowed()])
def test_what_may_work_is_not_refused(executor, function):
    assert executor.map(function, [1]).results() == [1]


def test_a_package_that_is_sent_by_value_is_not_missing(executor):
    cloudpickle.register_pickle_by_value(iniconfig)
    try:
        assert executor.map(lambda n: n if iniconfig.SectionWrapper else 0, [1]).results() == [1]
    finally:
        cloudpickle.unregister_pickle_by_value(iniconfig)


def test_an_error_names_the_versions_on_both_sides(executor):
    def lacks(n):
        raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

    def fails(n):
        raise ValueError

    notes = "\n".join(executor.map(lacks, [1]).errors()[0].__notes__)
    words = f"pillow is 1.0 there and {HERE('pillow')} here; pandas is not there and {HERE('pandas')} here"
    assert f"Packages differ between here and there: {words}." in notes
    assert "differ" not in "\n".join(executor.map(fails, [1]).errors()[0].__notes__)


def test_a_value_that_cannot_be_unpickled_names_the_versions_too(executor):
    def value(n):
        class Unreadable:
            def __reduce__(self):
                return exec, ("raise ImportError('no such name')",)

        return Unreadable()

    with pytest.raises(wrenlite.RemoteError, match="cannot be unpickled here") as caught:
        executor.map(value, [1]).results()
    assert any("pillow is 1.0 there" in note for note in caught.value.__notes__)


def environment(text):
    return {"WRENLITE_SETUP": text}


def test_the_list_of_a_deployment():
    text = (
        '{"packages": ["numpy", "scipy>=1.10", "mine @ file:///m.whl"], '
        '"layer": ["numpy==2.4.6", "python_dateutil==2.9", "mine @ file:///m.whl"]}'
    )
    found = remote_packages("other", environment(text))
    assert found.versions == {"numpy": "2.4.6", "python-dateutil": "2.9", "mine": ""}
    assert found.with_packages(["pandas"]) == (
        "wrenlite-setup --function other --package 'scipy>=1.10' --package 'mine @ file:///m.whl' "
        "--without pillow --package pandas"
    )
    assert remote_packages("wrenlite", environment('{"packages": []}')).versions == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"packages": ["numpy"]}'])
def test_a_list_that_is_not_known_refuses_nothing(text):
    assert remote_packages("wrenlite", environment(text)) is None
    assert remote_packages("wrenlite", {}) is None
