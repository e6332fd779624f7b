"""Files that come along beside the program: examples, udev rules, units, dashboards."""

from __future__ import annotations

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]
_INSTALLED = Path(sys.prefix) / "share" / "qnodeos"


def shipped(name: str) -> Path:
    """Where a file or folder is, named from the top of a checkout, as "examples/two_nodes".

    In a checkout it is that one, else the one that the wheel has put beside the interpreter.
    """
    here = _CHECKOUT / name
    return here if here.exists() else _INSTALLED / name
