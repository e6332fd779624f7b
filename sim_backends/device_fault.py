"""What a quantum device refuses, with the codes of docs/device-protocol.md."""

from __future__ import annotations

from typing import Final

__all__ = ["BAD_REQUEST", "DEVICE_FAULT", "MODE_GONE", "NO_SUCH", "QUBIT_STATE", "DeviceFault"]

BAD_REQUEST: Final = 1
NO_SUCH: Final = 2
QUBIT_STATE: Final = 3
DEVICE_FAULT: Final = 4
MODE_GONE: Final = 6


class DeviceFault(Exception):
    """A request that the device refuses."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(f"error {code}: {text}")
