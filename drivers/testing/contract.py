"""The contract suite: what every driver has to do, and what every driver of its kind has to do.

    @pytest.mark.parametrize("check", checks_for(MyLaser), ids=lambda check: check.__name__)
    def test_contract(check: Check) -> None:
        run_virtual(check(Subject(make, serial="A17", settings={"current_ma": 90.0})))

A check takes a `Subject` and raises ContractBroken with a sentence. Each needs an instrument that
has just been switched on. On `mem://` and virtual time the waiting costs nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import drivers.devices
from drivers.devices import Instrument
from drivers.errors import InstrumentProblem, NotConnected, Refused
from drivers.links.base import Link
from drivers.plugin import wrong_box
from drivers.testing.contract_kinds import KIND_CHECKS
from drivers.testing.script import ScriptedTransport
from drivers.testing.subject import CALL_LIMIT_S, ContractBroken, Subject, must_refuse, require
from drivers.testing.tap import Tap

Check = Callable[[Subject], Awaitable[None]]

UNITS = (
    *("w", "mw", "uw", "nw", "dbm", "db", "nm", "pm", "m", "mm", "um"),
    *("a", "ma", "ua", "v", "mv", "ohm", "c", "k", "percent", "deg", "rad", "counts", "cps"),
    *("s", "ms", "us", "ns", "ps", "hz", "khz", "mhz", "ghz", "thz", "ppm", "ppb"),
)
"""How a reading that is not a plain number ends, as `power_mw`."""

_LINKS = {"tcp", "serial", "visa", "zmq", "http", "ws", "snmp", "vendor", "file"}
_NOT_NUMBERS = (float("nan"), float("inf"), float("-inf"))
_MOMENT_S = 0.05


def checks_for(driver: type[Instrument]) -> list[Check]:
    """Every check that a driver has to pass, by its device classes and its manifest."""
    kinds = [check for kind, checks in KIND_CHECKS if issubclass(driver, kind) for check in checks]
    emission = EMISSION_CHECKS if driver.manifest.emits else ()
    return [*COMMON_CHECKS, *emission, *kinds]


async def the_manifest_is_complete(subject: Subject) -> None:
    """Its kind is that of the class, and it says what a person needs to know."""
    driver = type(subject.make())
    manifest = driver.manifest
    kind = getattr(drivers.devices, manifest.kind, None)
    require(
        inspect.isclass(kind) and issubclass(driver, kind),
        f"the manifest says {manifest.kind!r}, which {driver.__name__} is not",
    )
    require(bool(manifest.safe_state), "the manifest names no safe state")
    require(bool(manifest.sources), "the manifest names no source of the protocol")
    require(bool(manifest.links) and set(manifest.links) <= _LINKS, f"links are {manifest.links!r}")
    re.compile(manifest.identity)
    require(bool(manifest.identity), "the manifest accepts every identity")
    require({"ping", "readings"} <= set(manifest.read_only), "ping and readings are read-only")
    for name in manifest.read_only:
        method = getattr(driver, name, None)
        require(inspect.iscoroutinefunction(method), f"read_only names {name!r}, no async method")


async def unknown_options_are_refused(subject: Subject) -> None:
    """An option that does not exist is named in a ValueError."""
    instrument = subject.make()
    options = {**instrument.options, "no_such_option": 1}
    try:
        type(instrument)(Link(ScriptedTransport([]), owner="contract"), options)
    except ValueError as error:
        require("no_such_option" in str(error), f"the message does not name the option: {error}")
    else:
        raise ContractBroken("an unknown option was accepted")


async def it_says_who_it_is(subject: Subject) -> None:
    """Identity and serial number are those of this instrument, and of no other."""
    async with subject.opened() as (instrument, _):
        identity = await instrument.connect()
        manifest = instrument.manifest
        wrong = wrong_box(manifest, identity, subject.serial or None)
        require(not wrong, wrong)
        require(
            identity.serial == subject.serial,
            f"it tells the serial number {identity.serial!r}, expected {subject.serial!r}",
        )
        require(bool(wrong_box(manifest, identity, subject.serial + "9")), "another box passes")
        await instrument.ping()


async def it_connects_whatever_was_left_behind(subject: Subject) -> None:
    """Half commands and garbage on the line, on this connection where it has no end to notice."""
    for mess in subject.messes:
        async with subject.opened() as (instrument, _):
            await instrument.link.send(mess)
            if not subject.one_line:
                await instrument.link.open()
            try:
                async with asyncio.timeout(CALL_LIMIT_S):
                    identity = await instrument.connect()
                await instrument.ping()
            except InstrumentProblem as problem:
                raise ContractBroken(f"after {mess!r} it does not connect: {problem}") from problem
            wrong = wrong_box(instrument.manifest, identity, subject.serial or None)
            require(not wrong, f"after {mess!r}: {wrong}")


async def it_connects_after_a_connect_that_was_cancelled(subject: Subject) -> None:
    """A connect that ended half-way, by cancellation, leaves nothing that hurts the next one."""
    async with subject.opened() as (instrument, tap):
        tap.hold()
        first = asyncio.create_task(instrument.connect())
        await asyncio.sleep(_MOMENT_S)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        tap.release()
        await instrument.disconnect()
        await instrument.link.open()
        identity = await instrument.connect()
        wrong = wrong_box(instrument.manifest, identity, subject.serial or None)
        require(not wrong, wrong)
        await instrument.ping()


async def readings_have_names_types_and_units(subject: Subject) -> None:
    """Readings are plain values; a float has its unit in its name."""
    async with subject.connected() as (instrument, _):
        first, second = await instrument.readings(), await instrument.readings()
        require(first.keys() == second.keys(), "two readings have different names")
        for name, value in first.items():
            require(re.fullmatch("[a-z][a-z0-9_]*", name) is not None, f"{name!r} is no name")
            require(isinstance(value, bool | int | float | str), f"{name} is {value!r}")
            require(type(value) is type(second[name]), f"{name} changes its type")
            if isinstance(value, float):
                unit = name.rpartition("_")[2]
                require(unit in UNITS, f"{name} = {value!r} has no unit in its name")
                require(value not in _NOT_NUMBERS and value == value, f"{name} = {value!r}")
        require(
            subject.same(subject.steady(first), subject.steady(second)),
            f"readings change by themselves: {first} and {second}",
        )


async def read_only_methods_change_nothing(subject: Subject) -> None:
    """Whatever the manifest calls read-only works without a lease and leaves all as it is."""
    async with subject.connected(armed=False) as (instrument, _):
        before = await _seen(subject, instrument)
        for name in instrument.manifest.read_only:
            await getattr(instrument, name)()
        after = await _seen(subject, instrument)
        require(subject.same(before, after), f"before {before}, after {after}")


async def settings_are_taken_twice(subject: Subject) -> None:
    """Applying settings again changes nothing."""
    async with subject.connected() as (instrument, _):
        await instrument.apply(subject.settings)
        once = await _seen(subject, instrument)
        await instrument.apply(subject.settings)
        require(subject.same(once, await _seen(subject, instrument)), "twice is not as once")
        await instrument.apply({})


async def refused_values_are_never_sent(subject: Subject) -> None:
    """A value out of range, of a wrong type or without a meaning is refused with the reason."""
    async with subject.connected() as (instrument, tap):
        tables = [*subject.refused, ({"no_such_setting": 1}, "no_such_setting")]
        tables += [
            ({**subject.settings, "no_such_setting": 1}, "no_such_setting"),
            *(
                ({name: bad}, "")
                for name, good in subject.settings.items()
                if isinstance(good, float)
                for bad in _NOT_NUMBERS
            ),
        ]
        for table, word in tables:
            await must_refuse(partial(instrument.apply, table), tap, f"apply({table})", word)
        calls = list(subject.refused_calls)
        for name, arguments in subject.calls.items():
            for bad in _NOT_NUMBERS if any(isinstance(a, float) for a in arguments) else ():
                spoilt = tuple(bad if isinstance(a, float) else a for a in arguments)
                calls.append((name, spoilt, ""))
        for name, arguments, word in calls:
            call = partial(getattr(instrument, name), *arguments)
            shown = f"{name}({', '.join(map(repr, arguments))})"
            await must_refuse(call, tap, shown, word)
        await instrument.ping()


async def what_is_set_is_read_back(subject: Subject) -> None:
    """Every setter of the subject's calls is told by its getter."""
    async with subject.connected() as (instrument, _):
        for name, arguments in subject.calls.items():
            await getattr(instrument, name)(*arguments)
            told = subject.read_back.get(name, name.removeprefix("set_"))
            if not told or (told == name and name not in subject.read_back):
                continue
            getter = getattr(instrument, told, None)
            if getter is None and name not in subject.read_back:
                continue
            found = (await instrument.readings())[told] if getter is None else await getter()
            require(subject.same(found, arguments[-1]), f"{name}{arguments}: {told} is {found!r}")


