"""The memory of a machine, and of the control groups that a process is in."""

import pytest

from wrenlite.memory import Memory, MemoryReader

MB = 2**20
V2 = {
    "memory.max": f"{600 * MB}\n",
    "memory.current": f"{500 * MB}\n",
    "memory.stat": f"inactive_file {50 * MB}\n",
}
V1 = {
    "memory.limit_in_bytes": f"{600 * MB}\n",
    "memory.usage_in_bytes": f"{500 * MB}\n",
    "memory.stat": f"inactive_file 0\ntotal_inactive_file {50 * MB}\n",
}
UNLIMITED_V1 = V1 | {"memory.limit_in_bytes": "9223372036854771712\n"}
MACHINE, GROUP = Memory(4096 * MB, 1024 * MB), Memory(600 * MB, 150 * MB)


@pytest.fixture
def system(tmp_path):
    """A function that writes the files of a system, and reads its memory."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(groups="", folders=None):
        write("proc/meminfo", f"MemTotal: {4 << 20} kB\nMemFree: 5 kB\nMemAvailable: {1 << 20} kB\n")
        write("proc/self/cgroup", groups)
        for folder, files in (folders or {}).items():
            for name, text in files.items():
                write(f"sys/fs/cgroup/{folder}/{name}", text)
        return MemoryReader({"WRENLITE_SYSTEM_ROOT": str(tmp_path)}).read()

    return read


@pytest.mark.parametrize(
    ("groups", "folders", "expected"),
    [
        pytest.param("", {}, MACHINE, id="no groups"),
        pytest.param("0::/\n", {"": V2}, GROUP, id="version 2, as a container sees it"),
        pytest.param("0::/a/b\n", {"a/b": V2, "a": {}}, GROUP, id="its own group"),
        pytest.param("0::/a/b\n", {"a/b": {"cgroup.procs": ""}, "a": V2}, GROUP, id="a group around it"),
        pytest.param("0::/a\n", {"a": V2 | {"memory.max": "max\n"}}, MACHINE, id="without a limit"),
        pytest.param("0::/of/the/host\n", {"": V2}, GROUP, id="a group that is not visible"),
        pytest.param("4:cpu:/x\n3:memory:/a\n", {"memory/a": V1}, GROUP, id="version 1"),
        pytest.param("3:memory,hugetlb:/\n", {"memory": V1}, GROUP, id="version 1 in a container"),
        pytest.param("3:memory:/\n0::/\n", {"memory": UNLIMITED_V1}, MACHINE, id="version 1 without a limit"),
    ],
)
def test_memory_is_that_of_the_machine_or_less(system, groups, folders, expected):
    assert system(groups, folders) == expected


def test_a_system_that_does_not_tell_is_no_error(tmp_path):
    assert MemoryReader({"WRENLITE_SYSTEM_ROOT": str(tmp_path)}).read() is None


def test_a_group_that_is_over_its_limit_has_nothing_left(system):
    full = V2 | {"memory.current": f"{900 * MB}\n"}
    assert system("0::/\n", {"": full}) == Memory(600 * MB, 0)
