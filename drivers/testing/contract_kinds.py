"""The contract of each device class, beside what every driver has to do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from drivers.devices import (
    Analyzer,
    Attenuator,
    AvalancheBias,
    Basis,
    CoincidenceCounter,
    DelayGenerator,
    Detector,
    FrequencyReference,
    Laser,
    NanowireBias,
    OpticalSwitch,
    PolarizationController,
    PowerMeter,
    QuantumDevice,
    ReferenceStatus,
    TemperatureController,
    TimeTagger,
)
from drivers.testing.subject import CALL_LIMIT_S, Subject, must_refuse, require
from timing.tags import TagBatch

_STREAM_S = 10.0
_BATCHES = 4


async def a_stream_tells_every_span_once(subject: Subject) -> None:
    """Batches follow each other without a gap, tags are sorted within them; a new stream works."""
    async with subject.connected() as (tagger, _):
        assert isinstance(tagger, TimeTagger)
        for _ in range(2):
            before: TagBatch | None = None
            for batch in await _some_batches(tagger):
                _is_a_good_batch(tagger, batch)
                if before is not None:
                    require(
                        batch.start_ps == before.stop_ps,
                        f"a batch starts at {batch.start_ps}, the last stopped at {before.stop_ps}",
                    )
                before = batch
            await tagger.ping()


async def a_tagger_is_watched_while_it_streams(subject: Subject) -> None:
    """`ping` and `readings` work beside a stream and do not disturb it."""
    async with subject.connected() as (tagger, _):
        assert isinstance(tagger, TimeTagger)
        async with asyncio.timeout(_STREAM_S), aclosing(tagger.stream()) as stream:
            await anext(stream)
            await tagger.ping()
            await tagger.readings()
            batch = await anext(stream)
            require(not batch.lost and not batch.overflow, "tags are lost when it is looked at")


async def a_laser_is_lit_and_dark_when_it_says_so(subject: Subject) -> None:
    """`set_emission` and `emission` agree with what comes out."""
    async with subject.connected() as (laser, _):
        assert isinstance(laser, Laser)
        wavelength = await laser.wavelength_nm()
        require(100.0 < wavelength < 20_000.0, f"wavelength_nm is {wavelength!r}")
        await laser.apply(subject.settings)
        for on in (True, False):
            await laser.set_emission(on)
            require(await laser.emission() is on, f"emission is not {on} after set_emission({on})")
            require(subject.emits is None or subject.emits() is on, f"light is not {on}")


async def detectors_are_biased_when_they_say_so(subject: Subject) -> None:
    """`set_enabled` and `enabled` agree with the bias; there is a rate for every channel."""
    async with subject.connected() as (detector, _):
        assert isinstance(detector, Detector)
        await detector.apply(subject.settings)
        for on in (True, False):
            await detector.set_enabled(on)
            require(await detector.enabled() is on, f"enabled is not {on}")
            require(subject.emits is None or subject.emits() is on, f"the bias is not {on}")
        rates = await detector.count_rates_cps()
        require(
            bool(rates) and all(math.isfinite(rate) and rate >= 0 for rate in rates),
            f"rates are {rates}",
        )


async def every_channel_has_its_bias(subject: Subject) -> None:
    """As many bias values as count rates."""
    async with subject.connected() as (detector, _):
        assert isinstance(detector, Detector)
        channels = len(await detector.count_rates_cps())
        if isinstance(detector, NanowireBias):
            bias = await detector.bias_ua()
        else:
            assert isinstance(detector, AvalancheBias)
            bias = await detector.bias_v()
        require(len(bias) == channels, f"{len(bias)} bias values for {channels} channels")


async def a_power_is_a_number(subject: Subject) -> None:
    """A finite power, or an exception."""
    async with subject.connected() as (meter, _):
        assert isinstance(meter, PowerMeter)
        power = await meter.power_w()
        require(isinstance(power, float) and abs(power) < 1e3, f"power_w is {power!r}")


async def every_basis_is_reached(subject: Subject) -> None:
    """Z, X and Y, in any order, and read back."""
    async with subject.connected() as (analyzer, _):
        assert isinstance(analyzer, Analyzer)
        order: tuple[Basis, ...] = ("X", "Z", "Y", "X")
        for basis in order:
            await analyzer.set_basis(basis)
            require(await analyzer.basis() == basis, f"set to {basis}, stands at another")


async def connections_are_as_made(subject: Subject) -> None:
    """One connection and another; ports that do not exist and outputs taken twice are refused."""
    async with subject.connected() as (switch, tap):
        assert isinstance(switch, OpticalSwitch)
        inputs, outputs = await switch.size()
        require(inputs >= 1 and outputs >= 1 and inputs + outputs > 2, f"{inputs}x{outputs}")
        for wanted in ({1: outputs}, {1: 1}, {inputs: outputs}):
            await switch.set_connections(wanted)
            found = await switch.connections()
            require(wanted.items() <= found.items(), f"connections are {found}, expected {wanted}")
        before = await switch.connections()
        bad: list[dict[int, int]] = [{1: outputs + 1}, {inputs + 1: 1}, {0: 1}, {1: 0}]
        if inputs > 1:
            bad.append({1: 1, 2: 1})
        for each in bad:
            await must_refuse(partial(switch.set_connections, each), tap, f"{each}")
        require(await switch.connections() == before, "a refused connection changed something")


async def every_actuator_is_driven(subject: Subject) -> None:
    """Half-way and both ends of every range are read back; beyond them is refused."""
    async with subject.connected() as (controller, tap):
        assert isinstance(controller, PolarizationController)
        ranges = await controller.drive_ranges()
        require(len(ranges) > 0 and all(low < high for low, high in ranges), f"{ranges}")
        require(controller.drive_unit in ("mV", "deg"), f"unit {controller.drive_unit!r}")
        for share in (0.25, 0.0, 1.0, 0.5):
            wanted = tuple(low + share * (high - low) for low, high in ranges)
            await controller.set_drives(wanted)
            found = await controller.drives()
            close = all(
                abs(f - w) <= 0.01 * (high - low)
                for f, w, (low, high) in zip(found, wanted, ranges, strict=True)
            )
            require(close, f"drives are {found}, expected {wanted}")
        beyond = tuple(high + (high - low) for low, high in ranges)
        for bad in (beyond, wanted[1:], (float("nan"), *wanted[1:])):
            await must_refuse(partial(controller.set_drives, bad), tap, f"set_drives{bad}")
        require(await controller.drives() == found, "a refused drive changed something")


async def an_attenuator_shuts_in_its_safe_state(subject: Subject) -> None:
    """Nothing can be set that lets less light through than the safe state."""
    async with subject.connected() as (attenuator, _):
        assert isinstance(attenuator, Attenuator)
        await attenuator.apply(subject.settings)
        before = await attenuator.attenuation_db()
        await attenuator.enter_safe_state()
        require(await attenuator.attenuation_db() >= before, "the safe state lets more through")


async def outputs_run_and_stop(subject: Subject) -> None:
    """`set_running` is told by `running`; every output has a pulse; unknown ones are refused."""
    async with subject.connected() as (generator, tap):
        assert isinstance(generator, DelayGenerator)
        pulses = await generator.pulses()
        require(bool(pulses), "it has no outputs")
        for name, pulse in pulses.items():
            require(pulse.delay_ps >= 0 and pulse.width_ps >= 0, f"{name}: {pulse}")
        for on in (True, False):
            await generator.set_running(on)
            require(await generator.running() is on, f"running is not {on}")
        some = next(iter(pulses.values()))
        await must_refuse(
            partial(generator.set_pulses, {"no such output": some}), tap, "an unknown output"
        )
        await generator.enter_safe_state()
        require(await generator.running() is False, "it runs in its safe state")


async def a_reference_says_how_it_is(subject: Subject) -> None:
    """A status of plain values."""
    async with subject.connected() as (reference, _):
        assert isinstance(reference, FrequencyReference)
        status = await reference.status()
        require(isinstance(status, ReferenceStatus), f"status is {status!r}")
        require(isinstance(status.locked, bool), f"locked is {status.locked!r}")
        require(status.following in (None, True, False), f"following is {status.following!r}")
        offset = status.pps_offset_ns
        require(offset is None or math.isfinite(offset), f"pps_offset_ns is {offset!r}")


async def temperatures_are_told(subject: Subject) -> None:
    """Every channel has a temperature above absolute zero."""
    async with subject.connected() as (controller, _):
        assert isinstance(controller, TemperatureController)
        temperatures = await controller.temperatures_c()
        require(
            bool(temperatures) and all(-273.15 < t < 2000.0 for t in temperatures),
            f"temperatures are {temperatures}",
        )


async def counts_are_of_one_gate(subject: Subject) -> None:
    """No coincidence without the singles of its inputs; inputs ascend."""
    async with subject.connected() as (counter, _):
        assert isinstance(counter, CoincidenceCounter)
        await counter.apply(subject.settings)
        async with asyncio.timeout(CALL_LIMIT_S):
            first, second = await counter.counts(), await counter.counts()
        for counts in (first, second):
            require(counts.gate_s > 0 and bool(counts.singles), f"{counts}")
            for inputs, number in counts.coincidences.items():
                require(len(inputs) > 1 and list(inputs) == sorted(set(inputs)), f"{inputs}")
                fewest = min(counts.singles[each] for each in inputs)
                require(0 <= number <= fewest, f"{number} coincidences of {inputs}, of {fewest}")


async def a_qubit_keeps_what_was_prepared(subject: Subject) -> None:
    """Attempts start and stop; a node's qubit measured at once shows its preparation."""
    async with subject.connected() as (device, _):
        assert isinstance(device, QuantumDevice)
        told = await device.capabilities()
        require(await device.capabilities() == told, "capabilities change")
        await device.start(count=1)
        await device.abort()
        if told.role == "midpoint":
            return
        outcomes = []
        for state in ("0", "1") * 20:
            await device.initialise(0, state)
            outcomes.append((await device.measure(0, "Z"), int(state)))
        wrong = sum(found != prepared for found, prepared in outcomes)
        require(wrong <= 10, f"{wrong} of 40 outcomes are not what was prepared")


