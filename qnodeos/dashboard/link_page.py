"""One link: rates, coincidences, clocks, correlators and fidelity, and its open requests."""

from __future__ import annotations

import math
from typing import Any

from link_layer.states import BellState, correlator_sign
from qnodeos.dashboard.calibration_graph import calibration_graph, tasks_of
from qnodeos.dashboard.frame import Board
from qnodeos.dashboard.hom_card import dip_card, hom_card, hom_columns
from qnodeos.dashboard.live import plot
from qnodeos.dashboard.markup import MISSING, Html, chip, joined, si, span, table, tag, with_error
from qnodeos.dashboard.overview import figure_list, link_state
from qnodeos.dashboard.places import LinkPlace
from qnodeos.dashboard.sights import Answer, LinkSight, Sample
from qnodeos.dashboard.view import number

BASES = ("X", "Y", "Z")
FIDELITY = ("F", "95 % from", "to")

PHOTONIC: dict[str, tuple[str, ...]] = {
    "coincidences": ("coincidences_cps", "accidentals_cps"),
    "singles": ("singles_local_cps", "singles_remote_cps"),
    "fidelity": ("fidelity", "fidelity_low", "fidelity_high"),
    "correlators": ("correlator_xx", "correlator_yy", "correlator_zz"),
    "clock": ("clock_uncertainty_ps", "clock_residual_ps"),
}
MEMORY: dict[str, tuple[str, ...]] = {
    "rates": ("heralds_cps", "delivered_cps", "test_rounds_cps"),
    "fidelity": ("fidelity", "fidelity_low", "fidelity_high"),
    "corrections": ("correction_p50_ms", "correction_p99_ms"),
}


def calibration_card(told: dict[str, str]) -> Html:
    """The calibration graph of a link; nothing where it has none."""
    tasks = tasks_of(told)
    if not tasks:
        return joined(())
    return tag("div", tag("h2", "Calibration"), calibration_graph(tasks), class_="card")


