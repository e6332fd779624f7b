"""Every type of simulated instrument: what of the world it shows, how it is reached, what makes it.

Adding an instrument is one entry in `CATALOGUE`. An instrument that shows something of the world
names its sections in `of`; one that is complete in itself (a switch, a clock) names none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np

from sim_backends.avalanche import AvalancheDiode
from sim_backends.instruments.abacus import Abacus
from sim_backends.instruments.cld1015 import Cld1015
from sim_backends.instruments.dg645 import Dg645
from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.instruments.dlcpro_monitor import DlcProMonitor
from sim_backends.instruments.ell14 import Ell14Bus
from sim_backends.instruments.fs725 import Fs725
from sim_backends.instruments.id120 import Id120
from sim_backends.instruments.id900 import Id900
from sim_backends.instruments.itla import Itla
from sim_backends.instruments.mpc320 import Mpc320
from sim_backends.instruments.nkt_basik import NktBasik
from sim_backends.instruments.osw_e import OswE
from sim_backends.instruments.oz_dd100 import OzDd100
from sim_backends.instruments.oz_epc import OzEpc
from sim_backends.instruments.pm100d import Pm100d
from sim_backends.instruments.polatis import Polatis
from sim_backends.instruments.pulse_streamer import PulseStreamer
from sim_backends.instruments.quantum_device import QuantumDeviceServer
from sim_backends.instruments.retina import Retina
from sim_backends.instruments.santec_tsl import SantecTsl
from sim_backends.instruments.scpi_yaml import ScpiYaml
from sim_backends.instruments.sfifteen_spd import SFifteenSpd
from sim_backends.instruments.tdc1 import Tdc1
from sim_backends.instruments.tempico import Tempico
from sim_backends.instruments.websq import WebSq
from sim_backends.instruments.wr_switch import WrSwitch
from sim_backends.lab import InstrumentConfig
from sim_backends.mount import Connect
from sim_backends.scpi_yaml import load_box

__all__ = [
    "CATALOGUE",
    "MESSAGE_KINDS",
    "Context",
    "InstrumentType",
    "MountKind",
    "Sockets",
    "Stepped",
]

MountKind = Literal["pty", "tcp", "hislip", "zmq", "zmq-pair", "http", "ws", "snmp"]
"""What a socket of an instrument stands on outside of memory, see `sim_backends.places`."""

MESSAGE_KINDS: Final[frozenset[MountKind]] = frozenset({"zmq", "zmq-pair", "http", "ws", "snmp"})
"""Those that carry messages; in memory such a socket is wrapped by `mount_messages.in_packets`."""

Sockets = Mapping[str, Connect]
"""What connects a client at each of an instrument's sockets, by the field of the lab file."""


class Stepped(Protocol):
    """An instrument that has to be looked after regularly, every 20 ms."""

    def poll(self) -> None:
        """Do what has come due."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a factory may use to make an instrument of the lab.

    `of` is the thing of the world that it shows, None for one complete in itself. `item` is its
    entry in the lab file. `advance` brings
    the world up to now; `now_s` is the lab's clock in seconds and `unix_s` the wall clock that
    instruments print. `step` has an instrument polled; `changed` tells that the instant of the next
    herald may be another one.
    """

    of: Any
    serial: str
    item: InstrumentConfig
    rng: np.random.Generator
    advance: Callable[[], None]
    now_s: Callable[[], float]
    unix_s: Callable[[], float]
    step: Callable[[Stepped], None]
    changed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class InstrumentType:
    """One type of instrument.

    `of`: the sections of the lab file whose things it can show; () for one complete in itself.
    `reached_by`: the fields of the lab file that say where it is reached, and what stands there.
    `also_by`: such fields that may be left out. `drives`: without its power, what it is of goes
    dark; one that only looks is not missed. `from_file`: the lab file names a file that describes
    it.
    """

    make: Callable[[Context], Sockets]
    reached_by: Mapping[str, MountKind]
    of: tuple[str, ...] = ()
    also_by: Mapping[str, MountKind] = field(default_factory=dict)
    drives: bool = True
    from_file: bool = False

    @property
    def mounts(self) -> dict[str, MountKind]:
        """What stands at each field, those that may be left out included."""
        return {**self.reached_by, **self.also_by}


