"""A Toptica DLC pro laser controller as its command line on TCP shows it (DeCoF, port 1998).

Facts: toptica-lasersdk (the vendor's client), which the tests drive against this machine. The
numbers of the error codes are not public; those here only keep the form `Error: <code> <text>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sim_backends.lasers import LaserModel
from sim_backends.mount import Channel, take_lines

__all__ = ["DlcPro"]

Value = bool | int | float | str

_GREETING: Final = b"Laser started! Welcome to:\r\n\r\nDLC pro\r\n\r\nDeCoF Command Line\r\n> "
_TOKEN: Final = re.compile(r"""\s+|(?P<string>"(?:[^"\\]|\\.)*")|(?P<atom>[^\s()'`,"]+|[()'`,])""")
_COMMAND_LIMIT: Final = 64 * 1024
_DEPTH_LIMIT: Final = 32
_ALARM_BITS: Final = {"interlock": 1, "key": 2, "button": 4}

_SYNTAX: Final = -1
_UNKNOWN: Final = -2
_TYPE: Final = -3
_RANGE: Final = -4
_READ_ONLY: Final = -5


class _Refused(Exception):
    """Becomes an `Error:` line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Error: {code} {text}")


class DlcPro:
    """The instrument that all its clients share.

    `interlock_open`, `key_locked` and `button_enabled` are its front panel, set by tests and
    faults. After power-up the current is off (`laser1:dl:cc:enabled` is #f). `advance` brings the
    world up to now, so that a change of light acts from now on.
    """

    def __init__(self, laser: LaserModel, serial: str, *, advance: Callable[[], None]) -> None:
        self._laser = laser
        self._advance = advance
        self.serial = serial
        self.interlock_open = False
        self.key_locked = False
        self._button_enabled = True
        self._current_enabled = False
        self._label = ""
        self._get: dict[str, Callable[[], Value]] = {
            "serial-number": lambda: self.serial,
            "system-type": lambda: "DLCpro",
            "system-label": lambda: self._label,
            "fw-ver": lambda: "3.2.0",
            "system-health": self._health,
            "system-health-txt": self._health_text,
            "emission": lambda: self._laser.emission,
            "interlock-open": lambda: self.interlock_open,
            "frontkey-locked": lambda: self.key_locked,
            "emission-button-enabled": lambda: self._button_enabled,
            "ul": lambda: 3,
            "laser1:type": lambda: "DLpro",
            "laser1:emission": lambda: self._laser.emission,
            "laser1:health": self._health,
            "laser1:health-txt": self._health_text,
            "laser1:dl:cc:enabled": lambda: self._current_enabled,
            "laser1:dl:cc:emission": lambda: self._laser.emission,
            "laser1:dl:cc:current-set": lambda: float(self._laser.current_set_ma),
            "laser1:dl:cc:current-act": lambda: float(self._laser.current_act_ma),
            "laser1:dl:cc:current-clip": lambda: float(self._laser.max_current_ma),
            "laser1:ctl:wavelength-set": lambda: float(self._laser.wavelength_nm),
            "laser1:ctl:wavelength-act": lambda: float(self._laser.wavelength_nm),
        }
        self._set: dict[str, Callable[[Value], None]] = {
            "system-label": self._set_label,
            "emission-button-enabled": self._set_button,
            "laser1:dl:cc:enabled": self._set_current_enabled,
            "laser1:dl:cc:current-set": self._set_current,
        }

    def connect(self, channel: Channel) -> _Session:
        """A client has opened the command line."""
        channel.send(_GREETING)
        return _Session(self, channel)

    def refresh(self) -> None:
        """Let the light follow key, interlock, button and current; call it after changing one."""
        self._laser.emission = (
            self._current_enabled
            and self._button_enabled
            and not self.interlock_open
            and not self.key_locked
        )

    def read(self, name: str) -> Value:
        """The value of a parameter; raises for one that does not exist."""
        if name not in self._get:
            raise _Refused(_UNKNOWN, f"Unknown parameter '{name}'")
        return self._get[name]()

    def told(self, name: str) -> str:
        """The value of a parameter as the command line shows it; a line `Error: ..` for none."""
        try:
            return _shown(self.read(name))
        except _Refused as refused:
            return str(refused)

    def write(self, name: str, value: Value) -> None:
        """Set a parameter; raises when there is none, it is read-only, or the value is wrong."""
        self.read(name)
        if name not in self._set:
            raise _Refused(_READ_ONLY, f"Parameter '{name}' is read-only")
        self._advance()
        self._set[name](value)
        self.refresh()

    def _set_label(self, value: Value) -> None:
        self._label = _text(value)

    def _set_button(self, value: Value) -> None:
        self._button_enabled = _bool(value)

    def _set_current_enabled(self, value: Value) -> None:
        self._current_enabled = _bool(value)

    def _set_current(self, value: Value) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Refused(_TYPE, "Type mismatch: a real number is needed")
        if not 0.0 <= value <= self._laser.max_current_ma:
            raise _Refused(_RANGE, f"Value out of range: 0 to {self._laser.max_current_ma:g} mA")
        self._laser.current_set_ma = float(value)

    def _alarms(self) -> list[str]:
        states = {
            "interlock": self.interlock_open,
            "key": self.key_locked,
            "button": not self._button_enabled,
        }
        return [name for name, on in states.items() if on]

    def _health(self) -> int:
        return sum(_ALARM_BITS[name] for name in self._alarms())

    def _health_text(self) -> str:
        texts = {"interlock": "Interlock open", "key": "Key locked", "button": "Emission disabled"}
        return ", ".join(texts[name] for name in self._alarms()) or "OK"


class _Session:
    """One client's command line."""

    def __init__(self, instrument: DlcPro, channel: Channel) -> None:
        self._instrument = instrument
        self._channel = channel
        self._buffer = bytearray()
        self._command = ""
        self._user_level = 3

    def feed(self, data: bytes) -> None:
        self._buffer += data
        for line in take_lines(self._buffer, limit=_COMMAND_LIMIT):
            self._command += line.decode("utf-8", "replace").rstrip("\r") + "\n"
            if len(self._command) > _COMMAND_LIMIT:
                self._answer(str(_Refused(_SYNTAX, "Command too long")))
            elif _open_lists(self._command) <= 0:
                self._answer(self._run(self._command.strip()))

    def closed(self) -> None:
        pass

    def _answer(self, text: str) -> None:
        self._command = ""
        self._channel.send(f"{text}\n> ".encode() if text else b"\n> ")

    def _run(self, command: str) -> str:
        if not command:
            return ""
        try:
            tokens = _tokens(command)
            tree, rest = _parse(tokens, 0, 0)
            if rest != len(tokens):
                raise _Refused(_SYNTAX, "Syntax error: one expression a line")
            return _shown(self._value(tree))
        except _Refused as refused:
            return str(refused)

    def _value(self, tree: object) -> object:
        match tree:
            case ["param-ref" | "param-disp", ["quote", str(name)]]:
                return self._read(name)
            case ["param-gsv", ["quote", str(name)]]:
                return self._instrument.read(name)
            case ["param-set!", ["quote", str(name)], value]:
                self._instrument.write(name, _literal(value))
                return 0
            case ["exec", ["quote", "change-ul"], level, *_]:
                # Any password opens any level: this laser holds nothing to protect.
                self._user_level = int(str(level)) if str(level) in "01234" else self._user_level
                return self._user_level
            case ["exec", ["quote", str(name)], *_]:
                raise _Refused(_UNKNOWN, f"Unknown command '{name}'")
            case ["quasiquote", list(items)]:
                return [self._unquoted(item) for item in items]
            case [str(word), *_] if isinstance(tree, list):
                raise _Refused(_UNKNOWN, f"Unknown operation '{word}' or wrong arguments")
        raise _Refused(_SYNTAX, "Syntax error")

    def _read(self, name: str) -> Value:
        return self._user_level if name == "ul" else self._instrument.read(name)

    def _unquoted(self, item: object) -> object:
        match item:
            case ["unquote", inner]:
                return self._value(inner)
        return _literal(item)


def _bool(value: Value) -> bool:
    if not isinstance(value, bool):
        raise _Refused(_TYPE, "Type mismatch: #t or #f is needed")
    return value


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise _Refused(_TYPE, "Type mismatch: a string is needed")
    return value


def _open_lists(command: str) -> int:
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", command)
    return outside.count("(") - outside.count(")")


def _tokens(command: str) -> list[str]:
    tokens, position = [], 0
    while position < len(command):
        match = _TOKEN.match(command, position)
        if match is None:
            raise _Refused(_SYNTAX, "Syntax error: unfinished string")
        if match.group().strip():
            tokens.append(match.group())
        position = match.end()
    return tokens


def _parse(tokens: list[str], at: int, depth: int) -> tuple[object, int]:
    """The expression that starts at `at`, as nested lists of words, and where the next starts."""
    if at >= len(tokens) or depth > _DEPTH_LIMIT:
        raise _Refused(_SYNTAX, "Syntax error")
    token = tokens[at]
    if token in "'`,":
        name = {"'": "quote", "`": "quasiquote", ",": "unquote"}[token]
        inner, after = _parse(tokens, at + 1, depth + 1)
        return [name, inner], after
    if token == ")":
        raise _Refused(_SYNTAX, "Syntax error: unexpected )")
    if token != "(":
        return token, at + 1
    items: list[object] = []
    at += 1
    while at < len(tokens) and tokens[at] != ")":
        item, at = _parse(tokens, at, depth + 1)
        items.append(item)
    if at >= len(tokens):
        raise _Refused(_SYNTAX, "Syntax error: missing )")
    return items, at + 1


def _literal(tree: object) -> Value:
    word = tree if isinstance(tree, str) else ""
    if word.lower() in ("#t", "#f"):
        return word.lower() == "#t"
    if len(word) >= 2 and word.startswith('"'):
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    if re.fullmatch(r"[+-]?\d{1,18}", word):
        return int(word)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", word, re.IGNORECASE):
        return float(word)
    raise _Refused(_TYPE, f"Type mismatch: '{word or 'list'}' is no value")


def _shown(value: object) -> str:
    match value:
        case bool():
            return "#t" if value else "#f"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list():
            return "(" + " ".join(_shown(item) for item in value) + ")"
        case float():
            return repr(value)
    return str(value)
