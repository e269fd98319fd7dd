"""The digest of a call: the same for the same program, in any process, and another one after any change."""

import dataclasses
import json
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

import wrenlite
from tests.unit.memo.enemies import ENEMIES, READER, READERS
from tests.unit.memo.program import CHANGES, SAME, digest, digests, running, write
from wrenlite.backends.packages import RemotePackages
from wrenlite.errors import NotDigestible
from wrenlite.memo.digest import Items, changed_parts, digest_of_call
from wrenlite.memo.packages import versions_where_tasks_run
from wrenlite.protocol import Style
from wrenlite.seeding import Seed
from wrenlite.storage import refs

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def base_and_changed(tmp_path_factory):
    """The digest of the program, and those after each change."""
    base, *changed = digests(tmp_path_factory.mktemp("base"), [(), *([edit] for edit in CHANGES)])
    return base, changed


@pytest.fixture
def base(base_and_changed):
    return base_and_changed[0]


def changed(old, new):
    """Return what changed, as a user reads it."""
    return [f"{each.kind} {each.name}".strip() for each in changed_parts(old.parts, new.parts)]


def test_every_change_gives_another_digest(base_and_changed):
    base, found = base_and_changed
    by_digest = {base.hex: "no change"}
    for edit, each in zip(CHANGES, found, strict=True):
        assert each.hex not in by_digest, (edit, by_digest[each.hex])
        by_digest[each.hex] = edit


def test_what_has_no_effect_gives_the_same_digest(base, tmp_path):
    for edit, each in zip(SAME, digests(tmp_path, [[edit] for edit in SAME]), strict=True):
        assert each.hex == base.hex, (edit, changed(base, each))


def test_another_process_with_another_hash_seed_in_another_folder_gives_the_same_digest(
    base_and_changed, tmp_path
):
    program = (
        "import json, sys; from tests.unit.memo.program import CHANGES, digests\n"
        "print(json.dumps([each.hex for each in digests(sys.argv[1], [(), *([edit] for edit in CHANGES)])]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "there")]
    environment = {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    base, found = base_and_changed
    assert json.loads(output.splitlines()[-1]) == [base.hex, *(each.hex for each in found)]


@pytest.mark.parametrize(("before", "after"), ENEMIES.values(), ids=ENEMIES)
def test_a_change_that_is_hard_to_see_gives_another_digest(before, after, tmp_path):
    write(tmp_path, files=before)
    first, again = digest(tmp_path), digest(tmp_path)
    assert first.hex == again.hex, changed(first, again)
    write(tmp_path, files=after)
    assert digest(tmp_path).hex != first.hex


def test_parts_that_changed_are_named_as_the_user_knows_them(base, tmp_path):
    edits = [
        ("main.py", "SCALE = 3", "SCALE = 4"),
        ("main.py", "x**power", "x*power"),
        ("geo.py", "x * x + 32", "x * x"),
        ("shapes.py", "SIDES = 43", "SIDES = 44"),
        ("tools/table.csv", "61", "62"),
    ]
    new = digests(tmp_path, [edits])[0]
    names = ["helper geo._square", "helper inner", "class shapes.Corner", "constant SCALE"]
    assert changed(base, new) == [*names, "files beside geo", "files of tools"]
    scale = next(each for each in changed_parts(base.parts, new.parts) if each.name == "SCALE")
    assert (scale.before, scale.after) == ("3", "4")


CALL = partial(digest_of_call, lambda x, factor=2: x * factor, python="3.11")


@pytest.mark.parametrize(
    "options",
    [
        {"python": "3.12"},
        {"args": (3,)},
        {"args": (3.0,)},
        {"args": (True,)},
        {"kwargs": {"factor": 3}},
        {"style": Style.STAR},
        {"seed": Seed(1, True)},
        {"seed": Seed(2, True)},
        {"seed": Seed(1, False)},
        {"env": {"A": "1"}},
        {"env": {"A": "2"}},
        {"env": {"B": "1"}},
        {"initializer": (print, (1,))},
        {"modules": ["tests.unit.memo.enemies"]},
    ],
)
def test_all_that_a_call_is_made_with_counts(options):
    every = [CALL(), CALL(args=(1,)), CALL(kwargs={"factor": 1}), CALL(env={"A": "3"})]
    assert CALL(**options).hex not in {each.hex for each in every}
    assert CALL(**options).hex == CALL(**options).hex


@pytest.mark.parametrize("text", READERS.values(), ids=READERS)
def test_the_environment_counts_where_code_may_read_it(text, tmp_path, monkeypatch):
    write(tmp_path, files={"main.py": text, "geo.py": READER})
    found = []
    for value in ("1", "2"):
        monkeypatch.setenv("MODE_OF_TEST", value)
        monkeypatch.setenv("SSH_TTY", value)
        found.append(digest(tmp_path))
    assert changed(*found) == ["env MODE_OF_TEST"]
    there = [digest(tmp_path, environments=[{}, {"MODE_OF_TEST": each}]) for each in "34"]
    assert changed(*there) == ["env MODE_OF_TEST"]


def test_a_variable_of_one_terminal_counts_where_code_names_it(tmp_path, monkeypatch):
    write(tmp_path, files={"main.py": "import os\n\n\ndef f(x):\n    return os.getenv('SSH_TTY')\n"})
    found = []
    for value in ("1", "2"):
        monkeypatch.setenv("SSH_TTY", value)
        found.append(digest(tmp_path))
    assert changed(*found) == ["env SSH_TTY"]


def test_the_environment_does_not_count_where_no_code_reads_it(base, tmp_path, monkeypatch):
    monkeypatch.setenv("MODE_OF_TEST", "1")
    write(tmp_path)
    assert digest(tmp_path).hex == base.hex


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("runpy.run_path('a.py')", "may load code from a file whose path it computes"),
        (
            "sys.path.append('lib')\n    import not_here",
            "imports not_here, which is not found here, and may change",
        ),
    ],
)
def test_code_from_a_place_that_is_not_known_is_refused(body, reason, tmp_path):
    write(tmp_path, files={"main.py": f"import runpy, sys\n\n\ndef f(x):\n    {body}\n"})
    with pytest.raises(NotDigestible, match=f"^the function has no digest: it {reason}"):
        digest(tmp_path)


