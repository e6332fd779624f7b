"""Holds pairs with both others at a time, then measures them in X: charlie is asked first."""

from netqasm.sdk import EPRSocket
from netqasm.sdk.external import NetQASMConnection


def main(app_config=None, pairs=2):
    alice, bob = EPRSocket("alice"), EPRSocket("bob")
    with NetQASMConnection(
        app_config.app_name,
        log_config=app_config.log_config,
        epr_sockets=[alice, bob],
        max_qubits=2 * pairs,
    ) as node:
        first = bob.recv_keep(number=pairs)
        node.flush()
        second = alice.create_keep(number=pairs)
        node.flush()
        for half in first + second:
            half.H()
        outcomes = [[half.measure() for half in halves] for halves in (first, second)]
        node.flush()
    return {
        "bob": [int(each) for each in outcomes[0]],
        "alice": [int(each) for each in outcomes[1]],
    }
