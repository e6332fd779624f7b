"""Hong-Ou-Mandel interference where the photons of a link meet: its figures and its dip."""

from __future__ import annotations

from typing import Any

from qnodeos.dashboard.live import plot
from qnodeos.dashboard.markup import MISSING, Html, tag, with_error
from qnodeos.dashboard.overview import figure_list
from qnodeos.dashboard.view import number

NOT_SEEN = (
    "No tagger sees where the photons meet; [links.{link}.hom] in the file of {station} names one."
)


def hom_card(link: str, station: str, told: dict[str, str]) -> Html:
    """What the station says of its photons; without a tagger there, how to get it."""
    title = tag("h2", "Interference of the photons (Hong-Ou-Mandel)")
    if "hom_coincidences" not in told:
        text = NOT_SEEN.format(link=link, station=station)
        if not told:
            text = f"Nothing is heard of {station}."
        return tag("div", title, tag("p", text, class_="soft"), class_="card")
    low, high = number(told, "hom_visibility_low"), number(told, "hom_visibility_high")
    interval = MISSING if low is None or high is None else f"{low:.3f} to {high:.3f}"
    visibility = with_error(number(told, "hom_visibility"), number(told, "hom_visibility_error"))
    rows: list[tuple[object, object]] = [
        ("Visibility", visibility),
        ("95 % interval", interval),
        ("Coincidences", told["hom_coincidences"]),
    ]
    return tag("div", title, figure_list(rows), class_="card")


def dip_card() -> Html:
    """The histogram; apart from the figures, which change under it."""
    series = ("same mode", "different modes")
    drawn = plot("hom", series, unit="counts a bin", x="delay / ns", bars=True)
    return tag("div", tag("h2", "Coincidences of the two ports"), drawn, class_="card")


def hom_columns(told: dict[str, Any]) -> dict[str, Any]:
    """Bin starts in ns, and counts of pairs in the same mode and in different ones.

    Of time bins those farther apart than half of what the bins are count as different.
    """
    low_ps, step_ps, apart_ps = told["low_ps"], told["bin_ps"], told["apart_ps"]
    counts: list[int] = told["counts"]
    starts = [(low_ps + step_ps * k) / 1e3 for k in range(len(counts))]
    same: list[int | None]
    different: list[int | None]
    if apart_ps:
        side = [abs(low_ps + step_ps * (k + 0.5)) > apart_ps / 2 for k in range(len(counts))]
        same = [None if beside else n for n, beside in zip(counts, side, strict=True)]
        different = [n if beside else None for n, beside in zip(counts, side, strict=True)]
    else:
        same, different = list(counts), told["different"]
    half_ns = told["window_ps"] / 2e3
    return {"set": [starts, same, different], "marks": [-half_ns, half_ns]}