def test_a_module_that_was_edited_meanwhile_is_noticed(tmp_path):
    files = {"main.py": "import geo\n\n\ndef f(x):\n    return geo.a\n", "geo.py": "a = 1\n"}
    write(tmp_path, files=files)
    with running(tmp_path) as variables:
        call = digest_of_call(variables["f"], python="3")
        assert call.is_current()
        write(tmp_path, files={"geo.py": "a = 200\n"})
        assert not call.is_current()


# Packages


def install(folder, name, version, requires=(), record="", direct=False):
    """Make a package that looks as if it were installed."""
    site = Path(folder, "site-packages")
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    (info / "top_level.txt").write_text(name)
    (info / "RECORD").write_text(f"{name}.py,,\n{record}")
    if direct:
        (info / "direct_url.json").write_text("{}")
    (site / f"{name}.py").write_text("def a(x):\n    return x\n")
    return str(site)


@pytest.fixture
def parts_with_packages(tmp_path, monkeypatch):
    """A function that installs packages, and returns the parts of a program that imports one of them."""
    write(tmp_path, files={"main.py": "import pack_a\n\n\ndef f(x):\n    return pack_a.a(x)\n"})

    def parts(*packages, versions=None):
        for number, each in enumerate(packages):
            site = install(tmp_path / str(len(list(tmp_path.iterdir()))), *each)
            monkeypatch.syspath_prepend(site)
            assert number < len(packages)
        return digest(tmp_path, versions=versions).parts

    return parts


def test_versions_of_packages_and_of_all_that_they_require_count(parts_with_packages):
    needs = ["pack_b>=1", "pack_d; extra == 'fast'", "pack_e; extra == 'test'"]
    first = parts_with_packages(
        ("pack_a", "1.0", needs),
        ("pack_b", "2.0", ["pack_c"]),
        ("pack_c", "3.0"),
        ("pack_d", "4.0"),
        ("pack_e", "5.0"),
    )
    found = {name: version for name, version in first.items() if name.startswith("package ")}
    wanted = {
        "package pack-a": "1.0",
        "package pack-b": "2.0",
        "package pack-c": "3.0",
        "package pack-d": "4.0",
    }
    assert found == wanted
    assert parts_with_packages(("pack_c", "3.1"))["package pack-c"] == "3.1"


def test_the_files_of_a_package_that_came_from_no_index_count(parts_with_packages):
    first = parts_with_packages(("pack_a", "1.0", [], "sha256=1", True))
    assert parts_with_packages(("pack_a", "1.0", [], "sha256=2", True)) != first


def test_the_versions_where_tasks_run_count(parts_with_packages):
    packages = ("pack_a", "1.0", ["pack_b"]), ("pack_b", "2.0")
    parts = parts_with_packages(*packages, versions={"pack-a": "7.0", "pack-b": "8.0"})
    assert (parts["package pack-a"], parts["package pack-b"]) == ("7.0", "8.0")
    assert parts_with_packages(versions={})["package pack-a"] == "not installed"
    with pytest.raises(
        NotDigestible, match=r"which version of pack-a tasks get is not known.* --package pack-a"
    ):
        parts_with_packages(versions={"pack-a": ""})


