"""An IDQ ID900/ID1000 Time Controller with its DataLinkTarget service, as messages.

Facts: the commands, the stream of u64 picoseconds and the JSON of the service are those of the
vendor's Python examples. Each command is answered, a set with an empty message. Unverified: the
words of `*IDN?` and of errors, and that a dark input sends an empty message each sub-acquisition.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sim_backends.mount import Channel
from sim_backends.taggers import TaggerModel

__all__ = ["Id900"]

_INPUTS: Final = (1, 2, 3, 4)
_LONG: Final = (
    "INPUT", "START", "RECORD", "RAW", "DEVICE", "RESOLUTION", "BWIDTH", "SAMPLING",
    "RECALIBRATE", "ENABLE", "COUPLING", "EDGE", "THRESHOLD", "SELECT", "COUNTER", "MODE",
    "INTEGRATION", "RESET", "TRIGGER", "ARM", "NUMBER", "DURATION", "PWIDTH", "PPERIOD", "PLAY",
    "STOP", "STAGE", "REFERENCE", "LINK", "ERRORS", "ERROR", "CLEAR", "SEND", "TSCOMBINER",
    "FIRST", "OPINPUT", "OPOUTPUT", "WINDOW", "BEGIN", "END", "DELAY", "VALUE", "HIRES",
    "CONFIGURE", "LOAD", "GENERATOR", "PNUMBER",
)  # fmt: skip
_SPECIAL: Final = {"BWID": "BWIDTH", "NUM": "NUMBER", "REF": "REFERENCE", "TSCO": "TSCOMBINER"}
_TIME: Final = {"": 1, "TB": 1, "PS": 1, "NS": 10**3, "US": 10**6, "MS": 10**9, "S": 10**12}
_DEAD_PS: Final = 40_000
_SHORTEST_PS: Final = 200 * 10**9

Times = npt.NDArray[np.uint64]


class _Refused(Exception):
    """Becomes the answer."""


class Id900:
    """The box and the service beside it. `poll` has to be called each 20 ms or so.

    `lost_messages` counts sub-acquisitions of an input that its client did not take. `errors` holds
    the counts that `RAW<n>:ERRORS?` tells, by input; a test may raise them.
    """

    def __init__(self, tagger: TaggerModel, serial: str) -> None:
        self._tagger = tagger
        self._serial = serial
        self._tags: dict[int, Channel] = {}
        self._streams: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self.lost_messages = 0
        self.errors = dict.fromkeys(_INPUTS, 0)
        self._values: dict[str, str] = {}
        self._playing = False
        self._start_ps = 0
        self._done = 0  # sub-acquisitions that are over
        self._held: dict[int, list[npt.NDArray[np.int64]]] = {}
        self._left = float("inf")

    @property
    def playing(self) -> bool:
        """Whether a recording runs."""
        return self._playing

    @property
    def settings(self) -> dict[str, str]:
        """What has been set, by the long name of the command."""
        return dict(self._values)

    def connect_control(self, channel: Channel) -> _Asked:
        """A client of the SCPI port."""
        return _Asked(channel, self.scpi)

    def connect_dlt(self, channel: Channel) -> _Asked:
        """A client of the service."""
        return _Asked(channel, self.service)

    def connect_tags(self, number: int) -> Callable[[Channel], _Listening]:
        """What connects the one client of an input's stream."""

        def connect(channel: Channel) -> _Listening:
            self._tags[number] = channel
            return _Listening(self._tags, number, channel)

        return connect

    def poll(self) -> None:
        """Send the sub-acquisitions that are over."""
        if not self._playing:
            return
        now_ps = self._tagger.counter_ps() - self._start_ps
        times, channels = self._tagger.take_tags()
        for number in _INPUTS:
            self._held[number].append(times[channels == number] - self._start_ps)
        period_ps, width_ps = self._time("RECORD:PPERIOD"), self._time("RECORD:PWIDTH")
        while self._playing and now_ps >= self._done * period_ps + width_ps:
            self._flush(self._done * period_ps, width_ps)
            self._done += 1
            if self._done >= self._left:
                self._stop()

    def scpi(self, message: bytes) -> bytes:
        """Run the commands of one message; the answers of its queries, a line each."""
        answers, branch = [], ""
        try:
            for part in message.decode("ascii", "replace").strip().split(";"):
                text = part.strip()
                if text.startswith(":"):
                    text, branch = text[1:], ""
                head, _, argument = text.partition(" ")
                name = _canonical(branch + head.rstrip("?"))
                branch = name.rpartition(":")[0] + ":" if ":" in name else ""
                if head.endswith("?"):
                    answers.append(self._answer(name))
                else:
                    self._set(name, argument.strip())
        except _Refused as refused:
            return str(refused).encode()
        return "\n".join(answers).encode()

    def service(self, message: bytes) -> bytes:
        """One command of the DataLinkTarget service."""
        try:
            verb, *words = shlex.split(message.decode("utf-8", "replace"))
            flags = dict(zip(words[::2], words[1::2], strict=False))
            answer = self._serve(verb, flags)
        except (_Refused, ValueError, KeyError) as problem:
            answer = {"error": {"description": str(problem)}}
        return json.dumps(answer).encode()

    def _serve(self, verb: str, flags: dict[str, str]) -> Any:
        if verb == "list":
            return list(self._streams)
        if verb == "start-stream":
            number, port = int(flags["--channel"]), int(flags["--stream-port"])
            if number not in _INPUTS or not 0 < port < 65536:
                raise _Refused(f"no channel {number} or port {port}")
            if number in self._streams.values():
                raise _Refused(f"channel {number} is already acquired")
            identity = f"{flags['--address']}:{5555 + number}"
            self._streams[identity] = number
            self._sent[identity] = 0
            return {"id": identity}
        if verb not in ("status", "stop"):
            raise _Refused(f"unknown command {verb}")
        identity = flags["--id"]
        if identity not in self._streams:
            raise _Refused(f"no acquisition {identity}")
        status = {
            "acquisitions_count": self._done,
            "inactivity": 0.0,
            "timestamps_count": self._sent[identity],
            "errors": [],
        }
        if verb == "status":
            return status
        number = self._streams.pop(identity)
        if number in self._tags:
            self._tags[number].send(b"")
        return {"status": status}

    def _answer(self, name: str) -> str:
        if name == "*IDN":
            return f"ID Quantique ID1000 Time Controller\nSerial : {self._serial}"
        if name == "RECORD:STAGE":
            return "PLAYING" if self._playing else "STOPPED"
        if name == "DEVICE:RESOLUTION:BWIDTH":
            return "100TB" if self._values.get("DEVICE:RESOLUTION") == "LOWRES" else "1TB"
        if found := re.fullmatch(r"RAW([1-4]):ERRORS", name):
            return str(self.errors[int(found[1])])
        if re.fullmatch(r"(INPUT[1-4]|START):HIRES:ERRORS", name):
            return "0"
        value = self._values.get(name, _DEFAULTS.get(re.sub(r"\d+", "", name), ""))
        if not value:
            raise _Refused(f"SCPI_ERR_UNDEFINED_HEADER {name}?")
        return value

    def _set(self, name: str, value: str) -> None:
        if name == "RECORD:PLAY":
            self._play()
        elif name == "RECORD:STOP":
            self._stop()
        elif found := re.fullmatch(r"RAW([1-4]):ERRORS:CLEAR", name):
            self.errors[int(found[1])] = 0
        elif name in ("DEVICE:SAMPLING:RECALIBRATE", "*RST"):
            pass
        elif re.sub(r"\d+", "", name) not in _DEFAULTS:
            raise _Refused(f"SCPI_ERR_UNDEFINED_HEADER {name}")
        elif name.endswith((":PWIDTH", ":PPERIOD", ":DURATION")):
            self._values[name] = f"{_picoseconds(value)}TB"
        elif name.endswith(":THRESHOLD"):
            self._values[name] = f"{_volts(value):g}V"
        else:
            self._values[name] = value.upper()

    def _play(self) -> None:
        if self._values.get("RECORD:ENABLE") != "ON":
            raise _Refused("SCPI_ERR_EXECUTION the recording is not enabled")
        width_ps, period_ps = self._time("RECORD:PWIDTH"), self._time("RECORD:PPERIOD")
        if width_ps < _SHORTEST_PS or period_ps < width_ps + _DEAD_PS:
            raise _Refused("SCPI_ERR_DATA_OUT_OF_RANGE RECORD:PWIDTH")
        number = self._values.get("RECORD:NUMBER", "1")
        self._left = float("inf") if number == "INF" else float(number)
        self._held = {each: [] for each in _INPUTS}
        self._done = 0
        self._tagger.start()
        self._start_ps = self._tagger.counter_ps()
        self._playing = True

    def _stop(self) -> None:
        self._playing = False
        self._tagger.stop()

    def _flush(self, begin_ps: int, width_ps: int) -> None:
        """The message of one sub-acquisition of every input that is sent."""
        for number in _INPUTS:
            times = np.concatenate(self._held[number])
            first, last = np.searchsorted(times, (begin_ps, begin_ps + width_ps))
            self._held[number] = [times[last:]]
            identity = next((key for key, ch in self._streams.items() if ch == number), None)
            if identity is None or self._values.get(f"RAW{number}:SEND") != "ON":
                continue
            message = (times[first:last] - begin_ps).astype("<u8").tobytes()
            if number in self._tags and self._tags[number].send(message):
                self._sent[identity] += int(last - first)
            else:
                self.lost_messages += 1

    def _time(self, name: str) -> int:
        return _picoseconds(self._values.get(name, "0"))


