"""Single sockets of the wire: made with their bounds, and one connection of theirs ended."""

from __future__ import annotations

import socket as sockets

import zmq

from qnodeos.envelope import MAX_MESSAGE_BYTES
from qnodeos.errors import UserError
from qnodeos.keys import KeyPair
from qnodeos.zap import DOMAIN

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

_QUEUED_MESSAGES = 1000
"""To be sent. What comes has no bound: at one, libzmq stops reading, and when such a connection
ends, its next heartbeat aborts the process (libzmq issue 4364). The wire reads all, and ends the
connections of who sends too much."""

_HANDSHAKE_LIMIT_MS = 5000


def listening(context: Context, own: KeyPair, address: str, node: str) -> Socket:
    """A ROUTER at this address that admits whom the context's key gate lets in; or UserError."""
    router = context.socket(zmq.ROUTER)
    _bounds(router)
    router.curve_server = True
    router.curve_publickey, router.curve_secretkey = own.public, own.secret
    router.zap_domain = DOMAIN
    router.handshake_ivl = _HANDSHAKE_LIMIT_MS
    try:
        router.bind(address)
    except zmq.ZMQError as error:
        router.close(linger=0)
        raise _cannot_listen(address, node, error) from None
    return router


def reaching(context: Context, own: KeyPair, address: str, key: bytes) -> tuple[Socket, Socket]:
    """A DEALER that connects to the node with this public key, and the monitor of its fate."""
    dealer = context.socket(zmq.DEALER)
    _bounds(dealer)
    # A queue exists only while connected, so nothing stale is delivered after an absence.
    dealer.immediate = True
    dealer.reconnect_ivl = 50
    dealer.reconnect_ivl_max = 500
    dealer.connect_timeout = 1000
    dealer.curve_serverkey = key
    dealer.curve_publickey, dealer.curve_secretkey = own.public, own.secret
    monitor = dealer.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_CONNECT_RETRIED
        | zmq.EVENT_DISCONNECTED
    )
    dealer.connect(address)
    return dealer, monitor


def end_connection(frame: zmq.Frame, listener: Socket) -> None:
    """End the connection that this came by, for which libzmq has no call.

    Its descriptor may be another's by now: only one at our port, from the same machine, is ended,
    and at worst that one is made again.
    """
    port = listener.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2]
    try:
        far = sockets.socket(fileno=int(frame.get(zmq.SRCFD)))
    except (OSError, zmq.ZMQError):
        return  # it is gone already
    try:
        same = far.getpeername()[0] == frame.get("Peer-Address")
        if same and far.getsockname()[1] == int(port):
            far.shutdown(sockets.SHUT_RDWR)
    except (OSError, IndexError):
        pass  # it has ended, or is no such connection
    finally:
        far.detach()  # it is libzmq's to close


def _bounds(socket: Socket) -> None:
    socket.linger = 0
    socket.sndhwm, socket.rcvhwm = _QUEUED_MESSAGES, 0
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    # A connection whose far end has vanished without a word is closed, and so connected again.
    socket.heartbeat_ivl = 500
    socket.heartbeat_timeout = 1500


def _cannot_listen(address: str, name: str, error: zmq.ZMQError) -> UserError:
    where = f"wire.listen of node {name}"
    if error.errno == zmq.EADDRINUSE:
        port = address.rpartition(":")[2]
        return UserError(
            "the port is in use",
            where=where,
            found=f"another program at {address}",
            expected="a free port",
            do=f"stop it (ss -ltnp 'sport = :{port}' names it), or choose another port here and "
            "in the peers' files",
        )
    return UserError(
        "this node cannot listen there",
        where=where,
        found=f"{address}: {error.strerror}",
        expected="an address of this machine, or tcp://*:PORT for all of them",
        do="correct the entry",
    )