async def the_safe_state_is_reached_and_stays(subject: Subject) -> None:
    """From the settings, and again from the safe state itself."""
    async with subject.connected() as (instrument, _):
        await instrument.apply(subject.settings)
        await instrument.enter_safe_state()
        await instrument.enter_safe_state()
        require(subject.emits is None or not subject.emits(), "it emits in its safe state")
        await instrument.ping()


async def a_late_answer_answers_nothing(subject: Subject) -> None:
    """A question that timed out is over: its answer, when it comes, is not that of the next one."""
    async with subject.connected() as (instrument, tap):
        before = await instrument.readings()
        tap.hold()
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                await instrument.ping()
        except InstrumentProblem:
            pass
        except TimeoutError:
            raise ContractBroken(f"no answer, and ping hangs for {CALL_LIMIT_S:g} s") from None
        else:
            raise ContractBroken("ping says all is well, and nothing has answered")
        await _tells_the_same_or_nothing(subject, instrument, tap, before)


async def a_cancelled_question_is_over(subject: Subject) -> None:
    """Cancellation is like a timeout, and never swallowed."""
    async with subject.connected() as (instrument, tap):
        before = await instrument.readings()
        tap.hold()
        asking = asyncio.create_task(instrument.readings())
        await asyncio.sleep(_MOMENT_S)
        asking.cancel()
        done, _ = await asyncio.wait({asking}, timeout=CALL_LIMIT_S)
        require(bool(done), "cancellation is swallowed")
        await _tells_the_same_or_nothing(subject, instrument, tap, before)


