"""Instants as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from qnodeos.errors import UserError

_UNITS_S = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")


def instant(text: str, end_s: float, option: str) -> float:
    """Seconds since 1970: of "8h", so long before the end; of an ISO 8601 date, UTC unless it says
    otherwise. Raises UserError."""
    if found := _AGO.fullmatch(text.strip()):
        return end_s - float(found[1]) * _UNITS_S[found[2]]
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UserError(
            f"{option} is no instant",
            found=f"'{text}'",
            expected="a time before the end such as 8h, 30min or 2d, or a date such as "
            "2026-11-26T22:00",
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
