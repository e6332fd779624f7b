"""Asking who is there, with the drivers' own questions."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivers.devices import Instrument

_GREETING_S = 0.15
_ANSWER_S = 0.5


@dataclass(frozen=True)
class Answer:
    """What came back to a question; `driver` is "" where no driver knows the answer."""

    driver: str
    asked: str
    answer: str
    serial: str = ""


async def connect_with(resource: str, driver: str) -> Answer:
    """Let one driver connect. Raises InstrumentProblem."""
    from qnodeos.cli.instrument.target import Target, connected

    target = Target(resource, driver, resource)
    async with connected(target, "identify") as (_, identity):
        return Answer(driver, "(connect)", identity.text, identity.serial)


async def who_is_there(resource: str) -> list[Answer]:
    """Ask the questions of all drivers for such a link, until one is answered as its driver says.

    Without that, the answers that nobody knows; none at all: it is silent. Each question is put on
    a connection of its own, with the line parameters of its driver. Raises InstrumentProblem when
    nobody can be connected to, UserError for a resource that cannot be.
    """
    from drivers.claims import Claims

    claim = Claims().take(resource, "qnodeos instrument identify")
    asked: dict[tuple[Any, ...], str] = {}
    unknown: dict[str, Answer] = {}
    try:
        for name, driver in _askable(resource):
            asking, line = driver.manifest.asking, driver.manifest.serial
            assert asking is not None
            key = (asking.identity + asking.end, asking.framing, line)
            if key not in asked:
                asked[key] = await _ask(resource, name, driver)
            found, question = asked[key], _text(asking.identity)
            if found and re.search(asking.reply or driver.manifest.identity, found):
                return [Answer(name, question, found)]
            if found:
                unknown[question] = Answer("", question, found)
    finally:
        if claim is not None:
            claim.release()
    return list(unknown.values())


def _askable(resource: str) -> list[tuple[str, type[Instrument]]]:
    from drivers.links.open import ACCEPTED, scheme
    from drivers.plugin import driver_names, load_driver
    from qnodeos.errors import UserError

    kind = scheme(resource)
    if not kind or kind == "mem":
        raise UserError("this resource is not understood", found=f"'{resource}'", expected=ACCEPTED)
    askable = []
    for name in driver_names():
        try:
            driver = load_driver(name)
        except Exception:
            continue  # `list` shows what is wrong with it
        manifest = driver.manifest
        if manifest.asking is not None and manifest.asking.identity and kind in manifest.links:
            askable.append((name, driver))
    # The common question first.
    return sorted(askable, key=lambda each: b"*IDN?" not in _question(each[1]))


def _question(driver: type[Instrument]) -> bytes:
    asking = driver.manifest.asking
    return b"" if asking is None else asking.identity + asking.end


async def _ask(resource: str, name: str, driver: type[Instrument]) -> str:
    """Whatever is said unasked, and the answer; "" for silence."""
    from drivers.errors import NotConnected, ProtocolError, Timeout
    from drivers.framing import Anything
    from drivers.links.open import make_link

    asking = driver.manifest.asking
    assert asking is not None
    link = make_link(resource, owner=f"identify ({name})", serial=driver.manifest.serial)
    await link.open()
    heard = b""
    try:
        if asking.end:
            # Ends half a question of another driver.
            await link.send(asking.end)
        try:
            async with asyncio.timeout(_GREETING_S):
                while True:
                    heard += await link.receive(Anything(), timeout_s=None)
        except TimeoutError:
            pass
        heard += await link.exchange(
            asking.identity + asking.end, asking.framing, timeout_s=_ANSWER_S
        )
    except (Timeout, ProtocolError, NotConnected):
        # Another kind of instrument: it is silent, babbles or hangs up.
        pass
    finally:
        await link.close()
    return _text(heard.strip())


def _text(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode()
