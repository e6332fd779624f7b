"""An auditor of a network in which nodes were killed: it believes the papers only.

It reads the journals that the nodes have left and what their clients noted, which outlives the
node that was killed; it calls nothing of the node. `audit` gives every breach of what
was promised in a sentence; none is what is wanted.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qnodeos.journal import Journal, PairRow

FINAL = ("done", "failed", "refused")
BASES = "XYZ"
"""Clients measure pair n in basis n modulo 3, so that the two ends' outcomes can be compared."""

NOTICE_S = 2.0
"""A surviving end may use halves of a dead node for so long: until silence tells it."""


Key = tuple[str, int]
"""Link and sequence: the identity of a pair."""

UNSETTLED_S = 1.0
"""A pair that came so shortly before the kill of an end may be known to the other alone: the last
words of both and of the journal are lost; or after it, by words that were on their way."""

LONGEST_TAIL_S = 4.0
"""What a killed node had not written down yet is the work of 0.2 s, unless its computer was so busy
that it stood still before: how long is read from the journal's last entry. A node that writes for
longer than this nothing at all has no such excuse."""

JUDGED_TOGETHER, MOST_ODD = 50, 0.25
"""Pairs of type M, and the share of them that may contradict: 2.3 % of pairs of fidelity 0.965 do,
and half of what are no pairs, so that 50 tell the one from the other but once in 6,500 times."""


@dataclass(frozen=True, slots=True)
class Told:
    """A pair that a client was given."""

    link: str
    sequence: int
    slot: int
    bell_state: str

    @property
    def key(self) -> Key:
        """Its identity."""
        return self.link, self.sequence


@dataclass(frozen=True, slots=True)
class Use:
    """A pair that a client has measured: begun at `used_s`, seconds since 1970."""

    pair: Told
    outcome: int
    heralded_s: float
    deadline_s: float
    used_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Pairs of type M that a client was given together, and this end's outcomes."""

    link: str
    basis: str
    pairs: list[int]
    outcomes: list[int]


@dataclass(slots=True)
class ClientLog:
    """What the client of one end saw; `ends`: of each request, how it was told to be over."""

    told: list[Told] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    asked: int = 0
    ends: list[str] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kill:
    """A node that was killed, seconds since 1970."""

    node: str
    at_s: float


def audit(
    journals: Mapping[str, Journal], logs: Mapping[str, ClientLog], kills: Iterable[Kill]
) -> list[str]:
    """Every breach, of the journals and logs of a link's two ends."""
    kills = list(kills)
    found = []
    for end, journal in journals.items():
        found += _requests(end, journal, logs[end])
        found += _pairs(end, journal, logs[end], kills, ends=set(journals))
    one, other = journals
    found += _agreement(one, other, journals, logs)
    tails = {end: journal_tails(journals[end], kills, end) for end in journals}
    for near, far in ((one, other), (other, one)):
        found += _known_to_one(near, logs[near], journals[near], journals[far], kills, tails[far])
    found += _used_alone(one, logs[one], logs[other], journals[other])
    found += _used_alone(other, logs[other], logs[one], journals[one])
    return found


def _requests(end: str, journal: Journal, log: ClientLog) -> list[str]:
    found = [
        f"{end}: request {each.identity} of {each.origin} is left {each.state}"
        for each in journal.requests
        if each.state not in FINAL
    ]
    if log.asked != len(log.ends):
        found.append(f"{end}: {log.asked} requests were made and {len(log.ends)} ended")
    return found


def _pairs(
    end: str, journal: Journal, log: ClientLog, kills: list[Kill], *, ends: set[str]
) -> list[str]:
    found = [
        f"{end}: pair {sequence} was {what} {times} times"
        for what, keys in (
            ("delivered", _all_told(log)),
            ("used", (use.pair.key for use in log.uses)),
        )
        for (_, sequence), times in Counter(keys).items()
        if times > 1
    ]
    found += [
        f"{end}: pair {use.pair.sequence} was used {use.used_s - use.deadline_s:g} s past its "
        "deadline"
        for use in log.uses
        if use.used_s > use.deadline_s
    ]
    for pair in journal.pairs:
        if pair.delivered_s is not None and pair.delivered_s > pair.deadline_s and _kept(pair):
            found.append(f"{end}: the journal has pair {pair.sequence} delivered too late")
    for kill in kills:
        limit_s = kill.at_s + (0 if kill.node == end else NOTICE_S)
        found += [
            f"{end}: pair {use.pair.sequence}, older than the end of {kill.node}, was used "
            f"{use.used_s - kill.at_s:g} s after it"
            for use in log.uses
            if kill.node in ends and use.heralded_s < kill.at_s and use.used_s > limit_s
        ]
    return found


