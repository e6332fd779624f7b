"""An auditor of a network in which nodes were killed: it believes the papers only.

It reads the journals that the nodes have left and what their clients noted, which outlives the
node that was killed; it calls nothing of the node. `audit` gives every breach of what
was promised in a sentence; none is what is wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qnodeos.journal import Journal, PairRow

FINAL = ("done", "failed", "refused")
BASES = "XYZ"
"""Clients measure pair n in basis n modulo 3, so that the two ends' outcomes can be compared."""

NOTICE_S = 2.0
"""A surviving end may use halves of a dead node for so long: until silence tells it."""


Key = tuple[str, int]
"""Link and sequence: the identity of a pair."""


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


@dataclass(slots=True)
class ClientLog:
    """What the client of one end saw; `ends`: of each request, how it was told to be over."""

    told: list[Told] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)


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
    return found


def _requests(end: str, journal: Journal, log: ClientLog) -> list[str]:
    found = [
        f"{end}: request {each.identity} of {each.origin} is left {each.state}"
        for each in journal.requests
        if each.state not in FINAL
    ]
    if log.asked != log.ends.total():
        found.append(f"{end}: {log.asked} requests were made and {log.ends.total()} ended")
    return found


def _pairs(
    end: str, journal: Journal, log: ClientLog, kills: list[Kill], *, ends: set[str]
) -> list[str]:
    found = [
        f"{end}: pair {sequence} was {what} {times} times"
        for what, keys in (
            ("delivered", (pair.key for pair in log.told)),
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
    return found


def _kept(pair: PairRow) -> bool:
    return pair.role == "keep"
