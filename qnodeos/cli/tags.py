"""`qnodeos tags`: look into recorded tag files.

NumPy, rich and matplotlib are imported where they are used, so that `qnodeos --help` stays quick.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qnodeos.cli.tags_play import play
from qnodeos.cli.tags_record import record
from qnodeos.cli.tags_report import (
    check_plot,
    draw,
    open_or_refuse,
    pair_facts,
    pair_table,
    print_json,
    print_tables,
    recording_facts,
)
from qnodeos.cli.tags_streams import show_streams
from qnodeos.cli.tags_sync import sync
from qnodeos.errors import UserError

if TYPE_CHECKING:
    from qnodeos.tags import Recording

app = typer.Typer(
    no_args_is_help=True,
    help="Record time tags, and look into recordings (our own, PicoQuant T2, T3 .ptu, S-Fifteen "
    "TDC2 .ts, packed).",
)

app.command()(record)
app.command()(play)
app.command()(sync)

MOST_BINS = 1_000_000
# About a minute of counting; more is a slip in the range far more often than a wish.
MOST_PAIRS = 2e10

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The recording; recognised by its content.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command()
def info(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show span, counts and rates, overflows and gaps of a recording; of a folder all streams."""
    if file.is_dir():
        show_streams(file, as_json)
        return
    recording = open_or_refuse(file)
    if as_json:
        print_json(recording_facts(recording))
        return
    print_tables(recording)


@app.command()
def analyze(
    file: FileArgument,
    channels: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Two channels, delays are B - A; default the busiest."),
    ] = None,
    window_ps: Annotated[
        int, typer.Option(help="Full width of the coincidence window, ps.")
    ] = 1000,
    delay_ps: Annotated[
        int | None,
        typer.Option(help="Centre of the window, ps; default the one clear peak, else 0."),
    ] = None,
    bin_ps: Annotated[
        int | None,
        typer.Option(help="Bin of the histogram, ps; default about 100 on the file's time steps."),
    ] = None,
    range_ns: Annotated[
        float, typer.Option(help="The histogram covers delays of +- this many ns.")
    ] = 200.0,
    as_json: JsonOption = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw g2 into this file (needs the extra 'plot').")
    ] = None,
) -> None:
    """Count coincidences of two channels and compute their g2 histogram."""
    if plot is not None:
        check_plot(plot)
    recording = open_or_refuse(file)
    channel_a, channel_b = _pair(recording, channels)
    from qnodeos.tags import DEFAULT_BIN_PS, CombWarning, analyze_pair, bin_on_grid

    width_ps = bin_ps if bin_ps is not None else bin_on_grid(DEFAULT_BIN_PS, recording.bin_grid_ps)
    range_ps = _check_widths(recording, (channel_a, channel_b), window_ps, width_ps, range_ns)
    _check_delay(recording, delay_ps)
    with warnings.catch_warnings():
        # The report has a line of its own for it.
        warnings.simplefilter("ignore", CombWarning)
        pair = analyze_pair(
            recording,
            channel_a,
            channel_b,
            window_ps=window_ps,
            bin_ps=width_ps,
            range_ps=range_ps,
            delay_ps=delay_ps,
        )
    if plot is not None:
        draw(pair, file, plot)
    if as_json:
        print_json({**recording_facts(recording), "pair": pair_facts(recording, pair)})
        return
    print_tables(recording, pair_table(recording, pair, delay_ps is not None))
    if plot is not None:
        typer.echo(f"g2 drawn in {plot}")


def _pair(recording: Recording, text: str | None) -> tuple[int, int]:
    counts = recording.counts()
    if not counts:
        raise UserError(
            "there is nothing to analyze",
            where=str(recording.path),
            found="a valid recording without tags",
            expected="tags on at least one channel",
        )
    if text is None:
        busiest = sorted(sorted(counts, key=lambda channel: -counts[channel])[:2])
        return busiest[0], busiest[-1]
    try:
        a, b = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            "--channels does not name two channels",
            found=repr(text),
            expected="two numbers such as 1,2",
        ) from None
    for channel in (a, b):
        if channel not in counts:
            raise UserError(
                f"channel {channel} has no tags",
                where=str(recording.path),
                found=f"--channels {text}",
                expected=f"channels out of {', '.join(map(str, counts))}",
            )
    return a, b


def _check_widths(
    recording: Recording, channels: tuple[int, int], window_ps: int, bin_ps: int, range_ns: float
) -> int:
    """The range in ps, once all widths are known to make sense and the work to be bounded."""
    span_ps = recording.stop_ps - recording.start_ps
    range_ps = round(range_ns * 1000) if math.isfinite(range_ns) else 0
    for option, value in (("--window-ps", window_ps), ("--bin-ps", bin_ps)):
        if not 1 <= value <= span_ps:
            raise UserError(
                f"{option} is out of range",
                found=f"{value} ps",
                expected=f"1 ps up to the span of the recording, {span_ps} ps",
            )
    if not bin_ps <= range_ps <= span_ps:
        raise UserError(
            "--range-ns is out of range",
            found=f"{range_ns} ns",
            expected=f"at least one bin, {bin_ps / 1000} ns, and at most the span of the "
            f"recording, {span_ps / 1000} ns",
        )
    if 2 * range_ps // bin_ps > MOST_BINS:
        raise UserError(
            "the histogram would be too large",
            found=f"{2 * range_ps // bin_ps} bins",
            expected=f"at most {MOST_BINS} bins",
            do="choose a smaller --range-ns or a larger --bin-ps",
        )
    counts = recording.counts()
    pairs = counts[channels[0]] * counts[channels[1]] * 2 * range_ps / span_ps
    if pairs > MOST_PAIRS:
        raise UserError(
            "the histogram would take too long",
            found=f"about {pairs:.1g} pairs within the range",
            expected=f"at most {MOST_PAIRS:.1g} pairs",
            do="choose a smaller --range-ns",
        )
    return range_ps


def _check_delay(recording: Recording, delay_ps: int | None) -> None:
    span_ps = recording.stop_ps - recording.start_ps
    if delay_ps is not None and abs(delay_ps) > span_ps:
        raise UserError(
            "--delay-ps is out of range",
            found=f"{delay_ps} ps",
            expected=f"at most the span of the recording, {span_ps} ps, either way",
        )
