"""The clicks behind a midpoint's beam splitter against the closed forms, and against its heralds.

Seeds are fixed; limits are 4 standard errors (a chance of 6e-5 each with another seed).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cext.pattern import AMBIGUOUS
from link_layer.click_patterns import HERALDED, ClickPattern, HeraldStream, polarization, time_bins
from link_layer.click_patterns import single_click as one_click
from sim_backends.changing import change
from sim_backends.click_draws import AttemptDraws, Clicks
from sim_backends.heralding import HeraldOdds, interference_visibility
from sim_backends.interference import WavePackets, visibility
from sim_backends.lab import LabConfig, LabError, MidpointConfig, load_lab
from sim_backends.midpoint import Attempts, HeraldEvent
from sim_backends.truth import TruthLog
from sim_backends.world import World

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"
PERIOD_US = 20.0
LIFETIME_NS = 12.0
BINS = {"window_ns": 200.0, "bin_ns": 400.0}
WINDOW_PS, BIN_PS, PERIOD_PS = 200_000, 400_000, 20_000_000


def numbers(**given: Any) -> dict[str, Any]:
    return {
        "ends": ("a", "b"),
        "attempt_period_us": PERIOD_US,
        "efficiency": {"a": 0.2, "b": 0.1},
        "visibility": 0.9,
        "photons": {"lifetime_ns": LIFETIME_NS},
        "clicks": BINS,
    } | given


def midpoint(**given: Any) -> MidpointConfig:
    return MidpointConfig.model_validate(numbers(**given))


def patterns(clicks: Clicks) -> tuple[np.ndarray, np.ndarray]:
    """Of each slot with clicks the bits of its places, and its clicks' spread."""
    _, first = np.unique(clicks.slot, return_index=True)
    spread = np.maximum.reduceat(clicks.after_ns, first)
    spread -= np.minimum.reduceat(clicks.after_ns, first)
    return np.bitwise_or.reduceat(1 << clicks.place, first), spread


def near(found: float, expected: float) -> bool:
    """Of a number of counts."""
    return abs(found - expected) <= 4 * math.sqrt(expected)


