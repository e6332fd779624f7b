"""Holds pairs with bob for a while, then measures them in X."""

import time

from netqasm.sdk import EPRSocket
from netqasm.sdk.external import NetQASMConnection


def main(app_config=None, rounds=1, pairs=6, hold_s=0.0):
    epr, found = EPRSocket("bob"), []
    with NetQASMConnection(
        app_config.app_name, log_config=app_config.log_config, epr_sockets=[epr], max_qubits=pairs
    ) as node:
        for _ in range(rounds):
            halves = epr.create_keep(number=pairs)
            node.flush()
            time.sleep(hold_s)
            for half in halves:
                half.H()
            outcomes = [half.measure() for half in halves]
            node.flush()
            found += map(int, outcomes)
    return {"found": found}
