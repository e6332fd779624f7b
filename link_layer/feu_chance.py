"""Accidentals among the test rounds of one basis, as delayed windows have them."""

from __future__ import annotations

import math

import numpy as np

from link_layer.feu_beta import Floats

KEPT_S = 300.0
"""The share of accidentals is that of about this time: a shorter one has noise of its own, which
looks like a link that moves."""


class Chance:
    """How many rounds there were, and how many of them are chance, each way; one link or arrays."""

    def __init__(self) -> None:
        self._rounds: Floats | float = 0.0
        self._right: Floats | float = 0.0
        self._wrong: Floats | float = 0.0

    def add(self, rounds: Floats | float, right: Floats | float, wrong: Floats | float) -> None:
        """So many rounds, and how many are expected to be as the Bell state has it, and against
        it, by chance."""
        self._rounds = self._rounds + rounds
        self._right = self._right + right
        self._wrong = self._wrong + wrong

    def fade(self, seconds: float) -> None:
        """Time goes by."""
        left = math.exp(-seconds / KEPT_S)
        self._rounds *= left
        self._right *= left
        self._wrong *= left

    def shares(self) -> tuple[Floats, Floats]:
        """Share of the rounds that are chance, at most 0.95, and that contradict by chance."""
        rounds = np.maximum(self._rounds, 1e-9)
        share = (self._right + self._wrong) / rounds
        most = 0.95 / np.maximum(share, 0.95)
        return np.asarray(share * most), np.asarray(self._wrong / rounds * most)