SINGLE = {"scheme": "single_click", "clicks": {"window_ns": 200.0}}
SCHEMES = {
    "time bins": {"dark_probability": 1e-3},
    "narrow window": {"photons": {"lifetime_ns": LIFETIME_NS, "window_ns": 5.0}},
    "half the slots": {"duty": 0.5},
    "one click": SINGLE | {"bright_population": {"a": 0.3, "b": 0.6}, "dark_probability": 1e-3},
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_as_many_attempts_herald_as_the_odds_say(scheme: str) -> None:
    config, attempts = midpoint(**SCHEMES[scheme]), 2_000_000
    draws = AttemptDraws(config)
    slots, states = draws.heralds(draws.free(np.random.default_rng(5), np.arange(attempts)))
    expected = attempts * HeraldOdds.of(config).total
    # The odds leave out what is of second order in the darks: a thousandth of the heralds here.
    assert abs(slots.size - expected) < 4 * math.sqrt(expected) + 4e-3 * expected
    assert abs((states == 1).mean() - 0.5) < 2 / math.sqrt(slots.size)


UNLIKE = {"offset_ps": 4000.0, "jitter_ps": 1500.0, "detuning_mhz": 6.0, "dephasing_mhz": 1.0}


@pytest.mark.parametrize(
    ("overlap", "unlike"), [(1.0, {}), (0.9, {}), (0.0, {}), (1.0, UNLIKE), (0.9, UNLIKE)]
)
def test_photons_of_one_mode_part_as_their_overlap_says(
    overlap: float, unlike: dict[str, float]
) -> None:
    config = midpoint(visibility=overlap, photons={"lifetime_ns": LIFETIME_NS} | unlike)
    attempts = 2_000_000
    clicks = AttemptDraws(config).free(np.random.default_rng(6), np.arange(attempts))
    found, _ = patterns(clicks)
    both = attempts * 0.2 * 0.1 / 4
    same, other = np.isin(found, (0b0011, 0b1100)), np.isin(found, (0b1001, 0b0110))
    assert near(int(same.sum()), both * (1 - interference_visibility(config)))
    assert near(int(other.sum()), both)


@pytest.mark.parametrize("within_ns", [2.0, 8.0, 30.0])
def test_the_dip_is_as_wide_as_the_photons_are_alike(within_ns: float) -> None:
    unlike = {"detuning_mhz": 20.0, "dephasing_mhz": 2.0}
    config = midpoint(visibility=1.0, photons={"lifetime_ns": LIFETIME_NS} | unlike)
    attempts = 4_000_000
    clicks = AttemptDraws(config).free(np.random.default_rng(7), np.arange(attempts))
    found, apart_ns = patterns(clicks)
    inside = np.isin(found, (0b0011, 0b1100)) & (apart_ns < within_ns)
    expected = visibility(WavePackets(LIFETIME_NS, **unlike), within_ns)
    share = 1.0 - math.exp(-within_ns / LIFETIME_NS)
    assert near(int(inside.sum()), attempts * 0.005 * share * (1 - expected))


class Bench:
    """A station with its tagger, its ends in hand, until so many heralds."""

    def __init__(self, seed: int = 4, *, tagger: bool = True, modes: int = 0, **given: Any) -> None:
        config = numbers(**given)
        detectors = config["clicks"].get("detectors", 2)
        memory = {"qubits": 1, "t1_s": 1e3, "t2_s": 1e3, "attempt_modes": modes}
        tables = {"lab": {"seed": seed}, "memories": dict.fromkeys("ab", memory)}
        tables["midpoints"] = {"m": config}
        if tagger:
            wires = {str(k + 1): f"m.{k + 1}" for k in range(detectors)}
            tables["taggers"] = {"m": {"inputs": wires}}
        self.now_s = 1.0
        self.world = World(
            LabConfig.model_validate(tables), now_s=lambda: self.now_s, truth=TruthLog(None)
        )
        self.heralds: list[HeraldEvent] = []
        self.slots = 0
        self.devices = [*self.world.memories.values(), self.world.midpoints["m"]]
        self.world.midpoints["m"].on_herald = self.heralds.append
        self.tags: list[tuple[np.ndarray, np.ndarray]] = []

    def run(self, rounds: int, *, count: int = 0, look_s: float = 0.0017) -> None:
        """So many rounds of `count` slots at most; the tagger is read at odd times."""
        for tagger in self.world.taggers.values():
            if not tagger.running:
                tagger.start()
        line = self.world.attempts["m"]
        for _ in range(rounds):
            for memory in self.world.memories.values():
                memory.release_all()
            first = max([device.start(count) for device in self.devices])
            while all(line.attempting(each) for each in ("memories.a", "midpoints.m")):
                due_s = self.world.next_event_s()
                self.now_s = min(self.now_s + look_s, due_s or math.inf)
                self.take()
                self.world.fire_due()
            self.slots += line.slot_now() - first
        self.take()

    def take(self) -> None:
        for tagger in self.world.taggers.values():
            self.tags.append(tagger.take_tags())

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        times, channels = zip(*self.tags, strict=True)
        return np.concatenate(times), np.concatenate(channels)


EARLY = (PERIOD_PS - BIN_PS - WINDOW_PS, PERIOD_PS - BIN_PS)
LATE = (PERIOD_PS - WINDOW_PS, PERIOD_PS)
STATIONS: dict[str, tuple[dict[str, Any], ClickPattern]] = {
    "time bins": ({}, time_bins(1, 2, EARLY, LATE)),
    "darks": (
        {"efficiency": {"a": 0.02, "b": 0.02}, "dark_probability": 0.01},
        time_bins(1, 2, EARLY, LATE),
    ),
    "polarization": (
        {"clicks": {"window_ns": 200.0, "detectors": 4, "jitter_ps": 300.0}},
        polarization((1, 2), (3, 4), LATE),
    ),
    "one click": (
        SINGLE | {"bright_population": {"a": 0.05, "b": 0.05}, "dark_probability": 1e-3},
        one_click(1, 2, LATE),
    ),
}


@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize("modes", [0, 64])
def test_tags_herald_what_the_device_heralds_and_nothing_else(station: str, modes: int) -> None:
    given, pattern = STATIONS[station]
    bench = Bench(modes=modes, **given)
    if modes:
        bench.run(3, count=7000)
    else:
        bench.run(150)
    judge = HeraldStream(pattern, PERIOD_PS)
    found = judge.feed(*bench.seen, until_ps=round(bench.now_s * 1e12))
    clear = found.outcome != AMBIGUOUS
    states = [HERALDED[outcome].name for outcome in found.outcome[clear].tolist()]
    # A dark count may lie in the windows of slots in which nobody attempts.
    told = [(each.slot, each.bell_state) for each in bench.heralds]
    assert len(told) > 25
    shown = dict(zip(found.attempt[clear].tolist(), states, strict=True))
    assert [(slot, shown.get(slot)) for slot, _ in told] == told
    extra = set(shown) - {slot for slot, _ in told}
    assert len(extra) <= (3 if given.get("dark_probability") else 0)


def test_singles_come_at_the_rate_of_photons_and_darks() -> None:
    bench = Bench(dark_probability=0.002, modes=64)
    bench.run(1, count=20_000, look_s=0.01)
    lasted_s = bench.now_s - 1.0
    photons = 20_000 * (0.2 + 0.1)
    darks = 2 * 0.002 * lasted_s / 200e-9
    # Two photons of one mode that leave together make one click; they interfere with 0.9.
    together = 20_000 * 0.2 * 0.1 / 2 * (1 + 0.9) / 2
    expected = photons + darks - together
    assert abs(len(bench.seen[0]) - expected) < 4 * math.sqrt(expected)


def test_different_attempts_do_not_interfere() -> None:
    """C(0)/C(k) of photons of one mode is 2 a b/(a + b)^2 (1 - V): the factor of two emitters."""
    for overlap in (1.0, 0.6):
        bench = Bench(visibility=overlap, modes=64)
        bench.run(1, count=200_000, look_s=0.01)
        times, channels = bench.seen
        first, second = times[channels == 1], times[channels == 2]

        def apart(shift_ps: int, first: Any = first, second: Any = second) -> int:
            low, high = (
                np.searchsorted(second, first + shift_ps + side * WINDOW_PS) for side in (-1, 1)
            )
            return int((high - low).sum())

        at_zero = apart(0)
        others = np.mean([apart(k * PERIOD_PS) for k in (-3, -2, -1, 1, 2, 3)])
        expected = others * 2 * 0.2 * 0.1 / 0.3**2 * (1 - overlap)
        assert abs(at_zero - expected) <= 5 * math.sqrt(expected)
        bins = apart(BIN_PS) + apart(-BIN_PS)
        assert near(bins, 200_000 * 0.2 * 0.1 / 4)


def test_photons_that_change_while_the_lab_runs_interfere_otherwise() -> None:
    bench = Bench(visibility=1.0, modes=64)
    shares = []
    for _ in range(2):
        bench.tags.clear()
        bench.run(1, count=30_000, look_s=0.01)
        times, channels = bench.seen
        first, second = times[channels == 1], times[channels == 2]
        low, high = (np.searchsorted(second, first + side * WINDOW_PS) for side in (-1, 1))
        shares.append(int((high - low).sum()))
        change(bench.world, "midpoints.m.visibility", 0.0, by="test")
    assert shares[0] == 0
    assert near(shares[1], 30_000 * 0.2 * 0.1 / 4)


def test_who_does_not_look_pays_nothing_and_changes_nothing() -> None:
    plain, seen = Bench(tagger=False), Bench()
    for bench in (plain, seen):
        bench.run(60)
    assert [(each.slot, each.bell_state) for each in plain.heralds] == [
        (each.slot, each.bell_state) for each in seen.heralds
    ]
    again = Bench()
    again.run(60)
    assert all(map(np.array_equal, again.seen, seen.seen))


def test_a_tagger_that_is_switched_on_late_sees_from_then_on() -> None:
    bench = Bench()
    tagger = bench.world.taggers["m"]
    for device in bench.devices:
        device.start(1000)
    bench.now_s += 0.0004
    tagger.start()
    begin_ps = tagger.counter_ps()
    bench.now_s += 0.002
    times, _ = tagger.take_tags()
    assert times.size
    assert times.min() >= begin_ps
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"photons": None}, "lifetime_ns"),
        ({"clicks": {"window_ns": 50.0, "bin_ns": 400.0}}, "at least 120"),
        ({"clicks": {"window_ns": 200.0, "bin_ns": 100.0}}, "do not overlap"),
        ({"clicks": {"window_ns": 200.0}}, "time bins"),
        ({"clicks": {"window_ns": 200.0, "bin_ns": 400.0, "detectors": 4}}, "nowhere else"),
        ({"attempt_period_us": 0.5}, "within attempt_period_us"),
    ],
)
def test_clicks_that_make_no_sense_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        midpoint(**given)


