"""Changing the world while it runs: what may be changed, by its name in the lab file.

    change(world, "channels.alice.loss_db", 30.0, by="console")

The same checks hold as for the lab file, and what changed goes to the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from sim_backends.lab_file import problem_of
from sim_backends.world import World

__all__ = ["CHANGEABLE", "ChangeError", "change", "power_off", "shown", "value_of"]

CHANGEABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "lasers": ("threshold_ma", "slope_mw_per_ma"),
    "sources": ("pairs_per_s_per_mw", "bell_state", "fidelity"),
    "channels": (
        "loss_db",
        "loss_db_per_km",
        "length_km",
        "classical_cps",
        "blinding_uw",
        "faked_cps",
        "rotation_deg",
    ),
    "detectors": (
        "efficiency",
        "dark_cps",
        "dead_time_ns",
        "afterpulse",
        "blinding_cps",
        "latching",
    ),
    "memories": (
        "t1_s",
        "t2_s",
        "excited_population",
        "gate_error",
        "two_qubit_gate_error",
        "readout_error",
        "initialise_error",
        "crosstalk",
    ),
    "midpoints": (
        "efficiency",
        "visibility",
        "dark_probability",
        "bright_population",
        "bright_factor",
        "phase_sigma_deg",
        "phase_deg",
        "phase_drift_deg_per_s",
        "late_ns",
        "duty",
        "residual_depolarising",
    ),
}
"""The fields of each section of the lab file that may be changed while the lab runs."""


class ChangeError(Exception):
    """Something cannot be changed so: the text says what, what was found and what was expected."""


def value_of(world: World, path: str) -> Any:
    """What stands at `section.name.field` now. Raises ChangeError."""
    section, name, field, key = _found(world, path)
    value = getattr(getattr(world.config, section)[name], field)
    return value[key] if key else value


def change(world: World, path: str, value: Any, *, by: str) -> None:
    """Set what stands at `section.name.field` (or `.field.key`). Raises ChangeError.

    It acts from now on: what was until now is worked out first.
    """
    section, name, field, key = _found(world, path)
    config = world.config
    old: BaseModel = getattr(config, section)[name]
    tables = old.model_dump()
    tables[field] = {**tables[field], key: value} if key else value
    try:
        new = type(old).model_validate(tables)
    except ValidationError as error:
        raise ChangeError(f"{path}: {problem_of(error)}") from error
    world.advance()
    world.fire_due()
    world.reconfigured(config.model_copy(update={section: {**getattr(config, section), name: new}}))
    _CONFIGURE[section](world, name, new)
    world.truth.record("changed", path=path, value=value, t_s=world.time_s(), by=by)


def shown(world: World) -> dict[str, dict[str, dict[str, Any]]]:
    """All that may be changed, with its values now: section, name, field."""
    return {
        section: {
            name: {field: getattr(item, field) for field in fields}
            for name, item in getattr(world.config, section).items()
        }
        for section, fields in CHANGEABLE.items()
        if getattr(world.config, section)
    }


def power_off(world: World, of: str) -> None:
    """What `section.name` drives goes dark, as when the power of its instrument goes."""
    section, _, name = of.partition(".")
    world.advance()
    world.fire_due()
    if section == "lasers":
        world.lasers[name].emission = False
        world.lasers[name].current_set_ma = 0.0
    elif section == "detectors":
        bank = world.detectors[name]
        bank.enabled = False
        bank.bias_ua = [0.0] * bank.channels
    elif section == "squeezers":
        squeezers = world.squeezers[name]
        squeezers.drives_mv[:] = [0] * len(squeezers.drives_mv)
    elif section == "taggers":
        world.taggers[name].stop()
    elif section == "memories":
        world.memories[name].release_all()
    elif section == "midpoints":
        world.midpoints[name].abort()


def _found(world: World, path: str) -> tuple[str, str, str, str]:
    """Section, name, field, and key of a table in it, of a path. Raises ChangeError."""
    section, *rest = path.split(".")
    if section not in CHANGEABLE or not 2 <= len(rest) <= 3:
        raise ChangeError(
            f"{path}: nothing of this name can be changed; expected section.name.field with a "
            f"section of {', '.join(CHANGEABLE)}"
        )
    name, field, key = (*rest, "")[:3]
    items = getattr(world.config, section)
    if name not in items:
        raise ChangeError(
            f"{path}: there is no {name!r} in [{section}]; there are "
            f"{', '.join(sorted(items)) or 'none'}"
        )
    if field not in CHANGEABLE[section]:
        raise ChangeError(
            f"{path}: {field!r} cannot be changed while the lab runs; of [{section}.{name}] can "
            f"{', '.join(CHANGEABLE[section])}"
        )
    table = getattr(items[name], field)
    if isinstance(table, dict) != bool(key) or (key and key not in table):
        expected = f"{section}.{name}.{field}" + (
            f".KEY with a key of {', '.join(sorted(table))}" if isinstance(table, dict) else ""
        )
        raise ChangeError(f"{path}: there is no such value; expected {expected}")
    return section, name, field, key


def _part(of: Callable[[World], Mapping[str, Any]]) -> Callable[[World, str, Any], None]:
    return lambda world, name, config: of(world)[name].configure(config)


_CONFIGURE: Final[Mapping[str, Callable[[World, str, Any], None]]] = {
    "lasers": _part(lambda world: world.lasers),
    "sources": _part(lambda world: world.sources),
    "channels": _part(lambda world: world.channels),
    "detectors": _part(lambda world: world.detectors),
    "memories": _part(lambda world: world.memories),
    "midpoints": _part(lambda world: world.attempts),
}
