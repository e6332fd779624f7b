"""HOM visibility against overlap. Seeds are fixed; limits are 4 standard errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.interference import (
    WavePackets,
    beam_splitter,
    coincidence_probability,
    visibility,
)


def by_the_field(packets: WavePackets, window_ns: float) -> float:
    """Visibility from the two fields on a grid of click times, noise of the phase included."""
    step = packets.lifetime_ns / 40
    t = (np.arange(-120, 800) + 0.5) * step
    wave = []
    for offset, detuning in ((0.0, 0.0), (packets.offset_ns, packets.detuning_mhz * 1e-3)):
        start = np.clip(t - offset, 0.0, None)
        shape = np.exp(-start / (2 * packets.lifetime_ns)) * (t >= offset)
        wave.append(shape * np.exp(-2j * np.pi * detuning * t))
    a, b = wave
    first, second = np.meshgrid(t, t, indexing="ij")
    direct = np.abs(np.outer(a, b)) ** 2 + np.abs(np.outer(b, a)) ** 2
    cross = 2 * np.real(np.outer(a * b.conj(), (a * b.conj()).conj()))
    cross *= np.exp(-2 * 2 * np.pi * packets.dephasing_mhz * 1e-3 * np.abs(first - second))
    near = np.abs(first - second) <= window_ns
    return packets.mode_overlap * float(cross[near].sum() / direct[near].sum())


@pytest.mark.parametrize(
    ("packets", "window_ns"),
    [
        (WavePackets(12.0), math.inf),
        (WavePackets(12.0, offset_ns=3.0), math.inf),
        (WavePackets(12.0, detuning_mhz=10.0), math.inf),
        (WavePackets(12.0, detuning_mhz=10.0), 10.0),
        (WavePackets(7.0, offset_ns=-3.5, detuning_mhz=15.0, dephasing_mhz=4.0), 12.0),
        (WavePackets(7.0, offset_ns=7.0, mode_overlap=0.9), 4.0),
    ],
)
def test_closed_form_equals_the_overlap_of_the_fields(
    packets: WavePackets, window_ns: float
) -> None:
    assert visibility(packets, window_ns) == pytest.approx(
        by_the_field(packets, window_ns), abs=0.012
    )


def test_limits() -> None:
    assert visibility(WavePackets(12.0)) == pytest.approx(1.0)
    assert visibility(WavePackets(12.0, offset_ns=5.0)) == pytest.approx(math.exp(-5 / 12))
    beat = 2 * math.pi * 0.02 * 12.0
    assert visibility(WavePackets(12.0, detuning_mhz=20.0)) == pytest.approx(1 / (1 + beat**2))
    with pytest.raises(ValueError, match="lifetime of 0"):
        visibility(WavePackets(0.0))


def test_jitter_averages_the_overlap() -> None:
    packets = WavePackets(12.0, offset_ns=2.0, jitter_ns=4.0)
    offsets = np.random.default_rng(1).normal(2.0, 4.0, 200_000)
    overlap = np.exp(-np.abs(offsets) / 12.0)
    assert abs(visibility(packets) - overlap.mean()) < 4 * overlap.std() / math.sqrt(200_000)


@given(
    offset=st.floats(0.0, 30.0),
    detuning=st.floats(0.0, 50.0),
    jitter=st.floats(0.0, 10.0),
    window=st.floats(0.5, 100.0),
)
def test_a_narrower_window_never_sees_less_of_a_beat(
    offset: float, detuning: float, jitter: float, window: float
) -> None:
    packets = WavePackets(12.0, offset, jitter, detuning)
    assert -1.0 - 1e-9 <= visibility(packets, window) <= 1.0 + 1e-9
    if offset == jitter == 0.0 and detuning * window < 100.0:
        assert visibility(packets, window) >= visibility(packets) - 1e-9


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9, 1.0])
def test_clicks_at_the_beam_splitter_show_the_dip(overlap: float) -> None:
    count = 100_000
    out = beam_splitter(np.random.default_rng(2), count, overlap)
    expected = coincidence_probability(overlap)
    deviation = math.sqrt(expected * (1 - expected) * count)
    assert abs(int(np.sum(out[:, 0] != out[:, 1])) - expected * count) <= 4 * deviation
    # Each photon leaves by either output.
    assert abs(int(out[:, 1].sum()) - count / 2) < 4 * math.sqrt(count / 4)
