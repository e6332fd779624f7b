"""The report of a run: what the nodes found, beside what the simulator knows to be true."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from dataclasses import asdict, dataclass, field

from qnodeos.demo.clock_truth import ClockCheck, check_clock
from qnodeos.demo.layout import NODES
from qnodeos.demo.run import Run
from qnodeos.demo.truth import Truth, mean, read_truth
from qnodeos.journal import EventRow, Journal, read_journal

SIGMAS = 3.0
CLOCK_BOUNDS = 3.0
NOTICED_LIMIT_S = 2.0
RECOVERED_LIMIT_S = 10.0
MEMORY_LIMIT_MIB = 1024.0


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `holds` is None for a figure that is told but has no tolerance."""

    section: str
    what: str
    value: float | int | str | None
    unit: str = ""
    error: float | None = None
    truth: float | None = None
    tolerance: str = ""
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class InstrumentRow:
    """An instrument as it was before the nodes were told to stop."""

    node: str
    name: str
    driver: str
    state: str
    identity: str


@dataclass(slots=True)
class Report:
    """Everything that the demo says at its end."""

    seconds: float
    files: dict[str, str]
    instruments: list[InstrumentRow] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """No trouble, and no figure outside its tolerance."""
        return not self.troubles and all(row.holds is not False for row in self.rows)

    def as_json(self) -> str:
        """The same as JSON."""
        return json.dumps({**asdict(self), "holds": self.holds}, indent=2)


def make_report(run: Run) -> Report:
    """Read journals and truth, and compare; raises UserError if a journal is missing."""
    folder = run.layout.folder
    report = Report(
        run.stopped_s - run.started_s,
        {
            "logs": str(folder / "logs"),
            "journals": str(folder / "data" / "NODE" / "journal.sqlite"),
            "truth": str(run.layout.truth),
        },
        troubles=run.troubles,
    )
    dead = [name for name in NODES if not run.layout.journal(name).exists()]
    if dead:
        _processes(report, run)
        report.troubles += [f"{name} has left no journal" for name in dead]
        return report
    journals = {name: read_journal(run.layout.journal(name)) for name in NODES}
    truth = read_truth(run.layout.truth)
    _instruments(report, journals)
    _processes(report, run)
    _clock(report, check_clock(journals["alice"], truth, "alice", "bob"))
    _photonic(report, journals["alice"], truth)
    _memory(report, journals, truth)
    _teleport(report, journals["bob"], truth)
    if run.kill is not None:
        _recovery(report, run, journals, truth)
    return report


def _row(
    report: Report,
    section: str,
    what: str,
    value: float | int | str | None,
    *,
    unit: str = "",
    error: float | None = None,
    truth: float | None = None,
    tolerance: str = "",
    holds: bool | None = None,
) -> None:
    """Add a figure; one that has a tolerance and no value falls short."""
    if tolerance and value is None:
        holds = False
    report.rows.append(Row(section, what, value, unit, error, truth, tolerance, holds))


def _instruments(report: Report, journals: dict[str, Journal]) -> None:
    for node, journal in journals.items():
        last: dict[str, EventRow] = {}
        for event in _this_life(journal):
            if event.kind == "stopping":
                break
            if event.kind == "instrument":
                last[event.data["name"]] = event
        for name, event in sorted(last.items()):
            data = event.data
            report.instruments.append(
                InstrumentRow(node, name, data["driver"], data["state"], data["identity"])
            )
            if data["state"] != "online":
                report.troubles.append(f"{node}/{name} is {data['state']}: {data['reason']}")
        if not last:
            report.troubles.append(f"{node} has no instrument")


def _processes(report: Report, run: Run) -> None:
    mebibytes = run.peak_memory_bytes / 2**20
    _row(
        report,
        "processes",
        f"memory of {run.peak_processes} processes",
        mebibytes,
        unit="MiB",
        tolerance=f"under {MEMORY_LIMIT_MIB:.0f}",
        holds=mebibytes < MEMORY_LIMIT_MIB,
    )
    for name, share in run.cpu_share.items():
        _row(report, "processes", f"processor, {name}", 100 * share, unit="% of a core")
    for name, child in run.children.items():
        killed = run.kill is not None and run.kill.node == name
        for ended in child.exits[1 if killed else 0 :]:
            if ended.status != 0:
                report.troubles.append(
                    f"{name} ended with status {ended.status}; its last words:\n"
                    + child.last_words()
                )


