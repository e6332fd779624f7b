"""A CNOT between qubits of two nodes, through one pair (Eisert et al. 2000, PRA 62, 052317).

    python examples/native/remote_cnot.py alice.toml bob.toml

The control is at the first node, the target at the second; all four inputs are tried.
"""

import asyncio
import sys

import qnodeos
from qnodeos.client import Node, Pair

PURPOSE = "remote-cnot-example"


async def control_half(node: Node, peer: str, bit: int) -> int:
    """CNOT from the control onto our half; tell its outcome, and undo the phase that they tell."""
    pair = await node.entangle(peer, fidelity=0.7, within="10 s", purpose=PURPOSE)
    control = await node.qubit(str(bit), peer=peer)  # not before: it would decay while it waits
    await pair.cnot_from(control)
    await node.say(peer, PURPOSE, x=await pair.measure("Z"))
    if (await node.hear(peer, PURPOSE))["z"]:
        await control.gate("Z")
    return await control.measure()


async def target_half(node: Node, peer: str, half: Pair, bit: int) -> int:
    """CNOT from the other half onto the target; its phase goes back."""
    target = await node.qubit(str(bit), peer=peer)
    if (await node.hear(peer, PURPOSE))["x"]:
        await half.gate("X")
    await half.cnot_onto(target)
    await node.say(peer, PURPOSE, z=await half.measure("X"))
    return await target.measure()


async def main(near_file: str, far_file: str) -> None:
    """All four inputs."""
    right = 0
    async with qnodeos.connect(near_file) as near, qnodeos.connect(far_file) as far:
        for one, other in ((near, far), (far, near)):
            await one.channel(other.name, PURPOSE)
        halves = far.accept(PURPOSE, peer=near.name)
        half = asyncio.ensure_future(anext(halves))
        await asyncio.sleep(0.5)  # a peer that takes no part refuses
        for control, target in ((0, 0), (0, 1), (1, 0), (1, 1)):
            here = asyncio.create_task(control_half(near, far.name, control))
            there = await target_half(far, near.name, await half, target)
            half = asyncio.ensure_future(anext(halves))
            right += (await here, there) == (control, target ^ control)
        half.cancel()
    print(f"{right} of 4 inputs gave what a CNOT gives")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
