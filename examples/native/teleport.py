"""A state is teleported from one node to another, six times, and checked where it arrives.

python examples/native/teleport.py alice.toml bob.toml
"""

import asyncio
import sys

import qnodeos
from qnodeos.client import Node, Pair

PURPOSE = "teleport-example"
STATES = {
    "0": ("Z", 0),
    "1": ("Z", 1),
    "+": ("X", 0),
    "-": ("X", 1),
    "+i": ("Y", 0),
    "-i": ("Y", 1),
}


async def send(node: Node, peer: str, state: str) -> None:
    """Bell-measure a qubit in this state with half of a pair, and tell the two bits."""
    pair = await node.entangle(peer, fidelity=0.7, within="10 s", purpose=PURPOSE)
    data = await node.qubit(state, peer=peer)  # not before: it would decay while it waits
    await pair.cnot_from(data)
    await data.gate("H")
    z = await data.measure()
    x = await pair.measure()
    await node.say(peer, PURPOSE, x=x, z=z)


async def receive(node: Node, peer: str, half: Pair, basis: str) -> int:
    """Correct the other half and measure it."""
    bits = await node.hear(peer, PURPOSE)
    if bits["x"]:
        await half.gate("X")
    if bits["z"]:
        await half.gate("Z")
    return await half.measure(basis)


async def main(near_file: str, far_file: str) -> None:
    """One state after the other."""
    right = 0
    async with qnodeos.connect(near_file) as near, qnodeos.connect(far_file) as far:
        await far.channel(near.name, PURPOSE)  # open before the bits come
        halves = far.accept(PURPOSE, peer=near.name)
        half = asyncio.ensure_future(anext(halves))
        await asyncio.sleep(0.5)  # a peer that takes no part refuses
        for state, (basis, expected) in STATES.items():
            await send(near, far.name, state)
            right += await receive(far, near.name, await half, basis) == expected
            half = asyncio.ensure_future(anext(halves))
        half.cancel()
    print(f"{right} of {len(STATES)} states arrived")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
