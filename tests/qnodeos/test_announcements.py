"""A memory link whose heralds are told later: both ends agree on it, and pairs outlive it."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from link_layer.messages import Attempt, Heralded, LinkHello
from timing.loop import run_virtual


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


LATE = {"announce_period_s": 0.02}


@on_virtual_time
async def test_pairs_are_delivered(network: Any, collect: Any, tmp_path: Path) -> None:
    async with network(tmp_path, link=LATE, t1_s=10.0, t2_s=10.0) as net:
        net.link("bob").desk.accept("test")
        pairs, ended = await collect(net.ask("alice", number=20, kind="M"))
        assert ended is None
        assert len(pairs) == 20
        periods = {m.announce_period_s for *_, m in net.wire.sent if isinstance(m, Attempt)}
        assert periods == {0.02}
        assert sum(isinstance(m, Heralded) for *_, m in net.wire.sent) >= 40


@on_virtual_time
async def test_the_ends_have_to_agree(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, link=LATE, t1_s=10.0, t2_s=10.0) as net:
        alice = net.link("alice")
        hello = next(m for *_, m in net.wire.sent if isinstance(m, LinkHello))
        alice.handle("bob", replace(hello, announce_period_s=0.01))
        assert "announce_period_s is 0.02 here and 0.01 at bob" in alice.missing()
        alice.handle("bob", hello)
        assert not alice.missing()


@on_virtual_time
async def test_no_longer_than_the_pairs_are_of_use(network: Any, tmp_path: Path) -> None:
    late = {"announce_period_s": 0.5}
    async with network(tmp_path, link=late, ready=False, t1_s=1.0, t2_s=1.0) as net:
        await asyncio.sleep(3.0)
        said = net.link("alice").missing()
        assert said.startswith("heralds are told up to 1 s late")
        assert "of use for" in said
        assert not net.link("bob").ready


def test_a_period_out_of_reason_is_refused() -> None:
    from pydantic import ValidationError

    from qnodeos.config import MemoryLinkTable

    with pytest.raises(ValidationError, match="announce_period_s"):
        MemoryLinkTable(
            kind="memory",
            peer="bob",
            station="station",
            device="device",
            minimum_useful_fidelity=0.7,
            test_fraction=0.1,
            announce_period_s=0.6,
        )
