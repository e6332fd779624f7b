"""An ARTIQ experiment in this process as a sequencer. Not run on a core device yet."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from qnodeos_artiq.sequencer import CALL_LIMIT_S, METHODS, LocalSequencer


class ArtiqSequencer(LocalSequencer):
    """An experiment class with the methods of the README, most of them kernels.

    It is built as by `artiq_run`, with devices from `device_db`, and has neither datasets nor
    arguments; its `prepare` is called once, which is where kernels are precompiled.
    """

    def __init__(
        self, experiment: Path, class_name: str, device_db: Path, *, limit_s: float = CALL_LIMIT_S
    ) -> None:
        """Raises ImportError without ARTIQ, ValueError for an experiment that is not one."""
        managers, self._close_devices = _managers(device_db)
        kind = getattr(_module(experiment), class_name, None)
        if not isinstance(kind, type):
            raise ValueError(f"{experiment} has no class {class_name!r}")
        missing = [name for name in METHODS if not callable(getattr(kind, name, None))]
        if missing:
            raise ValueError(f"{class_name} in {experiment} lacks {', '.join(missing)}")
        target: Any = kind(managers)
        target.prepare()
        super().__init__(target, limit_s=limit_s)

    async def close(self) -> None:
        """Close the devices too."""
        await super().close()
        self._close_devices()


def _managers(device_db: Path) -> tuple[tuple[Any, ...], Callable[[], None]]:
    try:
        from artiq.language.environment import ProcessArgumentManager
        from artiq.master.databases import DeviceDB
        from artiq.master.worker_db import DeviceManager
    except ImportError as error:
        raise ImportError(
            f"ARTIQ cannot be imported ({error}). It is installed with nix or conda, not by pip: "
            "run qnodeos-artiq in ARTIQ's own environment, or reach what runs there with --sipyco"
        ) from error
    devices = DeviceManager(DeviceDB(str(device_db)))
    return (devices, None, ProcessArgumentManager({}), {}), devices.close_devices


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("qnodeos_artiq_experiment", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
