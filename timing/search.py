"""What a search for a remote clock covers, what it costs, and what the data can carry.

A coarse step cuts a block of T seconds into bins of length r and tries every lag for every skew
that moves a pair by a bin within the block. Its signal to noise is about 0.7 R_pair /
sqrt(R_A R_B) sqrt(T / r), so only the ratio T / r counts: steps of twice the ratio follow each
other, each at the cheapest T and r, until a clock is found or the next one would cost more than
allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from timing.tags import PS_PER_S

STRADDLE = 0.7
"""Mean share of a peak's height that is left when it straddles bins in lag and in drift."""

CANDIDATES = 48
"""How many of the highest cells of a step are looked at closely."""

_LEAST_RATIO = 2**17
_LEAST_BLOCK_PS = 20_000_000_000
_LEAST_BIN_PS = 500.0
_MOST_CELLS = 1 << 27
"""Of one step's table of segments and lags: half a GiB of float32."""

# Seconds that one element costs, measured with numpy 2.4 on one core of 2026; only ratios matter.
_S_PER_FFT_POINT = 2e-9  # forward and back, per point and power of two
_S_PER_ADD = 1.5e-9
_S_PER_LOOK = 3e-9
_S_PER_PAIR = 1.2e-9
_S_PER_TAG = 4e-9
_MOST_PAIRS = 1_000_000


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and how sure an answer must be.

    Offsets are those of the labels on the tags, local minus remote, within `max_offset_ps` of
    `centre_offset_ps`; skews likewise. `false_alarm` bounds the probability that chance passes as a
    clock. `most_s` bounds the estimated time on one core; a narrower search gets farther in it.
    """

    max_offset_ps: int = 10 * PS_PER_S
    max_skew: float = 1e-4
    centre_offset_ps: int = 0
    centre_skew: float = 0.0
    false_alarm: float = 1e-6
    most_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Streams:
    """The size of what is searched: spans in ps and numbers of tags."""

    local_span_ps: int
    remote_span_ps: int
    local_tags: int
    remote_tags: int


@dataclass(frozen=True, slots=True)
class Step:
    """One coarse step. `reach_ps` is how much remote time is in reach of the block.

    `drift_bins` is the largest drift within the block, in bins; `direct` says that pairs are
    counted one by one (a narrow range of lags) and not by FFT.
    """

    block_ps: int
    reach_ps: int
    bin_ps: float
    segments: int
    drift_bins: int
    direct: bool
    cost_s: float

    @property
    def lags(self) -> int:
        """Number of lags tried."""
        return max(16, math.ceil(self.reach_ps / self.bin_ps))

    @property
    def cells(self) -> float:
        """Lags times skews, each as one bin and as two together."""
        return 2.0 * self.lags * (2 * self.drift_bins + 1)

    @property
    def sensitivity(self) -> float:
        """sqrt(T / r): what multiplies 0.7 R_pair / sqrt(R_A R_B)."""
        return math.sqrt(self.block_ps / self.bin_ps)

    @property
    def needed_snr(self) -> float:
        """Signal to noise at which a true peak is more often among the candidates than not."""
        share = CANDIDATES / self.cells
        if share >= 0.1:
            return 1.3
        # Upper tail of the normal distribution (Abramowitz and Stegun 26.2.23).
        t = math.sqrt(-2 * math.log(share))
        return t - (2.515517 + t * (0.802853 + t * 0.010328)) / (
            1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
        )


def steps(streams: Streams, search: Search) -> list[Step]:
    """The coarse steps to take, in this order; at least one, and no more than `most_s` allows."""
    chosen: list[Step] = []
    spent_s = 0.0
    ratio = float(_LEAST_RATIO)
    while True:
        options = list(_options(streams, search, ratio))
        if not options:
            break
        step = min(options, key=lambda option: (option.cost_s, option.block_ps))
        if chosen and spent_s + step.cost_s > search.most_s:
            break
        # A step that costs about as much as the next is not worth taking before it.
        if chosen and step.cost_s < 1.5 * chosen[-1].cost_s:
            spent_s -= chosen.pop().cost_s
        chosen.append(step)
        spent_s += step.cost_s
        ratio *= 2
    if not chosen:
        shorter = min(streams.local_span_ps, streams.remote_span_ps)
        ratio = max(16.0, shorter / _LEAST_BIN_PS)
        chosen = [_step(streams, search, shorter, min(ratio, float(_LEAST_RATIO)))]
    return chosen


@dataclass(frozen=True, slots=True)
class Support:
    """Whether data can carry a search: predicted and needed signal to noise of its last step.

    `needed_pair_rate_cps` is the pair rate that these singles and this span would need,
    `needed_span_s` the length of record that these rates would need, inf where the time allowed
    (`most_s`) ends the search before the record does.
    """

    signal_to_noise: float
    needed: float
    needed_pair_rate_cps: float
    needed_span_s: float

    @property
    def sufficient(self) -> bool:
        """The peak is expected above the threshold."""
        return self.signal_to_noise >= self.needed

    @property
    def advice(self) -> str:
        """One sentence for an operator."""
        found = (
            f"a signal to noise of {self.signal_to_noise:.1f} is expected, "
            f"{self.needed:.1f} is needed"
        )
        if self.sufficient:
            return f"the data can support the search: {found}"
        otherwise = (
            f"a record of {self.needed_span_s:.3g} s, "
            if math.isfinite(self.needed_span_s)
            else "a narrower range of offsets and skews, or more time to search, "
        )
        return (
            f"the data cannot support the search: {found}; {otherwise}or "
            f"{self.needed_pair_rate_cps:.3g} pairs/s at these singles would"
        )


def can_support(
    rate_a_cps: float,
    rate_b_cps: float,
    pair_rate_cps: float,
    span_s: float,
    search: Search | None = None,
) -> Support:
    """Predict, before searching, whether a clock would be found: 0.7 R/sqrt(R_A R_B) sqrt(T/r).

    At the needed signal to noise half of all searches succeed; two more make it nearly all.
    """
    given = search or Search()
    contrast = pair_rate_cps / math.sqrt(max(rate_a_cps * rate_b_cps, 1e-300))

    def last(span: float) -> Step:
        ps = max(1000, round(span * PS_PER_S))
        sizes = Streams(ps, ps, math.ceil(rate_a_cps * span), math.ceil(rate_b_cps * span))
        return steps(sizes, given)[-1]

    step = last(span_s)
    needed = step.needed_snr + 2
    needed_span_s = span_s
    for _ in range(24):
        longer = last(needed_span_s)
        if STRADDLE * contrast * longer.sensitivity >= longer.needed_snr + 2:
            break
        needed_span_s *= 1.3
    else:
        needed_span_s = math.inf
    snr = STRADDLE * contrast * step.sensitivity
    return Support(snr, needed, pair_rate_cps * needed / max(snr, 1e-300), needed_span_s)


def reach_ps(streams: Streams, search: Search, block_ps: int) -> int:
    """How much remote time can hold the partners of a block."""
    return min(streams.remote_span_ps, block_ps + 2 * search.max_offset_ps)


def _options(streams: Streams, search: Search, ratio: float) -> Iterator[Step]:
    """Steps of one ratio that can be taken, with ever shorter blocks."""
    block_ps = min(streams.local_span_ps, streams.remote_span_ps)
    while True:
        step = _step(streams, search, block_ps, ratio)
        cells = step.lags * step.segments
        if step.bin_ps >= _LEAST_BIN_PS and cells <= _MOST_CELLS:
            yield step
        block_ps //= 2
        if block_ps < _LEAST_BLOCK_PS:
            return


def _step(streams: Streams, search: Search, block_ps: int, ratio: float) -> Step:
    bin_ps = block_ps / ratio
    drift_bins = math.ceil(search.max_skew * block_ps / bin_ps)
    # Within a segment the drift smears by half a bin at most, on either side.
    segments = 1 << max(1, math.ceil(math.log2(drift_bins + 1)))
    reach = max(block_ps, reach_ps(streams, search, block_ps))
    tags_local = streams.local_tags * block_ps / max(1, streams.local_span_ps)
    tags_remote = streams.remote_tags * reach / max(1, streams.remote_span_ps)
    looks = 2 * drift_bins + 1

    def in_lags(count: float) -> float:
        levels = math.log2(segments)
        return count * (2 * segments * levels * _S_PER_ADD + looks * _S_PER_LOOK)

    density = tags_local * tags_remote / reach
    near = min(float(_MOST_PAIRS), density * 6 * bin_ps)
    closely_s = CANDIDATES * (near * _S_PER_PAIR + (tags_local + tags_remote) * _S_PER_TAG)
    points = reach / bin_ps
    fft_s = segments * points * math.log2(max(2.0, points)) * _S_PER_FFT_POINT + in_lags(points)
    narrow_ps = 2 * search.max_offset_ps + 2 * drift_bins * bin_ps
    direct_s = density * narrow_ps * _S_PER_PAIR + in_lags(narrow_ps / bin_ps)
    direct = direct_s < fft_s and narrow_ps < block_ps
    return Step(
        block_ps=block_ps,
        reach_ps=round(narrow_ps) if direct else reach,
        bin_ps=bin_ps,
        segments=segments,
        drift_bins=drift_bins,
        direct=direct,
        cost_s=(direct_s if direct else fft_s) + closely_s,
    )
