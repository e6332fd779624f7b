"""What `qnodeos tags` prints, writes and draws."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qnodeos.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from qnodeos.tags import PairAnalysis, Recording


def open_or_refuse(file: Path) -> Recording:
    """The recording in a file; UserError where there is none."""
    from qnodeos.tags import RecordingError, open_recording

    try:
        return open_recording(file)
    except RecordingError as error:
        raise UserError(
            "cannot read this file as a recording of time tags",
            where=f"{error.path}, byte {error.at_byte}",
            found=error.found,
            expected=error.expected,
            do=error.do,
        ) from None


def recording_facts(recording: Recording) -> dict[str, Any]:
    """All that `info` knows, as JSON holds it."""
    return {
        "file": str(recording.path),
        "format": recording.format,
        "instrument": recording.instrument,
        "start_ps": recording.start_ps,
        "stop_ps": recording.stop_ps,
        "span_s": recording.span_s,
        "resolution_ps": float(recording.resolution_ps),
        "tags": len(recording),
        "channels": {
            str(channel): {"counts": count, "rate_cps": count / recording.span_s}
            for channel, count in recording.counts().items()
        },
        "sync_period_ps": float(recording.pulses.period_ps) if recording.pulses else None,
        "markers": len(recording.marker_ps),
        "overflows": recording.overflows,
        "gaps": recording.gaps,
        "notes": list(recording.notes),
        "header": {name: _plain(value) for name, value in recording.header.items()},
    }


def pair_facts(recording: Recording, pair: PairAnalysis) -> dict[str, Any]:
    """Coincidences and the whole histogram, as JSON holds them."""
    histogram = pair.histogram
    return {
        "channel_a": pair.channel_a,
        "channel_b": pair.channel_b,
        "window_ps": pair.window_ps,
        "delay_ps": pair.delay_ps,
        "delay_found": pair.delay_found,
        "coincidences": pair.coincidences,
        "coincidences_cps": pair.coincidences / recording.span_s,
        "accidentals": pair.accidentals,
        "significance_sigma": pair.significance_sigma,
        "histogram": {
            "low_ps": histogram.low_ps,
            "bin_ps": histogram.bin_ps,
            "on_time_steps": histogram.bin_ps % recording.bin_grid_ps == 0,
            "counts": histogram.counts.tolist(),
            "expected_per_bin": histogram.expected_per_bin,
            "g2": histogram.g2.tolist(),
        },
    }


def _plain(value: object) -> object:
    """A header value as JSON can hold it."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def print_json(facts: dict[str, Any]) -> None:
    """One line of JSON on standard output."""
    import json

    typer.echo(json.dumps(facts, allow_nan=False))


