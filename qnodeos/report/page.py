"""The report as one page of HTML: nothing is loaded from elsewhere, nothing runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from qnodeos.dashboard.markup import MISSING, Html, joined, si, span, table, tag, with_error
from qnodeos.journal import EventRow, RequestRow
from qnodeos.report.gather import NodeRecord
from qnodeos.report.links import link_card
from qnodeos.report.style import STYLE
from qnodeos.report.svg import bars, clock
from qnodeos.report.troubles import Trouble, troubles

MOST_EVENTS = 400
MOST_REQUESTS = 60
QUIET = ("acquisition", "configuration", "request-ended")
"""Events that the page has in another form, or that say nothing to an operator."""


def page(records: Sequence[NodeRecord], *, version: str, written_s: float) -> str:
    """The whole page for one or several nodes."""
    from_s = min(each.from_s for each in records)
    until_s = max(each.until_s for each in records)
    names = ", ".join(each.name for each in records)
    title = f"{names}, {clock(from_s)} to {clock(until_s)} UTC"
    body = tag(
        "main",
        tag("h1", f"Report of {names}"),
        tag(
            "p",
            f"{clock(from_s)} to {clock(until_s)} UTC, {span(until_s - from_s)}. Written "
            f"{clock(written_s)} UTC by qnodeos {version} from the journals of the nodes.",
            class_="soft",
        ),
        *(node_section(each) for each in records),
    )
    head = joined(
        (
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            tag("title", title),
            tag("style", Html(STYLE)),
        )
    )
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def node_section(record: NodeRecord) -> Html:
    """All of one node."""
    found = troubles(record)
    return tag(
        "section",
        tag("h2", f"Node {record.name}"),
        _wrong(record, found),
        *(link_card(record, name) for name in record.links()),
        _requests(record),
        _verifications(record),
        _recording(record),
        _events(record),
        _configuration(record),
    )


def _wrong(record: NodeRecord, found: list[Trouble]) -> Html:
    if not found:
        return tag("div", tag("h3", "What was wrong"), tag("p", "Nothing."), class_="card good")
    spans: dict[str, list[tuple[float, float, str, str]]] = {}
    for each in found:
        spans.setdefault(each.what, []).append((each.from_s, each.until_s, each.state, each.reason))
    longest = sorted(found, key=lambda each: -each.lasted_s)
    rows = [
        (
            clock(each.from_s),
            span(each.lasted_s) + (" (still)" if each.open else ""),
            each.what,
            each.state,
            each.reason,
        )
        for each in sorted(longest[:MOST_REQUESTS], key=lambda each: each.from_s)
    ]
    more = f"The longest {len(rows)} of {len(found)}." if len(found) > len(rows) else ""
    return tag(
        "div",
        tag("h3", "What was wrong"),
        tag("div", bars(list(spans.items()), record.from_s, record.until_s), class_="scroll"),
        table(("from (UTC)", "for", "what", "state", "why"), rows, empty=""),
        tag("p", more, class_="soft"),
        class_="card",
    )


def _requests(record: NodeRecord) -> Html:
    groups: dict[tuple[str, str, str], list[RequestRow]] = {}
    for row in record.requests:
        groups.setdefault((row.link, row.purpose, row.kind), []).append(row)
    rows = []
    for (link, purpose, kind), those in sorted(groups.items()):
        states = Counter(each.state for each in those)
        rows.append(
            (
                link,
                purpose or MISSING,
                kind,
                f"{len(those):,}",
                ", ".join(f"{count:,} {state}" for state, count in states.most_common()),
                f"{sum(each.delivered for each in those):,} of "
                f"{sum(each.number for each in those):,}",
            )
        )
    bad = [each for each in record.requests if each.state in ("refused", "failed")]
    failed = [
        (clock(each.created_s), each.link, each.purpose, each.state, each.reason)
        for each in bad[-MOST_REQUESTS:]
    ]
    kept = [
        (link, role, state, f"{number:,}") for link, role, state, number in sorted(record.pairs)
    ]
    return tag(
        "div",
        tag("h3", "Requests"),
        table(
            ("link", "purpose", "type", "requests", "as they ended", "pairs"),
            rows,
            empty="Nobody asked for pairs.",
        ),
        _folded(
            f"{len(bad)} requests refused or failed",
            table(("when (UTC)", "link", "purpose", "state", "why"), failed, empty=""),
        )
        if bad
        else "",
        _folded(
            "Kept pairs by their end",
            table(("link", "use", "end", "pairs"), kept, empty=""),
        )
        if kept
        else "",
        class_="card",
    )


def _verifications(record: NodeRecord) -> Html:
    rows = []
    for each in record.results:
        data = each.data
        fidelity, chsh = data.get("fidelity"), data.get("chsh")
        low, high = data.get("interval", (None, None))
        rows.append(
            (
                clock(each.time_s),
                each.app.removeprefix("verify:"),
                f"{data['pairs']:,}",
                with_error(*fidelity) if fidelity else MISSING,
                f"{low:.4f} to {high:.4f}" if low is not None else MISSING,
                with_error(*chsh) if chsh else MISSING,
                *(
                    with_error(*data["qber"][basis]) if data["qber"].get(basis) else MISSING
                    for basis in ("Z", "X")
                ),
                with_error(*data["hom"]) if "hom" in data else MISSING,
            )
        )
    return tag(
        "div",
        tag("h3", "Verifications"),
        table(
            (
                "when (UTC)",
                "link",
                "pairs",
                "F",
                "95 % of F",
                "CHSH S",
                "QBER Z",
                "QBER X",
                "HOM V",
            ),
            rows,
            empty="No link was verified; `qnodeos link verify` does, or [links.NAME.verify].",
        ),
        class_="card",
    )


def _recording(record: NodeRecord) -> Html:
    part = record.parts.get("record")
    if part is None:
        return Html("")
    dropped = part.gained("dropped_batches")
    rows = [
        ("tags kept", f"{part.gained('tags'):,.0f}"),
        ("on disk", si(part.gained("bytes"), "B")),
        ("batches dropped", f"{dropped:,.0f}"),
        ("tags dropped", f"{part.gained('dropped_tags'):,.0f}"),
    ]
    return tag(
        "div", tag("h3", "Recorded tags"), table(("figure", "value"), rows, empty=""), class_="card"
    )


def _events(record: NodeRecord) -> Html:
    shown = [each for each in record.events if each.kind not in QUIET]
    counts = Counter(each.kind for each in shown)
    said = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    rows = [(clock(each.time_s), each.kind, _said(each)) for each in shown[-MOST_EVENTS:]]
    last = f"the last {MOST_EVENTS} of " if len(shown) > MOST_EVENTS else ""
    return tag(
        "div",
        tag("h3", "Events"),
        tag("p", said or "None.", class_="soft"),
        _folded(
            f"All: {last}{len(shown):,}", table(("when (UTC)", "what", ""), rows, empty="None.")
        ),
        class_="card",
    )


def _said(event: EventRow) -> str:
    return ", ".join(f"{name} {value}" for name, value in event.data.items() if value != "")


def _configuration(record: NodeRecord) -> Html:
    described = record.described
    if not described:
        text = "The journal was written before configurations were noted in it."
        return tag("div", tag("h3", "Configuration"), tag("p", text), class_="card")
    versions = list(described["versions"].items())
    return tag(
        "div",
        tag("h3", "Configuration and versions"),
        table(("package", "version"), versions, empty=""),
        _folded(
            "Configuration at the last start", tag("pre", json.dumps(described["config"], indent=2))
        ),
        class_="card",
    )


def _folded(title: str, content: Html) -> Html:
    return tag("details", tag("summary", title), content)


def written(time_s: float) -> str:
    """An instant for a file's attributes, ISO 8601."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
