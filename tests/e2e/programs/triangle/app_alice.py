"""Holds pairs with both others at a time, then measures them in X: alice begins."""

from netqasm.sdk import EPRSocket
from netqasm.sdk.external import NetQASMConnection


def main(app_config=None, pairs=2):
    bob, charlie = EPRSocket("bob"), EPRSocket("charlie")
    with NetQASMConnection(
        app_config.app_name,
        log_config=app_config.log_config,
        epr_sockets=[bob, charlie],
        max_qubits=2 * pairs,
    ) as node:
        first = bob.create_keep(number=pairs)
        node.flush()
        second = charlie.recv_keep(number=pairs)
        node.flush()
        for half in first + second:
            half.H()
        outcomes = [[half.measure() for half in halves] for halves in (first, second)]
        node.flush()
    return {
        "bob": [int(each) for each in outcomes[0]],
        "charlie": [int(each) for each in outcomes[1]],
    }
