"""The arming lease ends by itself. Virtual time; the guard itself is in test_guard.py."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.safety import ArmingLease, keep_armed
from timing.loop import run_virtual


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_lease_is_not_held_before_it_is_renewed() -> None:
    lease = ArmingLease(Clock())
    assert not lease.live
    assert lease.remaining_s == 0


def test_a_lease_ends_by_itself_and_by_release() -> None:
    clock = Clock()
    lease = ArmingLease(clock, duration_s=2.0)
    lease.renew()
    clock.now_s += 1.5
    assert lease.live
    assert lease.remaining_s == pytest.approx(0.5)
    clock.now_s += 0.5
    assert not lease.live
    lease.renew()
    assert lease.live
    lease.release()
    assert not lease.live


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=30))
def test_a_lease_is_live_exactly_within_its_time(steps: list[tuple[float, bool]]) -> None:
    clock = Clock()
    lease = ArmingLease(clock, duration_s=2.0)
    renewed_s: float | None = None
    for wait_s, renew in steps:
        clock.now_s += wait_s
        if renew:
            lease.renew()
            renewed_s = clock.now_s
        due = renewed_s is not None and renewed_s + 2.0 > clock.now_s
        assert lease.live == due
        assert (lease.remaining_s > 0) == due


def test_where_nothing_emits_nothing_is_guarded(tmp_path: object) -> None:
    async def scenario() -> None:
        lease = ArmingLease(asyncio.get_running_loop().time)
        await keep_armed(lease, [], data_dir=tmp_path, all_safe=lambda: True)  # type: ignore[arg-type]
        assert not lease.live

    run_virtual(scenario())
