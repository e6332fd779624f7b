"""For authors of drivers: scripted links, links in memory, the contract suite, transcripts."""

from drivers.testing.memory import FarEnd, memory_link
from drivers.testing.script import ScriptedTransport, expected_exchange

__all__ = ["FarEnd", "ScriptedTransport", "expected_exchange", "memory_link"]
