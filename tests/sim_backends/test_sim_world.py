"""The photonic side of the lab, watched through what instruments can see and through the truth.

Seeds are fixed, so nothing is flaky; limits are 4 standard errors (a chance of 6e-5 each for a
right model with another seed).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sim_backends.lab import LabConfig, load_lab
from sim_backends.taggers import TaggerModel
from sim_backends.truth import TruthLog
from sim_backends.world import World

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"
PAIRS_PER_S = 120_000.0
ARRIVE = {"alice": 10**-0.6 * 0.80, "bob": 10**-0.8 * 0.78}
DARKS = {"alice": 200.0, "bob": 300.0}
VISIBILITY = (4 * 0.965 - 1) / 3


class Bench:
    """A world with its clock in hand, and what its taggers gave."""

    def __init__(self, config: LabConfig, truth: Path | None = None) -> None:
        self.now_s = 1000.0
        self.truth = TruthLog(truth)
        self.world = World(config, now_s=lambda: self.now_s, truth=self.truth)
        self.tags: dict[str, list[Any]] = {name: [] for name in self.world.taggers}

    def switch_on(self) -> None:
        self.world.lasers["pump"].emission = True
        self.world.lasers["pump"].current_set_ma = 90.0
        for bank in self.world.detectors.values():
            bank.enabled = True
            bank.bias_ua = [20.0, 20.0]
        for tagger in self.world.taggers.values():
            tagger.start()

    def run(self, seconds: float, step_s: float = 0.02) -> None:
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            self.world.advance()
            for name, tagger in self.world.taggers.items():
                self.tags[name].append(tagger.take_tags())

    def seen(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        times, channels = zip(*self.tags[name], strict=True)
        return np.concatenate(times), np.concatenate(channels)


def example(*, plain_clocks: bool = False, **lab: object) -> LabConfig:
    config = load_lab(EXAMPLE)
    update: dict[str, object] = {"lab": config.lab.model_copy(update=lab)}
    if plain_clocks:
        plain = {"skew_ppm": 0.0, "white_fm_1s": 0.0, "power_on_s": 0.0}
        update["taggers"] = {
            name: tagger.model_copy(update=plain) for name, tagger in config.taggers.items()
        }
    return config.model_copy(update=update)


def records(path: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def coincidences(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], shift_ps: int, half_ps: int
) -> npt.NDArray[np.int64]:
    """For each tag of `first` how many of `second - shift` are within half_ps."""
    shifted = second - shift_ps
    return np.searchsorted(shifted, first + half_ps, "right") - np.searchsorted(
        shifted, first - half_ps, "left"
    )


def shift_ps(bench: Bench) -> int:
    detectors = bench.world.detectors
    fibre_ps = round(10_000.0 / 2.04e8 * 1e12)
    return fibre_ps + detectors["bob"].latency_ps - detectors["alice"].latency_ps


def test_rates_of_singles_coincidences_and_accidentals() -> None:
    bench = Bench(example(plain_clocks=True))
    bench.switch_on()
    seconds = 10.0
    bench.run(seconds)
    tags = {name: bench.seen(name) for name in ("alice", "bob")}
    singles = {}
    for name, (_, channels) in tags.items():
        singles[name] = PAIRS_PER_S * ARRIVE[name] + 2 * DARKS[name]
        for channel in (1, 2):
            rate = singles[name] / 2
            expected = seconds * rate / (1 + rate * 60e-9)
            assert abs(np.sum(channels == channel) - expected) < 4 * np.sqrt(expected)
        assert bench.world.detectors[name].count_totals() == [
            np.sum(channels == 1),
            np.sum(channels == 2),
        ]
    peak = coincidences(tags["alice"][0], tags["bob"][0], shift_ps(bench), 1000).sum()
    accidental_cps = singles["alice"] * singles["bob"] * 2001e-12
    expected = seconds * (PAIRS_PER_S * ARRIVE["alice"] * ARRIVE["bob"] * 0.999 + accidental_cps)
    assert abs(peak - expected) < 4 * np.sqrt(expected)
    away = sum(
        coincidences(tags["alice"][0], tags["bob"][0], shift_ps(bench) + lag, 1000).sum()
        for lag in range(10**6, 10**8, 10**6)
    )
    expected = 99 * seconds * accidental_cps
    assert abs(away - expected) < 4 * np.sqrt(expected)


def test_singles_are_poisson() -> None:
    bench = Bench(example(plain_clocks=True))
    bench.switch_on()
    bench.run(4.0)
    times, _ = bench.seen("bob")
    counts = np.histogram(times, bins=2000, range=(0.1e12, 4e12))[0]
    dispersion = np.sum((counts - counts.mean()) ** 2) / counts.mean()
    assert abs(dispersion - 1999) < 4 * np.sqrt(2 * 1999)


@pytest.mark.parametrize(
    ("qwp", "hwp", "sign"), [(0.0, 0.0, 1), (45.0, 22.5, 1), (0.0, 22.5, -1)], ids="ZXY"
)
def test_correlators_at_the_three_settings(qwp: float, hwp: float, sign: int) -> None:
    bench = Bench(example(plain_clocks=True))
    for analyzer in bench.world.analyzers.values():
        analyzer.plates["qwp"].move_to(qwp)
        analyzer.plates["hwp"].move_to(hwp)
    bench.run(0.2)
    bench.switch_on()
    bench.run(4.0)
    (a_times, a_channels), (b_times, b_channels) = bench.seen("alice"), bench.seen("bob")
    count = {
        (i, j): coincidences(
            a_times[a_channels == i], b_times[b_channels == j], shift_ps(bench), 600
        ).sum()
        for i in (1, 2)
        for j in (1, 2)
    }
    total = sum(count.values())
    value = (count[1, 1] + count[2, 2] - count[1, 2] - count[2, 1]) / total
    # Accidentals, 5e-4 of the coincidences, are far below the error.
    assert abs(value - sign * VISIBILITY) < 4 * np.sqrt((1 - VISIBILITY**2) / total)


def test_plate_offsets_turn_the_basis() -> None:
    config = example(plain_clocks=True)
    turned = {
        name: item.model_copy(update={"hwp_offset_deg": 22.5})
        for name, item in config.analyzers.items()
        if name == "alice"
    }
    bench = Bench(config.model_copy(update={"analyzers": config.analyzers | turned}))
    bench.switch_on()
    bench.run(1.0)
    (a_times, a_channels), (b_times, b_channels) = bench.seen("alice"), bench.seen("bob")
    counts = [
        coincidences(a_times[a_channels == i], b_times[b_channels == 1], shift_ps(bench), 600).sum()
        for i in (1, 2)
    ]
    # Bases 45 degrees apart do not know of each other.
    assert abs(counts[0] - counts[1]) < 4 * np.sqrt(sum(counts))


def test_tags_are_where_the_truth_says(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    bench = Bench(example(), path)
    bench.switch_on()
    bench.run(3.0)
    bench.truth.flush()
    knots = records(path, "pair_time")
    assert [knot["t_s"] for knot in knots] == pytest.approx([i / 10 for i in range(30)])
    alice, bob = ([knot["times_ps"][name] for knot in knots] for name in ("alice", "bob"))
    assert alice[0] == pytest.approx(17.3e12, rel=1e-5)
    assert bob[0] - alice[0] == pytest.approx(-12.4e12, rel=1e-5)
    origin = bob[0]
    a_times, _ = bench.seen("alice")
    b_times = bench.seen("bob")[0] - origin
    a_times = a_times[a_times < alice[-1]]
    on_bob = np.interp(a_times, alice, np.array(bob) - origin)
    nearest = np.clip(np.searchsorted(b_times, on_bob), 1, b_times.size - 1)
    nearest -= on_bob - b_times[nearest - 1] < b_times[nearest] - on_bob
    residual = b_times[nearest] - on_bob
    residual = residual[np.abs(residual) < 600]
    sigma = np.hypot(80.0, 90.0)
    assert residual.size > 8000
    # Between its points the truth's random walk is known to 10 ps sqrt(0.1 s) / 2 an interval.
    error = np.hypot(sigma / np.sqrt(residual.size), 2 * 10 * np.sqrt(0.1) / 2 / np.sqrt(29))
    assert abs(residual.mean()) < 4 * error
    assert residual.std() == pytest.approx(sigma, rel=0.05)


def test_tags_are_sorted_and_all_before_the_counter_read_first() -> None:
    bench = Bench(example())
    bench.switch_on()
    tagger = bench.world.taggers["bob"]
    counter = tagger.counter_ps()
    for step in range(200):
        bench.now_s += 0.001 + 0.0001 * (step % 7)
        before, counter = counter, tagger.counter_ps()
        times, _ = tagger.take_tags()
        assert np.all(np.diff(times) >= 0)
        assert times.size == 0 or before <= times[0]
        assert times.size == 0 or times[-1] <= counter


def test_dark_laser_leaves_dark_counts_and_truth_tells(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    bench = Bench(example(), path)
    bench.switch_on()
    bench.run(0.5)
    bench.world.lasers["pump"].emission = False
    assert bench.world.lasers["pump"].power_mw == 0.0
    bench.run(0.1)
    before = bench.world.detectors["alice"].count_totals()
    bench.run(4.0)
    dark = np.subtract(bench.world.detectors["alice"].count_totals(), before)
    assert np.all(np.abs(dark - 800) < 4 * np.sqrt(800))
    bench.truth.flush()
    told = records(path, "source")
    assert [record["pairs_per_s"] for record in told] == pytest.approx([PAIRS_PER_S, 0.0])
    assert told[1]["t_s"] == pytest.approx(0.5)
    assert told[0]["fidelity"] == 0.965


def test_laser_current_sets_the_light() -> None:
    laser = Bench(example()).world.lasers["pump"]
    laser.current_set_ma = 90.0
    assert (laser.emission, laser.current_act_ma, laser.power_mw) == (False, 0.0, 0.0)
    laser.emission = True
    assert laser.power_mw == pytest.approx(10.0)
    laser.current_set_ma = 39.0
    assert laser.power_mw == 0.0
    laser.current_set_ma = 500.0
    assert laser.current_act_ma == laser.max_current_ma == 120.0


def test_same_seed_same_tags() -> None:
    def tags(seed: int) -> list[npt.NDArray[np.int64]]:
        bench = Bench(example(seed=seed))
        bench.switch_on()
        bench.run(0.3)
        return [bench.seen(name)[0] for name in ("alice", "bob")]

    once, again, other = tags(5), tags(5), tags(6)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not np.array_equal(once[0], other[0])


def test_a_world_far_behind_leaves_out_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    bench = Bench(example(plain_clocks=True), path)
    bench.switch_on()
    bench.run(0.1)
    bench.now_s += 3600.0
    times, _ = bench.world.taggers["alice"].take_tags()
    assert times[0] >= 3599.1e12
    assert 20_000 < times.size < 29_000
    bench.world.advance()
    bench.truth.flush()
    (skipped,) = records(path, "skipped")
    assert skipped["from_s"] == pytest.approx(0.1)
    assert skipped["t_s"] == pytest.approx(3599.1)


def test_stages_turn_at_their_speed() -> None:
    bench = Bench(example())
    stage = bench.world.analyzers["alice"].plates["hwp"]
    assert not stage.moving()
    stage.move_to(43.0)
    bench.now_s += 0.05
    assert stage.position_deg() == pytest.approx(21.5)
    stage.home()
    bench.now_s += 0.049
    assert stage.position_deg() == pytest.approx(0.43)
    bench.now_s += 0.011
    assert (stage.position_deg(), stage.moving()) == (0.0, True)
    bench.now_s += 0.02
    assert not stage.moving()
    with pytest.raises(ValueError, match="nan"):
        stage.move_to(float("nan"))


def test_turning_plates_are_seen_on_their_way() -> None:
    bench = Bench(example(plain_clocks=True))
    bench.switch_on()
    bench.run(0.2)
    bench.world.analyzers["alice"].plates["hwp"].move_to(450.0)
    # Seldom advanced: where the plates stood meanwhile must not be lost.
    bench.run(0.9, step_s=0.3)
    (a_times, a_channels), (b_times, b_channels) = bench.seen("alice"), bench.seen("bob")
    transmitted = a_times[a_channels == 1]
    together = coincidences(transmitted, b_times[b_channels == 1], shift_ps(bench), 600)
    # The correlation turns four times as fast as the plate; take four whole periods of 90 degrees.
    turned = 430.0 * (transmitted[together > 0] / 1e12 - 0.2)
    phase = np.radians(4 * turned[(turned > 0) & (turned < 360)])
    error = np.sqrt(0.5 / phase.size)
    assert abs(np.cos(phase).mean() - VISIBILITY / 2) < 4 * error
    assert abs(np.sin(phase).mean()) < 4 * error


def test_tagger_keeps_only_while_started_and_counts_drops() -> None:
    bench = Bench(example())
    bench.switch_on()
    tagger = bench.world.taggers["alice"]
    tagger.stop()
    bench.run(0.2)
    assert tagger.take_tags()[0].size == 0
    tagger.start()
    bench.run(0.1)
    assert bench.seen("alice")[0].size > 0

    full = TaggerModel(tagger.clock, lambda: 0, lambda: None)
    full.start()
    clicks = np.arange(4_100_000, dtype=np.int64)
    full.receive({1: clicks, 2: clicks[:5]})
    times, channels = full.take_tags()
    assert times.size == channels.size == 4_000_000
    assert full.dropped == 100_005
    full.receive({2: clicks[:5]})
    assert full.take_tags()[1].tolist() == [2] * 5


def test_rates_near_a_megacount_are_those_of_the_dead_time() -> None:
    config = example(plain_clocks=True)
    bright = config.sources["crystal"].model_copy(update={"pairs_per_s_per_mw": 300_000.0})
    bench = Bench(config.model_copy(update={"sources": {"crystal": bright}}))
    bench.switch_on()
    bench.run(0.5)
    for name in ("alice", "bob"):
        rate = 25 * PAIRS_PER_S * ARRIVE[name] / 2
        expected = 0.5 * 2 * rate / (1 + rate * 60e-9)
        assert bench.seen(name)[0].size == pytest.approx(expected, rel=0.01)