def print_tables(recording: Recording, pair: Table | None = None) -> None:
    """The recording, its channels, a pair if given, and the notes."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_recording_table(recording))
    console.print(_channel_table(recording))
    if pair is not None:
        console.print(pair)
    for note in recording.notes:
        console.print(f"note: {note}", markup=False)


def _recording_table(recording: Recording) -> Table:
    from rich.markup import escape

    table = facts_table(escape(str(recording.path)))
    table.add_row("format", escape(recording.format))
    table.add_row("instrument", escape(recording.instrument))
    if created := recording.header.get("File_CreatingTime"):
        table.add_row("recorded", escape(str(created)))
    table.add_row("span", f"{recording.span_s:.9g} s")
    table.add_row("time step", f"{float(recording.resolution_ps):g} ps")
    if recording.pulses:
        period_ps = float(recording.pulses.period_ps)
        table.add_row("SYNC period", f"{period_ps:.9g} ps ({1e6 / period_ps:.6g} MHz)")
    table.add_row("tags", f"{len(recording):,}")
    table.add_row("markers", f"{len(recording.marker_ps):,}")
    table.add_row("overflows (nothing lost)", f"{recording.overflows:,}")
    table.add_row("gaps", f"[bold red]{recording.gaps}[/]" if recording.gaps else "0")
    return table


def _channel_table(recording: Recording) -> Table:
    from rich.table import Table

    table = Table(title="channels")
    for heading in ("channel", "counts", "rate / cps"):
        table.add_column(heading, justify="right")
    for channel, count in recording.counts().items():
        name = f"{channel} (SYNC)" if channel == 0 else str(channel)
        table.add_row(name, f"{count:,}", f"{count / recording.span_s:,.1f}")
    return table


def pair_table(recording: Recording, pair: PairAnalysis, asked: bool) -> Table:
    """What the analysis of two channels found; `asked` says that the delay was given."""
    histogram = pair.histogram
    g2 = histogram.g2
    middle, highest, lowest = len(g2) // 2, int(g2.argmax()), int(g2.argmin())
    centres_ns = histogram.delay_ps / 1000
    how = "as asked" if asked else "the one clear peak" if pair.delay_found else "no single peak"
    table = facts_table(f"channels {pair.channel_a} and {pair.channel_b}, delay = B - A")
    table.add_row("window", f"{pair.window_ps} ps about {pair.delay_ps / 1000:.3f} ns ({how})")
    table.add_row(
        "coincidences",
        f"{pair.coincidences:,} ({pair.coincidences / recording.span_s:,.1f} per s)",
    )
    table.add_row(
        "accidentals expected", f"{pair.accidentals:,.2f} ({pair.significance_sigma:+.1f} sigma)"
    )
    table.add_row(
        "g2 histogram",
        f"{len(g2):,} bins of {histogram.bin_ps} ps, {int(histogram.counts.sum()):,} pairs, "
        f"{histogram.expected_per_bin:.3g} expected per bin",
    )
    table.add_row("g2 at zero", f"{g2[middle]:.3f}")
    table.add_row("g2 mean", f"{g2.mean():.3f}")
    table.add_row("g2 highest", f"{g2[highest]:.3f} at {centres_ns[highest]:+.3f} ns")
    table.add_row("g2 lowest", f"{g2[lowest]:.3f}, first at {centres_ns[lowest]:+.3f} ns")
    if histogram.bin_ps % recording.bin_grid_ps:
        table.add_row(
            "[yellow]comb[/]",
            f"the bin is no multiple of {recording.bin_grid_ps} ps, so bins hold unequal "
            "numbers of time steps",
        )
    return table


def facts_table(title: str) -> Table:
    """A table of names and values without a head."""
    from rich.table import Table

    table = Table(title=title, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


def check_plot(plot: Path) -> None:
    """Say what would keep the plot from being written before any work is done."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise UserError(
            "--plot needs matplotlib, which is not installed",
            do="install it with: pip install 'qnodeos[plot]'",
        ) from None
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if plot.suffix.lstrip(".").lower() not in kinds:
        raise UserError(
            "--plot cannot write this kind of file",
            where=str(plot),
            found=f"the ending {plot.suffix!r}",
            expected=f"one of {', '.join(sorted(kinds))}",
        )
    if not plot.parent.is_dir():
        raise UserError(
            "the folder for --plot does not exist",
            where=str(plot),
            found=f"no folder {plot.parent}",
            do=f"create it with: mkdir -p {plot.parent}",
        )


def draw(pair: PairAnalysis, file: Path, plot: Path) -> None:
    """Draw g2 and the coincidence window into the file `plot`; UserError if it cannot be."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.step(pair.histogram.delay_ps / 1000, pair.histogram.g2, where="mid", linewidth=0.8)
    axes.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
    half = pair.window_ps / 2
    axes.axvspan(
        (pair.delay_ps - half) / 1000, (pair.delay_ps + half) / 1000, color="tab:orange", alpha=0.25
    )
    axes.set_xlabel(f"delay of channel {pair.channel_b} after channel {pair.channel_a} / ns")
    axes.set_ylabel(f"g2 in bins of {pair.histogram.bin_ps} ps")
    axes.set_title(file.name.replace("$", r"\$"))
    axes.margins(x=0)
    save_figure(figure, plot)


def save_figure(figure: Figure, plot: Path) -> None:
    """Write a figure; UserError if that cannot be."""
    try:
        figure.savefig(plot, dpi=150)
    except OSError as error:
        raise UserError(
            "the plot cannot be written",
            where=str(plot),
            found=error.strerror or str(error),
            do="choose another file for --plot",
        ) from None
