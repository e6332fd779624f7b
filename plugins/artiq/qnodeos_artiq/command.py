"""`qnodeos-artiq`: serve an ARTIQ experiment, here or behind sipyco, to a node."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from qnodeos_artiq.artiq_sequencer import ArtiqSequencer
from qnodeos_artiq.device import Device
from qnodeos_artiq.sequencer import CALL_LIMIT_S, Fault, LocalSequencer, Sequencer
from qnodeos_artiq.server import Server
from qnodeos_artiq.simulation import SimulatedTarget
from qnodeos_artiq.sipyco_sequencer import SipycoSequencer


def main(arguments: list[str] | None = None) -> int:
    """Run until interrupted or terminated; 1 with one line on stderr if it cannot."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve(asked))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except (Fault, ImportError, OSError, ValueError) as problem:
        print(f"qnodeos-artiq: {problem}", file=sys.stderr)
        return 1
    return 0


async def _serve(asked: argparse.Namespace) -> None:
    if serving := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    sequencer = _sequencer(asked)
    server = None
    try:
        server = Server(await Device.of(sequencer))
        async with await server.start(asked.host, asked.port) as listening:
            host, port = listening.sockets[0].getsockname()[:2]
            print(f"serving qnodeos.device on tcp://{host}:{port}", flush=True)
            await listening.serve_forever()
    finally:
        if server is not None:
            await server.close()
        await sequencer.close()


def _sequencer(asked: argparse.Namespace) -> Sequencer:
    if asked.simulation:
        return LocalSequencer(SimulatedTarget(), limit_s=asked.limit_s)
    if asked.sipyco:
        host, _, port = asked.sipyco.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"--sipyco {asked.sipyco!r}, expected HOST:PORT")
        return SipycoSequencer(host.strip("[]"), int(port), asked.target, limit_s=asked.limit_s)
    return ArtiqSequencer(
        asked.experiment, asked.class_name, asked.device_db, limit_s=asked.limit_s
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qnodeos-artiq", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--experiment", type=Path, help="file of an experiment, run in this process")
    what.add_argument("--sipyco", metavar="HOST:PORT", help="an RPC server that has the methods")
    what.add_argument("--simulation", action="store_true", help="no hardware, to try the node with")
    parser.add_argument("--class-name", default="Device", help="the experiment's class")
    parser.add_argument("--device-db", type=Path, default=Path("device_db.py"))
    parser.add_argument("--target", default="", help="of the RPC server, if it has several")
    parser.add_argument("--host", default="127.0.0.1", help="where the node connects to")
    parser.add_argument("--port", type=int, default=7196)
    parser.add_argument(
        "--limit-s", type=float, default=CALL_LIMIT_S, help="time limit of each call"
    )
    return parser
