"""Plays the CHSH game again and again; tells bob nothing."""

import math
import random

from netqasm.sdk import EPRSocket
from netqasm.sdk.external import NetQASMConnection

PEER, ANGLES = "bob", (0.0, math.pi / 2)


def main(app_config=None, rounds=1, seed=1):
    rng, epr = random.Random(seed), EPRSocket(PEER)
    played = []
    with NetQASMConnection(
        app_config.app_name, log_config=app_config.log_config, epr_sockets=[epr]
    ) as node:
        for _ in range(rounds):
            asked = rng.randint(0, 1)
            half = epr.create_keep()[0]
            half.rot_Y(angle=-ANGLES[asked])
            answer = half.measure()
            node.flush()
            played.append((asked, int(answer)))
    return {"played": played}
