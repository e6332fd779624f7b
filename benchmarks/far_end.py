"""Far ends of instruments in a process of their own, so that a benchmark weighs only our side.

    python -m benchmarks.far_end lines COUNT        listens on COUNT ports, answers as a power meter
    python -m benchmarks.far_end tdc1 TAGS_PER_S    a pseudo-terminal that streams as a TDC1

The first line of output says where.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import tty

import numpy as np

ANSWERS = {
    b"*IDN?": b"THORLABS,PM100D,P0031415,2.6.0\n",
    b"SYST:ERR?": b'+0,"No error"\n',
    b"SENS:CORR:WAV? MIN": b"4.000000E+02\n",
    b"SENS:CORR:WAV? MAX": b"1.100000E+03\n",
    b"SENS:CORR:WAV?": b"6.350000E+02\n",
    b"MEAS:POW?": b"1.234567E-03\n",
}
TURN = 1 << 27
BURST_S = 0.005


class _Lines(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._heard = b""

    def data_received(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            if line:
                self._transport.write(ANSWERS.get(line, b""))


async def lines(count: int) -> None:
    """Answer on ports of this machine until it is killed."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(_Lines, "127.0.0.1", 0) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


def tdc1(tags_per_s: float) -> None:
    """Stream words at an even rate between `INPKT` and `abort`, until it is killed."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    step = round(0.5e9 / tags_per_s)  # of 2 ns
    tick = 0
    streaming, due_s = False, 0.0
    while True:
        os.set_blocking(master, False)
        try:
            heard = os.read(master, 4096)
        except BlockingIOError:
            heard = b""
        os.set_blocking(master, True)
        if b"INPKT" in heard:
            streaming, due_s = True, time.monotonic()
        elif b"abort" in heard:
            streaming = False
        elif b"*IDN?" in heard:
            os.write(master, b"TDC1-0117\r\n")
        if not streaming:
            time.sleep(BURST_S)
            continue
        number = round(tags_per_s * BURST_S)
        ticks = tick + step * np.arange(number, dtype=np.int64)
        tick = int(ticks[-1]) + step
        words = ((ticks % TURN) << 5).astype("<u4") | np.uint32(1)
        data = memoryview(words.tobytes())
        while data:
            data = data[os.write(master, data) :]
        due_s += BURST_S
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    if sys.argv[1] == "lines":
        asyncio.run(lines(int(sys.argv[2])))
    else:
        tdc1(float(sys.argv[2]))