def _clock(report: Report, check: ClockCheck | None) -> None:
    limit = f"under {CLOCK_BOUNDS:g} bounds"
    if check is None:
        _row(report, "clock", "residual, rms", None, unit="ps", tolerance=limit)
        return
    _row(report, "clock", "acquired after", check.acquired_after_s, unit="s")
    _row(report, "clock", "offset of bob", check.offset_s, unit="s")
    _row(report, "clock", "skew of bob", check.skew * 1e6, unit="ppm", truth=check.true_skew * 1e6)
    _row(
        report,
        "clock",
        "residual, rms",
        check.residual_rms_ps,
        unit="ps",
        tolerance=limit,
        holds=check.residual_rms_ps < CLOCK_BOUNDS * check.bound_ps,
    )
    _row(report, "clock", "bound of the residual", check.bound_ps, unit="ps")


def _photonic(report: Report, journal: Journal, truth: Truth) -> None:
    status = _last_status(journal, "link-photonic")
    for what, name in (
        ("singles, alice", "singles_local_cps"),
        ("singles, bob", "singles_remote_cps"),
        ("coincidences", "coincidences_cps"),
        ("accidentals among them", "accidentals_cps"),
    ):
        _row(report, "photonic link", what, status.get(name), unit="cps")
    lit = [source["fidelity"] for source in truth.of("source") if source["pairs_per_s"] > 0]
    for basis, sign in (("zz", 1), ("xx", 1), ("yy", -1)):  # the crystal makes Phi+
        _compared(
            report,
            "photonic link",
            f"correlator {basis.upper()}",
            status.get(f"correlator_{basis}"),
            status.get(f"correlator_{basis}_error"),
            sign * (4 * lit[-1] - 1) / 3 if lit else None,
        )
    _compared(
        report,
        "photonic link",
        "fidelity from test rounds",
        status.get("fidelity"),
        status.get("fidelity_error"),
        lit[-1] if lit else None,
    )
    _row(report, "photonic link", "the same, accidentals kept", status.get("fidelity_raw"))
    _asked(report, journal, "photonic", "M")


def _memory(report: Report, journals: dict[str, Journal], truth: Truth) -> None:
    alice, bob = journals["alice"], journals["bob"]
    status = _last_status(alice, "link-memory")
    by_slot = {record["slot"]: record["fidelity"] for record in truth.of("pair_fidelity")}
    tested = [
        by_slot[event.data["slot"]]
        for event in _this_life(alice)
        if event.kind == "test-round" and event.data["slot"] in by_slot
    ]
    _compared(
        report,
        "memory link",
        "fidelity from test rounds",
        status.get("fidelity"),
        status.get("fidelity_error"),
        mean(tested),
    )
    _asked(report, alice, "memory", "K")
    expired = sum(pair.state == "expired" for pair in alice.pairs)
    _row(report, "memory link", "K pairs expired unused", expired)
    late = sum(
        pair.delivered_s is not None and pair.delivered_s >= pair.deadline_s
        for journal in (alice, bob)
        for pair in journal.pairs
    )
    _row(
        report,
        "memory link",
        "delivered past their deadline",
        late,
        tolerance="none",
        holds=late == 0,
    )
    feedforward = _last_status(bob, "link-memory")
    for percent in ("p50", "p99"):
        value = feedforward.get(f"correction_{percent}_ms")
        _row(
            report,
            "memory link",
            f"herald to correction, {percent}",
            value,
            unit="ms",
            tolerance="measured",
            holds=value is not None,
        )
    missed = feedforward.get("corrections_late")
    _row(
        report,
        "memory link",
        "corrections past the deadline",
        missed,
        tolerance="none",
        holds=missed == 0,
    )


