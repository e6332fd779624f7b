"""Offset and skew of a remote clock from two streams of correlated photons, with no prior.

Coarse (`coarse`): a block of local tags against the remote ones in bins of some microseconds, by
FFT, for each skew of a grid. Zoom (`zoom`): the pairs near the best line in ever narrower windows,
then a maximum-likelihood line with jitter and background free. Proof (here): the pairs on the final
line are so many more than chance gives that none of all the lines in the search range would have
shown them by accident, and both halves of the record agree.

`acquire` is a pure function of picklable values, for a worker process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from timing.clock import ClockModel
from timing.coarse import STRADDLE, CoarsePeak, Search, coarse_peak
from timing.peak import LineFit, log_tail
from timing.tags import PS_PER_S, TimesPs
from timing.zoom import CommonRecord, common_record, fitted, narrowed, residuals

__all__ = ["Acquisition", "NoCorrelation", "Search", "Support", "acquire", "can_support"]

_LEAST_TAGS = 10
_WORTH_A_LOOK = math.log(1e-2)
_HALF_RECORD = math.log(1e-4)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A clock that was found. `model` has its epoch in the middle of the common record.

    `signal_to_noise` is that of the coarse peak. `log10_false_alarm` bounds the probability that
    the whole search shows this by chance. `jitter_ps` is the standard deviation of local minus
    mapped remote times of true pairs. The record used, on the remote scale, is [start, stop].
    """

    model: ClockModel
    pair_rate_cps: float
    pairs: float
    jitter_ps: float
    signal_to_noise: float
    log10_false_alarm: float
    remote_start_ps: int
    remote_stop_ps: int

    @property
    def false_alarm_probability(self) -> float:
        """Upper bound of the probability that this is chance; not smaller than 1e-300."""
        return math.pow(10.0, max(self.log10_false_alarm, -300.0))


@dataclass(frozen=True, slots=True)
class NoCorrelation:
    """No clock was found, and why; the pair rate that these data would have shown, where known."""

    reason: str
    signal_to_noise: float = 0.0
    detectable_pair_rate_cps: float = math.inf


@dataclass(frozen=True, slots=True)
class Support:
    """Whether data can carry a search: predicted and needed signal to noise of the coarse peak."""

    signal_to_noise: float
    needed: float

    @property
    def sufficient(self) -> bool:
        """The peak is expected above the threshold."""
        return self.signal_to_noise >= self.needed


def can_support(
    rate_a_cps: float,
    rate_b_cps: float,
    pair_rate_cps: float,
    span_s: float,
    search: Search | None = None,
) -> Support:
    """Predicted signal to noise: 0.7 R_pair/sqrt(R_A R_B) sqrt(T/r), r the bin or the smear in it.

    A longer record than one block does not raise it: each block is searched by itself.
    """
    given = search or Search()
    span_ps = min(span_s * PS_PER_S, float(given.block_ps))
    smear_ps = given.skew_step(span_ps) * span_ps / 2
    contrast = pair_rate_cps / math.sqrt(max(rate_a_cps * rate_b_cps, 1e-300))
    snr = STRADDLE * contrast * math.sqrt(span_ps / max(given.bin_ps, smear_ps))
    lags = 2 * min(float(given.max_offset_ps), span_s * PS_PER_S) / given.bin_ps
    return Support(snr, given.needed_snr(2 * lags * len(given.skews(span_ps))))


def acquire(
    local_ps: TimesPs, remote_ps: TimesPs, search: Search | None = None
) -> Acquisition | NoCorrelation:
    """Find the clock that maps remote to local tags, or say why none is found.

    Ascending int64 arrays, each on its own timescale. Takes some 0.3 s of one core for 1 s of data
    at the default search.
    """
    given = search or Search()
    if min(len(local_ps), len(remote_ps)) < _LEAST_TAGS:
        return NoCorrelation(
            f"found {len(local_ps)} local and {len(remote_ps)} remote tags, "
            f"expected at least {_LEAST_TAGS} of each"
        )
    block = _middle_block(local_ps, given.block_ps)
    reach = _in_reach(block, remote_ps, given)
    peak = None
    if min(len(block), len(reach)) >= _LEAST_TAGS:
        peak = coarse_peak(block, reach, given)
    if peak is None:
        return NoCorrelation(
            "no offset within the searched "
            f"{given.max_offset_ps / PS_PER_S:g} s makes the two streams overlap in time: "
            "expected tags of the same moments"
        )
    if peak.log_false_alarm > _WORTH_A_LOOK:
        return NoCorrelation(
            f"no peak among {peak.cells:.1e} offsets and skews: the highest has a signal to noise "
            f"of {peak.snr:.1f}, expected at least {peak.needed:.1f}, which "
            f"{peak.detectable_cps:.0f} pairs/s would give",
            peak.snr,
            peak.detectable_cps,
        )
    # A peak that is only likely still has to pass the proof, on all the data.
    record = common_record(local_ps, remote_ps, peak.model)
    if min(len(record.local_ps), len(record.remote_ps)) < _LEAST_TAGS:
        return _refused("fewer than 10 tags lie in the common record", peak)
    model, half_width_ps = narrowed(record, peak.model, peak.half_width_ps, peak.half_skew)
    found = fitted(record, model, half_width_ps)
    if found is None:
        return _refused("its pairs do not lie on a line", peak)
    return _proven(record, *found, peak, given)


