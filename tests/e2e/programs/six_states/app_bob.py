"""Corrects what arrives, turns it back, and finds 0 if it was the state that was sent."""

import math

from netqasm.sdk import EPRSocket
from netqasm.sdk.external import NetQASMConnection, Socket

STATES = [(0, 0), (0, math.pi), (0, math.pi / 2), (math.pi, math.pi / 2), (1.2, 0.7)]


def main(app_config=None, repeats=1):
    socket, epr = Socket("bob", "alice"), EPRSocket("alice")
    found = []
    with NetQASMConnection(
        app_config.app_name, log_config=app_config.log_config, epr_sockets=[epr]
    ) as bob:
        for _ in range(repeats):
            for phi, theta in STATES:
                half = epr.recv_keep()[0]
                bob.flush()
                x, z = map(int, socket.recv().split())
                if x:
                    half.X()
                if z:
                    half.Z()
                half.rot_Z(angle=-phi)
                half.rot_Y(angle=-theta)
                outcome = half.measure()
                bob.flush()
                found.append(int(outcome))
    return {"wrong": sum(found), "received": len(found)}
