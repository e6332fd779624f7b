"""`qnodeos tags sync`: bring two recordings onto one timescale by their own photons."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from qnodeos.cli.tags_report import check_plot, open_or_refuse, print_json
from qnodeos.cli.tags_sync_report import (
    draw_sync,
    failure_facts,
    print_failure,
    print_sync,
    sync_facts,
)
from qnodeos.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qnodeos.tags import (
        Finding,
        NoCorrelation,
        Recording,
        Search,
        SyncedFiles,
        TakeMapped,
        TimesPs,
    )

NO_CORRELATION = 1
SYNC_CHANNEL = 0
PROGRESS_AFTER_S = 1.0


def sync(
    a: Annotated[Path, typer.Argument(metavar="A", help="The recording whose timescale is kept.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The recording that is brought onto it.")],
    channels_a: Annotated[
        str | None, typer.Option(metavar="N,...", help="Channels of A to use; default all.")
    ] = None,
    channels_b: Annotated[
        str | None, typer.Option(metavar="N,...", help="Channels of B to use; default all.")
    ] = None,
    max_offset: Annotated[
        float, typer.Option(help="Offsets of the two timescales searched, +- s.")
    ] = 10.0,
    max_skew: Annotated[float, typer.Option(help="Clock skews searched, +- ppm.")] = 100.0,
    window_ps: Annotated[
        int | None,
        typer.Option("--window", help="Full width of the coincidence window, ps; default found."),
    ] = None,
    clock_noise: Annotated[
        float,
        typer.Option(
            help="White frequency noise of the two clocks at 1 s: 1e-9 quartz, 1e-11 OCXO."
        ),
    ] = 1e-9,
    search_time: Annotated[
        float, typer.Option(help="Time to search a piece of the record, s; more finds fewer pairs.")
    ] = 4.0,
    expect_offset: Annotated[
        float | None, typer.Option(help="Offset expected, s: tells whether A and B are swapped.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write B's tags on A's timescale here, packed.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw offset and peak into this file (extra 'plot').")
    ] = None,
    stability: Annotated[
        bool, typer.Option("--stability", help="Show the time deviation of the two clocks.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Find offset and skew of two recordings from correlated photons, and follow them through.

    Exit status: 0 found, 1 no correlation, 2 the recordings or options cannot be used.
    """
    from qnodeos.tags import NoCorrelation

    search = _search(max_offset, max_skew, window_ps, clock_noise, search_time)
    if plot is not None:
        check_plot(plot)
    if out is not None:
        _check_out(out, (a, b))
    recordings = open_or_refuse(a), open_or_refuse(b)
    names = _names(a, b)
    times_a = _times(recordings[0], channels_a, "--channels-a")
    times_b = _times(recordings[1], channels_b, "--channels-b")
    findings = _examined(times_a, times_b, search, recordings, names)
    with _packed_into(out, recordings[1], channels_b) as take, _progress() as progress:
        from qnodeos.tags import synchronise

        result = synchronise(
            times_a,
            times_b,
            search,
            window_ps=window_ps,
            clock_noise_1s=clock_noise,
            mapped=take,
            progress=progress,
        )
        if isinstance(result, NoCorrelation):
            _refuse_wrong_unit(times_a, times_b, search, names)
            _fail(result, findings, as_json=as_json, paths=(a, b))
    _note_doubts(result, expect_offset, findings, names)
    if plot is not None:
        draw_sync(result, (a, b), plot)
    if as_json:
        print_json(sync_facts(result, findings, (a, b), with_stability=stability))
        return
    print_sync(result, findings, (a, b), with_stability=stability)
    for path, what in ((out, "B on A's timescale, packed"), (plot, "drawn")):
        if path is not None:
            typer.echo(f"{what}: {path}")


