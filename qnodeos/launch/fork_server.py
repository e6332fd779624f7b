"""A process that has imported the SDK, of which roles are forked in a moment.

To import the SDK takes some 0.4 s of a processor, and each role of each run needs it. Orders come
as lines of JSON on standard input, `{"id", "spec", "log", "folder"}` to start a role and
`{"id", "signal"}` to end it; the ends of roles go out as `{"id", "status"}`. When the input ends,
however it ends, all roles are killed: none outlives its launcher.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
from typing import Any

PRELOADED = ("netqasm.sdk", "netqasm.sdk.toolbox", "netqasm.runtime.app_config")
"""What programs import of the SDK, and `qnodeos.launch.sdk` with it."""


def serve() -> str:
    """Fork roles as told. Returns "" when the input ends and, in a role's own process, the file
    with its spec: that process goes on as if it had been started for it."""
    os.environ["NETQASM_SIMULATOR"] = "debug"  # the default imports a simulator
    for name in (*PRELOADED, "qnodeos.launch.sdk"):
        importlib.import_module(name)
    gc.freeze()  # a role that ends looks for garbage, which copies all pages that it looks at
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launcher, who ends us
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    roles: dict[int, int] = {}  # process id: id of the launcher's
    said = b""
    _tell({"ready": True})
    try:
        while True:
            ready, _, _ = select.select([sys.stdin.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                _tell_ended(roles)
            if sys.stdin.fileno() not in ready:
                continue
            data = os.read(sys.stdin.fileno(), 65536)
            if not data:
                return ""
            *orders, said = (said + data).split(b"\n")
            for order in map(json.loads, orders):
                if "signal" in order:
                    _send(roles, order)
                    continue
                pid = os.fork()
                if pid == 0:
                    roles.clear()
                    _become_role(order, (woken, wake))
                    return str(order["spec"])
                roles[pid] = order["id"]
    finally:
        for pid in roles:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _tell(what: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


def _tell_ended(roles: dict[int, int]) -> None:
    """Reap and tell. A process id is ours until it is reaped, so that no signal goes astray."""
    while roles:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _tell({"id": roles.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def _send(roles: dict[int, int], order: dict[str, Any]) -> None:
    for pid, number in roles.items():
        if number == order["id"]:
            os.kill(pid, order["signal"])


def _become_role(order: dict[str, Any], ours: tuple[int, int]) -> None:
    """A process like one that was started for this role: nothing is left of the server's."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in ours:
        os.close(each)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    os.chdir(order["folder"])
    if "numpy" in sys.modules:  # `random` sees to itself; all roles would draw the same
        sys.modules["numpy"].random.seed()


if __name__ == "__main__":
    spec_file = serve()
    if spec_file:
        from qnodeos.launch.role import main

        sys.argv = ["qnodeos.launch.role", spec_file]
        main(spec_file)
