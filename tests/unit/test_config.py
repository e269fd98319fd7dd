import inspect
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import wrenlite
from wrenlite.config import Config, parse_size
from wrenlite.errors import ConfigError


def load(tmp_path, text="", environ=None, **given):
    file = tmp_path / "config.toml"
    file.write_text(text)
    return Config.load({"WRENLITE_CONFIG": str(file), **(environ or {})}, **given)


def test_arguments_over_environment_over_file_over_defaults(tmp_path):
    text = 'workers = 3\nmemory_limit = "1GB"\nprogress = false'
    environ = {"WRENLITE_WORKERS": "4", "WRENLITE_PROGRESS": "auto"}
    assert load(tmp_path) == Config()
    assert load(tmp_path, text) == Config(workers=3, memory_limit=2**30, progress=False)
    assert load(tmp_path, text, environ) == Config(workers=4, memory_limit=2**30, progress="auto")
    assert load(tmp_path, text, environ, workers=5).workers == 5


@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        ("workerz = 3", {}, "no setting 'workerz'"),
        ("workers = 0", {}, r"config\.toml: workers = 0: must be a whole number from 1"),
        ("workers = [", {}, "cannot read"),
        ("", {"WRENLITE_WORKERS": "many"}, "^WRENLITE_WORKERS='many': must be a whole number"),
        ("", {"WRENLITE_BACKEND": "cloud"}, "^WRENLITE_BACKEND='cloud': must be local or inline"),
        ("", {"WRENLITE_MEMORY_LIMIT": "-1"}, "^WRENLITE_MEMORY_LIMIT='-1': must be a number of bytes"),
        ("", {"WRENLITE_PROGRESS": "maybe"}, "must be auto, true or false"),
    ],
)
def test_an_invalid_setting_is_named(tmp_path, text, environ, words):
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, text, environ)


def test_a_settings_file_that_the_environment_names_must_exist(tmp_path):
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match=f"^WRENLITE_CONFIG={missing}: there is no such file"):
        Config.load({"WRENLITE_CONFIG": str(missing)})
    assert Config.load({"WRENLITE_CONFIG": ""}) == Config()
    assert Config.load({"XDG_CONFIG_HOME": str(tmp_path)}) == Config(), "the usual file may be missing"


@pytest.mark.parametrize("workers", [0, "many", 1.5, float("inf"), True, [3]])
def test_an_invalid_argument_is_named(tmp_path, workers):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, workers=workers)
    assert (
        str(caught.value)
        == f"workers={workers!r}: must be a whole number from 1; without it there is one per core"
    )


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), (512, 512), ("2GB", 2**31), ("1.5 GiB", 3 * 2**29), ("10k", 10240)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


def test_the_environment_chooses_the_backend(monkeypatch):
    monkeypatch.setenv("WRENLITE_BACKEND", "inline")
    with wrenlite.Executor() as executor:
        assert executor.backend.name == "the calling thread"
    monkeypatch.setenv("WRENLITE_BACKEND", "local")
    monkeypatch.setenv("WRENLITE_WORKERS", "3")
    with wrenlite.Executor() as executor:
        assert executor.backend.name == "3 local workers"


SETTINGS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def rows_of_settings():
    """Yield what each row says: the executors that take it, its name, its variable and its default."""
    for text in SETTINGS.split("\n### ")[1:]:
        makers = set(re.findall(r"^`Executor\.(\w+)` has arguments of the same names", text, re.MULTILINE))
        for row in re.findall(r"^\| `(\w+)`<br>`(\w+)` \| (.*?) \|", text, re.MULTILINE):
            yield makers, *row


def test_the_page_of_settings_has_each_one_with_its_variable_arguments_and_default():
    default_of = {field.name: field.default for field in fields(Config)}
    assert {name for _, name, _, _ in rows_of_settings()} == set(default_of)
    methods = {"local": wrenlite.Executor.local, "aws": wrenlite.Executor.aws}
    for makers, name, variable, default in rows_of_settings():
        assert variable == f"WRENLITE_{name.upper()}"
        takers = {key for key, method in methods.items() if name in inspect.signature(method).parameters}
        assert takers - makers in (set(), set(methods)), "progress= is an argument of every executor"
        assert makers <= takers
        known = default_of[name]
        assert default == f"`{known}`" if known is not None else not default.startswith("`")


def test_the_example_of_a_settings_file_has_each_setting(tmp_path):
    (text,) = re.findall(r"^```toml\n(.*?)^```", SETTINGS, re.MULTILINE | re.DOTALL)
    assert set(tomllib.loads(text)) == {field.name for field in fields(Config)}
    assert load(tmp_path, text).memory_limit == 2**31
