"""Holds pairs with both others at a time, then measures them in X: bob is asked first."""

from netqasm.sdk import EPRSocket
from netqasm.sdk.external import NetQASMConnection


def main(app_config=None, pairs=2):
    alice, charlie = EPRSocket("alice"), EPRSocket("charlie")
    with NetQASMConnection(
        app_config.app_name,
        log_config=app_config.log_config,
        epr_sockets=[alice, charlie],
        max_qubits=2 * pairs,
    ) as node:
        first = alice.recv_keep(number=pairs)
        node.flush()
        second = charlie.create_keep(number=pairs)
        node.flush()
        for half in first + second:
            half.H()
        outcomes = [[half.measure() for half in halves] for halves in (first, second)]
        node.flush()
    return {
        "alice": [int(each) for each in outcomes[0]],
        "charlie": [int(each) for each in outcomes[1]],
    }
