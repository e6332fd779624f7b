"""Running a preset on the fast path: rate and fidelity with their statistical errors.

`python -m sim_backends.preset_run NAME...` prints published, simulated and difference (all
presets without a name); exit status 1 when one is out of its tolerance.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from sim_backends.bell_diagonal import Hold, depolarised_pair, swapped, werner_pair
from sim_backends.fast import FastLink, estimated_fidelity, heralds, kept_pairs
from sim_backends.heralding import Cause, HeraldOdds
from sim_backends.lab import MidpointConfig
from sim_backends.preset_files import (
    Parameters,
    Point,
    Preset,
    Published,
    load_preset,
    preset_names,
)
from sim_backends.seeds import generator

__all__ = ["Compared", "fast_link", "midpoint_config", "run_point", "run_preset"]

Origin = Literal["physics", "fitted", "put in"]
Quantity = Literal["rate_hz", "fidelity", "qber", "peak_fwhm_ps"]

HERALDS: Final = 100_000
FWHM: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
_ENDS: Final = ("a", "b")
_ENDLESS_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Compared:
    """A simulated quantity, its standard error, and what was published, if anything.

    `origin` tells what agreement is worth: "physics" follows from other numbers, "fitted" has an
    explicit term in it, "put in" proves nothing.
    """

    preset: str
    point: str
    quantity: Quantity
    simulated: float
    error: float
    published: Published | None
    origin: Origin

    @property
    def difference(self) -> float | None:
        """Simulated less published; relative for rates and widths."""
        if self.published is None:
            return None
        found = self.simulated - self.published.value
        relative = self.quantity in ("rate_hz", "peak_fwhm_ps")
        return found / self.published.value if relative else found

    @property
    def holds(self) -> bool | None:
        """Whether the difference is within the file's tolerance; None for nothing published."""
        difference = self.difference
        if self.published is None or difference is None:
            return None
        above = self.published.bound == "at_least" or difference <= self.published.tolerance
        below = self.published.bound == "at_most" or difference >= -self.published.tolerance
        return above and below


def midpoint_config(kind: str, parameters: Parameters) -> MidpointConfig:
    """The midpoint table of a lab for a heralded preset, ends "a" and "b".

    Raises ValueError for a parameter that is missing.
    """
    single = kind == "single_click"
    dark = parameters.number(
        "dark_probability",
        parameters.number("dark_cps", 0.0) * parameters.number("window_ns", 0.0) * 1e-9,
    )
    bright = parameters.number("bright_population") if single else 1.0
    if parameters.efficiency is not None:
        efficiency = parameters.efficiency.value
    else:
        probability = parameters.number("probability")
        efficiency = probability / (2.0 * bright) if single else math.sqrt(2.0 * probability)
    return MidpointConfig(
        ends=_ENDS,
        scheme="single_click" if single else "double_click",
        attempt_period_us=parameters.number("attempt_period_us"),
        efficiency=dict.fromkeys(_ENDS, efficiency),
        bright_population=dict.fromkeys(_ENDS, bright) if single else {},
        visibility=parameters.number("visibility", 1.0),
        phase_sigma_deg=parameters.number("phase_sigma_deg", 0.0),
        double_excitation=parameters.number("double_excitation", 0.0),
        dark_probability=dark,
        duty=parameters.number("duty", 1.0),
        residual_depolarising=parameters.number("residual_depolarising", 0.0),
    )


def fast_link(preset: Preset, point: Point) -> FastLink:
    """The link of a heralded or rate_input preset at one of its points."""
    parameters = preset.of(point)
    if preset.kind == "rate_input":
        return _rate_input(parameters)
    config = midpoint_config(preset.kind, parameters)
    t2_s = parameters.number("t2_s", _ENDLESS_S)
    hold = Hold(parameters.number("t1_s", max(_ENDLESS_S, t2_s)), t2_s)
    held_s = parameters.number("hold_us", 0.0) * 1e-6
    return FastLink(
        HeraldOdds.of(config), config.attempt_period_us * 1e-6, (hold, hold), (held_s, held_s)
    )


def run_point(
    preset: Preset, point: Point, *, seed: int, seconds: float | None = None
) -> list[Compared]:
    """Simulate one point for `seconds` (default: about 100,000 heralds); nothing for pure data."""
    if preset.kind == "data":
        return []
    rng = generator(seed, f"presets.{preset.id}.{point.name}")
    if preset.kind == "pairs":
        return list(_pairs(preset, point, rng, seconds))
    link = fast_link(preset, point)
    if seconds is None:
        seconds = HERALDS * link.period_s / link.odds.total
    events = heralds(link, seconds, rng)
    fidelity, error = estimated_fidelity(kept_pairs(link), rng, chosen=events.causes)
    count = len(events)
    parameters = preset.of(point)
    found = [
        Compared(
            preset.id,
            point.name,
            "fidelity",
            fidelity,
            error,
            point.fidelity,
            _origin(
                parameters.fidelity is not None and parameters.swap_fidelity is None,
                parameters.residual_depolarising is not None,
            ),
        )
    ]
    # A swapped fidelity at a point of its own has no rate.
    if preset.kind != "rate_input" or parameters.herald_rate_hz is not None:
        rate = Compared(
            preset.id,
            point.name,
            "rate_hz",
            count / seconds,
            math.sqrt(count) / seconds,
            point.rate_hz,
            _origin(
                parameters.herald_rate_hz is not None or preset.rate_put_in,
                parameters.duty is not None,
            ),
        )
        found.insert(0, rate)
    return found