def _tdc1(context: Context) -> Sockets:
    tagger = Tdc1(context.of, context.serial)
    context.step(tagger)
    return {"pty": tagger.connect}


def _ell14(context: Context) -> Sockets:
    bus = Ell14Bus(context.of, context.serial)
    context.step(bus)
    return {"pty": bus.connect}


def _dlcpro(context: Context) -> Sockets:
    laser = DlcPro(context.of, context.serial, advance=context.advance)
    monitor = DlcProMonitor(laser, now_s=context.now_s, unix_s=context.unix_s)
    context.step(monitor)
    return {"port": laser.connect, "monitor_port": monitor.connect}


def _pm100d(context: Context) -> Sockets:
    return {"port": Pm100d(context.of, context.serial, context.rng).connect}


def _websq(context: Context) -> Sockets:
    box = WebSq(context.of, advance=context.advance, unix_s=context.unix_s)
    return {"port": box.connect_control, "counts_port": box.connect_counts}


def _id900(context: Context) -> Sockets:
    tagger = Id900(context.of, context.serial)
    context.step(tagger)
    tags = {f"tags{n}_port": tagger.connect_tags(n) for n in (1, 2, 3, 4)}
    return {"port": tagger.connect_control, "dlt_port": tagger.connect_dlt, **tags}


def _pulse_streamer(context: Context) -> Sockets:
    return {"port": PulseStreamer(context.serial, now_s=context.now_s).connect}


def _abacus(context: Context) -> Sockets:
    counter = Abacus(context.of, rng=context.rng)
    context.step(counter)
    return {"pty": counter.connect}


def _tempico(context: Context) -> Sockets:
    tagger = Tempico(context.of, context.serial, unix_s=context.unix_s())
    context.step(tagger)
    return {"pty": tagger.connect}


def _retina(context: Context) -> Sockets:
    box = Retina(context.of, advance=context.advance, unix_s=context.unix_s)
    return {"port": box.connect_api, "counts_port": box.connect_counts}


def _wr_switch(context: Context) -> Sockets:
    return {"port": WrSwitch(context.serial).connect}


def _sfifteen_spd(context: Context) -> Sockets:
    diode = AvalancheDiode(context.of, advance=context.advance, breakdown_v=140.0, excess_v=10.0)
    return {"pty": SFifteenSpd(diode, context.serial).connect}


def _id120(context: Context) -> Sockets:
    diode = AvalancheDiode(context.of, advance=context.advance, breakdown_v=152.0, excess_v=8.0)
    detector = Id120(diode, context.serial)
    context.step(detector)
    return {"port": detector.connect}


def _quantum_device(context: Context) -> Sockets:
    server = QuantumDeviceServer(context.of, context.serial, changed=context.changed)
    return {"port": server.connect}


def _nkt_basik(context: Context) -> Sockets:
    module = NktBasik(
        context.of, context.serial, context.rng, now_s=context.now_s, advance=context.advance
    )
    context.step(module)
    return {"pty": module.connect}


def _oz_epc(context: Context) -> Sockets:
    return {"pty": OzEpc(context.of, advance=context.advance).connect}


def _mpc320(context: Context) -> Sockets:
    box = Mpc320(context.of, context.serial)
    context.step(box)
    return {"pty": box.connect}


def _oz_dd100(context: Context) -> Sockets:
    return {"pty": OzDd100(now_s=context.now_s).connect}


def _polatis(context: Context) -> Sockets:
    return {"port": Polatis(context.serial, now_s=context.now_s).connect}


def _osw_e(context: Context) -> Sockets:
    return {"pty": OswE(now_s=context.now_s).connect}


def _dg645(context: Context) -> Sockets:
    return {"port": Dg645(context.serial).connect}


