"""HTML with everything escaped, and numbers as people of the field write them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

_PREFIXES = (
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
)
MISSING = "–"


class Html(str):
    """Text that is HTML already; any other text is escaped where it is put into a tag."""

    __slots__ = ()


def tag(name: str, *content: object, **attributes: object) -> Html:
    """An element; `class_` gives class, `data_x` gives data-x, None leaves an attribute out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("input", "br", "line", "circle"):
        return Html(f"<{name}{told}/>" if name != "br" else "<br>")
    return Html(f"<{name}{told}>{joined(content)}</{name}>")


def joined(content: Iterable[object]) -> Html:
    """One after the other, escaped where they are not HTML."""
    return Html(
        "".join(each if isinstance(each, Html) else html.escape(str(each)) for each in content)
    )


def chip(text: str, state: str) -> Html:
    """A word with the colour of a state: good, warn, bad or idle."""
    return tag("span", text, class_="chip", data_state=state)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> Html:
    """A table that scrolls sideways where it does not fit; `empty` is said without rows."""
    body = [
        tag("tr", *(tag("td", cell, data_label=name) for name, cell in zip(head, row, strict=True)))
        for row in rows
    ]
    if not body:
        return tag("p", empty, class_="empty")
    names = tag("tr", *(tag("th", name) for name in head))
    return tag("div", tag("table", tag("thead", names), tag("tbody", *body)), class_="scroll")


def si(value: float | None, unit: str, digits: int = 3) -> str:
    """A number with a prefix for its unit: 24.4 k/s, 21.7 ps."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return f"0 {unit}"
    value = float(f"{value:.{digits - 1}e}")
    fits = (each for each in _PREFIXES if abs(value) >= each[0])
    scale, prefix = next(fits, _PREFIXES[-1])
    shown = value / scale
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(shown)) + 1e-12))
    return f"{shown:.{decimals}f} {prefix}{unit}".replace("-", "−")


_UNITS = {
    "cps": "/s",
    "hz": "Hz",
    "mw": "mW",
    "nm": "nm",
    "ma": "mA",
    "ua": "µA",
    "mv": "mV",
    "v": "V",
    "db": "dB",
    "dbm": "dBm",
    "deg": "°",
    "c": "°C",
    "k": "K",
    "ps": "ps",
    "ns": "ns",
    "us": "µs",
    "ms": "ms",
    "s": "s",
    "ppm": "ppm",
}


def named(name: str, value: object) -> tuple[str, str]:
    """A figure with its unit in its name, as `bias_1_ua` 20.0, in words: "bias 1", "20 µA"."""
    words, unit = name.replace("-", "_").split("_"), ""
    if len(words) > 1 and words[-1] in _UNITS:
        unit = _UNITS[words.pop()]
    text = str(value)
    if text in ("True", "true", "False", "false"):
        return " ".join(words), "yes" if text.lower() == "true" else "no"
    try:
        number = float(text)
    except ValueError:
        return " ".join(words), text
    if unit in ("/s", "Hz"):
        return " ".join(words), si(number, unit)
    shown = text if number.is_integer() and "." not in text else f"{number:.4g}"
    return " ".join(words), f"{shown} {unit}".rstrip()


def with_error(value: float | None, error: float | None, unit: str = "") -> str:
    """0.9647 ± 0.0018: the error with two digits, the value to the same place."""
    if value is None or not math.isfinite(value):
        return MISSING
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value:.4g} {unit}".rstrip().replace("-", "−")
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f} {unit}".rstrip().replace("-", "−")


def span(seconds: float | None) -> str:
    """A time as 12 s, 3 min, 5 h or 2 d; parts of a second as ms."""
    if seconds is None:
        return MISSING
    if abs(seconds) < 1:
        return f"{seconds * 1e3:.0f} ms"
    for limit, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if abs(seconds) < limit:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
