"""Sources in the running lab, seen through its tags. Fixed seeds; limits are 4 standard errors."""

import math
from typing import Any

import numpy as np
import pytest

from sim_backends.emission import g2, pair_visibility, seen_pulses
from sim_backends.emitters import emitter_g2
from sim_backends.lab import LabConfig
from sim_backends.truth import TruthLog
from sim_backends.world import World

MW = 1.0


def lab(
    *,
    source: dict[str, Any] | None = None,
    emitter: dict[str, Any] | None = None,
    channels: dict[str, dict[str, Any]] | None = None,
    detector: dict[str, Any] | None = None,
) -> LabConfig:
    ends = ("a", "b")
    tables: dict[str, Any] = {
        "lab": {"seed": 12},
        "lasers": {
            "pump": {
                "threshold_ma": 0.0,
                "slope_mw_per_ma": 1.0,
                "max_current_ma": 10.0,
                "wavelength_nm": 405.0,
            }
        },
        "channels": {end: (channels or {}).get(end, {}) for end in ends},
        "analyzers": {end: {} for end in ends},
        "detectors": {
            end: {
                "channels": 2,
                "efficiency": 0.5,
                "full_bias_ua": 20.0,
                "dark_cps": 0.0,
                "jitter_ps": 0.0,
                "dead_time_ns": 0.0,
            }
            | (detector or {})
            for end in ends
        },
        "taggers": {end: {"inputs": {"1": f"{end}.1", "2": f"{end}.2"}} for end in ends},
    }
    if source is not None:
        tables["sources"] = {
            "s": {
                "pump": "pump",
                "pairs_per_s_per_mw": 1e5,
                "bell_state": "PHI_PLUS",
                "fidelity": 1.0,
                "ends": ends,
            }
            | source
        }
    if emitter is not None:
        tables["emitters"] = {"e": {"pump": "pump", "end": "a", "lifetime_ns": 10.0} | emitter}
    return LabConfig.model_validate(tables)


class Bench:
    """A lab with its clock in hand, all switched on."""

    def __init__(self, config: LabConfig) -> None:
        self.now_s = 5.0
        self.world = World(config, now_s=lambda: self.now_s, truth=TruthLog(None))
        self.world.lasers["pump"].emission = True
        self.world.lasers["pump"].current_set_ma = MW
        for bank in self.world.detectors.values():
            bank.enabled = True
            bank.bias_ua = [20.0, 20.0]
        for tagger in self.world.taggers.values():
            tagger.start()

    def run(self, seconds: float) -> dict[tuple[str, int], np.ndarray]:
        """Times by end and channel (1 transmitted, 2 reflected)."""
        found: dict[tuple[str, int], list[np.ndarray]] = {
            (end, channel): [] for end in ("a", "b") for channel in (1, 2)
        }
        for _ in range(round(seconds / 0.02)):
            self.now_s += 0.02
            self.world.advance()
            for end, tagger in self.world.taggers.items():
                times, channels = tagger.take_tags()
                for channel in (1, 2):
                    found[end, channel].append(times[channels == channel])
        return {key: np.concatenate(parts) for key, parts in found.items()}


def both(seen: dict[tuple[str, int], np.ndarray], end: str) -> np.ndarray:
    return np.sort(np.concatenate((seen[end, 1], seen[end, 2])))


def near(first: np.ndarray, second: np.ndarray, half_ps: int) -> int:
    """Pairs of times at most half_ps apart."""
    return int(
        np.sum(
            np.searchsorted(second, first + half_ps, "right")
            - np.searchsorted(second, first - half_ps, "left")
        )
    )


@pytest.mark.parametrize("modes", [None, 1.0, 3.0])
def test_numbers_of_pairs_a_pulse(modes: float | None) -> None:
    pulses, mean = 400_000, 0.3
    index = seen_pulses(np.random.default_rng(1), pulses, mean, modes)
    counts = np.bincount(index, minlength=pulses)
    assert abs(counts.mean() - mean) < 4 * math.sqrt(mean * g2(modes) * 1.3 / pulses)
    factorial = counts * (counts - 1.0)
    expected = g2(modes) * mean**2
    assert abs(factorial.mean() - expected) < 4 * factorial.std() / math.sqrt(pulses)
    assert np.all(np.diff(index) >= 0)


