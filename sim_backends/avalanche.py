"""An avalanche diode with its bias and its counter, in front of one detector of the lab."""

from __future__ import annotations

from collections.abc import Callable

from sim_backends.detectors import DetectorBank

__all__ = ["AvalancheDiode"]


class AvalancheDiode:
    """Channel 1 of a bank, biased by a voltage; below `breakdown_v` it does not click.

    The bank's own bias goes from zero at the breakdown to its full value at `excess_v` above. That
    is a stand-in: how efficiency and dark counts rise is that of the bank.
    """

    def __init__(
        self,
        bank: DetectorBank,
        *,
        advance: Callable[[], None],
        breakdown_v: float,
        excess_v: float,
    ) -> None:
        self._bank = bank
        self._advance = advance
        self._full_ua = bank.full_bias_ua
        self.breakdown_v = breakdown_v
        self._excess_v = excess_v
        self._bias_v = 0.0
        self.set_bias_v(0.0)

    @property
    def bias_v(self) -> float:
        """The voltage over the diode."""
        return self._bias_v

    def set_bias_v(self, bias_v: float) -> None:
        """Bias the diode from now on."""
        self._advance()
        self._bias_v = bias_v
        share = max(0.0, bias_v - self.breakdown_v) / self._excess_v
        self._bank.enabled = bias_v > 0.0
        self._bank.bias_ua[0] = share * self._full_ua

    def clicks(self) -> int:
        """Clicks since the lab's start."""
        self._advance()
        return self._bank.count_totals()[0]
