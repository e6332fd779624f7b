import asyncio
import os
import signal
import socket
import time

import pytest

from timing.loop import VirtualDeadlock, VirtualLoop, VirtualTimeLimit, run_virtual


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_day_of_sleep_takes_no_real_time() -> None:
    async def scenario() -> list[float]:
        seen = []
        for _ in range(48):
            await asyncio.sleep(3600)
            seen.append(now())
        return seen

    before = time.perf_counter()
    seen = run_virtual(scenario(), start_s=100.0)
    assert seen == [100.0 + 3600 * k for k in range(1, 49)]
    assert time.perf_counter() - before < 2


def test_timers_fire_in_order_and_exactly_when_due() -> None:
    async def scenario() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def sleeper(name: str, wait_s: float) -> None:
            await asyncio.sleep(wait_s)
            seen.append((name, now()))

        async with asyncio.TaskGroup() as group:
            for name, wait_s in (("c", 0.3), ("a", 0.1), ("b", 0.2), ("later", 1e6)):
                group.create_task(sleeper(name, wait_s))
        return seen

    assert run_virtual(scenario()) == [("a", 0.1), ("b", 0.2), ("c", 0.3), ("later", 1e6)]


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set() -> None:
    async def scenario() -> list[int]:
        loop, seen = asyncio.get_running_loop(), []
        for number in range(50):
            loop.call_at(1.0, seen.append, number)
            loop.call_at(0.5 + 0.001 * number, lambda: None)
        await asyncio.sleep(2)
        return seen

    assert run_virtual(scenario()) == list(range(50))


def test_cancelled_timers_are_forgotten_and_never_fire() -> None:
    async def scenario() -> tuple[int, list[str]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        seen: list[str] = []
        for _ in range(10_000):
            loop.call_later(1e6, seen.append, "cancelled").cancel()
            loop.call_later(2.0, seen.append, "cancelled").cancel()
            await asyncio.sleep(1e-4)
        kept = loop.call_later(3.0, seen.append, "kept")
        await asyncio.sleep(4)
        kept.cancel()  # too late, and not counted
        return len(loop._timers), seen

    left, seen = run_virtual(scenario())
    assert seen == ["kept"]
    assert left < 200


def test_a_signal_is_heard_in_the_middle_of_virtual_time() -> None:
    async def scenario() -> bool:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(1000):
            await asyncio.sleep(1)
            if heard.is_set():
                return True
        return False

    assert run_virtual(scenario())


def test_time_limits_work_on_virtual_time() -> None:
    async def scenario() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return now()

    assert run_virtual(scenario()) == 5


def test_progress_at_large_virtual_times() -> None:
    async def scenario() -> float:
        for _ in range(100):
            await asyncio.sleep(1e-7)
        return now()

    assert run_virtual(scenario(), start_s=1e9) >= 1e9


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def forgotten() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        waiter = asyncio.create_task(forgotten(), name="the forgotten one")
        await waiter

    with pytest.raises(VirtualDeadlock, match=r"the forgotten one in .*forgotten.*test_loop"):
        run_virtual(scenario())


def test_a_time_limit_ends_a_program_that_only_ticks() -> None:
    cleaned = []

    async def tick() -> None:
        asyncio.get_running_loop().call_later(1, lambda: asyncio.ensure_future(tick()))
        await asyncio.Event().wait()

    async def scenario() -> None:
        try:
            await tick()
        finally:
            await asyncio.sleep(30)
            cleaned.append(now())

    with pytest.raises(VirtualTimeLimit, match="10"):
        run_virtual(scenario(), limit_s=10)
    assert cleaned == [40]


def test_real_sockets_are_served_before_time_moves() -> None:
    async def scenario() -> tuple[bytes, float]:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        with near, far:
            async with asyncio.timeout(1):
                reading = asyncio.create_task(loop.sock_recv(far, 16))
                await loop.sock_sendall(near, b"tick")
                data = await reading
        return data, now()

    assert run_virtual(scenario()) == (b"tick", 0.0)


def test_work_for_other_threads_is_done_in_place() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def scenario() -> int:
        with pytest.raises(ValueError, match="no"):
            await asyncio.to_thread(fail)
        return await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2, 3])

    assert run_virtual(scenario()) == 6


def test_what_is_left_behind_is_cancelled() -> None:
    ended = []

    async def straggler() -> None:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            ended.append(now())
            raise

    async def scenario() -> asyncio.Task[None]:
        task = asyncio.create_task(straggler())
        await asyncio.sleep(1)
        return task

    assert run_virtual(scenario()).cancelled()
    assert ended == [1]


def test_the_loop_can_be_used_bare() -> None:
    loop = VirtualLoop(start_s=7)
    try:
        loop.run_until_complete(asyncio.sleep(3))
        assert loop.time() == 10
    finally:
        loop.close()


def test_a_task_group_is_cancelled_in_the_same_order_at_every_run() -> None:
    async def scenario() -> list[int]:
        ended: list[int] = []

        async def member(number: int) -> None:
            try:
                await asyncio.sleep(1e6)
            finally:
                ended.append(number)

        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                for number in range(50):
                    tasks.create_task(member(number))

        running = asyncio.create_task(group())
        await asyncio.sleep(1.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return ended

    kept = []
    orders = []
    for size in range(5):
        kept.append(bytearray(1000 * size))  # the tasks lie elsewhere in memory
        orders.append(run_virtual(scenario()))
    assert orders == [orders[0]] * 5
    assert sorted(orders[0]) == list(range(50))