def run_preset(name: str, *, seed: int = 1, seconds: float | None = None) -> list[Compared]:
    """All points of a preset. Raises LabError for a name that is none."""
    preset = load_preset(name)
    return [
        compared
        for point in preset.points
        for compared in run_point(preset, point, seed=seed, seconds=seconds)
    ]


def _origin(put_in: bool, fitted: bool) -> Origin:
    return "put in" if put_in else "fitted" if fitted else "physics"


def _rate_input(parameters: Parameters) -> FastLink:
    rate_hz = parameters.number("herald_rate_hz", 1.0)
    pair = werner_pair("PHI_PLUS", parameters.number("fidelity"))
    if parameters.swap_fidelity is not None:
        pair = swapped(pair, pair, 4.0 / 3.0 * (1.0 - parameters.swap_fidelity.value))
    pair = depolarised_pair(pair, parameters.number("residual_depolarising", 0.0))
    phi_plus, phi_minus, psi_plus, psi_minus = (float(weight) for weight in pair)
    # A thousand slots between heralds come near to a Poisson process.
    cause = Cause("pair", 1e-3, (psi_plus, psi_minus, phi_plus, phi_minus))
    return FastLink(HeraldOdds((cause,)), 1e-3 / rate_hz)


def _pairs(
    preset: Preset, point: Point, rng: np.random.Generator, seconds: float | None
) -> Iterator[Compared]:
    """Counts of a pair source: coincidences with accidentals, errors, and the peak's width."""
    parameters = preset.of(point)
    true_cps, accidental_cps = _coincidences(parameters)
    if seconds is None:
        seconds = HERALDS / (true_cps + accidental_cps)
    true, accidental = (int(rng.poisson(cps * seconds)) for cps in (true_cps, accidental_cps))
    count = true + accidental
    yield Compared(
        preset.id,
        point.name,
        "rate_hz",
        count / seconds,
        math.sqrt(count) / seconds,
        point.rate_hz,
        _origin(parameters.herald_rate_hz is not None or preset.rate_put_in, False),
    )
    if parameters.pairs_per_s is not None:
        wrong = rng.binomial(true, parameters.number("residual_depolarising", 0.0) / 2.0)
        share = (wrong + rng.binomial(accidental, 0.5)) / count
        error = math.sqrt(share * (1.0 - share) / count)
        origin = _origin(False, parameters.residual_depolarising is not None)
        yield Compared(preset.id, point.name, "qber", share, error, point.qber, origin)
    widths = [
        parameters.number(name, 0.0)
        for name in ("jitter_fwhm_ps", "dispersion_fwhm_ps", "clock_fwhm_ps")
    ]
    if any(widths):
        delays = sum((rng.normal(0.0, width / FWHM, true) for width in widths), np.zeros(true))
        width = FWHM * float(delays.std())
        error = width / math.sqrt(2 * true)
        yield Compared(
            preset.id, point.name, "peak_fwhm_ps", width, error, point.peak_fwhm_ps, "physics"
        )


def _coincidences(parameters: Parameters) -> tuple[float, float]:
    """True and accidental coincidences a second; the loss is shared equally by the arms."""
    if parameters.pairs_per_s is None:
        return parameters.number("herald_rate_hz"), 0.0
    pairs_per_s = parameters.pairs_per_s.value
    arm = 10.0 ** (-parameters.number("loss_db") / 20.0)
    singles_cps = pairs_per_s * arm + parameters.number("dark_cps", 0.0)
    window_s = parameters.number("coincidence_window_ps") * 1e-12
    return pairs_per_s * arm**2, singles_cps**2 * window_s


def table(rows: list[Compared]) -> str:
    """The rows as a Markdown table: published, simulated, difference."""
    lines = [
        "| preset | point | quantity | published | simulated | difference | tolerance |",
        "|---|---|---|---|---|---|---|",
    ]
    words = {"at_most": "≤ ", "at_least": "≥ ", None: ""}
    for row in rows:
        published = allowed = difference = "–"
        if row.published is not None and row.difference is not None:
            published = words[row.published.bound] + f"{row.published.value:.4g}"
            relative = row.quantity in ("rate_hz", "peak_fwhm_ps")
            difference, allowed = (
                f"{100 * value:.1f} %" if relative else f"{value:.4f}"
                for value in (row.difference, row.published.tolerance)
            )
        name = {"rate_hz": "rate, Hz", "fidelity": "F", "qber": "QBER"}.get(
            row.quantity, "peak FWHM, ps"
        )
        if row.origin != "physics":
            name += f" ({row.origin})"
        lines.append(
            f"| `{row.preset}` | {row.point} | {name} | {published} | "
            f"{row.simulated:.4g} ± {row.error:.1g} | {difference} | {allowed} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run presets and print the table."""
    parser = argparse.ArgumentParser(prog="python -m sim_backends.preset_run")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    rows = [
        row for name in asked.names or preset_names() for row in run_preset(name, seed=asked.seed)
    ]
    print(table(rows))
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
