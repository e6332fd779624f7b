"""Acquisition of a remote clock over many random trials, with fpfind beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np

from benchmarks.frame import Row
from benchmarks.sync_trials import Trial, trial
from timing.acquire import Acquisition, Search, acquire, can_support
from timing.tags import TimesPs

JITTER_PS = 300.0
SINGLES_CPS = 200e3
AS_ISSUED = Search(max_offset_ps=10**12, max_skew=1e-5)
CORNER = Search(max_offset_ps=10**9, max_skew=1e-7, most_s=20.0)
FPFIND_LIMIT_S = 100.0
WRONG = 10.0
"""Standard deviations of the bound beyond which an answer is wrong."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    found: bool
    cpu_s: float
    errors: float = 0.0
    """In units of the bound sigma/sqrt(N)."""


def acquisition_rows(trials: int = 200) -> list[Row]:
    """The rows of issue 4's acquisition: 2 % and 1 % pairs, no pairs, the corner, and fpfind."""
    return [
        *_trials("2 % pairs, 2 s", trials, 2.0, 4e3, found=0.99, median_s=0.3),
        *_trials("2 % pairs, 1 s", trials, 1.0, 4e3, found=0.95, median_s=0.3),
        *_trials("1 % pairs, 1 s", trials, 1.0, 2e3, found=0.90, longest_s=1.5),
        *_unrelated(trials),
        *_corner(max(2, trials // 40)),
        *_beside_fpfind(max(1, trials // 40)),
    ]


def map_rows(trials: int = 10) -> list[Row]:
    """Success against pair rate and singles, 1 s of data, with the signal to noise of the rule."""
    rows = []
    for singles_cps in (50e3, 200e3, 800e3):
        for pairs_cps in (250.0, 500.0, 1e3, 2e3, 4e3, 8e3):
            found = [
                isinstance(acquire(made.local_ps, made.remote_ps, AS_ISSUED), Acquisition)
                for made in (
                    trial(
                        7000 + seed,
                        span_s=1.0,
                        rates_cps=(singles_cps, singles_cps),
                        pairs_cps=pairs_cps,
                    )
                    for seed in range(trials)
                )
            ]
            rule = can_support(singles_cps, singles_cps, pairs_cps, 1.0, AS_ISSUED)
            where = f"{singles_cps / 1e3:g} kcps a side, {pairs_cps:g} pairs/s"
            verdict = "above" if rule.sufficient else "below"
            rows.append(
                Row(
                    f"{where}: found (rule: {rule.signal_to_noise:.1f}, {verdict} "
                    f"{rule.needed:.1f})",
                    100 * sum(found) / trials,
                    "%",
                    at_least=90 if rule.sufficient else None,
                )
            )
    return rows


def _trials(
    what: str,
    trials: int,
    span_s: float,
    pairs_cps: float,
    *,
    found: float,
    median_s: float | None = None,
    longest_s: float | None = None,
) -> list[Row]:
    outcomes = []
    for seed in range(trials):
        made = trial(seed, span_s=span_s, pairs_cps=pairs_cps, jitter_ps=JITTER_PS)
        outcomes.append(_outcome(made, AS_ISSUED, pairs_cps * span_s))
    errors = np.array([abs(each.errors) for each in outcomes if each.found])
    times = [each.cpu_s for each in outcomes]
    wrong = int((errors > WRONG).sum())
    at_hand = [each for each in outcomes if longest_s is None or each.cpu_s <= longest_s]
    share = sum(each.found for each in at_hand) / trials
    within = "" if longest_s is None else f" within {longest_s:g} s"
    return [
        Row(f"{what}: found{within}", 100 * share, "%", at_least=100 * found),
        Row(f"{what}: silently wrong", wrong, "trials", at_most=0),
        Row(f"{what}: time on one core, median", median(times), "s", at_most=median_s),
        Row(f"{what}: time on one core, longest", max(times), "s"),
        Row(f"{what}: error over bound, median", float(np.median(errors)), "x", at_most=1.5),
        Row(f"{what}: error over bound, 99 %", float(np.percentile(errors, 99)), "x", at_most=3),
    ]


def _outcome(made: Trial, search: Search, pairs: float) -> _Outcome:
    start = process_time()
    found = acquire(made.local_ps, made.remote_ps, search)
    cpu_s = process_time() - start
    if not isinstance(found, Acquisition):
        return _Outcome(False, cpu_s)
    return _Outcome(True, cpu_s, made.error_ps(found.model) / (JITTER_PS / np.sqrt(pairs)))


def _unrelated(trials: int) -> list[Row]:
    outcomes = [
        _outcome(trial(10_000 + seed, span_s=1.0, pairs_cps=0.0), AS_ISSUED, 1.0)
        for seed in range(trials)
    ]
    return [
        Row("no pairs, 1 s: accepted", sum(each.found for each in outcomes), "trials", at_most=0),
        Row("no pairs, 1 s: time to say so", median(each.cpu_s for each in outcomes), "s"),
    ]


def _corner(trials: int) -> list[Row]:
    """1 Mcps against 5 kcps with 20 pairs a second, within +-1 ms and +-0.1 ppm, in 60 s."""
    outcomes = []
    for seed in range(trials):
        made = trial(
            20_000 + seed,
            span_s=60.0,
            rates_cps=(1e6, 5e3),
            pairs_cps=20.0,
            jitter_ps=JITTER_PS,
            max_offset_ps=10**9,
            max_skew=1e-7,
        )
        outcomes.append(_outcome(made, CORNER, 1200.0))
    errors = [abs(each.errors) for each in outcomes if each.found]
    return [
        Row(
            "1 Mcps and 5 kcps, 20 pairs/s, 60 s: found",
            100 * len(errors) / trials,
            "%",
            at_least=100,
        ),
        Row(
            "1 Mcps and 5 kcps, 20 pairs/s, 60 s: silently wrong",
            sum(error > WRONG for error in errors),
            "trials",
            at_most=0,
        ),
        Row(
            "1 Mcps and 5 kcps, 20 pairs/s, 60 s: time on one core, median",
            median(each.cpu_s for each in outcomes),
            "s",
        ),
    ]


def _beside_fpfind(trials: int) -> list[Row]:
    """fpfind in a process of its own on 9.6 s in files, and ours on the same tags.

    It gets more than ours: the parties in the order in which it works, and the skew to 1 ppm.
    """
    command = os.environ.get("FPFIND") or shutil.which("fpfind")
    if command is None:
        return [Row("fpfind is not installed (set FPFIND to its path): trials", 0, "trials")]
    ours: list[_Outcome] = []
    theirs: list[tuple[bool, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(trials):
            made = trial(seed, span_s=9.6, jitter_ps=JITTER_PS)
            ours.append(_outcome(made, AS_ISSUED, 4e3 * 9.6))
            theirs.append(_fpfind(command, Path(folder), made))
    our_errors = [abs(each.errors) * JITTER_PS / np.sqrt(4e3 * 9.6) for each in ours if each.found]
    return [
        Row("9.6 s in files: found by ours", 100 * len(our_errors) / trials, "%", at_least=100),
        Row("9.6 s in files: found by fpfind", 100 * sum(ok for ok, _ in theirs) / trials, "%"),
        Row("9.6 s in files: time of ours, median", median(each.cpu_s for each in ours), "s"),
        Row("9.6 s in files: time of fpfind, median", median(spent for _, spent in theirs), "s"),
        Row("9.6 s in files: error of ours, median", float(np.median(our_errors)), "ps"),
    ]


def _fpfind(command: str, folder: Path, made: Trial) -> tuple[bool, float]:
    """Whether its offset is right to what the skew leaves open, and the wall time.

    Told the skew to 1 ppm, as a scan of it takes minutes; found means within 10 ppm of the offset.
    """
    base_ps = 3 * 10**12
    local, remote = folder / "local.a1", folder / "remote.a1"
    _write_tdc2(local, made.local_ps + base_ps)
    _write_tdc2(remote, made.remote_ps + base_ps)
    told = [f"--df={round(made.skew * 1e6)}e-6", "--max-dt", "1e9"]
    start = perf_counter()
    try:
        done = subprocess.run(
            [command, "-t", remote, "-T", local, "-ppp", *told],
            capture_output=True,
            text=True,
            timeout=FPFIND_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, perf_counter() - start
    spent_s = perf_counter() - start
    words = done.stdout.split()
    if done.returncode != 0 or len(words) < 2:
        return False, spent_s
    return abs(float(words[1]) * 1e3 - made.offset_ps) < 1e5 + 1e-5 * abs(made.offset_ps), spent_s


def _write_tdc2(path: Path, times_ps: TimesPs) -> None:
    ticks = np.rint(times_ps * 0.256).astype(np.int64)
    words = np.empty((len(ticks), 2), dtype="<u4")
    words[:, 0] = ((ticks & 0x3FFFFF) << 10) | 1
    words[:, 1] = ticks >> 22
    words.tofile(path)
