"""Random generators, one a component, so that adding one does not change the chance of another."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator"]


def generator(seed: int, component: str) -> np.random.Generator:
    """The generator of a component, named `section.name`, in a lab with this seed."""
    return np.random.default_rng([seed, zlib.crc32(component.encode())])
