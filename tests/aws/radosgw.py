"""A real S3 server on loopback: Ceph's radosgw with one monitor and one store in memory, without privileges.

It checks what moto only imitates: signatures, expiry, races of conditional puts, and policies. It needs
Debian's packages ceph-mon, ceph-osd, ceph-common and radosgw, which ``.ci/run`` installs.
"""

import contextlib
import shutil
import socket
import subprocess
import time
import uuid
from pathlib import Path

PROGRAMS = ("ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "radosgw", "radosgw-admin", "ceph")
_START_TIMEOUT_S = 60.0

_CONF = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]
public_addr = 127.0.0.1
public_network = 127.0.0.0/8
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 1073741824
run_dir = {run}
log_file = {run}/$name.log
admin_socket = {run}/$name.asok
pid_file = {run}/$name.pid
crash_dir = {run}
mon_data = {run}/mon
osd_data = {run}/osd
ms_bind_ipv6 = false
mon_data_avail_warn = 1
mon_data_avail_crit = 0
rgw_run_sync_thread = false
rgw_enable_usage_log = false
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_s3_auth_use_sts = true
rgw_sts_key = abcdefghijklmnop
[client]
rgw_data = {run}/rgw
keyring = {run}/keyring
[mon]
keyring = {run}/keyring
[osd]
keyring = {run}/osd/keyring
"""


def missing_programs() -> list[str]:
    """Return the names of the needed programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Radosgw:
    """A context manager that runs the server in a folder, and kills its processes at the end."""

    def __init__(self, folder: Path) -> None:
        self._run_folder = folder
        self._processes: list[subprocess.Popen] = []
        self.pids: set[int] = set()
        self.env: dict[str, str] = {}

    def __enter__(self) -> "Radosgw":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def _start(self) -> None:
        folder = self._run_folder
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        port, mon, mon_v1 = _free_ports(3)
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        conf = folder / "ceph.conf"
        conf.write_text(_CONF.format(fsid=fsid, mon=mon, mon_v1=mon_v1, run=folder, port=port))
        keyring, map_file = str(folder / "keyring"), str(folder / "monmap")
        with_conf = ("-c", str(conf))
        everything = ("--cap", "osd", "allow *", "--cap", "mgr", "allow *", "--cap", "mds", "allow *")
        self._run_program(
            "ceph-authtool", "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"
        )
        self._run_program(
            "ceph-authtool",
            keyring,
            "--gen-key",
            "-n",
            "client.admin",
            "--cap",
            "mon",
            "allow *",
            *everything,
        )
        addresses = f"[v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]"
        self._run_program("monmaptool", "--create", "--addv", "a", addresses, "--fsid", fsid, map_file)
        self._run_program(
            "ceph-mon", *with_conf, "--mkfs", "-i", "a", "--monmap", map_file, "--keyring", keyring
        )
        self._start_program("ceph-mon", *with_conf, "-i", "a", "-f")
        ceph = ("/usr/bin/python3", shutil.which("ceph") or "ceph", *with_conf, "--connect-timeout", "20")
        self._run_program(*ceph, "osd", "new", osd)
        osd_keyring = str(folder / "osd" / "keyring")
        self._run_program("ceph-authtool", "-C", osd_keyring, "--gen-key", "-n", "osd.0")
        self._run_program(
            *ceph, "-i", osd_keyring, "auth", "add", "osd.0", "osd", "allow *", "mon", "allow profile osd"
        )
        self._run_program("ceph-osd", *with_conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._start_program("ceph-osd", *with_conf, "-i", "0", "-f")
        self._run_program(*ceph, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=h", check=False)
        keys = ("--access-key=TESTKEY", "--secret-key=TESTSECRET", "--caps=roles=*")
        self._run_program(
            "radosgw-admin", *with_conf, "user", "create", "--uid=test", "--display-name=test", *keys
        )
        self._start_program("radosgw", *with_conf, "-n", "client.admin", "-f")
        _wait_for(port)
        url = f"http://127.0.0.1:{port}"
        self.env = {
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ENDPOINT_URL_STS": url,
            "AWS_ENDPOINT_URL_IAM": url,
            "AWS_ACCESS_KEY_ID": "TESTKEY",
            "AWS_SECRET_ACCESS_KEY": "TESTSECRET",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _run_program(self, *command: str, check: bool = True) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_START_TIMEOUT_S)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    def _start_program(self, *command: str) -> None:
        log = open(self._run_folder / f"{command[0]}.out", "wb")  # noqa: SIM115  # closed below
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._processes.append(process)
        self.pids.add(process.pid)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("radosgw does not listen")
