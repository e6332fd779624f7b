"""Keeps one instrument connected, known, set up and watched, for as long as the node runs.

    absent ──> connecting ──> online <──> degraded
       ^            │            │            │
       └────────────┴── back-off ┴────────────┘        fault: needs a person, retried slowly

`absent`: no link to it can be opened. `degraded`: it is there, but the link was lost out of step
and is being made anew, or it answers and something is not as it should be (it reports an error, its
arming lease has ended). `fault`: the wrong box, or settings that it does not take.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from drivers.claims import Claim
from drivers.devices import Instrument
from drivers.errors import (
    InstrumentError,
    InstrumentProblem,
    NotConnected,
    ProtocolError,
    Refused,
    Timeout,
)
from drivers.plugin import wrong_box
from drivers.safety import ArmingLease
from drivers.sharing import read_only as only_to_look_at
from drivers.status import InstrumentStatus, State, SupervisorLimits

_log = logging.getLogger(__name__)

Policy = Literal["keep", "reapply", "safe"]

_Result = TypeVar("_Result")
_LINK_PROBLEMS = (NotConnected, Timeout, ProtocolError)
_LEASE_POLL_S = 0.25
_LEFT = "left by the node"


class _Fault(Exception):
    """Somebody has to look; trying again soon will not help."""


class Supervisor:
    """The life of one instrument; `run` it in a task.

    `make` builds a fresh driver on a fresh link for every connection, so that whoever holds an old
    one can do nothing with it. The settings are applied at the first connection; at a later one
    `policy` decides: "reapply" them, "keep" what the instrument has, or put it in its "safe" state
    until `apply_settings`. With a `lease`, an instrument that emits is kept in its safe state while
    the lease is not live. `on_status` hears every change of state, reason or readings.

    `claim` takes the instrument for this program, from the first connection to the end of `run`.
    With `read_only` nothing is ever set, the safe state included: somebody else is its master.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Instrument],
        *,
        rng: random.Random,
        expected_serial: str | None = None,
        settings: Mapping[str, Any] | None = None,
        policy: Policy = "reapply",
        lease: ArmingLease | None = None,
        on_status: Callable[[InstrumentStatus], None] = lambda _: None,
        ping_interval_s: float = 0.8,
        limits: SupervisorLimits | None = None,
        driver: str = "",
        claim: Callable[[], Claim | None] = lambda: None,
        read_only: bool = False,
    ):
        self.name = name
        self._make = make
        self._rng = rng
        self._expected_serial = expected_serial
        self._settings = dict(settings or {})
        self._policy = policy
        self._lease = lease
        self._on_status = on_status
        self._ping_interval_s = ping_interval_s
        self._limits = limits or SupervisorLimits()
        self._take_claim = claim
        self._claim: Claim | None = None
        self._read_only = read_only
        self._holds: dict[str, str] = {}
        self._status = InstrumentStatus(name, driver, "absent", 0.0, reason="not tried yet")
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._reported: InstrumentProblem | None = None
        self._failures = 0
        self._applied = False
        self._may_emit = False
        # Of the present connection:
        self._instrument: Instrument | None = None
        self._shown: Instrument | None = None
        self._opened = False
        self._usable = False
        self._settled = False
        self._held = ""

    @property
    def status(self) -> InstrumentStatus:
        """The latest status."""
        return self._status

    @property
    def instrument(self) -> Instrument:
        """The connected driver; raises NotConnected, saying why there is none."""
        if self._shown is None or not self._usable:
            raise NotConnected(self._in_words(), owner=self.name)
        return self._shown

    @property
    def in_safe_state(self) -> bool:
        """False while it may emit on our behalf; look at it after `run` has ended."""
        return not self._may_emit

    async def wait_online(self, timeout_s: float) -> Instrument:
        """The driver, as soon as it is online; raises NotConnected after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._status.state != "online":
                    await self._changed.wait()
        except TimeoutError:
            reason = f"not online within {timeout_s:g} s: {self._in_words()}"
            raise NotConnected(reason, owner=self.name) from None
        return self.instrument

    def report(self, problem: InstrumentProblem, instrument: Instrument | None = None) -> None:
        """Tell of a problem met in use: the instrument is looked at, or reconnected, at once.

        `instrument` is the driver that raised it; a problem of an earlier connection is ignored.
        """
        if not self._usable or not (instrument is None or instrument is self._shown):
            return
        self._reported = problem
        self._wake.set()

    async def apply_settings(self) -> None:
        """Apply the settings now, on an operator's word; raises InstrumentProblem."""
        instrument = self.instrument
        if self._holds:
            raise Refused(self.held, owner=self.name)
        self._note_emission(instrument)
        await instrument.apply(self._settings)
        self._held = ""
        self._tell("online")

    @property
    def held(self) -> str:
        """Why it is held in its safe state; "" when it is not."""
        return "; ".join(self._holds.values())

    def hold_safe(self, key: str, reason: str) -> None:
        """Bring it to its safe state at once and keep it there until `let_go` of this key."""
        self._holds[key] = f"in its safe state: {reason}"
        self._wake.set()

    def let_go(self, key: str) -> None:
        """Take a hold back; with the last one its settings are applied again."""
        if self._holds.pop(key, None) is not None:
            self._wake.set()

    async def run(self) -> None:
        """Connect, watch and reconnect until cancelled; then leave the instrument safe."""
        self._status = replace(self._status, since_s=asyncio.get_running_loop().time())
        try:
            while True:
                pause_s = self._limits.fault_retry_s
                try:
                    await self._live_once()
                except _Fault as fault:
                    self._lose("fault", str(fault))
                except _LINK_PROBLEMS as problem:
                    self._lose("degraded" if self._opened else "absent", str(problem))
                    pause_s = self._back_off_s()
                except Exception as error:
                    reason = f"the driver failed: {error!r}"
                    if reason != self._status.reason:
                        _log.exception("%s: the driver failed", self.name)
                    self._lose("fault", reason)
                await self._drop()
                await asyncio.sleep(pause_s)
        finally:
            await self._leave()
            if self._claim is not None:
                self._claim.release()

    async def _live_once(self) -> None:
        """One connection from its beginning to its end, which is always an exception."""
        self._opened = self._settled = False
        self._held = ""
        self._reported = None
        self._wake.clear()
        self._instrument = instrument = self._make()
        self._shown = only_to_look_at(instrument) if self._read_only else instrument
        instrument.armed = self._may_arm
        self._status = replace(self._status, driver=instrument.manifest.driver)
        self._hold_claim()
        await instrument.link.open(timeout_s=self._limits.open_s)
        self._opened = True
        if self._status.state == "absent":
            # Not after a problem: an instrument that accepts and never answers would only flicker.
            self._tell("connecting")
        identity = await self._limited(instrument.connect, self._limits.connect_s, "connect")
        self._status = replace(self._status, identity=identity)
        wrong = wrong_box(instrument.manifest, identity, self._expected_serial)
        if wrong:
            raise _Fault(wrong)
        self._status = replace(self._status, connects=self._status.connects + 1)
        await self._settle(instrument, found=True)
        self._usable = True
        if self._settled:
            self._tell("online", self._held)
        while True:
            self._hold_claim()
            await self._look(instrument)
            self._failures = 0
            await self._pause(instrument)

    async def _settle(self, instrument: Instrument, *, found: bool) -> None:
        """Bring the instrument to what lease, policy and settings say.

        `found`: it has just been connected and has what it kept, or lost.
        """
        limit_s = self._limits.apply_s
        try:
            if self._read_only:
                self._settled = True
                return
            if barred := self._barred(instrument):
                await self._make_safe(instrument)
                self._settled = False
                self._tell("degraded", barred)
                return
            if self._applied and self._policy == "safe":
                await self._make_safe(instrument)
                self._held = "in its safe state until its settings are applied by hand"
            elif self._applied and self._policy == "keep" and found:
                self._note_emission(instrument)
            else:
                self._note_emission(instrument)
                await self._limited(
                    lambda: instrument.apply(self._settings), limit_s, "apply settings"
                )
                self._applied = True
            self._settled = True
        except (InstrumentError, Refused) as problem:
            if self._usable and self._turned(instrument):
                return  # The lease ended in between; the next look makes it safe.
            raise _Fault(f"it does not take its settings: {problem}") from problem

    async def _make_safe(self, instrument: Instrument) -> None:
        await self._limited(instrument.enter_safe_state, self._limits.safe_s, "enter safe state")
        self._may_emit = False

    async def _look(self, instrument: Instrument) -> None:
        """The lease, one ping, and the readings; an instrument that says no stays connected."""
        if self._turned(instrument):
            await self._settle(instrument, found=False)
        limit_s = self._limits.ping_s
        try:
            await self._looked(instrument, instrument.ping, limit_s, "ping")
            readings = await self._looked(instrument, instrument.readings, limit_s, "readings")
        except (InstrumentError, Refused) as problem:
            self._lose("degraded", str(problem))
            return
        if self._settled:
            self._tell("online", self._held)
        if readings != self._status.readings:
            self._status = replace(self._status, readings=MappingProxyType(dict(readings)))
            self._on_status(self._status)

    async def _pause(self, instrument: Instrument) -> None:
        """Until the next look is due, the lease turns, or a report; raises what breaks a link."""
        clock = asyncio.get_running_loop().time
        due_s = clock() + self._ping_interval_s * (0.95 + 0.1 * self._rng.random())
        while (left_s := due_s - clock()) > 0 and not self._turned(instrument):
            try:
                async with asyncio.timeout(min(left_s, self._lease_wait_s(instrument))):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()
            problem, self._reported = self._reported, None
            if isinstance(problem, _LINK_PROBLEMS):
                raise problem
            return

    async def _drop(self) -> None:
        """Let go of the connection, without touching what the instrument does."""
        instrument, self._instrument, self._usable = self._instrument, None, False
        self._shown = None
        if instrument is not None:
            await _close(instrument, self._limits.safe_s)

    async def _leave(self) -> None:
        """At the end: an instrument goes dark, over a new link when ours is out of step."""
        instrument, known = self._instrument, self._usable
        self._instrument, self._shown, self._usable = None, None, False
        if instrument is not None:
            if known and instrument.link.usable and self._ours(instrument):
                await self._leave_safe(instrument, last=False)
            await _close(instrument, self._limits.safe_s)
        if self._may_emit:
            again = self._make()
            await self._leave_safe(again, last=True)
            await _close(again, self._limits.safe_s)
        self._tell("absent", _LEFT + ", NOT SAFE" * self._may_emit)

    async def _leave_safe(self, instrument: Instrument, *, last: bool) -> None:
        try:
            async with asyncio.timeout(self._limits.safe_s):
                if not instrument.link.usable:
                    await instrument.link.open()
                    identity = await instrument.connect()
                    wrong = wrong_box(instrument.manifest, identity, self._expected_serial)
                    if wrong:
                        raise NotConnected(wrong, owner=self.name)
                await instrument.enter_safe_state()
                self._may_emit = False
        except Exception as problem:
            # A driver's own mistake included: the other instruments still have to be left.
            level = logging.ERROR if last else logging.WARNING
            reason = str(problem) or "no answer in time"
            _log.log(level, "%s: not brought to its safe state: %s", self.name, reason)

    def _ours(self, instrument: Instrument) -> bool:
        """What emits without our lease was switched on by somebody who may still need it."""
        return not self._read_only and (self._lease is not None or not instrument.manifest.emits)

    def _barred(self, instrument: Instrument) -> str:
        """Why it has to be in its safe state; "" when it may do what its settings say."""
        if self._read_only:
            return ""
        if self._holds:
            return self.held
        if self._lease is not None and instrument.manifest.emits and not self._lease.live:
            return "in its safe state: there is no live arming lease"
        return ""

    def _turned(self, instrument: Instrument) -> bool:
        return bool(self._barred(instrument)) == self._settled

    def _may_arm(self) -> bool:
        held = self._lease is not None and self._lease.live
        return held and not self._holds and not self._read_only

    def _hold_claim(self) -> None:
        """Take it, or renew it; raises NotConnected when somebody else has it."""
        if self._claim is None:
            self._claim = self._take_claim()
            return
        try:
            self._claim.renew()
        except NotConnected:
            self._claim.release()
            self._claim = None
            raise

    def _lease_wait_s(self, instrument: Instrument) -> float:
        if self._lease is None or not instrument.manifest.emits:
            return float("inf")
        return self._lease.remaining_s + 0.001 if self._lease.live else _LEASE_POLL_S

    def _note_emission(self, instrument: Instrument) -> None:
        if self._lease is not None and instrument.manifest.emits:
            self._may_emit = True

    def _back_off_s(self) -> float:
        """Doubling, with jitter downwards so that instruments of one rack do not move in step."""
        limits = self._limits
        base_s = min(limits.last_back_off_s, limits.first_back_off_s * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return base_s * (0.5 + 0.5 * self._rng.random())

    async def _limited(
        self, call: Callable[[], Awaitable[_Result]], limit_s: float, command: str
    ) -> _Result:
        try:
            async with asyncio.timeout(limit_s):
                return await call()
        except TimeoutError:
            raise Timeout(
                f"not done within {limit_s:g} s", owner=self.name, command=command
            ) from None

    async def _looked(
        self,
        instrument: Instrument,
        call: Callable[[], Awaitable[_Result]],
        limit_s: float,
        command: str,
    ) -> _Result:
        """As `_limited`, but not while another's question or action is on its way."""
        loop = asyncio.get_running_loop()
        ours = asyncio.current_task()
        timer = loop.call_later(0.99 * limit_s, lambda: look_again())

        def look_again() -> None:
            nonlocal timer
            if instrument.busy or instrument.link.user not in (None, ours):
                scope.reschedule(loop.time() + limit_s)
                timer = loop.call_later(0.99 * limit_s, look_again)

        try:
            async with asyncio.timeout(limit_s) as scope:
                return await call()
        except TimeoutError:
            raise Timeout(
                f"not done within {limit_s:g} s", owner=self.name, command=command
            ) from None
        finally:
            timer.cancel()

    def _in_words(self) -> str:
        status = self._status
        return f"it is {status.state}" + (f" ({status.reason})" if status.reason else "")

    def _lose(self, state: State, reason: str) -> None:
        """As `_tell`, where the readings are no longer true."""
        self._status = replace(self._status, readings=MappingProxyType({}))
        self._tell(state, reason)

    def _tell(self, state: State, reason: str = "") -> None:
        """Set the status; say so and wake those who wait, only when it changes."""
        before = self._status
        if (state, reason) == (before.state, before.reason):
            return
        since_s = before.since_s
        if state != before.state:
            since_s = asyncio.get_running_loop().time()
            good = state in ("connecting", "online") or reason == _LEFT
            level = logging.INFO if good else logging.WARNING
            _log.log(level, "%s is %s%s", self.name, state, f": {reason}" if reason else "")
        self._status = replace(before, state=state, reason=reason, since_s=since_s)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._on_status(self._status)


async def _close(instrument: Instrument, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await instrument.disconnect()
    except Exception:
        _log.exception("%s: disconnecting failed", instrument.link.owner)
    finally:
        await instrument.link.close()