def _teleport(report: Report, journal: Journal, truth: Truth) -> None:
    """Outcomes against the true probability of each, joined by the moment of the measurement.

    The receiver measures one pair at a time, so its last measurement before the note is the one.
    """
    # Test rounds are measured on the communication qubit, pairs in storage.
    measured = [r for r in truth.of("measure") if r["device"] == "bob" and r["qubit"] != 0]
    times = [truth.started_s + r["t_s"] for r in measured]
    results = [result.data for result in journal.results if result.app == "teleport"]
    probabilities: list[float] = []
    for result in results:
        at = bisect_right(times, result["clock_s"]) - 1
        if at < 0 or measured[at]["basis"] != result["basis"]:
            report.troubles.append(f"no true measurement belongs to the teleportation {result}")
            continue
        p_zero = measured[at]["p_zero"]
        probabilities.append(1 - p_zero if result["expected"] else p_zero)
    if not results:
        _row(report, "teleportation", "states teleported", 0, tolerance="some", holds=False)
        return
    count = len(results)
    wrong_reading = float(results[-1]["readout_error"])
    raw = sum(result["outcome"] == result["expected"] for result in results) / count
    fidelity = (raw - wrong_reading) / (1 - 2 * wrong_reading)
    # Two more outcomes, one each way, keep the error honest when all were as sent.
    cautious = (raw * count + 1) / (count + 2)
    error = math.sqrt(cautious * (1 - cautious) / count) / (1 - 2 * wrong_reading)
    _row(report, "teleportation", "states teleported", count)
    _compared(report, "teleportation", "fidelity", fidelity, error, mean(probabilities))


def _recovery(report: Report, run: Run, journals: dict[str, Journal], truth: Truth) -> None:
    killed = run.kill
    assert killed is not None
    for witness in (name for name in NODES if name != killed.node):
        noticed_s = killed.noticed_s.get(witness)
        after_s = None if noticed_s is None else noticed_s - killed.at_s
        _row(
            report,
            "recovery",
            f"{witness} misses {killed.node} after",
            after_s,
            unit="s",
            tolerance=f"within {NOTICED_LIMIT_S:g}",
            holds=after_s is not None and after_s <= NOTICED_LIMIT_S,
        )
    for link in ("photonic", "memory"):
        after_s = _flow_again_s(journals["alice"], f"link-{link}", killed.at_s)
        _row(
            report,
            "recovery",
            f"{link} pairs flow again after",
            after_s,
            unit="s",
            tolerance=f"within {RECOVERED_LIMIT_S:g}",
            holds=after_s is not None and after_s <= RECOVERED_LIMIT_S,
        )
    dark_s = _dark_after_s(truth, killed.at_s)
    if killed.node == "alice":
        _row(
            report,
            "recovery",
            "pump dark after",
            dark_s,
            unit="s",
            tolerance=f"within {NOTICED_LIMIT_S:g}",
            holds=dark_s is not None and dark_s <= NOTICED_LIMIT_S,
        )


def _compared(
    report: Report,
    section: str,
    what: str,
    value: float | None,
    error: float | None,
    truth: float | None,
) -> None:
    """A measured figure with its standard error, which has to agree with the truth."""
    agrees = (
        value is not None
        and error is not None
        and truth is not None
        and abs(value - truth) <= SIGMAS * error
    )
    _row(
        report,
        section,
        what,
        value,
        error=error,
        truth=truth,
        tolerance=f"{SIGMAS:g} errors",
        holds=agrees,
    )


def _asked(report: Report, journal: Journal, link: str, kind: str) -> None:
    requests = [request for request in journal.requests if request.link == link]
    delivered = sum(request.delivered for request in requests)
    asked = sum(request.number for request in requests)
    _row(report, f"{link} link", f"{kind} pairs asked for", asked)
    _row(
        report,
        f"{link} link",
        f"{kind} pairs delivered",
        delivered,
        tolerance="some",
        holds=delivered > 0,
    )


def _this_life(journal: Journal) -> list[EventRow]:
    """Events since the node's last start."""
    starts = [i for i, event in enumerate(journal.events) if event.kind == "start"]
    return list(journal.events[starts[-1] if starts else 0 :])


def _last_status(journal: Journal, of: str) -> dict[str, float]:
    reports = [e.data for e in _this_life(journal) if e.kind == "status" and e.data["of"] == of]
    return reports[-1] if reports else {}


def _dark_after_s(truth: Truth, since_s: float) -> float | None:
    """When, after an instant on the machine's clock, the source gave no more pairs."""
    for record in truth.of("source"):
        at_s = truth.started_s + float(record["t_s"])
        if at_s > since_s and record["pairs_per_s"] == 0:
            return at_s - since_s
    return None


def _flow_again_s(journal: Journal, of: str, since_s: float) -> float | None:
    """When, after an instant on the machine's clock, a link first reported new deliveries."""
    for event in _this_life(journal):
        if (
            event.kind == "status"
            and event.data["of"] == of
            and event.data["clock_s"] > since_s
            and event.data.get("delivered", 0) > 0
        ):
            return float(event.data["clock_s"]) - since_s
    return None