class LinkPage:
    """The page of one link."""

    def __init__(self, link: LinkPlace, board: Board):
        self.title, self.path = f"Link {link.name}", f"/link/{link.key}"
        self._link, self._board = link, board
        self._sight: LinkSight = board.sights.link(link)
        self._series = PHOTONIC if link.kind == "photonic" else MEMORY
        self._taken = self._sight.taken
        self._histogram: Answer | None = None
        self._dip: Answer | None = None
        self._sight.look()

    def fragments(self) -> dict[str, Html]:
        """Figures, plots, requests."""
        figures = self._board.network.figures(self._link)
        return {
            "title": self._title(),
            "numbers": tag("div", self._quality(figures), self._clock(figures), class_="grid"),
            "plots": tag("div", *self._plots(), class_="grid"),
            "hom": self._hom(),
            "calibration": calibration_card(self._board.network.calibration(self._link)),
            "requests": tag("div", tag("h2", "Open requests"), self._requests(), class_="card"),
        }

    def plots(self) -> dict[str, Any]:
        """What is new since the last turn."""
        self._sight.look()
        told: dict[str, Any] = {}
        leading = self._sight.leading
        histogram = None if leading is None else leading[1]["histogram"]
        if leading is not None and histogram is not None:
            drawn = self._sight.drawn
            if drawn is None or drawn[0] != histogram:
                drawn = histogram, _histogram(histogram, leading[1]["status"].get("jitter_ps"))
                self._sight.drawn = drawn
            if drawn[1] is not self._histogram:
                self._histogram = told["histogram"] = drawn[1]
        hom = self._sight.hom
        if hom is not None:
            dip = self._sight.dip
            if dip is None or dip[0] != hom:
                dip = self._sight.dip = hom, hom_columns(hom)
            if dip[1] is not self._dip:
                self._dip = told["hom"] = dip[1]
        if fresh := self._sight.since(self._taken):
            told |= self._columns(fresh, "add")
            self._taken = self._sight.taken
        return told

    def whole(self) -> dict[str, Any]:
        """The last two minutes, and the histograms."""
        drawn = {"histogram": self._histogram, "hom": self._dip}
        told: dict[str, Any] = {name: each for name, each in drawn.items() if each is not None}
        if self._sight.samples:
            told |= self._columns(list(self._sight.samples), "set")
        return told

    def _hom(self) -> Html:
        link = self._link
        if not link.station:
            return joined(())
        return hom_card(link.name, link.station, self._board.network.station(link))

    def _columns(self, samples: list[Sample], how: str) -> dict[str, Any]:
        times = [round(at_s, 2) for at_s, _ in samples]
        return {
            name: {how: [times, *([_short(s.get(key)) for _, s in samples] for key in keys)]}
            for name, keys in self._series.items()
        }

    def _title(self) -> Html:
        link = self._link
        state, word = link_state(link, self._board)
        ends = [tag("a", name, href=f"/node/{name}") for name in link.nodes]
        between: list[object] = [ends[0], " – ", ends[1]]
        if link.station:
            between += [", heralded by ", ends[2]]
        away = [n for n in link.ends if n in self._board.network.nodes]
        away = [n for n in away if not self._board.network.nodes[n].reachable]
        note = (
            f"Plots need the local socket of {' and '.join(away)}, which does not answer here."
            if len(away) == len(link.ends)
            else ""
        )
        return tag(
            "div",
            tag("div", tag("h1", self.title), chip(word, state), class_="title"),
            tag("p", *between, class_="soft"),
            tag("p", note, class_="soft") if note else "",
        )

    def _quality(self, figures: dict[str, str]) -> Html:
        low, high = number(figures, "fidelity_low"), number(figures, "fidelity_high")
        interval = MISSING if low is None or high is None else f"{low:.4f} to {high:.4f}"
        fidelity = with_error(number(figures, "fidelity"), number(figures, "fidelity_error"))
        rows: list[tuple[object, object]] = [
            ("Fidelity", fidelity),
            ("95 % interval", interval),
        ]
        if self._link.kind == "photonic":
            state = BellState[self._link.bell_state]
            for basis in BASES:
                name = f"correlator_{basis.lower() * 2}"
                found, error = number(figures, name), number(figures, f"{name}_error")
                correlator = joined(("E", tag("sub", basis * 2)))
                rows.append((correlator, with_error(found, error)))
                qber = None if found is None else (1 - correlator_sign(state, basis) * found) / 2
                half = None if error is None else 50 * error
                percent = None if qber is None else 100 * qber
                rows.append((f"QBER in {basis}", with_error(percent, half, "%")))
        else:
            rows += [
                ("Pair useful for", span(number(figures, "lifetime_s"))),
                ("Pairs delivered", figures.get("delivered", MISSING)),
                ("Pairs expired", figures.get("expired", "0")),
            ]
        rows.append(("Test rounds", figures.get("test_rounds", MISSING)))
        return tag("div", tag("h2", "Quality"), figure_list(rows), class_="card")

    def _clock(self, figures: dict[str, str]) -> Html:
        if self._link.kind == "memory":
            rows = [
                ("Herald to correction, median", _ms(number(figures, "correction_p50_ms"))),
                ("Herald to correction, 99 %", _ms(number(figures, "correction_p99_ms"))),
                ("Corrections", figures.get("corrections", MISSING)),
                ("Too late", figures.get("corrections_late", MISSING)),
                ("Heralds", figures.get("heralds", MISSING)),
                ("Stale heralds", figures.get("stale_heralds", MISSING)),
            ]
            return tag("div", tag("h2", "Feed-forward"), figure_list(rows), class_="card")
        offset = number(figures, "offset_s")
        rows = [
            ("State", figures.get("clock", MISSING)),
            ("Offset", MISSING if offset is None else f"{offset:.12f} s"),
            ("Offset ±", si(_s(number(figures, "clock_uncertainty_ps")), "s")),
            (
                "Skew",
                with_error(number(figures, "skew_ppm"), number(figures, "skew_error_ppm"), "ppm"),
            ),
            ("Pair jitter", si(_s(number(figures, "jitter_ps")), "s")),
            ("Coincidences", si(number(figures, "coincidences_cps"), "/s")),
            ("Accidentals", si(number(figures, "accidentals_cps"), "/s")),
            ("Singles here / far", self._singles(figures)),
            ("Clock lost / found again", self._losses(figures)),
        ]
        return tag("div", tag("h2", "Clocks and rates"), figure_list(rows), class_="card")

    def _singles(self, figures: dict[str, str]) -> str:
        local, remote = number(figures, "singles_local_cps"), number(figures, "singles_remote_cps")
        return f"{si(local, '/s')}  /  {si(remote, '/s')}"

    def _losses(self, figures: dict[str, str]) -> str:
        lost, found = figures.get("clock_losses"), figures.get("clock_recoveries")
        return MISSING if lost is None else f"{lost} / {found}"

    def _plots(self) -> list[Html]:
        if self._link.kind == "memory":
            return [
                _card("Rates", plot("rates", ("heralds", "pairs", "tests"), unit="1/s")),
                _card(
                    "Fidelity",
                    plot("fidelity", FIDELITY, unit="F", zero=False),
                ),
                _card("Herald to correction", plot("corrections", ("median", "99 %"), unit="ms")),
                *([] if self._sight.hom is None else [dip_card()]),
            ]
        return [
            _card(
                "Coincidence histogram",
                plot(
                    "histogram",
                    ("counts", "normal, of the tracked jitter"),
                    unit="counts a bin",
                    x="delay / ns",
                    bars=True,
                ),
            ),
            _card("Pairs", plot("coincidences", ("coincidences", "accidentals"), unit="1/s")),
            _card("Singles", plot("singles", ("here", "far end"), unit="1/s")),
            _card("Fidelity", plot("fidelity", FIDELITY, unit="F", zero=False)),
            _card(
                "Correlators",
                plot("correlators", ("EXX", "EYY", "EZZ"), unit="E", range_=(-1.05, 1.05)),
            ),
            _card("Clock", plot("clock", ("uncertainty", "residual"), unit="ps")),
        ]

    def _requests(self) -> Html:
        rows: dict[str, list[object]] = {}
        for name, answer in self._sight.answers.items():
            for each in answer["requests"]:
                if each["id"] not in rows:
                    rows[each["id"]] = self._request(name, each)
        head = ["Purpose", "Kind", "From", "Pairs", "F at least", "Age", "Time left", "State"]
        if self._board.control.there:
            head.append("")
        return table(head, rows.values(), empty="No request is open.")

    def _request(self, node: str, each: dict[str, Any]) -> list[object]:
        row: list[object] = [
            each["purpose"],
            each["kind"],
            each["origin"],
            f"{each['delivered']} of {each['number']}",
            f"{each['minimum_fidelity']:.3g}",
            span(each["age_s"]),
            span(each["left_s"]),
            chip(each["state"], "good" if each["state"] == "active" else "idle"),
        ]
        if self._board.control.there:
            of = f"{node}/{self._link.name}/{each['id']}"
            row.append(tag("button", "Cancel", data_act="cancel", data_of=of))
        return row


