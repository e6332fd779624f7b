"""The links of a node and the tables within them, as typed, checked data."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qnodeos.config.tables import Count, Fidelity, Fraction, Name, Table
from qnodeos.config.units import (
    BytesPerSecond,
    Hours,
    Milliseconds,
    Millivolts,
    Milliwatts,
    Picoseconds,
    PicosecondsFloat,
    Seconds,
)
from timing.clock_class import ClockName

OutcomeChannel = Annotated[int, Field(ge=1, le=255)]
OutcomeChannels = Annotated[
    tuple[OutcomeChannel, ...], Field(strict=False, min_length=1, max_length=2)
]
DelayPs = Annotated[Picoseconds, Field(ge=-1_000_000, le=1_000_000)]
WindowEdgePs = Annotated[Picoseconds, Field(ge=0, le=1_000_000_000_000)]
FlashCps = Annotated[float, Field(gt=0.0, le=1e9)]
DarkCps = Annotated[float, Field(gt=0.0, le=1e9)]
ValidS = Annotated[Seconds, Field(ge=10.0, le=1e7)]
MemoryTask = Literal["delay", "window", "pump", "phase", "dark_counts", "interference"]
TaskNames = Annotated[tuple[MemoryTask, ...], Field(strict=False)]
PulsePeriodPs = Annotated[PicosecondsFloat, Field(gt=0.0, le=1e9)]
BellName = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]


class QueueTable(Table):
    """[links.NAME.queue]: in which order the leading end serves, and how many requests may wait.

    `priority`: the highest first; with `ageing_s`, waiting for so long counts as one step of
    priority. `fair`: each purpose gets its share of the attempts, by `weights` (1 if not named).
    """

    order: Literal["priority", "fair"] = "priority"
    ageing_s: Annotated[Seconds, Field(gt=0, le=86400)] | None = None
    weights: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(default_factory=dict)
    limit: int = Field(default=1024, ge=1, le=100_000)

    @model_validator(mode="after")
    def _fits_the_order(self) -> Self:
        if self.weights and self.order != "fair":
            raise ValueError("weights: found some, expected none where order is not fair")
        if self.ageing_s is not None and self.order != "priority":
            raise ValueError("ageing_s: found one, expected none where order is not priority")
        return self


class ScheduleTable(Table):
    """[links.NAME.schedule]: when in each period the link may attempt, on network time.

    Both ends have the same table, and clocks of the host that agree (PTP or NTP) to much less than
    a slot. Periods are counted from 1970.
    """

    period_ms: Milliseconds = Field(ge=0.1, le=60_000)
    offset_ms: Milliseconds = Field(default=0.0, ge=0)
    length_ms: Milliseconds = Field(gt=0)

    @model_validator(mode="after")
    def _part_of_the_period(self) -> Self:
        if self.length_ms > self.period_ms:
            raise ValueError(
                f"length_ms: found {self.length_ms:g}, expected at most period_ms "
                f"({self.period_ms:g})"
            )
        if self.offset_ms >= self.period_ms:
            raise ValueError(
                f"offset_ms: found {self.offset_ms:g}, expected less than period_ms "
                f"({self.period_ms:g})"
            )
        return self


class VerifyTable(Table):
    """[links.NAME.verify]: this end verifies the link by itself, again and again.

    `tomography_every_h`: how often the whole state is asked for, with `tomography_pairs`. Verified
    is when nobody asks for pairs, or when it is overdue by a tenth.
    """

    every_h: Hours = Field(default=24.0, ge=0.01, le=10_000.0)
    pairs: Count = 900
    tomography_every_h: Annotated[Hours, Field(ge=0.01, le=100_000.0)] | None = 168.0
    tomography_pairs: Count = 9000
    within_s: Seconds = Field(default=600.0, gt=0.0, le=86_400.0)


class Validity(Table):
    """What the calibrations of all kinds of links have in common."""

    on: bool = True
    hard_limit_factor: float = Field(default=1.5, ge=1.0, le=100.0)
    retry_s: Annotated[Seconds, Field(gt=0, le=86_400)] = 60.0


class CalibrationTable(Validity):
    """[links.NAME.calibration]: the leading end keeps a photonic link in spec: how long a good
    result of each task is valid, and what is in spec.

    Due tasks wait for a moment without requests, at the latest until `hard_limit_factor` times
    their validity. `most_uncertainty` of the clocks and `most_delay` of the peak are shares of half
    the window. Where `light` is named, the laser without which the detectors see nothing, it is
    switched off for some seconds to count in the dark.
    """

    synchronisation_valid_s: ValidS = 600.0
    delay_valid_s: ValidS = 3600.0
    window_valid_s: ValidS = 3600.0
    pump_valid_s: ValidS = 3600.0
    polarization_valid_s: ValidS = 3600.0
    dark_counts_valid_s: ValidS = 86_400.0
    light: Name | None = None
    most_dark_cps: float = Field(default=10_000.0, gt=0.0, le=1e9)
    most_uncertainty: float = Field(default=0.5, gt=0.0, le=1.0)
    most_delay: float = Field(default=0.2, gt=0.0, le=1.0)
    least_in_window: float = Field(default=0.8, gt=0.0, le=1.0)
    most_accidental: float = Field(default=0.2, gt=0.0, lt=1.0)
    most_qber: float = Field(default=0.11, gt=0.0, lt=0.5)


class MemoryCalibrationTable(Validity):
    """[links.NAME.calibration] of a memory link: the leading end keeps it in spec.

    `tasks` are those that are done, each with what has to be in spec before it: by default delay,
    window and pump, and phase with a table `bright_state`, since only single clicks have one;
    dark_counts and interference are for a station that counts clicks, or has a table `hom`. A look
    takes `rounds` test rounds, or those of `look_s`. The detection window is looked for within
    `scan_ps` on either side of where it is; its rate is in spec at `least_of_best` of the best
    close by, the phase at `most_phase_deg` at most. `most_excess` of the pairs may be wrong in Z
    beyond what the bright-state population makes so.
    """

    tasks: dict[MemoryTask, TaskNames] | None = None
    delay_valid_s: ValidS = 3600.0
    window_valid_s: ValidS = 3600.0
    pump_valid_s: ValidS = 3600.0
    phase_valid_s: ValidS = 60.0
    dark_counts_valid_s: ValidS = 86_400.0
    interference_valid_s: ValidS = 3600.0
    rounds: int = Field(default=400, ge=50, le=100_000)
    look_s: Seconds = Field(default=30.0, ge=1.0, le=3600.0)
    scan_ps: Picoseconds = Field(default=100_000, ge=100, le=1_000_000_000)
    scan_look_s: Seconds = Field(default=1.0, ge=0.1, le=600.0)
    least_of_best: float = Field(default=0.75, gt=0.0, lt=1.0)
    least_in_window: float = Field(default=0.8, gt=0.0, lt=1.0)
    most_excess: float = Field(default=0.05, gt=0.0, lt=0.5)
    most_phase_deg: float = Field(default=20.0, gt=0.0, le=90.0)
    most_dark_cps: float = Field(default=10_000.0, gt=0.0, le=1e9)
    least_visibility: float = Field(default=0.7, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _tasks_make_a_graph(self) -> Self:
        from link_layer.calibration import CalibrationGraph, Task

        try:
            CalibrationGraph(Task(name, 1.0, after) for name, after in (self.tasks or {}).items())
        except ValueError as error:
            expected = "tasks that are there, and no circle"
            raise ValueError(f"tasks: found {error}, expected {expected}") from error
        return self


class PolarizationTable(Table):
    """[links.NAME.polarization]: squeezers or paddles at the leading end, which its calibration
    turns until both ends mean the same by a basis.

    `turn_mv` is the drive that makes a full turn of a squeezer; each look at what a drive does
    takes `rounds` test rounds in each basis.
    """

    controller: Name
    turn_mv: Annotated[Millivolts, Field(gt=0.0, le=1e6)] | None = None
    rounds: int = Field(default=500, ge=50, le=1_000_000)


class PumpTable(Table):
    """[links.NAME.pump]: the laser that pumps the pair source, at the leading end, whose
    calibration sets it as bright as `fidelity` allows.

    `fidelity` is that of coincidences, accidentals among them. `lowest` and `highest` are what the
    laser is set to at most, in its own unit: mW of output power, or mA of diode current.
    """

    laser: Name
    fidelity: float = Field(gt=0.25, lt=1.0)
    lowest: float = Field(ge=0.0, le=1e6)
    highest: float = Field(gt=0.0, le=1e6)

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(
                f"lowest: found {self.lowest:g}, expected less than highest ({self.highest:g})"
            )
        return self


class SelfTestTable(Table):
    """[links.NAME.guard.self_test]: light of this node's own shows that its detectors still see.

    The laser `light` flashes at random instants, `every_s` apart in the mean, when nobody asks for
    pairs. Counts of `flash_s` before a flash and as long within it are compared: it adds at least
    `least_cps` and at most `most_cps` to the detector of each outcome channel.
    """

    light: Name
    least_cps: Annotated[tuple[FlashCps, FlashCps], Field(strict=False)]
    most_cps: Annotated[tuple[FlashCps, FlashCps], Field(strict=False)]
    every_s: Seconds = Field(default=300.0, ge=5.0, le=1e6)
    flash_s: Seconds = Field(default=0.5, ge=0.1, le=60.0)

    @model_validator(mode="after")
    def _bands(self) -> Self:
        for least, most in zip(self.least_cps, self.most_cps, strict=True):
            if least > most:
                raise ValueError(
                    f"least_cps: found {least:g} above most_cps ({most:g}), expected at most that"
                )
        return self


class GuardTable(Table):
    """[links.NAME.guard]: this end's detectors are watched for signs of blinding.

    `dark_cps`: what the detector of each outcome channel surely counts in the dark; `most_cps`:
    what none may exceed. Both are tested on windows of `window_s`, with fewer false alarms than
    `false_alarms_per_year`. `power_meter` looks at the light before them, of which there may be
    `most_power_mw`: what it cannot look at is not trusted. While the link is stopped by it, here
    or at the far end, the instruments that `stops` names are held in their safe state;
    `after_trip`: "latch" until a person acknowledges it, "auto" until the signs are gone.
    """

    dark_cps: Annotated[tuple[DarkCps, DarkCps], Field(strict=False)]
    most_cps: float = Field(default=1e8, gt=0.0, le=1e12)
    window_s: Seconds = Field(default=1.0, ge=0.1, le=600.0)
    false_alarms_per_year: float = Field(default=0.01, gt=0.0, le=1e4)
    power_meter: Name | None = None
    most_power_mw: Annotated[Milliwatts, Field(gt=0.0, le=1e3)] | None = None
    stops: Annotated[tuple[Name, ...], Field(strict=False, max_length=32)] = ()
    after_trip: Literal["latch", "auto"] = "latch"
    self_test: SelfTestTable | None = None

    @model_validator(mode="after")
    def _light_is_free(self) -> Self:
        if self.self_test is not None and self.self_test.light in self.stops:
            raise ValueError(
                f"stops: found {self.self_test.light}, expected none that self_test flashes: held "
                "safe it could not show that the detectors see again"
            )
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.power_meter is None) != (self.most_power_mw is None):
            raise ValueError(
                "power_meter, most_power_mw: found one of them, expected both: the meter before "
                "the detectors, and what it may read"
            )
        return self

    @model_validator(mode="after")
    def _can_tell(self) -> Self:
        from link_layer.guard import RateGuard

        for dark_cps in self.dark_cps:
            guard = RateGuard(
                dark_cps,
                self.most_cps,
                window_s=self.window_s,
                false_alarms_per_year=self.false_alarms_per_year,
            )
            if not guard.can_tell:
                raise ValueError(
                    f"window_s: found {self.window_s:g}, expected more: {dark_cps:g} dark counts "
                    "a second may be absent for so long by chance"
                )
        return self


class TargetsTable(Table):
    """[links.NAME.targets]: what is promised of the link; /metrics tells them beside what is
    reached, for a dashboard and its alerts. Nothing else hangs on them.

    `heralding_efficiency`: of a memory link heralds per attempt, of a photonic link coincidences
    over the geometric mean of the singles (Klyshko).
    """

    pairs_per_s: float | None = Field(default=None, gt=0.0, le=1e12)
    fidelity: Fidelity | None = None
    heralding_efficiency: Fraction | None = None
    lifetime_s: Annotated[Seconds, Field(gt=0.0, le=1e6)] | None = None
    correction_p99_ms: Annotated[Milliseconds, Field(gt=0.0, le=1e6)] | None = None


class CoherenceTable(Table):
    """[links.NAME.coherence]: whether stored pairs decay as the devices' T2 has it.

    At the leading end a `share` of the test rounds is stored before it is measured, half of them
    for `held_s`, the others as shortly as can be. Both ends that have the table judge windows of
    `rounds` of each kind, with fewer false alarms than `false_alarms_per_year`. `on_alarm`: "tell"
    it and go on, or "stop" the link until a person acknowledges it, with the instruments that
    `stops` names held in their safe state.
    """

    held_s: Seconds = Field(ge=0.001, le=10.0)
    share: float = Field(default=0.1, gt=0.0, le=1.0)
    rounds: int = Field(default=500, ge=50, le=1_000_000)
    false_alarms_per_year: float = Field(default=0.01, gt=0.0, le=1e4)
    on_alarm: Literal["tell", "stop"] = "tell"
    stops: Annotated[tuple[Name, ...], Field(strict=False, max_length=32)] = ()

    @model_validator(mode="after")
    def _somebody_stops(self) -> Self:
        if self.stops and self.on_alarm != "stop":
            raise ValueError('stops: found some, expected none unless on_alarm = "stop"')
        return self


class BrightStateTable(Table):
    """[links.NAME.bright_state]: the emitters' bright-state population is chosen for each request,
    within these bounds; heralds are single clicks. The same at both ends.

    `dark_per_signal`: dark counts in the herald's window over the detection probability of a
    photon.
    """

    lowest: float = Field(default=0.01, gt=0.0, le=0.5)
    highest: float = Field(default=0.5, gt=0.0, le=0.5)
    dark_per_signal: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(
                f"lowest, highest: found {self.lowest} above {self.highest}, expected them rising"
            )
        return self


class PhotonicLinkTable(Table):
    """Pairs measured directly (type M), heralded by matching the two ends' tags.

    Of the taggers' clocks either `clock_noise_1s` is told, their frequency noise at 1 s, or their
    class: `clock` ours, `peer_clock` the far end's (by default the same), each one of quartz, ocxo,
    rubidium, white_rabbit; `locked_clock` is the class of ours while the instrument `reference`
    says that it is locked. With `estimate_clock_noise` the data correct what was told.
    `pulse_period_ps` is that of a pulsed pair source, or "estimate" to find it in the tags.
    """

    kind: Literal["photonic"]
    peer: Name
    tagger: Name
    analyzer: Name
    outcome_channels: Annotated[tuple[OutcomeChannel, OutcomeChannel], Field(strict=False)]
    bell_state: BellName = "PHI_PLUS"
    window_ps: Picoseconds = Field(ge=1, le=1_000_000)
    clock_noise_1s: float | None = Field(default=None, gt=0.0, le=1e-4)
    clock: ClockName | None = None
    peer_clock: ClockName | None = None
    locked_clock: ClockName | None = None
    reference: Name | None = None
    estimate_clock_noise: bool = False
    pulse_period_ps: PulsePeriodPs | Literal["estimate"] | None = None
    basis_dwell_s: Seconds = Field(ge=0.1, le=3600.0)
    test_fraction: Fraction
    verify: VerifyTable | None = None
    calibration: CalibrationTable | None = None
    polarization: PolarizationTable | None = None
    pump: PumpTable | None = None
    guard: GuardTable | None = None
    targets: TargetsTable | None = None
    queue: QueueTable = Field(default_factory=QueueTable)
    outcome_delays_ps: Annotated[tuple[DelayPs, DelayPs], Field(strict=False)] = (0, 0)
    """How much later than light the tags of each outcome channel come: cables, electronics."""
    dead_time_ps: Picoseconds = Field(default=100_000, ge=0, le=10_000_000)
    """The longest dead time of a detector: closer tags would tell that they are of two."""
    tag_bytes_per_s: BytesPerSecond = Field(default=4_000_000, ge=10_000, le=1_000_000_000)
    """Bandwidth for the tags sent to the peer; above it whole time slices are left out."""

    @model_validator(mode="after")
    def _clocks_are_told(self) -> Self:
        if (self.clock_noise_1s is None) == (self.clock is None):
            found = "neither" if self.clock is None else "both"
            raise ValueError(
                f"clock_noise_1s, clock: found {found}, expected one of them: the frequency noise "
                "of the taggers' clocks at 1 s, or their class"
            )
        if self.clock is None and (self.peer_clock or self.locked_clock):
            raise ValueError(
                "clock: found nothing, expected the class of this end's clock beside peer_clock "
                "or locked_clock"
            )
        if (self.reference is None) != (self.locked_clock is None):
            raise ValueError(
                "reference, locked_clock: found one of them, expected both: the instrument that "
                "says whether our clock is locked, and its class while it is"
            )
        return self

    @model_validator(mode="after")
    def _somebody_sets_them(self) -> Self:
        for table, does in (("polarization", "align"), ("pump", "set it")):
            if getattr(self, table) is not None and self.calibration is None:
                raise ValueError(
                    f"{table}: found one, expected none without a table `calibration`, whose task "
                    f"it is to {does}"
                )
        return self

    @model_validator(mode="after")
    def _two_channels(self) -> Self:
        if len(set(self.outcome_channels)) != 2:
            raise ValueError(
                f"outcome_channels: found {list(self.outcome_channels)}, "
                "expected two different channels: transmitted (+1), reflected (-1)"
            )
        return self


class MemoryLinkTable(Table):
    """Pairs kept in memory (type K), heralded by a midpoint station.

    `port` is the optical port of the device that leads to the station, where it has several.
    """

    kind: Literal["memory"]
    peer: Name
    station: Name
    device: Name
    port: int = Field(default=0, ge=0, le=255)
    minimum_useful_fidelity: Fidelity
    test_fraction: Fraction
    """Most of the rounds that only test the link; fewer where it is known well and rests."""
    fidelity_precision: float = Field(default=0.02, ge=0.001, le=0.25)
    """Half the interval of the fidelity that is aimed at."""
    announce_period_s: float = Field(default=0.0, ge=0.0, le=0.5)
    """The station tells of a herald at a random instant of the next period; 0: at once."""
    coherence: CoherenceTable | None = None
    bright_state: BrightStateTable | None = None
    calibration: MemoryCalibrationTable | None = None
    verify: VerifyTable | None = None
    targets: TargetsTable | None = None
    queue: QueueTable = Field(default_factory=QueueTable)
    schedule: ScheduleTable | None = None


class HomTable(Table):
    """[links.NAME.hom]: a tagger sees the station's detectors, and the interference of the photons
    is counted while the link attempts.

    `port_a` and `port_b` are its channels behind either port of the beam splitter: one each where
    the qubits are time bins, apart by `apart_ps`; H and V each where they are polarizations.
    `window_ps` is the full width of a peak of coincidences; the figures are over `over_s` at least.
    """

    tagger: Name
    port_a: OutcomeChannels
    port_b: OutcomeChannels
    window_ps: Picoseconds = Field(ge=100, le=100_000_000)
    apart_ps: Picoseconds = Field(default=0, ge=0, le=1_000_000_000)
    over_s: Seconds = Field(default=600.0, ge=1.0, le=86_400.0)

    @model_validator(mode="after")
    def _modes_are_told_apart(self) -> Self:
        channels = (*self.port_a, *self.port_b)
        if len(self.port_a) != len(self.port_b) or len(set(channels)) != len(channels):
            raise ValueError(
                f"port_a, port_b: found {list(self.port_a)} and {list(self.port_b)}, expected as "
                "many channels of either port, all different"
            )
        binned = len(self.port_a) == 1
        if binned and self.apart_ps < 2 * self.window_ps:
            raise ValueError(
                f"apart_ps: found {self.apart_ps}, expected at least twice window_ps "
                f"({self.window_ps}) between the time bins of one channel a port"
            )
        if self.apart_ps > 100 * self.window_ps:
            raise ValueError(
                f"apart_ps: found {self.apart_ps}, expected at most 100 times window_ps "
                f"({self.window_ps}): all between the peaks is counted"
            )
        if not binned and self.apart_ps:
            raise ValueError(
                f"apart_ps: found {self.apart_ps}, expected none where H and V have channels"
            )
        return self


class ClicksTable(Table):
    """[links.NAME.clicks]: of a station with `heralds = "host"`, which clicks herald.

    `sync` is the channel with a tag at the begin of each attempt, `window_ps` the begin and end of
    the (early) window after it; `port_a`, `port_b` and `apart_ps` are as in HomTable, the late
    window comes `apart_ps` after the early one. `clicks`: how many herald, 2 or 1.
    """

    tagger: Name
    sync: OutcomeChannel
    port_a: OutcomeChannels
    port_b: OutcomeChannels
    window_ps: Annotated[tuple[WindowEdgePs, WindowEdgePs], Field(strict=False)]
    apart_ps: Picoseconds = Field(default=0, ge=0, le=1_000_000_000)
    clicks: Literal[1, 2] = 2

    @model_validator(mode="after")
    def _tell_something(self) -> Self:
        channels = (self.sync, *self.port_a, *self.port_b)
        if len(self.port_a) != len(self.port_b) or len(set(channels)) != len(channels):
            raise ValueError(
                f"port_a, port_b, sync: found {list(self.port_a)}, {list(self.port_b)} and "
                f"{self.sync}, expected as many channels of either port, all different"
            )
        length_ps = self.window_ps[1] - self.window_ps[0]
        if length_ps <= 0:
            raise ValueError(
                f"window_ps: found {list(self.window_ps)}, expected its begin before its end"
            )
        binned = self.clicks == 2 and len(self.port_a) == 1
        if binned and self.apart_ps < length_ps:
            raise ValueError(
                f"apart_ps: found {self.apart_ps}, expected at least the length of the window "
                f"({length_ps}) between the time bins of one channel a port"
            )
        if not binned and self.apart_ps:
            raise ValueError(
                f"apart_ps: found {self.apart_ps}, expected none but for time bins: two clicks, "
                "one channel a port"
            )
        if self.clicks == 1 and len(self.port_a) != 1:
            raise ValueError("clicks: found 1, expected 2 where H and V have channels")
        return self


class MidpointTable(Table):
    """The station's side of a memory link. `heralds`: "hardware", the device tells of them, or
    "host", this node finds them in the tags of `clicks`."""

    kind: Literal["midpoint"]
    ends: Annotated[tuple[Name, Name], Field(strict=False)]
    device: Name
    heralds: Literal["hardware", "host"] = "hardware"
    clicks: ClicksTable | None = None
    hom: HomTable | None = None

    @model_validator(mode="after")
    def _clicks_of_the_host(self) -> Self:
        if (self.heralds == "host") != (self.clicks is not None):
            found = f'heralds = "{self.heralds}" with{"out" if self.clicks is None else ""} clicks'
            raise ValueError(f'clicks: found {found}, expected both or none of "host" and clicks')
        return self

    @model_validator(mode="after")
    def _two_ends(self) -> Self:
        if self.ends[0] == self.ends[1]:
            raise ValueError(f"ends: found {list(self.ends)}, expected two different nodes")
        return self


LinkTable = Annotated[
    PhotonicLinkTable | MemoryLinkTable | MidpointTable, Field(discriminator="kind")
]
