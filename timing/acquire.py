"""Offset and skew of a remote clock from two streams of correlated photons, with no prior.

Coarse (`search`, `coarse`): a block of local tags against the remote ones in reach, for all lags
and drifts, in steps of growing sensitivity and cost. Zoom (`zoom`): each candidate in ever narrower
windows, which chance does not survive; then a maximum-likelihood line with jitter and background
free, over as much of the record as stays on it. Proof (here): the pairs on the final line are so
many more than chance gives that none of all the lines in the search range would have shown them by
accident, and both halves of the record agree.

`acquire` is a pure function of picklable values, for a worker process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from timing.clock import ClockModel
from timing.coarse import Block, Candidate, block_of, candidates, detectable_cps
from timing.peak import LineFit, fit_line, log_tail
from timing.search import Search, Step, Streams, Support, can_support, reach_ps, steps
from timing.tags import PS_PER_S, TimesPs
from timing.zoom import CommonRecord, common_record, fitted, narrowed, residuals

__all__ = ["Acquisition", "NoCorrelation", "Search", "Support", "acquire", "can_support"]

_LEAST_TAGS = 10
_HALF_RECORD = math.log(1e-4)
_SHARPER = 2.0
_GROWTH = 3


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A clock that was found. `model` has its epoch in the middle of the record used.

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
    """No clock was found, and why; the pair rate that these data would have shown, where known.

    `correlated`: the streams have common photons beyond doubt, but no one clock fits them.
    """

    reason: str
    signal_to_noise: float = 0.0
    detectable_pair_rate_cps: float = math.inf
    correlated: bool = False


def acquire(
    local_ps: TimesPs, remote_ps: TimesPs, search: Search | None = None
) -> Acquisition | NoCorrelation:
    """Find the clock that maps remote to local tags, or say why none is found.

    Ascending int64 arrays, each on its own timescale, with ten tags or more. The time it takes is
    at most about `search.most_s`; a strong correlation is found in a small part of it.
    """
    given = search or Search()
    if min(len(local_ps), len(remote_ps)) < _LEAST_TAGS:
        return NoCorrelation(
            f"found {len(local_ps)} local and {len(remote_ps)} remote tags, "
            f"expected at least {_LEAST_TAGS} of each"
        )
    streams = Streams(
        max(1, int(local_ps[-1] - local_ps[0])),
        max(1, int(remote_ps[-1] - remote_ps[0])),
        len(local_ps),
        len(remote_ps),
    )
    missed: NoCorrelation | None = None
    for step in steps(streams, given):
        for start_ps in _starts(int(local_ps[0]), streams, given, step):
            block = block_of(local_ps, remote_ps, given, start_ps, step)
            if min(len(block.local_ps), len(block.remote_ps)) < _LEAST_TAGS:
                continue
            found = candidates(block, given, step)
            missed = _missed(block, step, found)
            for candidate in found:
                result = _confirmed(local_ps, remote_ps, block, candidate, given)
                if isinstance(result, Acquisition) or (result is not None and result.correlated):
                    # A more sensitive search would only see it better.
                    return result
    return missed or NoCorrelation(
        "no offset within the searched "
        f"{given.max_offset_ps / PS_PER_S:g} s makes the two streams overlap in time: "
        "expected tags of the same moments"
    )


def _starts(first_ps: int, streams: Streams, search: Search, step: Step) -> list[int]:
    """Where blocks begin: the middle, and, where the far end may lack that, the ends."""
    slack_ps = streams.local_span_ps - step.block_ps
    middle_ps = first_ps + slack_ps // 2
    reach = reach_ps(streams, search, step.block_ps)
    if slack_ps < step.block_ps or reach < streams.remote_span_ps // 2:
        return [middle_ps]
    return [middle_ps, first_ps + slack_ps, first_ps]


def _confirmed(
    local_ps: TimesPs, remote_ps: TimesPs, block: Block, candidate: Candidate, search: Search
) -> Acquisition | NoCorrelation | None:
    """The clock of a candidate; None for what chance gives; a refusal where no one clock fits."""
    record = common_record(block.local_ps, block.remote_ps, candidate.model)
    if min(len(record.local_ps), len(record.remote_ps)) < _LEAST_TAGS:
        return None
    away_ps = abs(record.middle_ps - candidate.model.epoch_ps)
    half_width_ps = candidate.half_width_ps + candidate.half_skew * away_ps
    ridge = narrowed(record, candidate.model, half_width_ps, candidate.half_skew, candidate.snr)
    if ridge is None:
        return None
    found = fitted(record, ridge.model, 3 * ridge.half_width_ps)
    if found is None:
        return None
    whole = common_record(local_ps, remote_ps, found[0])
    record, model, fit = _extended(whole, record, *found)
    return _proven(record, model, fit, candidate, search)


def _extended(
    whole: CommonRecord, record: CommonRecord, model: ClockModel, fit: LineFit
) -> tuple[CommonRecord, ClockModel, LineFit]:
    """The line continued from the block to the whole record, as far as it stays one."""
    while record.span_ps < whole.span_ps:
        margin_ps = record.span_ps * (_GROWTH - 1) // 2
        wider = whole.part(
            max(whole.start_ps, record.start_ps - margin_ps),
            min(whole.stop_ps, record.stop_ps + margin_ps),
        )
        ahead_ps = max(record.start_ps - wider.start_ps, wider.stop_ps - record.stop_ps, 0)
        doubt_ps = math.sqrt(fit.covariance[1, 1]) * (ahead_ps + record.span_ps / 2)
        again = fitted(wider, model.rebased(wider.middle_ps), 6 * fit.sigma + 5 * doubt_ps)
        if again is None or again[1].sigma > 1.2 * fit.sigma:
            break
        record, (model, fit) = wider, again
    return record, model, fit


def _proven(
    record: CommonRecord, model: ClockModel, fit: LineFit, candidate: Candidate, search: Search
) -> Acquisition | NoCorrelation | None:
    """The result, if chance, a false line and a clock that steps are excluded."""
    half_ps = max(1.0, 3 * fit.sigma)
    x, t = residuals(record, model, half_ps)
    chance = record.pairs_by_chance(2 * half_ps)
    # Every line that differs from another by half a jitter somewhere was open to be found.
    grain_ps = half_ps / 6
    offsets = 2 * (min(search.max_offset_ps, 2 * record.span_ps) + record.span_ps) / grain_ps
    skews = 2 * search.max_skew * record.span_ps / grain_ps + 1
    widths = 20.0
    log_false = math.log(offsets * skews * widths) + log_tail(len(x), chance)
    if log_false > math.log(search.false_alarm):
        return None
    halves = [x[t < 0], x[t >= 0]]
    for half, name in zip(halves, ("first", "second"), strict=True):
        if log_tail(len(half), chance / 2) > _HALF_RECORD:
            return _refused(
                f"the {name} half of the record has {len(half)} pairs on the line where chance "
                f"gives {chance / 2:.1f}: the light was cut, or a clock steps",
                candidate,
            )
    if _sharper_alone(record, model, fit):
        return _refused(
            "each half of the record by itself gives a sharper line than both: a clock steps",
            candidate,
        )
    return Acquisition(
        model=model,
        pair_rate_cps=fit.pairs / (record.span_ps / PS_PER_S),
        pairs=fit.pairs,
        jitter_ps=fit.sigma,
        signal_to_noise=candidate.snr,
        log10_false_alarm=min(0.0, log_false / math.log(10)),
        remote_start_ps=record.start_ps,
        remote_stop_ps=record.stop_ps,
    )


def _sharper_alone(record: CommonRecord, model: ClockModel, fit: LineFit) -> bool:
    """Whether a half of the record, fitted by itself, has a much narrower line."""
    half_ps = 8 * fit.sigma
    x, t = residuals(record, model, half_ps)
    for inside in (t < 0, t >= 0):
        alone = fit_line(
            x[inside],
            t[inside],
            width=2 * half_ps,
            position=float(np.median(x[inside])),
            sigma=fit.sigma / _SHARPER,
            least_sigma=record.grain_ps,
        )
        if alone is None or fit.sigma > _SHARPER * alone.sigma:
            return True
    return False


def _missed(block: Block, step: Step, found: list[Candidate]) -> NoCorrelation:
    """What to say if none of these candidates is a clock."""
    highest = found[0].snr if found else 0.0
    detectable = detectable_cps(block, step)
    return NoCorrelation(
        f"no peak among {step.cells:.1e} offsets and skews is more than chance: the highest has a "
        f"signal to noise of {highest:.1f}, expected at least {step.needed_snr:.1f}, which "
        f"{detectable:.0f} pairs/s would give",
        highest,
        detectable,
    )


def _refused(why: str, candidate: Candidate) -> NoCorrelation:
    return NoCorrelation(
        f"a coarse peak at {candidate.model.offset_s:.6f} s (signal to noise {candidate.snr:.1f}) "
        f"is not confirmed: {why}",
        candidate.snr,
        correlated=True,
    )