def _agreement(
    one: str, other: str, journals: Mapping[str, Journal], logs: Mapping[str, ClientLog]
) -> list[str]:
    found = []
    here = {(pair.link, pair.sequence): pair for pair in journals[one].pairs}
    for pair in journals[other].pairs:
        same = here.get((pair.link, pair.sequence))
        if same is not None and (same.slot, same.bell_state, same.request) != (
            pair.slot,
            pair.bell_state,
            pair.request,
        ):
            found.append(f"pair {pair.sequence} is not the same in both journals")
    told = {pair.key: pair for pair in logs[one].told}
    for each in logs[other].told:
        if told.get(each.key, each) != each:
            found.append(f"the clients were given pair {each.sequence} differently")
    uses = {use.pair.key: use for use in logs[one].uses}
    for use in logs[other].uses:
        twin = uses.get(use.pair.key)
        odd = BASES[use.pair.sequence % 3] == "Y"
        if twin is not None and (twin.outcome == use.outcome) is odd:
            found.append(f"pair {use.pair.sequence}: outcomes contradict Phi+")
    return found + _measured_apart(logs[one], logs[other])


def journal_tails(journal: Journal, kills: Iterable[Kill], end: str) -> list[tuple[float, float]]:
    """Of each kill of an end, when it last wrote into its journal, and when it was killed; none of
    one that was killed before it wrote at all."""
    written_s = [event.time_s for event in journal.events]
    written_s += [request.changed_s for request in journal.requests]
    for pair in journal.pairs:
        written_s += [each for each in (pair.delivered_s, pair.ended_s) if each is not None]
    written_s.sort()
    ends_s = sorted(kill.at_s for kill in kills if kill.node == end)
    tails = []
    for before_s, at_s in itertools.pairwise([-math.inf, *ends_s]):
        last = bisect.bisect_right(written_s, at_s) - 1
        if last >= 0 and written_s[last] > before_s:
            tails.append((written_s[last], at_s))
    return tails


def _known_to_one(
    end: str,
    log: ClientLog,
    near: Journal,
    far: Journal,
    kills: list[Kill],
    tails: list[tuple[float, float]],
) -> list[str]:
    """Pairs that were given or used here and that the far end never had. What came after `tails`
    began is lost with the far end's process."""
    known = {(pair.link, pair.sequence) for pair in far.pairs}
    given = {
        (pair.link, pair.sequence): pair.heralded_s
        for pair in near.pairs
        if pair.delivered_s is not None
    }
    given |= {use.pair.key: use.heralded_s for use in log.uses}
    found = []
    for key, heralded_s in given.items():
        apart_s = min((abs(kill.at_s - heralded_s) for kill in kills), default=math.inf)
        unwritten = any(
            from_s - UNSETTLED_S <= heralded_s <= at_s and at_s - from_s <= LONGEST_TAIL_S
            for from_s, at_s in tails
        )
        if key not in known and apart_s > UNSETTLED_S and not unwritten:
            found.append(
                f"{end}: pair {key[1]} was used, but the far end does not know it; "
                f"the nearest kill is {apart_s:.3g} s away"
            )
    return found


def _used_alone(end: str, log: ClientLog, far_log: ClientLog, far: Journal) -> list[str]:
    """Pairs that were used here long after the far end had given up its half, unused."""
    used_there = {use.pair.key for use in far_log.uses}
    ended_s = {
        (pair.link, pair.sequence): pair.ended_s
        for pair in far.pairs
        if pair.ended_s is not None and (pair.link, pair.sequence) not in used_there
    }
    return [
        f"{end}: pair {use.pair.sequence} was used {use.used_s - ended_s[use.pair.key]:.3g} s "
        "after the far end had given it up"
        for use in log.uses
        if use.pair.key in ended_s and use.used_s > ended_s[use.pair.key] + NOTICE_S
    ]


def _all_told(log: ClientLog) -> Iterator[Key]:
    """Every pair as often as the client was given it."""
    yield from (pair.key for pair in log.told)
    for some in log.measured:
        yield from ((some.link, pair) for pair in some.pairs)


def _measured_apart(one: ClientLog, other: ClientLog) -> list[str]:
    """Pairs of type M whose outcomes at the two ends are not of the same pairs.

    They are not ideal. So a delivery is looked at as a whole: of other pairs half would contradict.
    """
    here = {
        (some.link, pair): (some.basis, outcome)
        for some in one.measured
        for pair, outcome in zip(some.pairs, some.outcomes, strict=True)
    }
    found = []
    for some in other.measured:
        both = [
            (here[some.link, pair], outcome)
            for pair, outcome in zip(some.pairs, some.outcomes, strict=True)
            if (some.link, pair) in here
        ]
        name = f"the {len(both)} pairs from {some.pairs[0]} on of link {some.link}"
        if any(basis != some.basis for (basis, _), _ in both):
            found.append(f"{name} were not measured in the same basis")
        odd = sum((mine == theirs) is (some.basis == "Y") for (_, mine), theirs in both)
        if len(both) >= JUDGED_TOGETHER and odd > MOST_ODD * len(both):
            found.append(f"{name}: {odd} outcomes contradict Phi+")
    return found


def _kept(pair: PairRow) -> bool:
    return pair.role == "keep"
