"""Hong-Ou-Mandel interference: how alike two photons are where they meet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "WavePackets",
    "beam_splitter",
    "coincidence_probability",
    "share_within",
    "visibility",
]

_NODES: Final = 801
_SIGMAS: Final = 6.0


@dataclass(frozen=True, slots=True)
class WavePackets:
    """Two photons of one emitter's shape, exponentially decaying, at a beam splitter.

    `offset_ns` is the mean difference of their arrival, `jitter_ns` its standard deviation from
    pair to pair, `detuning_mhz` the difference of their frequencies, `dephasing_mhz` the pure
    dephasing rate over 2 pi of each, and `mode_overlap` that of all else (polarization, space).
    """

    lifetime_ns: float
    offset_ns: float = 0.0
    jitter_ns: float = 0.0
    detuning_mhz: float = 0.0
    dephasing_mhz: float = 0.0
    mode_overlap: float = 1.0


def visibility(packets: WavePackets, window_ns: float = math.inf) -> float:
    """Interference visibility of clicks at most `window_ns` apart.

    For amplitudes exp(-t/2 tau) the clicks' difference theta has the density exp(-|theta|/tau), and
    the two ways interfere as exp(-|delta|/tau) exp(-|theta|(1/tau + 2 gamma)) cos(Delta theta)
    (Legero, Wilk, Kuhn, Rempe, Appl. Phys. B 77, 797 (2003), for Gaussian packets; Kambs and
    Becher, New J. Phys. 20, 115003 (2018)). Without window and noise: exp(-|delta|/tau) and
    1/(1 + (Delta tau)^2). The offset is averaged over its jitter; seconds and hertz cancel.
    """
    if packets.lifetime_ns <= 0.0 or window_ns <= 0.0:
        raise ValueError(
            f"visibility: found a lifetime of {packets.lifetime_ns} ns and a window of "
            f"{window_ns} ns; expected both above 0"
        )
    offsets, shares = _offsets(packets)
    interfering = np.exp(-np.abs(offsets) / packets.lifetime_ns) * _beat(packets, window_ns)
    seen = _within(offsets, packets.lifetime_ns, window_ns)
    return float(packets.mode_overlap * (shares @ interfering) / (shares @ seen))


def share_within(packets: WavePackets, window_ns: float) -> float:
    """Share of photon pairs whose clicks are at most `window_ns` apart, without interference."""
    offsets, shares = _offsets(packets)
    return float(shares @ _within(offsets, packets.lifetime_ns, window_ns))


def coincidence_probability(visibility: float) -> float:
    """Probability that two photons, one at each input, leave by different outputs: (1 - V)/2."""
    return (1.0 - visibility) / 2.0


def beam_splitter(rng: np.random.Generator, count: int, visibility: float) -> npt.NDArray[np.uint8]:
    """Outputs (count, 2) of photon pairs that meet at a balanced beam splitter, 0 or 1 each."""
    first = rng.integers(0, 2, count, dtype=np.uint8)
    apart = rng.random(count) < coincidence_probability(visibility)
    return np.stack((first, first ^ apart.astype(np.uint8)), axis=1)


def _offsets(
    packets: WavePackets,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Differences of arrival and the share of each."""
    if packets.jitter_ns == 0.0:
        return np.array([packets.offset_ns]), np.array([1.0])
    steps = np.linspace(-_SIGMAS, _SIGMAS, _NODES)
    shares = np.exp(-(steps**2) / 2.0)
    return packets.offset_ns + steps * packets.jitter_ns, shares / shares.sum()


def _beat(packets: WavePackets, window_ns: float) -> float:
    """Share of interfering clicks within the window at no offset, with beat and dephasing."""
    decay = 1.0 / packets.lifetime_ns + 2.0 * 2.0 * math.pi * packets.dephasing_mhz * 1e-3
    beat = 2.0 * math.pi * packets.detuning_mhz * 1e-3
    whole = decay / (decay**2 + beat**2)
    if not math.isinf(window_ns):
        turn = beat * window_ns
        whole -= (
            math.exp(-decay * window_ns)
            * (decay * math.cos(turn) - beat * math.sin(turn))
            / (decay**2 + beat**2)
        )
    return whole / packets.lifetime_ns


def _within(
    offsets: npt.NDArray[np.float64], lifetime_ns: float, window_ns: float
) -> npt.NDArray[np.float64]:
    """Probability that clicks of packets apart by `offsets` are within the window."""
    if math.isinf(window_ns):
        return np.ones_like(offsets)

    def below(theta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # Distribution function of a Laplace variable.
        tail = 0.5 * np.exp(-np.abs(theta) / lifetime_ns)
        return np.where(theta < 0.0, tail, 1.0 - tail)

    return below(window_ns - offsets) - below(-window_ns - offsets)
