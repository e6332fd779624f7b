"""What `qnodeos tags sync` prints, writes and draws."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qnodeos.cli.tags_report import facts_table, save_figure

if TYPE_CHECKING:
    from rich.table import Table

    from qnodeos.tags import Finding, NoCorrelation, StabilityPoint, SyncedFiles

Paths = tuple[Path, Path]


def sync_facts(
    synced: SyncedFiles, findings: list[Finding], paths: Paths, *, with_stability: bool
) -> dict[str, Any]:
    """All that was found, as JSON holds it."""
    line = synced.line
    facts: dict[str, Any] = {
        "found": True,
        "a": str(paths[0]),
        "b": str(paths[1]),
        "epoch_b_ps": line.epoch_ps,
        "offset_whole_ps": line.offset_whole_ps,
        "offset_rest_ps": line.offset_ps,
        "offset_s": line.offset_s,
        "offset_uncertainty_ps": line.uncertainty_ps(line.epoch_ps),
        "skew_ppm": line.skew * 1e6,
        "skew_uncertainty_ppm": line.skew_uncertainty * 1e6,
        "jitter_ps": synced.jitter_ps,
        "window_ps": synced.window_ps,
        "pairs": synced.pairs,
        "accidentals": synced.accidentals,
        "pair_rate_cps": synced.pair_rate_cps,
        "residual_rms_ps": _finite(synced.residual_rms_ps),
        "tracker_residual_ps": synced.tracker_residual_ps,
        "tracker_bound_ps": synced.tracker_bound_ps,
        "clock_noise_1s": synced.clock_noise_1s,
        "common_s": synced.common_s,
        "tracked_s": synced.tracked_s,
        "spans": len(synced.points),
        "clock_losses": synced.losses,
        "acquisitions": synced.acquisitions,
        "false_alarm_probability": synced.acquisition.false_alarm_probability,
        "steps": [
            {"a_s": step.local_ps / 1e12, "step_ps": step.step_ps, "sigma_ps": step.sigma_ps}
            for step in synced.steps
        ],
        "findings": _findings(findings),
        "offsets": [
            {
                "a_s": point.local_ps / 1e12,
                "offset_ps": _finite(point.offset_ps),
                "sigma_ps": _finite(point.sigma_ps),
                "segment": point.segment,
            }
            for point in synced.points
        ],
    }
    if with_stability:
        facts["stability"] = [
            {
                "tau_s": point.tau_s,
                "tdev_ps": point.deviation * 1e12,
                "low_ps": point.low * 1e12,
                "high_ps": point.high * 1e12,
                "terms": point.terms,
            }
            for point in time_deviation(synced)
        ]
    return facts


def failure_facts(failure: NoCorrelation, findings: list[Finding], paths: Paths) -> dict[str, Any]:
    """Why nothing was found, as JSON holds it."""
    return {
        "found": False,
        "a": str(paths[0]),
        "b": str(paths[1]),
        "reason": failure.reason,
        "signal_to_noise": failure.signal_to_noise,
        "detectable_pair_rate_cps": _finite(failure.detectable_pair_rate_cps),
        "findings": _findings(findings),
    }


def _findings(findings: list[Finding]) -> list[dict[str, str]]:
    return [{"kind": finding.kind, "text": finding.text} for finding in findings]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def time_deviation(synced: SyncedFiles) -> list[StabilityPoint]:
    """TDEV of the clocks and the path, about the straight line, from the spans' own offsets."""
    from qnodeos.tags import stability

    tau0_s = 1.0 if synced.tracked_s > 300 else 0.1
    longest_s = synced.tracked_s / max(1, len(synced.points))
    tau0_s = max(tau0_s, math.ceil(longest_s * 10) / 10)
    phase = synced.phase(tau0_s)
    return stability(phase, tau0_s, "tdev", "octave", gaps="skip")


def print_failure(failure: NoCorrelation, findings: list[Finding]) -> None:
    """Why nothing was found and what would have been, on standard error."""
    typer.echo(f"no correlation: {failure.reason}", err=True)
    if math.isfinite(failure.detectable_pair_rate_cps):
        typer.echo(
            f"  needed: about {failure.detectable_pair_rate_cps:,.0f} pairs a second at these "
            "rates; fewer do with a narrower --max-offset and --max-skew, or fewer other tags "
            "(--channels-a, --channels-b)",
            err=True,
        )
    for finding in findings:
        typer.echo(f"  {finding.kind}: {finding.text}", err=True)


