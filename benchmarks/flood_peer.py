"""A peer, or a stranger, that sends as much as it can, in a process of its own.

    python -m benchmarks.flood_peer KIND SECONDS ADDRESS SECRET_KEY_FILE PUBLIC_KEY_FILE

ADDRESS and PUBLIC_KEY_FILE are the node's that is flooded. KIND: `messages`, `large`, `malformed`,
`restarts`; `handshakes`: connections that are refused, one after the other; `idle`: TCP connections
that say nothing. It leaves without a word.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zmq

from qnodeos.envelope import HEARTBEAT, MAX_MESSAGE_BYTES, PROTOCOL_VERSION, Envelope
from qnodeos.keys import KeyPair, load_key_pair, load_public_key

AGAIN_MS = 250
IDLE = 400


def envelopes(kind: str) -> Iterator[bytes]:
    """What to send, without end."""
    rng, number = random.Random(28), 0
    body = {"messages": HEARTBEAT, "large": msgspec.msgpack.encode(bytes(MAX_MESSAGE_BYTES - 64))}
    while True:
        number += 1
        if kind == "malformed":
            yield rng.randbytes(40)
        elif kind == "restarts":
            yield _envelope(rng.getrandbits(62), 1, HEARTBEAT)
        else:
            yield _envelope(1, number, body[kind])


def _envelope(boot: int, number: int, body: bytes) -> bytes:
    return msgspec.msgpack.encode(Envelope(PROTOCOL_VERSION, boot, number, msgspec.Raw(body)))


def dealer(context: zmq.Context[zmq.Socket[bytes]], own: KeyPair, key: bytes) -> zmq.Socket[bytes]:
    """A bare socket, which may send whatever it likes."""
    made = context.socket(zmq.DEALER)
    made.linger, made.sndtimeo, made.immediate = 0, AGAIN_MS, True
    made.curve_publickey, made.curve_secretkey, made.curve_serverkey = own.public, own.secret, key
    return made


def main(kind: str, seconds: str, address: str, secret_key: str, public_key: str) -> None:
    """Flood, and exit."""
    until_s = time.monotonic() + float(seconds)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    own, key = load_key_pair(Path(secret_key)), load_public_key(Path(public_key))
    if kind == "idle":
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        held = [socket.create_connection((host, int(port))) for _ in range(IDLE)]
        time.sleep(max(0.0, until_s - time.monotonic()))
        print(len(held))
    elif kind == "handshakes":
        while time.monotonic() < until_s:
            some = [dealer(context, own, key) for _ in range(20)]
            for each in some:
                each.connect(address)
            time.sleep(0.02)
            for each in some:
                each.close()
    else:
        one = dealer(context, own, key)
        one.connect(address)
        for sent, data in enumerate(envelopes(kind)):
            if sent % 64 == 0 and time.monotonic() > until_s:
                break
            try:
                one.send(data)
            except zmq.Again:
                # libzmq gives up when it is refused.
                one.disconnect(address)
                one.connect(address)
                if time.monotonic() > until_s:
                    break
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