def _proven(
    record: CommonRecord, model: ClockModel, fit: LineFit, peak: CoarsePeak, search: Search
) -> Acquisition | NoCorrelation:
    """The result, if chance, a false line and a clock that steps are excluded."""
    half_ps = max(1.0, 3 * fit.sigma)
    x, t = residuals(record, model, half_ps)
    chance = len(record.local_ps) * len(record.remote_ps) * 2 * half_ps / record.span_ps
    # Every line that differs from another by half a jitter somewhere was open to be found.
    grain_ps = half_ps / 6
    offsets = 2 * (min(search.max_offset_ps, 2 * record.span_ps) + record.span_ps) / grain_ps
    skews = 2 * search.max_skew * record.span_ps / grain_ps + 1
    widths = 20.0
    log_false = math.log(offsets * skews * widths) + log_tail(len(x), chance)
    if log_false > math.log(search.false_alarm):
        return _refused(
            f"{len(x)} pairs lie on the best line where chance gives {chance:.1f}", peak
        )
    halves = [x[t < 0], x[t >= 0]]
    for half, name in zip(halves, ("first", "second"), strict=True):
        if log_tail(len(half), chance / 2) > _HALF_RECORD:
            return _refused(
                f"the {name} half of the record has {len(half)} pairs on the line where chance "
                f"gives {chance / 2:.1f}: the light was cut, or a clock steps",
                peak,
            )
    alone = [_jitter_alone(half, peak) for half in record.halves()]
    if any(jitter_ps is None or fit.sigma > 2 * jitter_ps for jitter_ps in alone):
        return _refused(
            "each half of the record by itself gives a sharper line than both: a clock steps", peak
        )
    return Acquisition(
        model=model,
        pair_rate_cps=fit.pairs / (record.span_ps / PS_PER_S),
        pairs=fit.pairs,
        jitter_ps=fit.sigma,
        signal_to_noise=peak.snr,
        log10_false_alarm=min(0.0, log_false / math.log(10)),
        remote_start_ps=record.start_ps,
        remote_stop_ps=record.stop_ps,
    )


def _jitter_alone(half: CommonRecord, peak: CoarsePeak) -> float | None:
    """The jitter about the line that half of the record gives by itself."""
    model, half_width_ps = narrowed(half, peak.model, peak.half_width_ps, peak.half_skew)
    found = fitted(half, model, half_width_ps)
    return None if found is None else found[1].sigma


def _refused(why: str, peak: CoarsePeak) -> NoCorrelation:
    return NoCorrelation(
        f"a coarse peak at {peak.model.offset_s:.6f} s (signal to noise {peak.snr:.1f}) "
        f"is not confirmed: {why}",
        peak.snr,
        peak.detectable_cps,
    )


def _middle_block(times_ps: TimesPs, block_ps: int) -> TimesPs:
    span_ps = int(times_ps[-1] - times_ps[0])
    if span_ps <= block_ps:
        return times_ps
    start_ps = int(times_ps[0]) + (span_ps - block_ps) // 2
    low, high = np.searchsorted(times_ps, [start_ps, start_ps + block_ps])
    return times_ps[low:high]


def _in_reach(block_ps: TimesPs, remote_ps: TimesPs, search: Search) -> TimesPs:
    if not len(block_ps):
        return remote_ps[:0]
    low, high = np.searchsorted(
        remote_ps,
        [int(block_ps[0]) - search.max_offset_ps, int(block_ps[-1]) + search.max_offset_ps],
    )
    return remote_ps[low:high]