def _card(title: str, drawn: Html) -> Html:
    return tag("div", tag("h2", title), drawn, class_="card")


def _histogram(told: dict[str, Any], jitter_ps: float | None) -> dict[str, Any]:
    """Bin starts in ns, counts, and what a normal peak of the clock's jitter would give on top of
    the accidentals; the window is shaded."""
    low, step, counts = told["low_ps"], told["bin_ps"], told["counts"]
    half_ps = told["window_ps"] / 2
    starts = [(low + step * k) / 1e3 for k in range(len(counts))]
    middles = [low + step * (k + 0.5) for k in range(len(counts))]
    outside = [n for n, at in zip(counts, middles, strict=True) if abs(at) > half_ps]
    flat = sum(outside) / len(outside) if outside else 0.0
    normal: list[float | None] = [None] * len(counts)
    if jitter_ps:
        scale = (
            max(0.0, sum(counts) - flat * len(counts)) * step / (math.sqrt(math.tau) * jitter_ps)
        )
        normal = [round(flat + scale * math.exp(-0.5 * (at / jitter_ps) ** 2), 1) for at in middles]
    return {"set": [starts, counts, normal], "marks": [-half_ps / 1e3, half_ps / 1e3]}


def _short(value: Any) -> float | None:
    """Six digits are more than a plot shows, and half the bytes."""
    return float(f"{value:.6g}") if isinstance(value, int | float) else None


def _ms(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} ms"


def _s(picoseconds: float | None) -> float | None:
    return None if picoseconds is None else picoseconds * 1e-12