def test_losing_pairs_keeps_the_kind_of_their_number() -> None:
    # Thinned by hand and drawn with the smaller mean: the same share of empty pulses.
    rng = np.random.default_rng(2)
    full = seen_pulses(rng, 200_000, 0.5, 2.0)
    thinned = np.unique(full[rng.random(full.size) < 0.2]).size
    drawn = np.unique(seen_pulses(rng, 200_000, 0.1, 2.0)).size
    expected = 200_000 * (1 - (2 / 2.1) ** 2)
    for lit in (thinned, drawn):
        assert abs(lit - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("modes", [None, 1.0])
def test_two_channel_g2_of_pulsed_pairs(modes: float | None) -> None:
    """One arm of the lab's source on its beam splitter: g2(0) is 1 or 2, beside it 1."""
    pulses = {"rate_hz": 1e6} | ({} if modes is None else {"modes": modes})
    seen = Bench(lab(source={"pulses": pulses})).run(10.0)
    one, two = seen["a", 1], seen["a", 2]
    beside = sum(near(one, two + lag * 1_000_000, 1000) for lag in range(1, 41)) / 40
    same = near(one, two, 1000)
    # Pairs of one photon each at a: channel singles 1e5 * 0.5 * 0.5 of 1e6 pulses, in 10 s.
    expected = 10e6 * (1e5 * 0.25 / 1e6) ** 2
    assert abs(beside - expected) < 4 * math.sqrt(expected / 40) + 4 * 0.002 * expected
    assert abs(same / beside - g2(modes)) < 4 * math.sqrt(g2(modes) / expected) * 1.1


def test_multi_pair_visibility_falls_as_one_less_mu() -> None:
    """Phi+ measured in Z: wrong coincidences come from other pairs of the same pulse."""
    for rate_hz, mu in ((4e6, 0.025), (1e6, 0.1)):
        seen = Bench(lab(source={"pulses": {"rate_hz": rate_hz}})).run(10.0)
        right = near(seen["a", 1], seen["b", 1], 1000) + near(seen["a", 2], seen["b", 2], 1000)
        wrong = near(seen["a", 1], seen["b", 2], 1000) + near(seen["a", 2], seen["b", 1], 1000)
        total = right + wrong
        visibility = (right - wrong) / total
        deviation = math.sqrt((1 - visibility**2) / total)
        assert abs(visibility - pair_visibility(mu)) < 4 * deviation
        assert abs(visibility - (1 - mu)) < 4 * deviation + 1.1 * mu**2


def test_coherence_shapes_the_coincidence_peak() -> None:
    """Width of the peak: the pair's own spread and both fibres' dispersion, which may cancel."""
    glass = {"length_km": 50.0, "loss_db_per_km": 0.0, "dispersion_ps_per_nm_km": 17.0}
    for other, expected in ((17.0, 2 * 850 * 0.5), (-17.0, 0.0)):
        config = lab(
            source={"correlation_ps": 100.0, "bandwidth_nm": 0.5, "pairs_per_s_per_mw": 2e4},
            channels={"a": glass, "b": glass | {"dispersion_ps_per_nm_km": other}},
        )
        seen = Bench(config).run(2.0)
        a, b = both(seen, "a"), both(seen, "b")
        # Pairs are 50 us apart: the nearest of the other end within 5 ns is the partner.
        at = np.clip(np.searchsorted(b, a), 1, b.size - 1)
        nearest = np.where(a - b[at - 1] < b[at] - a, b[at - 1], b[at])
        apart = (nearest - a)[np.abs(nearest - a) < 5000]
        width = math.hypot(100.0, expected)
        # A few in a thousand are accidental partners, flat within 5 ns: they widen it by 1 to 3 %.
        accidental = 2e4 * 0.5 * 10e-9 * 5000**2 / 3
        assert apart.var() == pytest.approx(
            width**2 + accidental, rel=4 * math.sqrt(2 / apart.size) + 0.05
        )


def test_a_single_emitter_is_antibunched() -> None:
    config = lab(emitter={"excitations_per_s_per_mw": 2e7, "collection": 0.5})
    seen = Bench(config).run(1.0)
    one, two = seen["a", 1], seen["a", 2]
    # Of the rate 1/(1/W + tau): 2e7/1.2.
    rate = 2e7 / 1.2 * 0.5 * 0.5 / 2
    assert abs(one.size - rate) < 4 * math.sqrt(rate)
    bin_ps = 1000
    for delay_ns in (0.0, 4.0, 12.0, 60.0):
        centre = round(delay_ns * 1000)
        shifted = two - centre
        counts = near(one, shifted, bin_ps)
        flat = one.size * two.size * (2 * bin_ps + 1) * 1e-12
        # The mean of g2 over the bin.
        grid = np.linspace(delay_ns - 1, delay_ns + 1, 201)
        expected = float(np.mean([emitter_g2(t, 2e7, 10.0) for t in grid])) * flat
        assert abs(counts - expected) < 4 * math.sqrt(max(expected, 1.0))


def test_a_pulsed_emitter_gives_one_photon_a_pulse() -> None:
    config = lab(emitter={"pulse_rate_hz": 1e6, "lifetime_ns": 5.0, "background": 0.0})
    seen = both(Bench(config).run(1.0), "a")
    pulse = seen // 1_000_000
    assert np.unique(pulse).size == pulse.size
    assert abs(seen.size - 0.5e6) < 4 * math.sqrt(0.25e6)
    late_ns = (seen % 1_000_000) * 1e-3
    assert abs(late_ns.mean() - 5.0) < 4 * 5.0 / math.sqrt(seen.size)


def test_background_fills_the_antibunching() -> None:
    config = lab(emitter={"excitations_per_s_per_mw": 2e7, "collection": 0.5, "background": 0.4})
    seen = Bench(config).run(1.0)
    one, two = seen["a", 1], seen["a", 2]
    counts = near(one, two, 200)
    flat = one.size * two.size * 401e-12
    expected = (
        1 - 0.6**2 * (1 - float(np.mean([emitter_g2(t / 100, 2e7, 10) for t in range(20)])))
    ) * flat
    assert abs(counts - expected) < 4 * math.sqrt(expected)


def test_light_that_leaks_in_is_counted_by_both_ports() -> None:
    config = lab(
        source={"pairs_per_s_per_mw": 0.0},
        channels={"a": {"classical_cps": 40_000.0, "loss_db": 3.0}},
    )
    seen = Bench(config).run(2.0)
    for channel in (1, 2):
        expected = 2.0 * 40_000 * 0.5 * 0.5
        assert abs(seen["a", channel].size - expected) < 4 * math.sqrt(expected)
        assert seen["b", channel].size == 0


def test_bright_light_drives_the_detectors_behind_a_fibre() -> None:
    """They click as somebody wishes, whatever else comes, and a meter sees the light."""
    told = {"blinding_uw": 2.0, "faked_cps": 30_000.0, "classical_cps": 1000.0}
    bench = Bench(lab(source={}, channels={"a": told}))
    seen = bench.run(1.0)
    for channel in (1, 2):
        assert abs(seen["a", channel].size - 15_000) < 4 * math.sqrt(15_000)
    expected = 2 * seen["a", 1].size * both(seen, "b").size * 1e-9  # by chance alone
    assert near(seen["a", 1], both(seen, "b"), 500) < expected + 4 * math.sqrt(expected) + 5
    fibre = bench.world.channels["a"]
    assert fibre.power_mw == pytest.approx(2e-3, rel=1e-6)
    dark = {"blinding_uw": 0.0, "classical_cps": 1e9, "wavelength_nm": 810.0}
    light = Bench(lab(source={}, channels={"a": dark})).world.channels["a"]
    assert light.power_mw == pytest.approx(1e9 * 2.4524e-19 * 1e3, rel=1e-3)  # h c / 810 nm


def test_a_turned_fibre_turns_the_correlations() -> None:
    """Phi+ with one photon turned by 2 theta about y has <ZZ> = cos(2 theta)."""
    for angle_deg in (0.0, 60.0, 180.0):
        turned = {"rotation_deg": angle_deg, "rotation_axis": [0.0, 1.0, 0.0]}
        seen = Bench(lab(source={}, channels={"a": turned})).run(1.0)
        right = near(seen["a", 1], seen["b", 1], 500) + near(seen["a", 2], seen["b", 2], 500)
        wrong = near(seen["a", 1], seen["b", 2], 500) + near(seen["a", 2], seen["b", 1], 500)
        found = (right - wrong) / (right + wrong)
        deviation = math.sqrt(max(1 - found**2, 1e-4) / (right + wrong))
        assert abs(found - math.cos(math.radians(angle_deg))) < 4 * deviation + 1e-3


def test_a_drifting_delay_moves_the_peak() -> None:
    config = lab(
        source={"pairs_per_s_per_mw": 2e4},
        channels={"b": {"delay_drift_ps_per_s": 10_000.0}},
    )
    bench = Bench(config)
    for second in range(3):
        seen = bench.run(1.0)
        a, b = both(seen, "a"), both(seen, "b")
        at = np.clip(np.searchsorted(b, a), 1, b.size - 1)
        nearest = np.where(a - b[at - 1] < b[at] - a, b[at - 1], b[at])
        apart = (nearest - a)[np.abs(nearest - a) < 40_000]
        assert np.median(apart) == pytest.approx((second + 0.5) * 10_000, abs=400)
