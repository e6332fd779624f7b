"""A program of a host: its memory, qubits and sockets, and the running of its subroutines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from link_layer.messages import ErrorCode
from qnodeos.measured import MeasuredPairs
from qnodeos.memory_link import MemoryLink
from qnodeos.pair import Pair
from qnodeos.process import host_messages
from qnodeos.process.commands import Command, Flavour, decode
from qnodeos.process.epr import RESULT_CELLS, EprSocket, Wanted, results, wanted
from qnodeos.process.expecting import Expecting
from qnodeos.process.memory import ProgramFault, ProgramMemory
from qnodeos.process.qubits import ProgramQubits
from qnodeos.requests import RequestEnded

MOST_STEPS = 5_000_000
"""Of one subroutine: an endless loop ends its program after some seconds, not the node."""

STEPS_AT_ONCE = 500
CELLS_A_STEP = 64
"""Making or returning an array counts as steps by its length, as it takes time by its length."""

MOST_RETURNED_BYTES = 1 << 22
"""Of one subroutine: they are held until it is done."""

MOST_REQUESTS = 256
"""For pairs, under way at a time."""

MOST_PAIRS = 10_000

FAR_PROGRAM_LIMIT_S = 20.0
"""A program may ask for pairs before the one at the far end has opened its socket."""

AGAIN_S = 0.02

_GATES = {"x": "X", "y": "Y", "z": "Z", "h": "H", "s": "S", "cnot": "CNOT"}


class Program:
    """One program of one connection. `most_qubits`: what it may hold at a time."""

    def __init__(self, link: MemoryLink | None, most_qubits: int, flavour: Flavour):
        self.memory = ProgramMemory()
        self.qubits = ProgramQubits(link, most_qubits)
        self.sockets: dict[tuple[int, int], EprSocket] = {}
        self._link = link
        self._flavour: Flavour = flavour
        self._pairs: set[asyncio.Task[None]] = set()
        self._receiving: dict[tuple[int, int], asyncio.Lock] = {}
        self._news = asyncio.Event()
        self._problem: BaseException | None = None
        self._created = 0
        self._has_run = False

    def open(self, remote_node: int, number: int, socket: EprSocket) -> None:
        """Open a socket; the program begins when the far ends of all are there. Raises
        ProgramFault."""
        socket.expecting = self._expecting()
        socket.open()
        self.sockets[remote_node, number] = socket

    def close(self) -> None:
        """The program is over: nothing of it stays."""
        for task in self._pairs:
            task.cancel()
        for socket in self.sockets.values():
            socket.close()
        self.sockets.clear()
        self.qubits.free_all()

    async def run(self, data: bytes) -> list[bytes]:
        """Run a subroutine; what it returns to the host, as bytes. Raises BadSubroutine,
        ProgramFault, RequestEnded, PairExpired, InstrumentProblem."""
        _, commands = decode(data, self._flavour)
        if not self._has_run:
            self._has_run = True
            self._begin()
        returned: list[bytes] = []
        at = steps = turn = returned_bytes = 0
        while at < len(commands):
            if turn >= STEPS_AT_ONCE:
                steps, turn = steps + turn, 0
                if steps > MOST_STEPS:
                    raise ProgramFault(f"more than {MOST_STEPS} steps in one subroutine")
                await asyncio.sleep(0)
            command = commands[at]
            at = await self._step(command, at, returned)
            turn += 1
            if command.name in ("array", "ret_arr"):
                turn += len(self.memory.array(command.operands[-1])) // CELLS_A_STEP
            if command.name in ("ret_reg", "ret_arr"):
                returned_bytes += len(returned[-1])
                if returned_bytes > MOST_RETURNED_BYTES:
                    raise ProgramFault(f"more than {MOST_RETURNED_BYTES} bytes are returned")
            if at < 0:
                raise ProgramFault(f"{command.name} jumps to command {at}")
        await self.qubits.settled()
        return returned

    def _begin(self) -> None:
        """At once, if nobody else is to be there."""
        if self._link is None:
            return
        if self.sockets:
            self._link.shared.programs.all_open(self.qubits.share)
        else:
            self._link.shared.shares.begin(self.qubits.share)

    async def _step(self, command: Command, at: int, returned: list[bytes]) -> int:
        """One command; the number of the next."""
        name, o = command.name, command.operands
        r, memory = self.memory.registers, self.memory
        match name:
            case "set":
                memory.set(o[0], o[1])
            case "store":
                memory.store(o[1], r[o[2]], r[o[0]])
            case "load":
                memory.set(o[0], memory.load(o[1], r[o[2]]))
            case "undef":
                memory.store(o[0], r[o[1]], None)
            case "array":
                memory.new_array(o[1], r[o[0]])
            case "lea":
                memory.set(o[0], o[1])
            case "jmp":
                return o[0]
            case "bez" | "bnz":
                return o[1] if (r[o[0]] == 0) is (name == "bez") else at + 1
            case "beq" | "bne" | "blt" | "bge":
                return o[2] if _compares(name, r[o[0]], r[o[1]]) else at + 1
            case "add" | "sub" | "mul" | "div" | "rem" | "addm" | "subm":
                memory.set(o[0], _computed(name, [r[each] for each in o[1:]]))
            case "qalloc":
                await self.qubits.allocate(r[o[0]])
            case "init":
                self.qubits.initialise(r[o[0]])
            case "qfree":
                self.qubits.free(r[o[0]])
            case "meas":
                memory.set(o[1], await self.qubits.measure(r[o[0]]))
            case "ret_reg":
                returned.append(host_messages.returned_register(o[0], r[o[0]]))
            case "ret_arr":
                returned.append(host_messages.returned_array(o[0], memory.array(o[0])))
            case "create_epr":
                self._create(*(r[each] for each in o))
            case "recv_epr":
                self._receive(*(r[each] for each in o))
            case "wait_all" | "wait_any":
                await self._wait(o[0], r[o[1]], r[o[2]], all if name == "wait_all" else any)
            case "wait_single":
                await self._wait(o[0], r[o[1]], r[o[1]] + 1, all)
            case "breakpoint":
                pass  # for debuggers of simulators
            case _:
                await self._quantum(name, o, r)
        return at + 1

    async def _quantum(self, name: str, o: tuple[int, ...], r: list[int]) -> None:
        """Gates, in the words of the device."""
        qubits = self.qubits
        if name in _GATES:
            qubits.gate(_GATES[name], *(r[each] for each in o))
        elif name in ("rot_x", "rot_y", "rot_z"):
            qubits.turn(name[-1].upper(), r[o[0]], _angle(o[1], o[2]))
        elif name == "t":
            qubits.turn("Z", r[o[0]], math.pi / 4)
        elif name == "k":  # (Y + Z)/sqrt 2
            qubits.gate("Z", r[o[0]])
            qubits.turn("X", r[o[0]], -math.pi / 2)
        elif name == "cphase":
            control, target = r[o[0]], r[o[1]]
            qubits.gate("H", target)
            qubits.gate("CNOT", control, target)
            qubits.gate("H", target)
        elif name in ("crot_x", "crot_y"):
            self._controlled_turn(name[-1].upper(), r[o[0]], r[o[1]], _angle(o[2], o[3]))
        elif name in ("mov", "swp"):
            one, other = r[o[0]], r[o[1]]
            for control, target in ((one, other), (other, one), (one, other)):
                qubits.gate("CNOT", control, target)
        elif name in ("meas_basis", "meas_basis_yzy", "meas_basis_zxz"):
            axes = {"meas_basis": "XYX", "meas_basis_yzy": "YZY", "meas_basis_zxz": "ZXZ"}[name]
            for axis, numerator in zip(axes, o[2:5], strict=True):
                if numerator:
                    qubits.turn(axis, r[o[0]], _angle(numerator, o[5]))
            self.memory.set(o[1], await qubits.measure(r[o[0]]))
        else:
            raise ProgramFault(f"the device of this node cannot do {name}")

    def _controlled_turn(self, axis: str, control: int, target: int, angle_rad: float) -> None:
        """By +angle where the control is 0 and by -angle where it is 1, as NV centres do it."""
        # A CNOT turns Y and Z about, so Y turns by itself and X is brought to Z.
        if axis == "X":
            self.qubits.gate("H", target)
        self.qubits.gate("CNOT", control, target)
        self.qubits.turn("Z" if axis == "X" else "Y", target, angle_rad)
        self.qubits.gate("CNOT", control, target)
        if axis == "X":
            self.qubits.gate("H", target)

    # Pairs.

    def _create(
        self, node: int, socket_id: int, qubit_array: int, argument_array: int, result_array: int
    ) -> None:
        socket = self._socket(node, socket_id)
        asked = wanted(self.memory.array(argument_array), socket.fidelity)
        if not 1 <= asked.number <= MOST_PAIRS:
            raise ProgramFault(f"{asked.number} pairs are asked, expected 1 to {MOST_PAIRS}")
        self._created += 1
        create_id = self._created & 0xFFFF
        numbers = self._virtual(qubit_array)[: asked.number] if asked.kind == "K" else []
        self.qubits.can_hold(numbers)
        expecting = self._expecting()
        expecting.expect(numbers)

        async def take() -> None:
            k = 0
            async with aclosing(_asked(socket, asked, expecting)) as items:
                async for item in items:
                    await self._place(
                        item, socket, k, numbers, expecting, result_array, False, create_id
                    )
                    k += 1

        self._start(take())

    def _receive(self, node: int, socket_id: int, qubit_array: int, result_array: int) -> None:
        socket = self._socket(node, socket_id)
        number = len(self.memory.array(result_array)) // RESULT_CELLS
        numbers = self._virtual(qubit_array)
        self.qubits.can_hold(numbers[:number])
        expecting = socket.expecting or self._expecting()
        expecting.expect(numbers[:number])
        self.qubits.news()
        turn = self._receiving.setdefault((node, socket_id), asyncio.Lock())

        async def take() -> None:
            assert socket.inbox is not None
            async with turn:  # one after the other, as they were asked
                for k in range(number):
                    item = await anext(aiter(socket.inbox))
                    await self._place(item, socket, k, numbers, expecting, result_array, True, 0)

        self._start(take())

    async def _place(
        self,
        item: Any,
        socket: EprSocket,
        k: int,
        numbers: list[int | None],
        expecting: Expecting,
        result_array: int,
        theirs: bool,
        create_id: int,
    ) -> None:
        """The k-th pair of a request is the program's: its qubit, then its results."""
        virtual = 0
        if isinstance(item, Pair):
            found = numbers[k] if k < len(numbers) else None
            if found is None:
                raise ProgramFault(f"no qubit is named for pair {k}")
            virtual = found
            # Requests may use one number again and again: the next pair waits for its qfree.
            await self.qubits.until_free(virtual)
            self.qubits.take_pair(virtual, item)
        elif not isinstance(item, MeasuredPairs):
            raise ProgramFault(f"a delivery of type {type(item).__name__}")
        expecting.placed()
        self.qubits.news()
        values = results(item, socket, qubit=virtual, theirs=theirs, create_id=create_id)
        self.memory.fill(result_array, k * RESULT_CELLS, values)
        self._news.set()

    def _expecting(self) -> Expecting:
        qubits = self.qubits
        return Expecting(qubits.share, qubits.hand, qubits.holds, self._far_failed)

    def _far_failed(self, problem: Exception) -> None:
        """The far end's request has ended: who receives waits in vain."""
        if self._pairs:
            self._problem = self._problem or problem
            self._news.set()

    def _virtual(self, address: int) -> list[int | None]:
        """The numbers named for kept pairs; an address that is no array names none."""
        try:
            return self.memory.array(address)
        except ProgramFault:
            return []

    def _socket(self, node: int, socket_id: int) -> EprSocket:
        socket = self.sockets.get((node, socket_id))
        if socket is None:
            raise ProgramFault(f"the program has opened no EPR socket {socket_id} to node {node}")
        return socket

    def _start(self, pairs: Coroutine[Any, Any, None]) -> None:
        if len(self._pairs) >= MOST_REQUESTS:
            pairs.close()
            raise ProgramFault(f"more than {MOST_REQUESTS} requests for pairs are under way")
        task = asyncio.create_task(pairs)
        self._pairs.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._pairs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._problem = self._problem or task.exception()
        self._news.set()

    async def _wait(
        self, address: int, first: int, stop: int, enough: Callable[[Any], bool]
    ) -> None:
        """Until all, or any, cells of a slice are defined."""
        while True:
            cells = self.memory.array(address)
            if not 0 <= first <= stop <= len(cells):
                raise ProgramFault(f"array {address} has no cells {first} to {stop}")
            if first == stop or enough(cell is not None for cell in cells[first:stop]):
                return
            problem, self._problem = self._problem, None
            if isinstance(problem, RequestEnded):
                raise RequestEnded(problem.error, problem.text) from problem
            if problem is not None:
                raise problem
            if not self._pairs:
                raise ProgramFault(f"cells {first} to {stop} of array {address} never come")
            self._news.clear()
            await self._news.wait()


