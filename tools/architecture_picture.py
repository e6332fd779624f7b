"""Draws docs/pictures/architecture.svg: `python tools/architecture_picture.py` after a change."""

from __future__ import annotations

from html import escape
from pathlib import Path

FILE = Path(__file__).parents[1] / "docs" / "pictures" / "architecture.svg"
WIDTH, HEIGHT = 1000, 470
BOX_W, BOX_H = 148, 64

# x, y, name, what, colour; coordinates of the middle.
BOXES = [
    (100, 90, "instruments", "taggers, lasers, devices", "#fde9d9"),
    (300, 90, "drivers", "supervised, held safe", "#fff6cc"),
    (500, 90, "timing", "network time", "#e2f0d9"),
    (700, 90, "cext", "coincidences, patterns", "#e2f0d9"),
    (900, 90, "link_layer", "heralds, agreement", "#dcebf7"),
    (900, 240, "memory", "slot and deadline", "#e6e0f0"),
    (700, 240, "feed-forward", "frame or gate", "#e6e0f0"),
    (500, 240, "applications", "API, NetQASM", "#e6e0f0"),
    (300, 240, "store, metrics", "journal, /metrics", "#eeeeee"),
    (100, 240, "people", "top, dashboard, status", "#eeeeee"),
    (900, 390, "the other node", "ZeroMQ, CURVE", "#dcebf7"),
    (300, 390, "broker", "MQTT: state, alarms", "#eeeeee"),
]
# from, to, what goes there; the fast ones are drawn bold.
ARROWS = [
    ("instruments", "drivers", "bytes", True),
    ("drivers", "timing", "tags", True),
    ("timing", "cext", "arrays", True),
    ("cext", "link_layer", "clicks", True),
    ("link_layer", "memory", "OK", True),
    ("memory", "feed-forward", "pair", True),
    ("feed-forward", "applications", "pair", True),
    ("applications", "store, metrics", "results", False),
    ("store, metrics", "people", "", False),
    ("memory", "the other node", "agreement", True),
    ("store, metrics", "broker", "state", False),
]


def picture() -> str:
    """The SVG as text."""
    at = {name: (x, y) for x, y, name, _, _ in BOXES}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" role="img" aria-label="The way of the data in a node">',
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='11' "
        "markerHeight='11' markerUnits='userSpaceOnUse' orient='auto-start-reverse'>"
        "<path d='M0 0L8 4L0 8z' fill='#444'/>"
        "</marker></defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>',
        _frame(10, 30, 980, 280, "one node: bold is what a qubit waits for"),
        _frame(10, 335, 980, 120, "between nodes"),
    ]
    parts += [_arrow(at[start], at[end], what, fast) for start, end, what, fast in ARROWS]
    parts += [_box(*box) for box in BOXES]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(x: int, y: int, width: int, height: int, title: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="none" '
        f'stroke="#bbb" stroke-dasharray="6 5"/><text x="{x + 12}" y="{y - 8}" font-size="14" '
        f'fill="#666">{escape(title)}</text>'
    )


def _box(x: int, y: int, name: str, what: str, colour: str) -> str:
    return (
        f'<rect x="{x - BOX_W // 2}" y="{y - BOX_H // 2}" width="{BOX_W}" height="{BOX_H}" rx="6" '
        f'fill="{colour}" stroke="#555"/>'
        f'<text x="{x}" y="{y - 4}" font-size="16" font-weight="bold" text-anchor="middle" '
        f'fill="#111">{escape(name)}</text>'
        f'<text x="{x}" y="{y + 17}" font-size="12" text-anchor="middle" fill="#333">'
        f"{escape(what)}</text>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], what: str, fast: bool) -> str:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        side = BOX_W // 2 if x2 > x1 else -BOX_W // 2
        x1, x2, label = x1 + side, x2 - side, ((x1 + x2) // 2, y1 - 8)
    else:
        y1, y2, label = y1 + BOX_H // 2, y2 - BOX_H // 2, (x1 + 40, (y1 + y2) // 2 + 4)
    width = 3 if fast else 1.4
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#444" stroke-width="{width}" '
        f'marker-end="url(#tip)"/><text x="{label[0]}" y="{label[1]}" font-size="12" '
        f'text-anchor="middle" fill="#444">{escape(what)}</text>'
    )


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(picture(), encoding="utf-8")