def test_a_tagger_is_told_which_midpoint_shows_its_clicks(tmp_path: Path) -> None:
    text, wire = EXAMPLE.read_text(), '2 = "alice.2"'
    assert wire in text
    (tmp_path / "lab.toml").write_text(text.replace(wire, '2 = "station.1"', 1))
    with pytest.raises(LabError, match=r"expected \[midpoints.station.clicks\]"):
        load_lab(tmp_path / "lab.toml")


def test_the_trigger_is_of_the_stations_own_attempts_and_stops_with_the_herald_line() -> None:
    now = [0.0]
    line = Attempts("s", midpoint(), lambda: now[0], np.random.default_rng(3), seen=True)
    line.start("midpoints.s", count=5)
    now[0] = 50.5 * line.period_s
    assert line.take_triggered(51) == [range(1, 6)]  # nobody else took part
    line.start("midpoints.s", 0)
    now[0] = 60.5 * line.period_s
    assert line.take_triggered(55) == [range(51, 55)]
    line.abort("midpoints.s")
    now[0] = 70.5 * line.period_s
    assert line.take_triggered(71) == [range(55, 61)]
    for member in ("midpoints.s", "memories.a", "memories.b"):
        line.start(member, 0)
    herald_s = line.next_event_s()
    assert herald_s is not None
    slot = round(herald_s / line.period_s) - 1
    now[0] = herald_s + 10.5 * line.period_s  # the lab wakes up late
    assert line.take_triggered(slot + 11) == [range(71, slot + 1)]
    assert line.take_due() is not None
    assert line.take_triggered(slot + 11) == []
