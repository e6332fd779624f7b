"""Stand-ins for vendors' libraries, with the functions that their documentation names.

They are written from the documentation and show nothing about a real instrument.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np


class TimeTagger:
    """The module `TimeTagger`: one instrument whose events a test puts into `events`."""

    def __init__(self, serial: str = "1740000JEH"):
        self.serial = serial
        self.events: list[tuple[int, int, int, int]] = []  # type, ps, channel, missed
        self.levels: dict[int, float] = {}
        self.open = 0
        self.unplugged = False
        self.full = False
        self.overflowed = False

    def createTimeTagger(self, serial: str = "") -> "Tagger":
        if self.unplugged or serial not in ("", self.serial):
            raise RuntimeError("no Time Tagger found")
        if self.open:
            raise RuntimeError("the Time Tagger is in use")
        self.open += 1
        return Tagger(self)

    def createTimeTaggerNetwork(self, address: str) -> "Tagger":
        raise RuntimeError(f"no server at {address}")

    def freeTimeTagger(self, tagger: "Tagger") -> None:
        self.open -= 1

    def TimeTagStream(self, tagger: "Tagger", n_max_events: int, channels: list[int]) -> "Stream":
        return Stream(self, n_max_events, channels)


class Tagger:
    def __init__(self, library: TimeTagger):
        self._library = library

    def _answer(self, value: Any) -> Any:
        if self._library.unplugged:
            raise RuntimeError("the Time Tagger was disconnected")
        return value

    def getSerial(self) -> str:
        return str(self._answer(self._library.serial))

    def getModel(self) -> str:
        return str(self._answer("Time Tagger Ultra"))

    def setTriggerLevel(self, channel: int, voltage: float) -> None:
        self._library.levels[channel] = self._answer(voltage)

    def getTriggerLevel(self, channel: int) -> float:
        return float(self._answer(self._library.levels.get(channel, 0.5)))


class Stream:
    def __init__(self, library: TimeTagger, n_max_events: int, channels: list[int]):
        self._library, self._size, self._channels = library, n_max_events, channels
        self.stopped = False

    def getData(self) -> SimpleNamespace:
        events, self._library.events = self._library.events, []
        events = [e for e in events if e[0] or e[2] in self._channels]
        table = np.array(events, dtype=np.int64).reshape(-1, 4)
        return SimpleNamespace(
            size=self._size if self._library.full else len(table),
            tStart=0,
            hasOverflows=self._library.overflowed,
            getEventTypes=lambda: table[:, 0].astype(np.uint8),
            getTimestamps=lambda: table[:, 1],
            getChannels=lambda: table[:, 2].astype(np.int32),
            getMissedEvents=lambda: table[:, 3].astype(np.uint16),
        )

    def stop(self) -> None:
        self.stopped = True


class SnApi:
    """The module `snAPI.Main`: one device whose blocks a test puts into `blocks`."""

    MeasMode = SimpleNamespace(T2=2)

    def __init__(self, serial: str = "1045483"):
        self.serial = serial
        self.blocks: list[tuple[list[int], list[int]]] = []
        self.finished = False
        self.unplugged = False
        self.calls: list[str] = []

    def snAPI(self) -> "Device":
        return Device(self)


class Device:
    def __init__(self, library: SnApi):
        self._library = library
        self.deviceConfig: dict[str, Any] = {}
        self.unfold = Unfold(library)

    def getDevice(self, *name: str) -> bool:
        self._library.calls.append("getDevice")
        found = not self._library.unplugged and name in ((), (self._library.serial,))
        if found:
            config = {"ID": self._library.serial, "Model": "MultiHarp 150 4P", "Version": "1.0"}
            self.deviceConfig = config
        return found

    def initDevice(self, mode: int) -> bool:
        return mode == 2

    def getDeviceConfig(self) -> bool:
        return not self._library.unplugged

    def loadIniConfig(self, path: str) -> bool:
        return path.endswith(".ini")

    def closeDevice(self) -> None:
        self._library.calls.append("closeDevice")


class Unfold:
    def __init__(self, library: SnApi):
        self._library = library
        self._times = np.zeros(4096, np.uint64)
        self._channels = np.zeros(4096, np.uint8)
        self._count = 0

    def startBlock(self, acqTime: int, size: int, savePTU: bool) -> bool:
        self._library.calls.append(f"startBlock {acqTime}")
        return True

    def getBlock(self) -> tuple[Any, Any]:
        times, channels = self._library.blocks.pop(0) if self._library.blocks else ([], [])
        self._count = len(times)
        # As in the library: views of one buffer, overwritten by the next block.
        self._times[: self._count] = times
        self._channels[: self._count] = channels
        return self._times[: self._count], self._channels[: self._count]

    def numRead(self) -> int:
        return self._count

    def isFinished(self) -> bool:
        return self._library.finished

    def stopMeasure(self) -> None:
        self._library.calls.append("stopMeasure")
