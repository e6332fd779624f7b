"""For authors of drivers: scripted links, links in memory, the contract suite, transcripts."""

from drivers.testing.contract import Check, checks_for
from drivers.testing.memory import FarEnd, memory_link
from drivers.testing.script import ScriptedTransport, expected_exchange
from drivers.testing.subject import ContractBroken, Subject
from drivers.testing.tap import Tap
from drivers.testing.transcript import Transcript, read_transcript, record, replayed
from drivers.testing.twins import Channel, Connect, Session, dial_to, on_tcp

__all__ = [
    "Channel",
    "Check",
    "Connect",
    "ContractBroken",
    "FarEnd",
    "ScriptedTransport",
    "Session",
    "Subject",
    "Tap",
    "Transcript",
    "checks_for",
    "dial_to",
    "expected_exchange",
    "memory_link",
    "on_tcp",
    "read_transcript",
    "record",
    "replayed",
]