async def a_closed_link_is_told(subject: Subject) -> None:
    """Whatever is asked on a closed link raises NotConnected, at once."""
    async with subject.connected() as (instrument, _):
        await instrument.link.close()
        for call in (instrument.ping, instrument.readings, instrument.enter_safe_state):
            try:
                async with asyncio.timeout(1.0):
                    await call()
            except NotConnected as problem:
                require(bool(problem.owner), f"{call.__name__}: the message names no instrument")
            except (InstrumentProblem, TimeoutError) as problem:
                raise ContractBroken(f"{call.__name__} raised {problem!r}") from problem
            else:
                raise ContractBroken(f"{call.__name__} works on a closed link")


async def nothing_is_left_running(subject: Subject) -> None:
    """After `disconnect`, which may be called twice, no task of the driver goes on.

    Run it while no other driver lives on the loop.
    """
    before = asyncio.all_tasks()
    async with subject.connected() as (instrument, _):
        await instrument.readings()
        await instrument.disconnect()
        await instrument.disconnect()
        await instrument.link.close()
        left = [t for t in asyncio.all_tasks() - before if not t.done() and _is_ours(t)]
        require(not left, f"still running: {left}")


async def emission_needs_a_lease(subject: Subject) -> None:
    """Without one nothing is switched on, and the refusal says so."""
    async with subject.connected(armed=False) as (instrument, _):
        await instrument.enter_safe_state()
        try:
            await instrument.apply(subject.armed)
        except Refused as refusal:
            require("arm" in str(refusal), f"the refusal does not say how: {refusal}")
        else:
            raise ContractBroken(f"apply({dict(subject.armed)}) works without a lease")
        require(subject.emits is None or not subject.emits(), "it emits without a lease")


async def emission_ends_in_the_safe_state(subject: Subject) -> None:
    """With a lease it emits; `enter_safe_state` returns only when it no longer does."""
    async with subject.connected() as (instrument, _):
        require(bool(subject.armed), "the manifest says `emits`, and `armed` is empty")
        await instrument.apply(subject.armed)
        require(subject.emits is None or subject.emits(), f"{dict(subject.armed)} emits nothing")
        await instrument.enter_safe_state()
        require(subject.emits is None or not subject.emits(), "it still emits")


COMMON_CHECKS: tuple[Check, ...] = (
    the_manifest_is_complete,
    unknown_options_are_refused,
    it_says_who_it_is,
    it_connects_whatever_was_left_behind,
    it_connects_after_a_connect_that_was_cancelled,
    readings_have_names_types_and_units,
    read_only_methods_change_nothing,
    settings_are_taken_twice,
    refused_values_are_never_sent,
    what_is_set_is_read_back,
    the_safe_state_is_reached_and_stays,
    a_late_answer_answers_nothing,
    a_cancelled_question_is_over,
    a_closed_link_is_told,
    nothing_is_left_running,
)
EMISSION_CHECKS: tuple[Check, ...] = (emission_needs_a_lease, emission_ends_in_the_safe_state)


async def _seen(subject: Subject, instrument: Instrument) -> dict[str, Any]:
    """Everything steady that can be seen, from the inside too."""
    return {
        **subject.steady(await instrument.readings()),
        "(emits)": subject.emits is not None and subject.emits(),
        "(state)": None if subject.state is None else subject.state(),
    }


async def _tells_the_same_or_nothing(
    subject: Subject, instrument: Instrument, tap: Tap, before: dict[str, Any]
) -> None:
    """When asked before the late answer comes, and after the link has been opened anew."""
    asking = asyncio.create_task(instrument.readings())
    await asyncio.sleep(_MOMENT_S)
    tap.release()
    try:
        async with asyncio.timeout(CALL_LIMIT_S):
            after = await asking
    except InstrumentProblem:
        pass
    else:
        require(
            subject.same(subject.steady(before), subject.steady(after)),
            f"before {before}, with a late answer {after}",
        )
    await instrument.disconnect()
    await instrument.link.open()
    await instrument.connect()
    again = await instrument.readings()
    require(
        subject.same(subject.steady(before), subject.steady(again)),
        f"before {before}, after connecting again {again}",
    )


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """A task of a driver, not one that tells the supervisor or the test's own."""
    coroutine = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    return code is not None and "/drivers/" in code.co_filename
