"""Which pairs a program has a use for: those it waits for, and a few it has not asked for yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from qnodeos.memory_shares import Holding, Share


class Expecting:
    """Kept pairs of one request of a program, or of all that come to one of its sockets.

    `holding` are those on their way to a number of the program; `in_use` says whether a number
    holds a qubit; `failed` is called when no more will come.
    """

    def __init__(
        self,
        share: Share,
        hand: Holding,
        in_use: Callable[[int], bool],
        failed: Callable[[Exception], None],
    ):
        self.holding = Holding(share)
        self.failed = failed
        self._hand, self._in_use = hand, in_use
        self._numbers: deque[int | None] = deque()

    def expect(self, numbers: Iterable[int | None]) -> None:
        """The next pairs are for these numbers of the program, one after the other."""
        self._numbers.extend(numbers)

    def placed(self) -> None:
        """One has got its number."""
        if self._numbers:
            self._numbers.popleft()

    def no_use(self) -> str:
        """Why one more pair is of no use now; "" if it is.

        A number that is used again and again is awaited once at a time. A pair may come before its
        program asks for it, which may be late for good reasons, but those leave one qubit of the
        program's claim alone.
        """
        coming, share = self.holding.count, self.holding.share
        if coming < len(self._numbers):
            number = self._numbers[coming]
            again = number in islice(self._numbers, coming)
            if number is not None and (again or self._in_use(number)):
                return f"its program still uses the qubit {number} that the pair is for"
            return ""
        unasked = share.held - self._hand.count
        if unasked > 0 and share.held + 1 >= share.claim:
            return f"its program holds {share.held} qubits, {unasked} of which it has not taken yet"
        return ""
