"""What can go wrong between a driver and its instrument.

InstrumentProblem
├── NotConnected      nobody there: refused, closed, unplugged, poisoned, or the wrong box
├── Timeout           somebody there, but no (complete) answer in time
├── ProtocolError     an answer that cannot be understood; carries the raw bytes
├── InstrumentError   the instrument understood and says no; carries its code and text
└── Refused           the driver will not send it: out of range, not armed, read-only

Every message names the instrument (owner), where it is (resource) and what was asked (command).
"""

from __future__ import annotations


class InstrumentProblem(Exception):
    """Base of everything a driver raises about its instrument."""

    def __init__(self, reason: str, *, owner: str = "", resource: str = "", command: str = ""):
        self.reason = reason
        self.owner = owner
        self.resource = resource
        self.command = command
        where = f"{owner} at {resource}" if resource else owner
        asked = f", asked {command}" if command else ""
        super().__init__(f"{where}{asked}: {reason}" if where or asked else reason)


class NotConnected(InstrumentProblem):
    """Nobody is there, or the link may not be used before it has been opened again."""


class Timeout(InstrumentProblem):
    """The instrument did not answer, or not completely, within the time limit."""


class ProtocolError(InstrumentProblem):
    """The answer cannot be understood; `raw` holds its bytes."""

    def __init__(
        self, reason: str, raw: bytes, *, owner: str = "", resource: str = "", command: str = ""
    ):
        self.raw = raw
        shown = repr(raw[:80]) + ("…" if len(raw) > 80 else "")
        super().__init__(
            f"{reason}; the bytes were {shown}", owner=owner, resource=resource, command=command
        )
        self.reason = reason


class InstrumentError(InstrumentProblem):
    """The instrument answered that it cannot or will not."""

    def __init__(
        self, code: int | str, text: str, *, owner: str = "", resource: str = "", command: str = ""
    ):
        self.code = code
        self.text = text
        super().__init__(
            f"the instrument reports error {code}: {text}",
            owner=owner,
            resource=resource,
            command=command,
        )


class Refused(InstrumentProblem):
    """The driver itself refuses, before any byte is sent: out of range, or emission not armed."""