def test_a_module_that_is_only_where_tasks_run_brings_in_all_versions_there(tmp_path):
    write(tmp_path, files={"main.py": "def f(x):\n    import only_there\n\n    return only_there.a(x)\n"})
    here, there = digest(tmp_path), [digest(tmp_path, versions={"only": each}) for each in "12"]
    assert changed(here, there[0]) == changed(*there) == ["packages"]


def test_versions_elsewhere_are_unknown_unless_the_backend_knows_them():
    with wrenlite.Executor.inline() as executor:
        here = executor._submission._backend
    assert versions_where_tasks_run(here) is None
    known = RemotePackages({"numpy": "2.0"}, frozenset({"boto3"}), "")
    elsewhere = dataclasses.replace(here, shares_files=False, packages=known)
    assert versions_where_tasks_run(elsewhere) == {"numpy": "2.0", "boto3": ""}
    unknown = versions_where_tasks_run(dataclasses.replace(elsewhere, packages=None))
    assert unknown is not None
    assert unknown.get("numpy", "missing") == ""


# Items


def make_class():
    class Point:
        def __init__(self, x):
            self.x = x

        def norm(self):
            return abs(self.x)

    return Point


Point = make_class()


def test_items_and_their_classes_count():
    items = Items(CALL())
    values = [1, True, 1.0, "1", b"1", None, (1,), [1], {1: 1}, Point(1), Point(2), Point, print]
    assert len({items.digest_of(each) for each in values}) == len(values)
    assert Items(CALL()).digest_of(Point(1)) == items.digest_of(Point(1))
    assert Items(CALL(args=(1,))).digest_of(1) != items.digest_of(1)


def test_the_class_of_an_item_counts_by_its_definition(tmp_path):
    text = "class A:\n    def b(self):\n        return c()\n\ndef c():\n    return 1\n"
    found = []
    for number, edited in enumerate(
        (text, text.replace("return 1", "return 2"), text.replace("class", "\nclass"))
    ):
        write(tmp_path / str(number), files={"main.py": edited})
        with running(tmp_path / str(number)) as variables:
            found.append(Items(CALL()).digest_of(variables["A"]()))
    assert found[0] == found[2] != found[1]


def test_the_number_of_a_task_counts_only_with_a_seed():
    assert Items(CALL()).digest_of(1, 5) == Items(CALL()).digest_of(1, 6)
    seeded = Items(CALL(seed=Seed(1, True)))
    assert seeded.digest_of(1, 5) != seeded.digest_of(1, 6)


def test_refs_count_by_their_content():
    items = Items(CALL())
    first, same, other = (refs.pack(each).ref for each in ([1], [1], [2]))
    assert items.digest_of(first) == items.digest_of(same) != items.digest_of(other)
    with pytest.raises(NotDigestible, match=r"item 3\[0\] has no digest.*executor.put"):
        items.digest_of([refs.Ref(first._value)], 3)


def test_a_name_in_the_text_of_an_item_counts_where_it_names_something_that_did_not_count(tmp_path):
    files = {
        "main.py": "import geo\n\n\ndef f(x):\n    return geo\n",
        "geo.py": "def hidden():\n    return 1\n",
    }
    found = []
    for number in (1, 2):
        write(tmp_path, files=files | {"geo.py": files["geo.py"].replace("1", str(number))})
        with running(tmp_path) as variables:
            items = Items(digest_of_call(variables["f"], python="3"))
            found.append([items.digest_of(each) for each in ("geo.hidden", {"a": ["hidden"]}, "hid", 1)])
    assert [one == other for one, other in zip(*found, strict=True)] == [False, False, True, True]


def test_modules_that_are_passed_count_as_a_whole(tmp_path):
    files = {"main.py": "def f(x):\n    return x\n", "geo.py": "def hidden():\n    return 1\n"}
    write(tmp_path, files=files)
    first = digest(tmp_path, modules=["geo"])
    write(tmp_path, files=files | {"geo.py": "def hidden():\n    return 2\n"})
    assert changed(first, digest(tmp_path, modules=["geo"])) == ["helper geo.hidden"]


def test_what_has_no_digest_is_named():
    items = Items(CALL())
    point = Point({"lock": threading.Lock()})
    with pytest.raises(
        NotDigestible, match=r"^item 7\[1\]\.x\['lock'\] has no digest: .*lock.*\. Make it inside"
    ):
        items.digest_of([0, point], 7)
    with pytest.raises(NotDigestible, match=r"^args\[0\] has no digest"):
        CALL(args=(threading.Lock(),))
    with (
        wrenlite.Executor.inline() as executor,
        pytest.raises(NotDigestible, match=r"^item 0.*Pass job.results"),
    ):
        items.digest_of(executor.submit(abs, 1))
    lock = threading.Lock()
    with pytest.raises(NotDigestible, match="lock"):
        digest_of_call(lambda x: lock, python="3")
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(NotDigestible, match="too deeply"):
        items.digest_of(nested)