def _santec_tsl(context: Context) -> Sockets:
    laser = SantecTsl(context.of, context.serial, now_s=context.now_s, advance=context.advance)
    context.step(laser)
    return {"port": laser.connect}


def _cld1015(context: Context) -> Sockets:
    laser = Cld1015(context.of, context.serial, now_s=context.now_s, advance=context.advance)
    context.step(laser)
    return {"port": laser.connect}


def _itla(context: Context) -> Sockets:
    module = Itla(context.of, context.serial, now_s=context.now_s, advance=context.advance)
    context.step(module)
    return {"pty": module.connect}


def _fs725(context: Context) -> Sockets:
    clock = Fs725(context.serial, context.rng, now_s=context.now_s, pps_offset_ns=0.0)
    return {"pty": clock.connect}


def _scpi_yaml(context: Context) -> Sockets:
    assert context.item.file is not None  # checked with the lab file
    return {"port": ScpiYaml(load_box(context.item.file, context.item.device)).connect}


CATALOGUE: Final[Mapping[str, InstrumentType]] = {
    "tdc1": InstrumentType(_tdc1, {"pty": "pty"}, of=("taggers",)),
    "id900": InstrumentType(
        _id900,
        {
            "port": "zmq",
            "dlt_port": "zmq",
            "tags1_port": "zmq-pair",
            "tags2_port": "zmq-pair",
            "tags3_port": "zmq-pair",
            "tags4_port": "zmq-pair",
        },
        of=("taggers",),
    ),
    "pulse-streamer": InstrumentType(_pulse_streamer, {"port": "http"}),
    "abacus": InstrumentType(_abacus, {"pty": "pty"}, of=("taggers",)),
    "tempico": InstrumentType(_tempico, {"pty": "pty"}, of=("taggers",)),
    "retina": InstrumentType(_retina, {"port": "http", "counts_port": "ws"}, of=("detectors",)),
    "wr-switch": InstrumentType(_wr_switch, {"port": "snmp"}),
    "sfifteen-spd": InstrumentType(_sfifteen_spd, {"pty": "pty"}, of=("detectors",)),
    "id120": InstrumentType(_id120, {"port": "hislip"}, of=("detectors",)),
    "dlcpro": InstrumentType(
        _dlcpro, {"port": "tcp"}, of=("lasers",), also_by={"monitor_port": "tcp"}
    ),
    "nkt-basik": InstrumentType(_nkt_basik, {"pty": "pty"}, of=("lasers",)),
    "oz-epc": InstrumentType(_oz_epc, {"pty": "pty"}, of=("squeezers",)),
    "mpc320": InstrumentType(_mpc320, {"pty": "pty"}, of=("paddles",)),
    "oz-dd100": InstrumentType(_oz_dd100, {"pty": "pty"}),
    "polatis": InstrumentType(_polatis, {"port": "tcp"}),
    "osw-e": InstrumentType(_osw_e, {"pty": "pty"}),
    "dg645": InstrumentType(_dg645, {"port": "tcp"}),
    "santec-tsl": InstrumentType(_santec_tsl, {"port": "tcp"}, of=("lasers",)),
    "cld1015": InstrumentType(_cld1015, {"port": "tcp"}, of=("lasers",)),
    "itla": InstrumentType(_itla, {"pty": "pty"}, of=("lasers",)),
    "fs725": InstrumentType(_fs725, {"pty": "pty"}),
    "pm100d": InstrumentType(_pm100d, {"port": "tcp"}, of=("lasers", "channels"), drives=False),
    "websq": InstrumentType(_websq, {"port": "tcp", "counts_port": "tcp"}, of=("detectors",)),
    "ell14": InstrumentType(_ell14, {"pty": "pty"}, of=("analyzers",)),
    "scpi-yaml": InstrumentType(_scpi_yaml, {"port": "tcp"}, from_file=True),
    "quantum-device": InstrumentType(
        _quantum_device, {"port": "tcp"}, of=("memories", "midpoints")
    ),
}
"""By the word that `type` of an instrument in the lab file takes."""
