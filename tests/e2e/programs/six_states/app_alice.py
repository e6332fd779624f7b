"""Teleports the six cardinal states, and some others, to bob."""

import math

from netqasm.sdk import EPRSocket, Qubit
from netqasm.sdk.external import NetQASMConnection, Socket
from netqasm.sdk.toolbox import set_qubit_state

STATES = [(0, 0), (0, math.pi), (0, math.pi / 2), (math.pi, math.pi / 2), (1.2, 0.7)]


def main(app_config=None, repeats=1):
    socket, epr = Socket("alice", "bob"), EPRSocket("bob")
    with NetQASMConnection(
        app_config.app_name, log_config=app_config.log_config, epr_sockets=[epr]
    ) as alice:
        for _ in range(repeats):
            for phi, theta in STATES:
                data = Qubit(alice)
                set_qubit_state(data, phi, theta)
                half = epr.create_keep()[0]
                data.cnot(half)
                data.H()
                z, x = data.measure(), half.measure()
                alice.flush()
                socket.send(f"{int(x)} {int(z)}")
    return {"sent": repeats * len(STATES)}
