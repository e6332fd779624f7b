"""Byte pipes to instruments, one file a kind of link."""

from drivers.links.base import Link, Transport
from drivers.links.open import make_link
from drivers.links.serial import SerialSettings

__all__ = ["Link", "SerialSettings", "Transport", "make_link"]