class _Asked:
    """A client that asks: each message is answered."""

    def __init__(self, channel: Channel, answer: Callable[[bytes], bytes]) -> None:
        self._channel = channel
        self._answer = answer

    def feed(self, data: bytes) -> None:
        self._channel.send(self._answer(data))

    def closed(self) -> None:
        pass


class _Listening:
    """The client of a stream."""

    def __init__(self, tags: dict[int, Channel], number: int, channel: Channel) -> None:
        self._tags, self._number, self._channel = tags, number, channel

    def feed(self, data: bytes) -> None:
        pass

    def closed(self) -> None:
        if self._tags.get(self._number) is self._channel:
            del self._tags[self._number]


_DEFAULTS: Final = {
    "INPUT:ENABLE": "ON", "INPUT:COUPLING": "DC", "INPUT:EDGE": "RISING", "INPUT:THRESHOLD": "0.5V",
    "INPUT:SELECT": "UNSHAPED", "START:ENABLE": "ON", "START:EDGE": "RISING",
    "START:COUPLING": "DC", "START:THRESHOLD": "0.5V", "START:SELECT": "UNSHAPED",
    "DEVICE:RESOLUTION": "HIRES", "DEVICE:CONFIGURE:LOAD": "COUNT",
    "RECORD:TRIGGER:ARM:MODE": "MANUAL", "RECORD:ENABLE": "OFF", "RECORD:NUMBER": "1",
    "RECORD:DURATION": "0TB", "RECORD:PWIDTH": "0TB", "RECORD:PPERIOD": "0TB",
    "RAW:STOP:LINK": "NONE", "RAW:REFERENCE:LINK": "NONE", "RAW:SEND": "OFF",
    "TSCOMBINER:FIRST:LINK": "NONE", "TSCOMBINER:OPINPUT": "ONLYFIR",
    "TSCOMBINER:OPOUTPUT": "ONLYFIR", "TSCOMBINER:WINDOW:ENABLE": "OFF",
    "TSCOMBINER:WINDOW:BEGIN:LINK": "NONE", "TSCOMBINER:WINDOW:END:LINK": "NONE",
    "DELAY:VALUE": "0TB", "DELAY:LINK": "NONE",
}  # fmt: skip


def _canonical(header: str) -> str:
    """The long names of a header, in upper case; each may come short."""
    if header.startswith("*"):
        return header.upper()
    names = []
    for word in header.upper().split(":"):
        letters = word.rstrip("0123456789")
        digits = word[len(letters) :]
        whole = _SPECIAL.get(letters) or next(
            (each for each in _LONG if len(letters) >= 3 and each.startswith(letters)), None
        )
        if whole is None:
            raise _Refused(f"SCPI_ERR_UNDEFINED_HEADER {header}")
        names.append(whole + digits)
    return ":".join(names)


def _picoseconds(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:[eE]\+?\d+)?)\s*([A-Z]*)\s*", text.upper())
    if found is None or found[2] not in _TIME:
        raise _Refused("SCPI_ERR_INVALID_PARAMETER")
    number = int(found[1]) if found[1].isdigit() else float(found[1])
    return round(number * _TIME[found[2]])


def _volts(text: str) -> float:
    found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(M?V?)\s*", text.upper())
    if found is None:
        raise _Refused("SCPI_ERR_INVALID_PARAMETER")
    return float(found[1]) * (1e-3 if found[2] == "MV" else 1.0)
