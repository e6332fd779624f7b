"""Packages of others that a driver needs: are they here?"""

from __future__ import annotations

from importlib.util import find_spec


def missing_package(package: str) -> str:
    """Why a driver's vendor library cannot be used; "" when it is there or none is needed."""
    if not package:
        return ""
    try:
        found = find_spec(package.partition(" ")[0]) is not None
    except (ImportError, ValueError):
        found = False
    return "" if found else f"needs the package {package}, which is not installed"
