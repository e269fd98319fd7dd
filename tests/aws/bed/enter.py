"""Run a program on a disk of its own: it sees what a plan names, and nothing else of this machine's disk.

Usage: python -I -S enter.py PLAN PROGRAM [ARGUMENT...]

PLAN is JSON: ``root``, an empty folder on which the disk is made; ``read_only`` and ``writable``, lists of
pairs of where the program sees a folder, and where it is; ``tmp_mb``, the size of ``/tmp``.

The disk has no ``/dev/shm``. It is made in a mount namespace, which ends with the program. Where this is not
root, a user namespace allows that.
"""

import ctypes
import json
import os
import sys

_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE, _RELATIME = 1, 32, 4096, 16384, 1 << 18, 1 << 21  # <sys/mount.h>
_KEPT = 2 | 4 | 8 | 1024 | 2048  # nosuid, nodev, noexec, noatime, nodiratime: a user namespace must keep them
_NEWNS, _NEWUSER = 0x20000, 0x10000000
_ST_RELATIME = 4096
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/etc")
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def main(plan, *program):
    """Make the disk of a plan, and run the program there in place of this one."""
    plan = json.loads(plan)
    root = plan["root"]
    unshare()
    mount(None, "/", _REC | _PRIVATE)
    mount("tmpfs", root, 0, "tmpfs", "size=1m,mode=755")
    for place in _SYSTEM:
        if os.path.islink(place):
            os.symlink(os.readlink(place), root + place)
        elif os.path.isdir(place):
            bind(place, root + place)
    os.mkdir(f"{root}/proc")
    mount("/proc", f"{root}/proc", _BIND | _REC)
    os.mkdir(f"{root}/dev")
    for device in _DEVICES:
        open(f"{root}/dev/{device}", "w").close()
        mount(f"/dev/{device}", f"{root}/dev/{device}", _BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{root}/dev/{name}")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    os.mkdir(f"{root}/tmp")
    mount("tmpfs", f"{root}/tmp", 0, "tmpfs", f"size={plan['tmp_mb']}m,mode=1777")
    for place, folder in plan["read_only"]:
        bind(folder, root + place)
    for place, folder in plan["writable"]:
        os.makedirs(root + place, exist_ok=True)
        mount(folder, root + place, _BIND)
    mount(None, root, _REMOUNT | _RDONLY | _BIND)
    os.chroot(root)
    os.chdir("/")
    os.execv(program[0], program)


def unshare():
    """Enter a new mount namespace, within a new user namespace if this is not root."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _check(_libc.unshare(_NEWNS), "unshare")
        return
    _check(_libc.unshare(_NEWNS | _NEWUSER), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def bind(folder, place):
    """Show a folder at another place, to be read only."""
    os.makedirs(place, exist_ok=True)
    mount(folder, place, _BIND)
    flags = os.statvfs(place).f_flag
    kept = flags & _KEPT | (_RELATIME if flags & _ST_RELATIME else 0)
    mount(None, place, _REMOUNT | _BIND | _RDONLY | kept)


def mount(source, place, flags, kind=None, options=None):
    """Call the kernel's mount."""
    texts = [None if text is None else os.fsencode(text) for text in (source, place, kind, options)]
    _check(_libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]), f"mount {place}")


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
