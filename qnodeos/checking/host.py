"""What this computer lacks for being a rack PC, and what helps. Nothing is changed."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from qnodeos.checking.findings import Finding

LEAST_FILES = 4096
LEAST_DISK_BYTES = 5_000_000_000
LEAST_MEMORY_BYTES = 500_000_000
FOR_DEVELOPERS = {"test", "peers", "docs"}

_STA_UNSYNC = 0x40
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


def programs() -> Iterator[Finding]:
    """Versions of what a node runs on, and which optional parts are there."""
    import nacl
    import numpy

    yield Finding("ok", "qnodeos", f"{version('qnodeos')} on Python {platform.python_version()}")
    yield Finding("ok", "system", f"{platform.platform()}, {os.cpu_count()} cores")
    yield Finding("ok", "numpy", numpy.__version__)
    yield Finding("ok", "cryptography", f"libsodium by PyNaCl {nacl.__version__}")
    yield kernels()
    yield from extras(requires("qnodeos") or [])


def kernels() -> Finding:
    """Which instructions the compiled kernels take."""
    try:
        from cext import coincidence  # noqa: F401
        from cext.paths import NAMES, VARIABLE, available_paths, path_level
    except ImportError as error:
        do = "install the wheel of this Python, or in a checkout: pip install -e ."
        return Finding("wrong", "kernels", f"cannot be loaded: {error}", do)
    there, taken = available_paths(), NAMES[path_level(None)]
    found = f"{taken}, of {', '.join(there)}"
    if os.environ.get(VARIABLE):
        do = f"{VARIABLE}={os.environ[VARIABLE]} is set; unset it for the fastest"
        return Finding("note", "kernels", found, do if taken != there[-1] else "")
    return Finding("ok", "kernels", found)


def extras(requirements: list[str]) -> Iterator[Finding]:
    """Of each extra in the metadata, whether all its packages are here."""
    missing: dict[str, list[str]] = {}
    for requirement in requirements:
        package, _, marker = requirement.partition(";")
        told = _EXTRA.search(marker)
        if told is None:
            continue
        extra = told[1]
        if extra in FOR_DEVELOPERS:
            continue
        name = package.split("[")[0].rstrip("0123456789.=<>!~*, ")
        lacks = missing.setdefault(extra, [])
        try:
            version(name)
        except PackageNotFoundError:
            lacks.append(name)
    for extra, lacks in missing.items():
        if lacks:
            do = f"if you need it: pip install 'qnodeos[{extra}]'"
            yield Finding("note", f"extra {extra}", f"not here: {', '.join(lacks)}", do)
        else:
            yield Finding("ok", f"extra {extra}", "is here")


def limits() -> Iterator[Finding]:
    """Open files, disk, memory, load, and how the processor saves power."""
    yield open_files()
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 1e9:.0f} GB are free in {Path.cwd()}"
    if free < LEAST_DISK_BYTES:
        do = "tags at 1 Mcps fill about 50 GB a day; make room, or give another data_dir"
        yield Finding("note", "disk", found, do)
    else:
        yield Finding("ok", "disk", found)
    yield from memory(Path("/proc/meminfo"))
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = load > cores
    do = "a herald waits for a core: stop what else runs, `top` shows it" if busy else ""
    yield Finding("note" if busy else "ok", "load", f"{load:.1f} on {cores} cores", do)
    yield from governor(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))


def open_files() -> Finding:
    """How many files and connections this user's programs may have open."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (resource.RLIM_INFINITY, -1) or soft >= LEAST_FILES:
        return Finding("ok", "open files", f"up to {soft}")
    do = f"ulimit -n {LEAST_FILES}, or LimitNOFILE= of the unit, as packaging/systemd has it"
    return Finding("note", "open files", f"up to {soft}", do)


def memory(meminfo: Path) -> Iterator[Finding]:
    """What is free, from the kernel's own table; nothing where there is none."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return
    table = {line.split(":")[0]: line.split(":")[1].split() for line in lines if ":" in line}
    if "MemAvailable" not in table:
        return
    free = 1024 * int(table["MemAvailable"][0])
    few = free < LEAST_MEMORY_BYTES
    do = "a node takes about 200 MB, more while it finds a clock; stop what else runs"
    yield Finding("note" if few else "ok", "memory", f"{free / 1e9:.1f} GB are free", do * few)


def governor(file: Path) -> Iterator[Finding]:
    """A core that has slept is late for the first herald."""
    try:
        mode = file.read_text().strip()
    except OSError:
        return
    if mode == "powersave":
        do = "sudo cpupower frequency-set -g performance"
        yield Finding("note", "processor", "saves power: a herald may wait for it to wake", do)
    else:
        yield Finding("ok", "processor", f"governor {mode}")


class _Timex(ctypes.Structure):
    # The head of the kernel's struct timex is what is read; the rest leaves it room.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def time_sync() -> Iterator[Finding]:
    """Is the host's clock kept by NTP or PTP, asked of the kernel; nothing but on Linux."""
    if platform.system() != "Linux":
        return
    read = _Timex()
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    if libc.adjtimex(ctypes.byref(read)) < 0:
        yield Finding("note", "time", f"cannot be asked: {os.strerror(ctypes.get_errno())}")
        return
    yield synchronised(bool(read.status & _STA_UNSYNC), read.maxerror * 1e-6)


def synchronised(free_running: bool, largest_error_s: float) -> Finding:
    """What the kernel says of its clock. Photons tell the picoseconds, the host the second."""
    if free_running:
        do = "apt-get install chrony, or timedatectl set-ntp true; journals and slots need it"
        return Finding("note", "time", "the host's clock runs free: nobody keeps it", do)
    return Finding("ok", "time", f"kept by NTP or PTP, to {1e3 * largest_error_s:.1f} ms at worst")
