"""Ten pairs between two nodes, measured in X at both ends.

    python examples/native/entangle.py alice.toml bob.toml

Both nodes run on this computer here; each half may as well be a program of its own, beside its own
node.
"""

import asyncio
import sys

import qnodeos

PURPOSE = "entangle-example"


async def ask(node_file: str, peer: str) -> dict[int, int]:
    """The end that asks."""
    outcomes = {}
    async with qnodeos.connect(node_file) as node:
        pairs = node.pairs(peer, number=10, fidelity=0.7, within="20 s", purpose=PURPOSE)
        async for pair in pairs:
            outcomes[pair.sequence] = await pair.measure("X")
    return outcomes


async def take(node_file: str, peer: str) -> dict[int, int]:
    """The end that takes part."""
    outcomes = {}
    async with qnodeos.connect(node_file) as node:
        async for pair in node.accept(PURPOSE, peer=peer):
            outcomes[pair.sequence] = await pair.measure("X")
            if len(outcomes) == 10:
                break
    return outcomes


async def main(near_file: str, far_file: str) -> None:
    """Run both and compare."""
    async with qnodeos.connect(near_file) as near, qnodeos.connect(far_file) as far:
        names = near.name, far.name
    taking = asyncio.create_task(take(far_file, names[0]))
    await asyncio.sleep(0.5)  # a peer that takes no part refuses
    mine = await ask(near_file, names[1])
    theirs = await taking
    same = sum(mine[sequence] == theirs[sequence] for sequence in mine)
    print(f"{same} of {len(mine)} outcomes agree, as Phi+ has it")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
