"""The list of what is wrong: since when, and who has seen it; survives a restart."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qnodeos.dashboard.troubles import Trouble

log = logging.getLogger("qnodeos.dashboard")

ENDED_KEPT = 100
FLICKER_S = 2.0
"""Gone for less than this, it is still the same trouble."""


@dataclass(slots=True)
class Alarm:
    """One trouble from beginning to end; instants are seconds since 1970."""

    trouble: Trouble
    since_s: float
    seen_s: float
    acknowledged_s: float | None = None


class Alarms:
    """`wall`: seconds since 1970; `file`: where acknowledgements are kept."""

    def __init__(self, file: Path, wall: Callable[[], float]):
        self.ended: deque[Alarm] = deque(maxlen=ENDED_KEPT)
        self._file, self._wall = file, wall
        self._now: dict[str, Alarm] = {}
        self._kept = _read(file)

    @property
    def now(self) -> list[Alarm]:
        """What is wrong, worst first, what nobody has seen before the rest."""
        return sorted(
            self._now.values(),
            key=lambda each: (each.acknowledged_s is not None, each.trouble.severity != "alarm"),
        )

    @property
    def open(self) -> int:
        """How many nobody has acknowledged."""
        return sum(each.acknowledged_s is None for each in self._now.values())

    def take(self, troubles: list[Trouble]) -> None:
        """What is wrong now."""
        now_s = self._wall()
        fresh: dict[str, Alarm] = {}
        for trouble in troubles:
            known = self._now.get(trouble.key)
            if known is None:
                kept = self._kept.get(trouble.key)
                since_s, acknowledged_s = kept if kept else (now_s, None)
                known = Alarm(trouble, since_s, now_s, acknowledged_s)
            known.trouble, known.seen_s = trouble, now_s
            fresh[trouble.key] = known
        for key, alarm in self._now.items():
            if key in fresh:
                continue
            if now_s - alarm.seen_s < FLICKER_S and alarm.acknowledged_s is not None:
                fresh[key] = alarm
            else:
                self.ended.appendleft(alarm)
                if self._kept.pop(key, None):
                    self._write()
        self._now = fresh

    def acknowledge(self, key: str) -> bool:
        """Somebody has seen it; False: it is over already."""
        alarm = self._now.get(key)
        if alarm is None:
            return False
        alarm.acknowledged_s = self._wall()
        self._kept[key] = (alarm.since_s, alarm.acknowledged_s)
        self._write()
        return True

    def _write(self) -> None:
        try:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self._kept), encoding="utf-8")
            fresh.replace(self._file)
        except OSError as error:
            log.warning("acknowledgements cannot be kept in %s: %s", self._file, error)


def _read(file: Path) -> dict[str, tuple[float, float | None]]:
    """What was kept; a file that is no use is as none."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): (float(since), float(at)) for key, (since, at) in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("acknowledgements in %s are not understood: %s", file, error)
        return {}