async def _asked(
    socket: EprSocket, asked: Wanted, expecting: Expecting
) -> AsyncGenerator[Any, None]:
    """The pairs of a request; asked for again while the far end's program has not come yet."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + FAR_PROGRAM_LIMIT_S
    begun = False
    while True:
        try:
            inbox = socket.link.desk.ask(
                kind=asked.kind,
                number=asked.number,
                purpose=socket.ours,
                taker=expecting,
                **asked.wishes,
            )
            try:
                async for item in inbox:
                    begun = True
                    yield item
            finally:
                socket.link.desk.cancel(inbox)  # nothing, if it is over
            return
        except RequestEnded as ended:
            if begun or ended.error is not ErrorCode.REJECTED or clock() >= until_s:
                raise
        await asyncio.sleep(AGAIN_S)


def _angle(numerator: int, exponent: int) -> float:
    """n pi/2^d."""
    return float(numerator * math.pi / 2**exponent)


def _compares(name: str, a: int, b: int) -> bool:
    return {"beq": a == b, "bne": a != b, "blt": a < b, "bge": a >= b}[name]


def _computed(name: str, values: list[int]) -> int:
    a, b = values[:2]
    match name:
        case "add":
            return a + b
        case "sub":
            return a - b
        case "mul":
            return a * b
        case "div" | "rem":
            if b == 0:
                raise ProgramFault(f"{name} by 0")
            return a // b if name == "div" else a % b
        case _:
            modulus = values[2]
            if modulus < 1:
                raise ProgramFault(f"{name} modulo {modulus}")
            return (a + b if name == "addm" else a - b) % modulus
