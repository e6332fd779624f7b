"""How a midpoint station detects: asked for by the leading end, set by the station's node."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

from drivers.devices import DeviceTuning, QuantumDevice
from drivers.errors import InstrumentProblem, Refused
from link_layer.messages import Message, Tune, Tuned

REPEAT_S = 1.0
LIMIT_S = 10.0
MOST_WAITING = 8


class NotTuned(Exception):
    """The station was not set; the text says why."""


class StationTuning:
    """At the leading end. What was asked for last is asked for again of a station that is new."""

    def __init__(self, link: str, send: Callable[[Message], object], rng: random.Random):
        self._link, self._send = link, send
        self._number = rng.getrandbits(62)
        self._wanted = DeviceTuning()
        self._answer: asyncio.Future[Tuned] | None = None

    async def tune(
        self,
        *,
        delay_ps: float | None = None,
        window_ps: float | None = None,
        phase_deg: float | None = None,
        dark_s: float = 0.0,
    ) -> Tuned:
        """Set this and leave the rest; without any, ask. `dark_s`: count for so long, which is for
        when no end attempts. Raises NotTuned."""
        given = {"delay_ps": delay_ps, "window_ps": window_ps, "phase_deg": phase_deg}
        told = {key: value for key, value in given.items() if value is not None}
        order = self._order(told, dark_s)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(LIMIT_S + dark_s):
                while True:
                    self._send(order)
                    done, _ = await asyncio.wait([self._answer], timeout=REPEAT_S + 2 * dark_s)
                    if done:
                        break
        except TimeoutError as late:
            raise NotTuned(f"the station has not answered in {LIMIT_S:g} s") from late
        answer = self._answer.result()
        if answer.error:
            raise NotTuned(f"the station: {answer.error}")
        self._wanted = DeviceTuning(**asdict(self._wanted) | told)
        return answer

    def heard(self, message: Tuned) -> None:
        """The station's answer; one to an earlier question is dropped."""
        answer = self._answer
        if answer is not None and not answer.done() and message.number == self._number:
            answer.set_result(message)

    def station_came(self) -> None:
        """The station is there, perhaps with a process that knows nothing."""
        told = {key: value for key, value in asdict(self._wanted).items() if value is not None}
        if told and (self._answer is None or self._answer.done()):
            self._send(self._order(told))

    def _order(self, told: dict[str, float], dark_s: float = 0.0) -> Tune:
        self._number = (self._number + 1) % 2**62
        return Tune(self._link, self._number, **told, dark_s=dark_s)


class StationTuner:
    """At the station's node, which sets the device, again when it comes back without its settings.

    `answer` sends to an end; `device` raises NotConnected; `visibility` is that of the station's
    Hong-Ou-Mandel interference, where that is seen.
    """

    def __init__(
        self,
        device: Callable[[], QuantumDevice],
        answer: Callable[[str, Message], object],
        counters: Counter[str],
        visibility: Callable[[], float | None],
    ):
        self._visibility = visibility
        self._device, self._answer, self._counters = device, answer, counters
        self._wanted = DeviceTuning()
        self._waiting: asyncio.Queue[tuple[str, Tune]] = asyncio.Queue(MOST_WAITING)

    def ordered(self, end: str, order: Tune) -> None:
        """An end asks; one that asks faster than the device answers is not listened to."""
        try:
            self._waiting.put_nowait((end, order))
        except asyncio.QueueFull:
            self._counters["orders_dropped"] += 1

    def device_came(self) -> None:
        """It may have been switched off."""
        if self._wanted != DeviceTuning():
            self.ordered("", Tune("", 0))

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            end, order = await self._waiting.get()
            answer = await self._done(order)
            if end:
                self._answer(end, answer)

    async def _done(self, order: Tune) -> Tuned:
        asked = {key: getattr(order, key) for key in ("delay_ps", "window_ps", "phase_deg")}
        told = {key: value for key, value in asked.items() if value is not None}
        wanted = DeviceTuning(**asdict(self._wanted) | told)
        try:
            device = self._device()
            able = bool((await device.capabilities()).tunes) or wanted != DeviceTuning()
            now = await device.tune(wanted) if able else DeviceTuning()
            dark_cps = None
            if order.dark_s > 0:
                dark_cps = await _dark_cps(device, order.dark_s, now.window_ps)
        except InstrumentProblem as problem:
            return Tuned(order.link, order.number, error=str(problem))
        self._wanted = wanted
        return Tuned(
            order.link,
            order.number,
            now.delay_ps,
            now.window_ps,
            now.phase_deg,
            dark_cps,
            self._visibility(),
        )


async def _dark_cps(device: QuantumDevice, seconds: float, window_ps: float | None) -> float:
    """Clicks a second of open windows. Raises InstrumentProblem."""
    if not window_ps:
        raise Refused("the device does not tell how long its window is open")
    await device.start()
    try:
        await asyncio.sleep(seconds)
        attempts, clicks = await device.clicks()
    finally:
        await device.abort()
    if not attempts:
        raise Refused(f"no attempts in {seconds:g} s")
    return clicks / (attempts * window_ps * 1e-12)
