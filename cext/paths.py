"""The compiled paths of the kernels: which this processor runs, and which one is taken.

Every kernel that has several takes `path`: None for the widest, or a name of `available_paths()`.
The environment variable QNODEOS_KERNEL_PATH, read at import, names the one that None means.
"""

from __future__ import annotations

import os

from cext._cpu import best_path

NAMES = ("portable", "avx2", "avx512")
VARIABLE = "QNODEOS_KERNEL_PATH"


def available_paths() -> tuple[str, ...]:
    """Names of the paths that this processor runs, the portable one first."""
    return NAMES[: best_path() + 1]


def path_level(name: str | None) -> int:
    """Number of a path, the default one for None; ValueError for one that cannot run here."""
    if name is None:
        return _default
    if name not in available_paths():
        raise ValueError(
            f"no kernel path {name!r} on this processor, expected one of {available_paths()}"
        )
    return NAMES.index(name)


_default = best_path()
_default = path_level(os.environ.get(VARIABLE) or None)
