"""A machine of messages on UDP, such as an SNMP agent."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from sim_backends.mount import Connect, MountError
from sim_backends.mount_messages import Clients

__all__ = ["SnmpPlace"]


class SnmpPlace:
    """A UDP port; each datagram is a message. Raises MountError.

    While `deaf` is above zero it counts down and a datagram is lost.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
        )
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise MountError(
                f"cannot listen on UDP ({error.strerror or error})",
                address=f"{host}:{port}",
                do="end the program that has the port, or choose another address or port",
            ) from error
        self._socket.setblocking(False)
        self._host, self._port = host, self._socket.getsockname()[1]
        self._transport: asyncio.DatagramTransport | None = None
        self._clients = Clients()
        self.deaf = 0

    @property
    def resource(self) -> str:
        """What a driver is given to reach it."""
        return f"snmp://{self._host}:{self._port}"

    async def start(self, connect: Connect) -> None:
        """Serve clients from now on."""
        place = self

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                place.datagram(data, addr, connect)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Datagrams, sock=self._socket)
        self._transport = transport

    async def stop(self) -> None:
        """Forget every client and give the port back."""
        self._clients.clear()
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)
        self._socket.close()

    def datagram(self, data: bytes, address: Any, connect: Connect) -> None:
        """Hand one datagram to the session of its sender."""
        if self.deaf > 0:
            self.deaf -= 1
        elif self._transport is not None:
            channel = _Back(self._transport, address)
            self._clients.session(address, connect, channel).feed(data)


class _Back:
    """The way back to one sender."""

    def __init__(self, transport: asyncio.DatagramTransport, address: Any) -> None:
        self._transport = transport
        self._address = address

    def send(self, data: bytes) -> bool:
        if self._transport.is_closing():
            return False
        self._transport.sendto(data, self._address)
        return True

    def close(self) -> None:
        """Datagrams have no connection to end."""