def _search(
    max_offset_s: float, max_skew_ppm: float, window_ps: int | None, noise: float, search_s: float
) -> Search:
    from qnodeos.tags import Search

    for option, value, low, high, unit in (
        ("--max-offset", max_offset_s, 1e-6, 1e6, "s"),
        ("--max-skew", max_skew_ppm, 0.0, 1000.0, "ppm"),
        ("--window", 1000 if window_ps is None else window_ps, 1, 1_000_000, "ps"),
        ("--clock-noise", noise, 1e-15, 1e-6, ""),
        ("--search-time", search_s, 0.01, 3600.0, "s"),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise UserError(
                f"{option} is out of range",
                found=f"{value} {unit}".strip(),
                expected=f"{low:g} to {high:g} {unit}".strip(),
            )
    return Search(
        max_offset_ps=round(max_offset_s * 1e12), max_skew=max_skew_ppm * 1e-6, most_s=search_s
    )


def _names(a: Path, b: Path) -> tuple[str, str]:
    if a.name == b.name:
        return f"A ({a})", f"B ({b})"
    return f"A ({a.name})", f"B ({b.name})"


def _chosen(recording: Recording, text: str | None, option: str) -> list[int]:
    present = [channel for channel in recording.counts() if channel != SYNC_CHANNEL]
    if text is None:
        return present
    try:
        channels = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"{option} does not name channels", found=repr(text), expected="numbers such as 1,2"
        ) from None
    for channel in channels:
        if channel not in recording.counts():
            raise UserError(
                f"channel {channel} has no tags",
                where=str(recording.path),
                found=f"{option} {text}",
                expected=f"channels out of {', '.join(map(str, recording.counts()))}",
            )
    return channels


def _times(recording: Recording, text: str | None, option: str) -> TimesPs:
    return recording.of(*_chosen(recording, text, option))


def _examined(
    a: TimesPs,
    b: TimesPs,
    search: Search,
    recordings: tuple[Recording, Recording],
    names: tuple[str, str],
) -> list[Finding]:
    """What is wrong with the recordings; UserError where no search can succeed."""
    from qnodeos.tags import Finding, examine

    findings = examine(a, b, search.max_offset_ps, names)
    if any(finding.kind == "unit" for finding in findings):
        _refuse_wrong_unit(a, b, search, names)
    for finding in findings:
        if finding.fatal:
            raise UserError("the recordings cannot be synchronised", found=finding.text)
    for recording, name in zip(recordings, names, strict=True):
        if recording.gaps:
            notes = "; ".join(recording.notes)
            findings.append(
                Finding("gap", f"{name} breaks off or steps back {recording.gaps} times: {notes}")
            )
    return findings


def _refuse_wrong_unit(a: TimesPs, b: TimesPs, search: Search, names: tuple[str, str]) -> None:
    from qnodeos.tags import confirmed_unit

    finding = confirmed_unit(a, b, search, names)
    if finding is not None:
        raise UserError("the recordings are in different units of time", found=finding.text)


def _note_doubts(
    result: SyncedFiles, expected_s: float | None, findings: list[Finding], names: tuple[str, str]
) -> None:
    from qnodeos.tags import swapped, wide_peak

    doubts = [wide_peak(result.jitter_ps)]
    if expected_s is not None:
        doubts.append(swapped(result.line.offset_s, expected_s, names))
    findings.extend(doubt for doubt in doubts if doubt is not None)


def _fail(
    result: NoCorrelation, findings: list[Finding], *, as_json: bool, paths: tuple[Path, Path]
) -> NoReturn:
    if as_json:
        print_json(failure_facts(result, findings, paths))
    else:
        print_failure(result, findings)
    raise typer.Exit(NO_CORRELATION)


def _check_out(out: Path, inputs: tuple[Path, Path]) -> None:
    if not out.parent.is_dir():
        raise UserError(
            "the folder for --out does not exist",
            where=str(out),
            found=f"no folder {out.parent}",
            do=f"create it with: mkdir -p {out.parent}",
        )
    if any(out.exists() and path.exists() and out.samefile(path) for path in inputs):
        raise UserError(
            "--out would overwrite a recording", where=str(out), do="choose another file"
        )


@contextmanager
def _packed_into(
    out: Path | None, recording: Recording, channels: str | None
) -> Iterator[TakeMapped | None]:
    """Takes mapped tags into a file that appears under its name when it is whole."""
    if out is None:
        yield None
        return
    import numpy as np

    from qnodeos.tags import TagPacker

    chosen = np.isin(recording.channel, _chosen(recording, channels, "--channels-b"))
    channel = recording.channel[chosen]
    packer = TagPacker()
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as file:

            def take(time_ps: TimesPs, places: NDArray[np.int64]) -> None:
                file.write(packer.feed(time_ps, channel[places]))

            yield take
            file.write(packer.finish())
        part.replace(out)
    except OSError as error:
        raise UserError(
            "the tags cannot be written",
            where=str(out),
            found=error.strerror or str(error),
            do="choose another file for --out",
        ) from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A bar on a terminal's standard error, once it takes longer than a second."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda share: None
        return
    bar = Progress(console=console, transient=True)
    task = bar.add_task("synchronising", total=1.0)
    timer = threading.Timer(PROGRESS_AFTER_S, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda share: bar.update(task, completed=share)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
