"""What programs import from `netqasm.sdk.external`, on a node of ours. Only in a role's process.

The module stands in for that one in `sys.modules` before a program is imported, so that the program
runs unmodified; `netqasm` itself is used for nothing else.
"""

from __future__ import annotations

import json
import queue
import socket as sockets
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, ClassVar

from netqasm.backend.messages import ReturnMessageType
from netqasm.lang.encoding import RegisterName
from netqasm.lang.operand import Register
from netqasm.sdk.classical_communication.broadcast_channel import BroadcastChannelBySockets
from netqasm.sdk.classical_communication.message import StructuredMessage
from netqasm.sdk.classical_communication.socket import Socket as SdkSocket
from netqasm.sdk.connection import BaseNetQASMConnection
from netqasm.sdk.network import NetworkInfo
from netqasm.sdk.shared_memory import SharedMemory

__all__ = [
    "BroadcastChannel",
    "NetQASMConnection",
    "Socket",
    "get_qubit_state",
    "simulate_application",
]

_HEADER = struct.Struct("<II")
_ERRORS = {0: "the program failed at the node", 1: "no qubit is free", 2: "not supported"}


class NodeRefused(RuntimeError):
    """The node has ended the program; its journal says why (`qnodeos journal`)."""


@dataclass(frozen=True)
class Surroundings:
    """Of this role: its name, where its node's hosts connect, all roles with node names and ids."""

    role: str
    host_socket: str
    hub_socket: str
    run: int
    node_of: dict[str, str]
    id_of: dict[str, int]


here: Surroundings | None = None
"""Set once by the role's process."""


def _here() -> Surroundings:
    if here is None:
        raise RuntimeError("this module works in a role started by `qnodeos app run`")
    return here


class _Network(NetworkInfo):  # type: ignore[misc]
    """Names and ids of this run."""

    @classmethod
    def _get_node_id(cls, node_name: str) -> int:
        return _here().id_of[node_name]

    @classmethod
    def _get_node_name(cls, node_id: int) -> str:
        return next(name for name, number in _here().id_of.items() if number == node_id)

    @classmethod
    def get_node_id_for_app(cls, app_name: str) -> int:
        """The id of the node that runs a role."""
        return _here().id_of[_here().node_of[app_name]]

    @classmethod
    def get_node_name_for_app(cls, app_name: str) -> str:
        """The name of the node that runs a role."""
        return _here().node_of[app_name]


class NetQASMConnection(BaseNetQASMConnection):  # type: ignore[misc]
    """A program's connection to its node."""

    def __init__(self, app_name: str, *args: Any, **options: Any):
        self._memory = SharedMemory()
        self._last = 0
        self._node = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self._node.connect(_here().host_socket)
        self._unread = b""
        self._exchange(struct.pack("<B3xQ", 128, _here().run))
        super().__init__(app_name, *args, **options)
        self._stop_backend_on_exit = False

    @property
    def shared_memory(self) -> SharedMemory:
        """What subroutines have returned."""
        return self._memory

    def close(self, *args: Any, **options: Any) -> None:
        """End the program and the connection."""
        try:
            super().close(*args, **options)
        finally:
            self._node.close()

    def _get_network_info(self) -> type[NetworkInfo]:
        return _Network

    def _commit_serialized_message(
        self, raw_msg: bytes, block: bool = True, callback: Any = None
    ) -> None:
        self._exchange(raw_msg)
        if callback is not None:
            callback()

    def _exchange(self, message: bytes) -> None:
        """Send a message and take what it returns."""
        self._last += 1
        self._node.sendall(_HEADER.pack(self._last, _HEADER.size + len(message)) + message)
        while True:
            kind = ReturnMessageType(self._read(1)[0])
            if kind is ReturnMessageType.DONE:
                self._read(7)
                return
            if kind is ReturnMessageType.ERR:
                raise NodeRefused(_ERRORS.get(self._read(1)[0], "unknown error"))
            if kind is ReturnMessageType.RET_REG:
                register, value = struct.unpack("<Bxxi", self._read(7))
                name = Register(RegisterName(register & 3), register >> 2)
                self._memory.set_register(name, value)
            else:
                address, length = struct.unpack("<ii", self._read(8))
                cells = self._read(8 * length)
                values = [
                    struct.unpack_from("<i", cells, 8 * k + 4)[0] if cells[8 * k] else None
                    for k in range(length)
                ]
                self._memory.init_new_array(address, new_array=values)

    def _read(self, count: int) -> bytes:
        while len(self._unread) < count:
            data = self._node.recv(65536)
            if not data:
                raise NodeRefused("the node has ended the connection")
            self._unread += data
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken


class _Words:
    """This role's line to the hub, read by a thread of its own."""

    _line: ClassVar[_Words | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._hub = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self._hub.connect(_here().hub_socket)
        self._said: defaultdict[tuple[str, int], queue.Queue[str]] = defaultdict(queue.Queue)
        self._write({"role": _here().role})
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def line(cls) -> _Words:
        """The one of this process."""
        with cls._lock:
            if cls._line is None:
                cls._line = cls()
            return cls._line

    def say(self, to: str, socket_id: int, text: str) -> None:
        """Send a word to a role."""
        self._write({"to": to, "socket": socket_id, "text": text})

    def heard(self, role: str, socket_id: int) -> queue.Queue[str]:
        """The words of a role at a socket."""
        return self._said[role, socket_id]

    def _write(self, word: dict[str, Any]) -> None:
        self._hub.sendall(json.dumps(word).encode() + b"\n")

    def _listen(self) -> None:
        for line in self._hub.makefile("rb"):
            word = json.loads(line)
            self._said[word["from"], word["socket"]].put(word["text"])


class Socket(SdkSocket):  # type: ignore[misc]
    """Words between two roles."""

    def __init__(self, app_name: str, remote_app_name: str, socket_id: int = 0, **options: Any):
        super().__init__(app_name, remote_app_name, socket_id)
        self._remote, self._id = remote_app_name, socket_id
        self._words = _Words.line()

    def send(self, msg: str) -> None:
        """Send a word."""
        self._words.say(self._remote, self._id, msg)

    def recv(
        self, block: bool = True, timeout: float | None = None, maxsize: int | None = None
    ) -> str:
        """The next word; RuntimeError if there is none and it is not to wait."""
        try:
            return self._words.heard(self._remote, self._id).get(block, timeout)
        except queue.Empty:
            raise RuntimeError(f"no word of {self._remote}") from None

    def send_structured(self, msg: StructuredMessage) -> None:
        """Send a header with a payload."""
        self.send(json.dumps([msg.header, msg.payload]))

    def recv_structured(
        self, block: bool = True, timeout: float | None = None, maxsize: int | None = None
    ) -> StructuredMessage:
        """The next header with its payload."""
        header, payload = json.loads(self.recv(block, timeout))
        return StructuredMessage(header, payload)

    send_silent = send
    recv_silent = recv


class BroadcastChannel(BroadcastChannelBySockets):  # type: ignore[misc]
    """Words to all other roles."""

    @property
    def _socket_class(self) -> type[Socket]:
        return Socket


def get_qubit_state(*_: Any, **__: Any) -> None:
    """Nobody sees the state of a qubit."""


def simulate_application(*_: Any, **__: Any) -> None:
    """Programs are started by `qnodeos app run`."""
    raise RuntimeError("start the program with `qnodeos app run`")
