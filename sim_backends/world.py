"""The simulated lab as one world: everything acts on everything only through here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.analyzers import WaveplatePair
from sim_backends.channels import FibreChannel
from sim_backends.clocks import clock_of
from sim_backends.detectors import DetectorBank
from sim_backends.emitters import SingleEmitter
from sim_backends.lab import LabConfig
from sim_backends.lasers import LaserModel
from sim_backends.memories import MemoryDevice
from sim_backends.memory_network import MemoryNetwork
from sim_backends.midpoint import Attempts
from sim_backends.paddles import Paddles
from sim_backends.seeds import generator
from sim_backends.sources import PairSource
from sim_backends.squeezers import Squeezers
from sim_backends.station import MidpointModel
from sim_backends.station_clicks import StationClicks
from sim_backends.taggers import TaggerModel
from sim_backends.truth import TruthLog

__all__ = ["MAX_BEHIND_S", "World"]

Times = npt.NDArray[np.int64]

MAX_BEHIND_S: Final = 1.0
_PS: Final = 10**12
_STEP_PS: Final = 20 * 10**9
_MOVING_STEP_PS: Final = 5 * 10**9  # a plate turns by some 2 degrees in it
_PAIR_TIME_PS: Final = 10**11


class World:
    """The lab from its start at the first reading of `now_s`, a clock in seconds.

    `advance` brings the photons up to now. What waits for a time of its own (heralds, counts that
    run out) is announced by `next_event_s` and done by `fire_due`, so that a server schedules it
    exactly. Instruments change the parts at any time; a change of light or bias acts from the last
    `advance` on. Not thread-safe; nothing here waits.
    """

    lasers: dict[str, LaserModel]
    detectors: dict[str, DetectorBank]
    analyzers: dict[str, WaveplatePair]
    squeezers: dict[str, Squeezers]
    paddles: dict[str, Paddles]
    taggers: dict[str, TaggerModel]
    memories: dict[str, MemoryDevice]
    midpoints: dict[str, MidpointModel]

    def __init__(self, config: LabConfig, *, now_s: Callable[[], float], truth: TruthLog) -> None:
        self._config = config
        self._seed = config.lab.seed
        self._now_s = now_s
        self._start_s = now_s()
        truth.record("start", clock_s=self._start_s)
        self._truth = truth
        self._advanced_ps = 0
        self._next_pair_time_ps = 0
        self._plate_time_s: float | None = None
        self._told: dict[str, float] = {}

        self.lasers = {name: LaserModel(item) for name, item in config.lasers.items()}
        self.analyzers = {
            name: WaveplatePair(item, self._optics_time_s)
            for name, item in config.analyzers.items()
        }
        self.detectors = {
            name: DetectorBank(item, generator(self._seed, f"detectors.{name}"))
            for name, item in config.detectors.items()
        }
        self.squeezers = {name: Squeezers(item) for name, item in config.squeezers.items()}
        self.paddles = {
            name: Paddles(item, self._optics_time_s) for name, item in config.paddles.items()
        }
        self._channels = {
            name: FibreChannel(
                item,
                generator(self._seed, f"channels.{name}"),
                self.squeezers.get(name) or self.paddles.get(name),
            )
            for name, item in config.channels.items()
        }
        self._sources = {name: self._source(name) for name in config.sources}
        self._emitters = {name: self._emitter(name) for name in config.emitters}
        self.taggers = {
            name: TaggerModel(
                clock_of(item, self._seed, f"taggers.{name}", item.white_fm_1s),
                self.time_ps,
                self.advance,
            )
            for name, item in config.taggers.items()
        }
        self._wires = {
            name: {
                number: (bank, int(channel) - 1)
                for number, wire in item.inputs.items()
                for bank, _, channel in (wire.rpartition("."),)
            }
            for name, item in config.taggers.items()
        }
        watching = {name: self._watching(name) for name in config.midpoints}
        self._network = MemoryNetwork(
            config,
            time_s=self.time_s,
            time_ps=self.time_ps,
            truth=truth,
            seen=[name for name, taggers in watching.items() if taggers],
        )
        self._stations = {
            name: StationClicks(
                line,
                watching[name],
                generator(self._seed, f"midpoints.{name}.clicks"),
                trigger=self._triggers(name),
            )
            for name, line in self._network.attempts.items()
            if watching[name]
        }
        self.memories, self.midpoints = self._network.memories, self._network.midpoints

    @property
    def config(self) -> LabConfig:
        """The lab as it stands now, changes included; `sim_backends.changing` makes them."""
        return self._config

    @property
    def truth(self) -> TruthLog:
        """Where the truth goes."""
        return self._truth

    @property
    def channels(self) -> dict[str, FibreChannel]:
        """The channels by name."""
        return self._channels

    @property
    def sources(self) -> dict[str, PairSource]:
        """The pair sources by name."""
        return self._sources

    @property
    def attempts(self) -> dict[str, Attempts]:
        """The trigger line of each midpoint."""
        return self._network.attempts

    def reconfigured(self, config: LabConfig) -> None:
        """Take note of a lab that has been changed."""
        self._config = config

    def time_ps(self) -> int:
        """Now, on the lab's true time, from its start."""
        return round((self._now_s() - self._start_s) * _PS)

    def time_s(self) -> float:
        """Now, in seconds from the lab's start."""
        return self._now_s() - self._start_s

    def advance(self) -> None:
        """Bring the photons up to now; calling again at the same instant does nothing.

        When the world is more than a second behind it leaves out what is older, with a `skipped`
        record in the truth.
        """
        now_ps = self.time_ps()
        if now_ps - self._advanced_ps > MAX_BEHIND_S * _PS:
            skip_to_ps = now_ps - round(MAX_BEHIND_S * _PS)
            self._truth.record("skipped", from_s=self._advanced_ps / _PS, t_s=skip_to_ps / _PS)
            self._advanced_ps = skip_to_ps
            self._next_pair_time_ps = -(-skip_to_ps // _PAIR_TIME_PS) * _PAIR_TIME_PS
        while self._advanced_ps < now_ps:
            try:
                self._plate_time_s = self._advanced_ps / _PS
                turning = any(source.moving() for source in self._sources.values()) or any(
                    paddles.moving() for paddles in self.paddles.values()
                )
                end_ps = min(now_ps, self._advanced_ps + (_MOVING_STEP_PS if turning else _STEP_PS))
                self._plate_time_s = (self._advanced_ps + end_ps) / 2 / _PS
                self._step(self._advanced_ps, end_ps)
            finally:
                self._plate_time_s = None
            self._advanced_ps = end_ps

    def next_event_s(self) -> float | None:
        """When `fire_due` has something to do next, on the clock `now_s`; None: nothing waits."""
        due_s = self._network.next_event_s()
        return None if due_s is None else self._start_s + due_s

    def fire_due(self) -> None:
        """Do all that is due by now, in the order of time, and call the devices' callbacks."""
        self._network.fire_due()

    def _optics_time_s(self) -> float:
        # While a step is worked out the plates stand where they stood in its middle.
        return self.time_s() if self._plate_time_s is None else self._plate_time_s

    def _step(self, start_ps: int, end_ps: int) -> None:
        photons: dict[str, list[list[Times]]] = {
            name: [[] for _ in range(bank.channels)] for name, bank in self.detectors.items()
        }
        for name, source in self._sources.items():
            config = self._config.sources[name]
            if self._told.get(name) != source.pairs_per_s:
                self._told[name] = source.pairs_per_s
                self._truth.record(
                    "source",
                    source=name,
                    t_s=start_ps / _PS,
                    pairs_per_s=source.pairs_per_s,
                    fidelity=config.fidelity,
                )
            for end, arrivals in zip(config.ends, source.step(start_ps, end_ps), strict=True):
                for channel, times in enumerate(arrivals):
                    photons[end][channel] += times
        for name, emitter in self._emitters.items():
            end = self._config.emitters[name].end
            for channel, times in enumerate(emitter.step(start_ps, end_ps)):
                photons[end][channel] += times
        for name, fibre in self._channels.items():
            if name in self.detectors:
                # Unpolarized, so that each port of an analyzer gets half.
                bank = self.detectors[name]
                count = 2 if name in self.analyzers else bank.channels
                light_cps = fibre.background_cps + self._flash_cps(name)
                bank.light_cps[:count] = [light_cps / count] * count
                driven_cps = fibre.driven_cps
                bank.driven_cps = None if driven_cps is None else driven_cps / count
        clicks = {
            name: bank.step(start_ps, end_ps, photons[name])
            for name, bank in self.detectors.items()
        }
        for name, station in self._stations.items():
            clicks[name] = station.step(start_ps, end_ps)
        for name, tagger in self.taggers.items():
            tagger.receive(
                {
                    number: clicks[bank][channel]
                    for number, (bank, channel) in self._wires[name].items()
                }
            )
        while self._next_pair_time_ps < end_ps:
            self._record_pair_time(self._next_pair_time_ps)
            self._next_pair_time_ps += _PAIR_TIME_PS

    def _flash_cps(self, end: str) -> float:
        """Photons a second of the laser that shines on an end's detectors directly."""
        fibre = self._config.channels[end]
        return fibre.flash_cps_per_mw * self.lasers[fibre.flash].power_mw if fibre.flash else 0.0

    def _watching(self, midpoint: str) -> list[TaggerModel]:
        """The taggers that see a midpoint's detectors."""
        if midpoint in self.detectors:
            return []
        return [
            self.taggers[name]
            for name, wires in self._wires.items()
            if any(bank == midpoint for bank, _ in wires.values())
        ]

    def _triggers(self, midpoint: str) -> bool:
        """Whether a tagger sees a midpoint's trigger, which comes after its detectors."""
        clicks = self._config.midpoints[midpoint].clicks
        return clicks is not None and any(
            wire == (midpoint, clicks.detectors)
            for wires in self._wires.values()
            for wire in wires.values()
        )

    def _record_pair_time(self, emitted_ps: int) -> None:
        for name in self._sources:
            times_ps = {}
            for end in self._config.sources[name].ends:
                arrival_ps = emitted_ps + round(self._channels[end].delay_ps(emitted_ps))
                click = np.array([arrival_ps + self.detectors[end].latency_ps])
                for tagger, wires in self._wires.items():
                    if any(bank == end for bank, _ in wires.values()):
                        clock = self.taggers[tagger].clock
                        times_ps[tagger] = int(clock.read_many_ps(click)[0])
            self._truth.record("pair_time", source=name, t_s=emitted_ps / _PS, times_ps=times_ps)

    def _source(self, name: str) -> PairSource:
        config = self._config.sources[name]
        first, second = (
            (self._channels[end], self.analyzers[end], self.detectors[end]) for end in config.ends
        )
        return PairSource(
            config,
            self.lasers[config.pump],
            (first, second),
            generator(self._seed, f"sources.{name}"),
        )

    def _emitter(self, name: str) -> SingleEmitter:
        config = self._config.emitters[name]
        return SingleEmitter(
            config,
            self.lasers[config.pump],
            (
                self._channels[config.end],
                self.analyzers[config.end],
                self.detectors[config.end],
            ),
            generator(self._seed, f"emitters.{name}"),
        )
