"""How much a peer may send: many times what a node of a network needs, and less than would hold up
what this node does for others (decision 0028).
"""

from __future__ import annotations

COSTS_PER_S = 10_000.0
"""Of plain messages, so many a second."""

BURST = 4000.0
"""What was not used may be used at once: after a stall of ours there is much to read. Until it is
used up a flooder has filled our memory with several times as much, all of which is to be read."""

BYTES_OF_ONE = 16_384
MALFORMED = 100.0
RESTART = 1000.0
"""What comes of a message that cannot be understood, or of a new process, costs others more."""

FIRST_HOLD_S, LONGEST_HOLD_S = 10.0, 320.0
FORGIVEN_S = 600.0


class Allowance:
    """A bucket that fills as time passes, from which each message of a peer takes its cost."""

    def __init__(self, now_s: float):
        self._left, self._filled_s = BURST, now_s
        self._hold_s, self._held_until_s = FIRST_HOLD_S, now_s

    def covers(self, cost: float, now_s: float) -> bool:
        """Take this much; False when there is not so much left."""
        self._left = min(BURST, self._left + COSTS_PER_S * (now_s - self._filled_s))
        self._filled_s = now_s
        self._left -= cost
        return self._left >= 0.0

    def hold_s(self, now_s: float) -> float:
        """For how long to hold a peer off that has used it up: each time twice as long, from the
        start again when it has behaved for `FORGIVEN_S`. Then it has all of it again."""
        if now_s > self._held_until_s + FORGIVEN_S:
            self._hold_s = FIRST_HOLD_S
        span_s, self._hold_s = self._hold_s, min(2.0 * self._hold_s, LONGEST_HOLD_S)
        self._held_until_s = now_s + span_s
        self._left = BURST
        return span_s


def cost_of(data_bytes: int) -> float:
    """What a message of so many bytes costs."""
    return 1.0 + data_bytes // BYTES_OF_ONE
