"""The function of a published job: which one a text names, and what is refused."""

import sys

import pytest

import wrenlite
from wrenlite.serving import code
from wrenlite.storage.base import digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with modules, which are forgotten after the test."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(
        "from . import prices\nclass Till:\n  def open(self): pass\n"
    )
    (tmp_path / "shop" / "prices.py").write_text("TAX = 2\ndef total(n: int): return n * TAX\n")
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "broken", "wrong")]:
        del sys.modules[name]


def test_a_function_is_found_in_the_working_folder(folder):
    assert code.find_function("shop.prices:total")(3) == 6
    assert code.find_function("shop:prices.total")(3) == 6
    assert code.find_function(" os.path:join ")("a", "b") == "a/b"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shop", "MODULE:FUNCTION"),
        ("", "MODULE:FUNCTION"),
        (":f", "MODULE:FUNCTION"),
        ("shop:", "MODULE:FUNCTION"),
        ("shop/prices.py:total", "such as prices:total"),
        ("prices.py:total", "such as prices:total"),
        ("shopp:total", "no module 'shopp'"),
        ("shop.price:total", "no module 'shop.price'"),
        ("broken:f", "No module named 'no_such_module_at_all'"),
        ("wrong:f", "ZeroDivisionError"),
        ("shop.prices:totel", "has no 'totel'"),
        ("shop.prices:TAX", "no function, but of type int"),
        ("shop:f(1)", "MODULE:FUNCTION"),
    ],
)
def test_what_names_no_function_is_refused(folder, target, words):
    with pytest.raises(wrenlite.ConfigError, match=words.replace("(", r"\(")):
        code.find_function(target)


def test_code_is_the_same_bytes_each_time_and_has_the_local_modules(folder):
    function = code.find_function("shop.prices:total")
    first, second = code.pack(function), code.pack(function)
    assert first == second
    assert first.digests == (digest(first.function), digest(first.modules))
    (folder / "shop" / "prices.py").write_text("TAX = 3\ndef total(n: int): return n * TAX\n")
    assert code.pack(function).digests[1] != first.digests[1]
    assert code.pack(len).digests[1] == ""
    assert code.target_of(function) == "shop.prices:total"


def test_a_function_that_cannot_be_sent_is_refused(folder):
    lock = __import__("threading").Lock()
    with pytest.raises(wrenlite.FunctionNotPicklable, match="lock"):
        code.pack(lambda event: lock)