def print_sync(
    synced: SyncedFiles, findings: list[Finding], paths: Paths, *, with_stability: bool
) -> None:
    """Tables of what was found, and what is wrong."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_sync_table(synced, paths))
    if with_stability:
        console.print(_stability_table(synced))
    for step in synced.steps:
        console.print(
            f"step: a clock steps by {step.step_ps / 1000:+,.3f} ns ± {step.sigma_ps / 1000:,.3f} "
            f"ns after {step.local_ps / 1e12:.6f} s of A; offset and skew are those of the longest "
            "part without a step",
            markup=False,
        )
    for finding in findings:
        console.print(f"{finding.kind}: {finding.text}", markup=False)


def _sync_table(synced: SyncedFiles, paths: Paths) -> Table:
    from rich.markup import escape

    line = synced.line
    table = facts_table(f"B onto A: {escape(paths[1].name)} onto {escape(paths[0].name)}")
    table.add_row(
        "offset A - B",
        f"{line.offset_s:+.12f} s ± {line.uncertainty_ps(line.epoch_ps):,.2f} ps "
        f"at B's {line.epoch_ps / 1e12:.6f} s",
    )
    table.add_row(
        "skew", f"{line.skew * 1e6:+.9f} ppm ± {line.skew_uncertainty * 1e6:.2g} ppm, A gains on B"
    )
    table.add_row("false alarm", f"at most {synced.acquisition.false_alarm_probability:.1g}")
    table.add_row("jitter", f"{synced.jitter_ps:,.1f} ps (one standard deviation)")
    table.add_row("pairs", f"{synced.pair_rate_cps:,.1f} per s in {synced.window_ps:,} ps")
    table.add_row("accidentals", f"{synced.accidentals:,.1f} among {synced.pairs:,} coincidences")
    table.add_row("offsets about the line", f"{synced.residual_rms_ps:,.2f} ps rms")
    if synced.tracker_residual_ps is not None:
        table.add_row(
            "tracker's residual",
            f"{synced.tracker_residual_ps:,.2f} ps; bound {synced.tracker_bound_ps:,.2f} ps for "
            f"clock noise as the data show it (first taken as {synced.clock_noise_1s:g} at 1 s)",
        )
    table.add_row(
        "tracked",
        f"{synced.tracked_s:,.3f} s of {synced.common_s:,.3f} s in common, "
        f"{len(synced.points):,} spans",
    )
    table.add_row("clock lost", f"{synced.losses} times, acquired {synced.acquisitions} times")
    return table


def _stability_table(synced: SyncedFiles) -> Table:
    from rich.table import Table

    table = Table(title="time deviation of A - B about the line")
    for heading in ("tau / s", "TDEV / ps", "68 % low", "68 % high", "terms"):
        table.add_column(heading, justify="right")
    for point in time_deviation(synced):
        table.add_row(
            f"{point.tau_s:g}",
            *(f"{value * 1e12:,.3f}" for value in (point.deviation, point.low, point.high)),
            f"{point.terms:,}",
        )
    return table


def draw_sync(synced: SyncedFiles, paths: Paths, plot: Path) -> None:
    """Draw the offset over time and the coincidence peak; UserError if it cannot be written."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    over_time, peak = figure.subplots(2, 1)
    at_s = np.array([point.local_ps for point in synced.points]) / 1e12
    offset_ps = np.array([point.offset_ps for point in synced.points])
    sigma_ps = np.array([point.sigma_ps for point in synced.points])
    over_time.errorbar(at_s, offset_ps, sigma_ps, fmt=".", markersize=2, linewidth=0.5, zorder=2)
    over_time.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    for step in synced.steps:
        over_time.axvline(step.local_ps / 1e12, color="tab:red", linewidth=1.0)
    over_time.set_xlabel("time of A / s")
    over_time.set_ylabel("offset less its straight line / ps")
    names = [path.name.replace("$", r"\$") for path in paths]
    over_time.set_title(f"{names[1]} onto {names[0]}")
    peak.step(synced.delay_ps, synced.counts, where="mid", linewidth=0.8)
    peak.plot(synced.delay_ps, fitted_peak(synced), color="tab:orange", linewidth=1.0)
    peak.set_xlabel("A less mapped B / ps")
    peak.set_ylabel("pairs a bin")
    peak.margins(x=0)
    save_figure(figure, plot)


def fitted_peak(synced: SyncedFiles) -> Any:
    """The Gaussian of the jitter on the flat background, in pairs a bin of the histogram."""
    import numpy as np

    delay_ps, counts = synced.delay_ps, synced.counts
    edge = max(4, len(counts) // 8)
    background = float(np.mean(np.concatenate((counts[:edge], counts[-edge:]))))
    above = counts - background
    total = float(above.sum())
    if total <= 0:
        return np.full(len(counts), background)
    mean, sigma = float(above @ delay_ps) / total, synced.jitter_ps
    bin_ps = float(delay_ps[1] - delay_ps[0])
    shape = np.exp(-0.5 * ((delay_ps - mean) / sigma) ** 2)
    return background + total * bin_ps / (math.sqrt(2 * math.pi) * sigma) * shape
