"""What a wire stands on: sockets between machines, or memory within one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

Fate = Literal[
    "connected",
    "closed",
    "absent",
    "refused",
    "no handshake",
    "revoked",
    "holds us off",
    "unasked",
]
"""What became of the connection to a peer.

`refused`: its key gate does not know our key; `no handshake`: its public key here is wrong, or
it is something else; `revoked`: we accept no key of it any more; `holds us off`: it knows our key,
and takes nothing from us for a while; `unasked`: it sends on the connection that is for our words.
"""


OnFate = Callable[[str, Fate, str], None]
"""Told of a peer, what became of the connection to it, and of the key that this was about."""


class Carrier(Protocol):
    """Takes messages to the peers that it was made for, and brings theirs.

    Each message that comes is known to be of the peer that it is told to be of.
    """

    @property
    def strangers(self) -> int:
        """Connections refused because their key is no peer's."""
        ...

    async def open(self, says: str, on_message: Callable[[], None], on_fate: OnFate) -> None:
        """Listen and begin to connect; raises UserError. `says` is what the peers learn of us.

        `on_message` is called when there is something to `take`, and may not be called again
        before all has been taken; `on_fate` tells of a peer's connection, with the
        fingerprint of the key it is about: ours where it was `refused`, the peer's else.
        """
        ...

    def send(self, peer: str, data: bytes) -> bool:
        """Hand over a message now; False when it cannot be taken."""
        ...

    def take(self) -> tuple[str, list[bytes]] | None:
        """The next message that has arrived, in its parts, and whose it is; None for none."""
        ...

    def says(self, peer: str) -> str:
        """What the peer says of itself where it is connected: the versions it speaks; "" for
        nothing."""
        ...

    def renew_keys(self) -> None:
        """Read the peers' keys again and drop whoever is known by none; raises UserError first."""
        ...

    def hold_off(self, peer: str) -> None:
        """End the connections by which this peer sends, and admit it no more."""
        ...

    def let_in(self, peer: str) -> None:
        """Admit it again."""
        ...

    def close(self) -> None:
        """Drop every connection; may be called twice, and before `open`."""
        ...
