"""What programs find on devices that err, in closed form from the devices' own numbers.

A pair of two clicks has ZZ = 1 and XX = -YY = V, the visibility. One end turns it to Phi+ by one
gate, and each moves its half to a storage qubit at the price of a two-qubit gate. A depolarising
error leaves a correlator with probability 1 - error, T2 leaves exp(-t/T2) of XX and YY, and a
readout that errs with probability r leaves 1 - 2r of each outcome. T1 is taken as endless.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qnodeos.launch.ideal import Devices


@dataclass(frozen=True, slots=True)
class Correlators:
    """<XX> and <ZZ> of pairs in memory; -<YY> is <XX>."""

    xx: float
    zz: float


def in_memory(devices: Devices, decay: float = 1.0) -> Correlators:
    """Of pairs when they are used; `decay` is the mean of exp(-t/T2) over both halves' times."""
    kept = (1 - devices.gate_error) * (1 - devices.two_qubit_gate_error) ** 2
    return Correlators(kept * devices.visibility * decay, kept)


def chsh_wins(devices: Devices, decay: float = 1.0) -> float:
    """Share of games won with the angles 0 and pi/2, and pi/4 and -pi/4, each but 0 a gate."""
    pair, turned = in_memory(devices, decay), 1 - devices.gate_error
    read = (1 - 2 * devices.readout_error) ** 2
    return 0.5 + read * turned * (pair.zz + turned * pair.xx) / (4 * math.sqrt(2))


def error_rates(devices: Devices, decay: float = 1.0) -> tuple[float, float]:
    """QBER in Z, and in X, which costs each end a Hadamard gate."""
    pair, turned = in_memory(devices, decay), (1 - devices.gate_error) ** 2
    read = (1 - 2 * devices.readout_error) ** 2
    return (1 - read * pair.zz) / 2, (1 - read * turned * pair.xx) / 2


@dataclass(frozen=True, slots=True)
class Sent:
    """A state that is teleported, and how many gates prepare it and turn it back."""

    phi: float
    theta: float
    gates: int


def teleported_wrong(devices: Devices, states: Sequence[Sent], decay: float = 1.0) -> float:
    """Share of states that are not found as they were sent, turned back and read.

    A wrong bit of Alice's about XX flips X and Y of what arrives, one about ZZ flips Y and Z; her
    CNOT errs on both bits, her Hadamard on the first. Bob corrects by two gates, each in half of
    the cases.
    """
    pair, read = in_memory(devices, decay), 1 - 2 * devices.readout_error
    one, cnot = 1 - devices.gate_error, 1 - devices.two_qubit_gate_error
    arrives = cnot * (1 - devices.gate_error / 2) ** 2
    x, z = arrives * pair.xx * read * one, arrives * pair.zz * read
    y = arrives * pair.xx * read**2 * one
    wrong = 0.0
    for sent in states:
        across = math.sin(sent.theta)
        state = across * math.cos(sent.phi), across * math.sin(sent.phi), math.cos(sent.theta)
        found = sum(part**2 * kept for part, kept in zip(state, (x, y, z), strict=True))
        wrong += (1 - read * one**sent.gates * found) / 2
    return wrong / len(states)
