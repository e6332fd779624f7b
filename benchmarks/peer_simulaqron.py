"""One run of the SDK's teleportation by SimulaQron, started by `python -m benchmarks teleport`.

Not a benchmark of ours: it runs in an environment of its own with `simulaqron` and `qutip<5`, in an
empty folder, and prints the seconds that it took. SimulaQron starts and ends its network for it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

ROLES = ("sender", "receiver")


def main() -> None:
    """Print a JSON number, and nothing else."""
    # A role that fails sends SIGINT to "all others", which are the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["NETQASM_SIMULATOR"] = "simulaqron"
    application = importlib.import_module("netqasm.runtime.application")
    formalism = importlib.import_module("netqasm.runtime.settings").Formalism
    run = importlib.import_module("simulaqron.run.run").run_applications
    examples = Path(str(importlib.import_module("netqasm").__file__)).parent / "examples" / "apps"
    network = Path("simulaqron_network.json")
    network.write_text(json.dumps(_network()), encoding="utf-8")
    began_s = time.monotonic()
    with contextlib.redirect_stdout(sys.stderr):
        instance = application.app_instance_from_path(str(examples / "teleport"))
        run(instance, num_rounds=1, network_cfg=network, formalism=formalism.DM)
    print(json.dumps(time.monotonic() - began_s), flush=True)


def _network() -> list[dict[str, object]]:
    """Its configuration, at free ports."""
    held = [socket.create_server(("localhost", 0)) for _ in range(3 * len(ROLES))]
    ports = iter([each.getsockname()[1] for each in held])
    for each in held:
        each.close()
    kinds = ("app_socket", "qnodeos_socket", "vnode_socket")
    nodes = [{role: {kind: ["localhost", next(ports)] for kind in kinds}} for role in ROLES]
    return [{"name": "default", "nodes": nodes, "topology": None}]


if __name__ == "__main__":
    main()
