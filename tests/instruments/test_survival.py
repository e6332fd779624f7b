"""A simulated instrument survives what its real one would, whatever its type.

Two clients, half a command, ten thousand commands a second, a client that never reads: afterwards
an ordinary driver finds it as it should be.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from drivers.errors import InstrumentProblem
from sim_backends.catalogue import CATALOGUE
from sim_backends.mount_memory import MemoryPort
from tests.instruments.bench import Plugged, in_memory
from tests.instruments.case import Case, collect
from timing.loop import run_virtual

CASES = collect()
WELL_WITHIN_S = 10.0
LIMIT_BYTES = 256 * 1024


def test_there_is_a_case_for_every_type() -> None:
    made_here = [name for name, kind in CATALOGUE.items() if not kind.from_file]
    # A type may have several: a device of the open protocol with modes and without.
    assert len({case.driver for case in CASES.values()}) == len(made_here)


class Recorded:
    """A pipe to an instrument that keeps what is said to it."""

    def __init__(self, port: MemoryPort, words: list[bytes]):
        self._port, self._words = port, words
        self.read, self.close = port.read, port.close

    async def write(self, data: bytes) -> None:
        self._words.append(data)
        await self._port.write(data)


async def healthy(plugged: Plugged, within_s: float = WELL_WITHIN_S) -> str:
    """Who a driver finds there, within a time and with as many tries as it takes."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + within_s
    while True:
        instrument = plugged.make()
        try:
            await instrument.link.open()
            identity = await instrument.connect()
            await instrument.ping()
            await instrument.readings()
            return f"{identity.text} {identity.serial}"
        except InstrumentProblem:
            if clock() > until_s:
                raise
            await asyncio.sleep(0.5)
        finally:
            with suppress(InstrumentProblem):
                await instrument.disconnect()
            await instrument.link.close()


async def learn(plugged: Plugged) -> tuple[list[bytes], str]:
    """What a driver says at first to the socket that it is given, and who answers."""
    words: list[bytes] = []
    assert isinstance(plugged.registry, dict)
    first, dial = next(iter(plugged.registry.items()))

    def recording() -> tuple[Recorded, Recorded]:
        pipe = Recorded(dial()[0], words)
        return pipe, pipe

    plugged.registry[first] = recording
    identity = await healthy(plugged)
    plugged.registry[first] = dial
    assert words
    return words, identity


def raw(plugged: Plugged) -> MemoryPort:
    return plugged.dial(next(iter(plugged.lines)))[0]


async def _say(port: MemoryPort, data: bytes) -> bool:
    try:
        await port.write(data)
    except OSError:
        return False
    return True


async def _listen(port: MemoryPort) -> None:
    while await port.read():
        pass


async def two_clients(plugged: Plugged, words: list[bytes]) -> None:
    one, other = raw(plugged), raw(plugged)
    listening = [asyncio.create_task(_listen(port)) for port in (one, other)]
    for word in words * 3:
        for port in (one, other):
            for piece in (word[:1], word[1:]):
                await _say(port, piece)
        await asyncio.sleep(0.003)
    await asyncio.sleep(1.0)
    for task, port in zip(listening, (one, other), strict=True):
        port.close()
        await task


async def half_a_command(plugged: Plugged, words: list[bytes]) -> None:
    for word in words:
        port = raw(plugged)
        await _say(port, word[: max(1, len(word) // 2)])
        await asyncio.sleep(0.1)
        port.close()


async def ten_thousand_commands_a_second(plugged: Plugged, words: list[bytes]) -> None:
    port = raw(plugged)
    listening = asyncio.create_task(_listen(port))
    for batch in range(100):
        for number in range(100):
            if not await _say(port, words[(100 * batch + number) % len(words)]):
                port = raw(plugged)  # it has hung up, as a real one might
                listening.cancel()
                listening = asyncio.create_task(_listen(port))
        await asyncio.sleep(0.01)
    port.close()
    listening.cancel()


async def a_client_that_never_reads(plugged: Plugged, words: list[bytes]) -> None:
    port = raw(plugged)
    for _ in range(2000):
        for word in words:
            if not await _say(port, word):
                break
        await asyncio.sleep(0.001)
    await asyncio.sleep(20.0)
    assert len(port._received) <= LIMIT_BYTES
    port.close()


@pytest.mark.parametrize(
    "abuse",
    [two_clients, half_a_command, ten_thousand_commands_a_second, a_client_that_never_reads],
)
@pytest.mark.parametrize("name", CASES)
def test_it_survives(name: str, abuse: Callable[..., object]) -> None:
    async def scenario(case: Case) -> None:
        async with in_memory(case) as plugged:
            words, identity = await learn(plugged)
            await abuse(plugged, words)  # type: ignore[misc]
            assert await healthy(plugged) == identity

    run_virtual(scenario(CASES[name]), limit_s=600.0)