async def _some_batches(tagger: TimeTagger) -> list[TagBatch]:
    batches = []
    async with asyncio.timeout(_STREAM_S), aclosing(tagger.stream()) as stream:
        async for batch in stream:
            batches.append(batch)
            if len(batches) == _BATCHES:
                break
    return batches


def _is_a_good_batch(tagger: TimeTagger, batch: TagBatch) -> None:
    times = batch.time_ps
    require(batch.start_ps <= batch.stop_ps, f"span {batch.start_ps} to {batch.stop_ps}")
    require(not batch.lost and not batch.overflow, "tags are lost on a good line")
    if len(batch):
        require(bool((times[1:] >= times[:-1]).all()), "tags are not sorted")
        require(
            bool(times[0] >= batch.start_ps and times[-1] < batch.stop_ps),
            f"tags of {times[0]} to {times[-1]} in a batch of {batch.start_ps} to {batch.stop_ps}",
        )
        require(
            set(batch.channel.tolist()) <= set(tagger.channels),
            f"channels {sorted(set(batch.channel.tolist()))}, the tagger has {tagger.channels}",
        )


KIND_CHECKS: tuple[tuple[type[Any], tuple[Callable[[Subject], Awaitable[None]], ...]], ...] = (
    (TimeTagger, (a_stream_tells_every_span_once, a_tagger_is_watched_while_it_streams)),
    (Laser, (a_laser_is_lit_and_dark_when_it_says_so,)),
    (Detector, (detectors_are_biased_when_they_say_so,)),
    (NanowireBias, (every_channel_has_its_bias,)),
    (AvalancheBias, (every_channel_has_its_bias,)),
    (PowerMeter, (a_power_is_a_number,)),
    (Analyzer, (every_basis_is_reached,)),
    (OpticalSwitch, (connections_are_as_made,)),
    (PolarizationController, (every_actuator_is_driven,)),
    (Attenuator, (an_attenuator_shuts_in_its_safe_state,)),
    (DelayGenerator, (outputs_run_and_stop,)),
    (FrequencyReference, (a_reference_says_how_it_is,)),
    (TemperatureController, (temperatures_are_told,)),
    (CoincidenceCounter, (counts_are_of_one_gate,)),
    (QuantumDevice, (a_qubit_keeps_what_was_prepared,)),
)
"""The checks of each device class; a driver passes those of every class that it is."""
