"""Preset files: published experiments as data, every number with its mark and source.

Marks: "A" read in the paper or its abstract, "B" from a secondary public source, "C" general
knowledge, unchecked, or derived from other fields as its source says; "fit" for a term that stands
for what the physics does not explain, with the reason. A field without a source stays out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from sim_backends.lab_file import LabError, build, read_toml
from sim_backends.lab_parts import Table

__all__ = [
    "Mark",
    "Marked",
    "Parameters",
    "Point",
    "Preset",
    "Published",
    "load_preset",
    "preset_names",
]

Mark = Literal["A", "B", "C", "fit"]
Kind = Literal["double_click", "single_click", "rate_input", "pairs", "data"]
_FOLDER: Final = Path(__file__).parent / "presets"


class Marked(Table):
    """A number with where it is from."""

    value: float
    mark: Mark
    source: Annotated[str, Field(min_length=3)]


class Published(Table):
    """A published result, its own uncertainty, and how near the simulation must come.

    `tolerance` is relative for rates and absolute for fidelities and error rates. With `bound` the
    simulated value must not be above ("at_most") or below ("at_least") it by more than that.
    """

    value: float
    error: float | None = None
    tolerance: Annotated[float, Field(ge=0.0)]
    mark: Mark
    source: Annotated[str, Field(min_length=3)]
    bound: Literal["at_most", "at_least"] | None = None


class Parameters(Table):
    """What a link's physics needs. A published `probability` an attempt gives `efficiency` where
    that is left out; `herald_rate_hz` is for links of which only the rate is known. `fidelity` is
    that of a link as put in; with `swap_fidelity` two such links are swapped."""

    attempt_period_us: Marked | None = None
    probability: Marked | None = None
    efficiency: Marked | None = None
    bright_population: Marked | None = None
    dark_cps: Marked | None = None
    window_ns: Marked | None = None
    dark_probability: Marked | None = None
    visibility: Marked | None = None
    phase_sigma_deg: Marked | None = None
    double_excitation: Marked | None = None
    fidelity: Marked | None = None
    herald_rate_hz: Marked | None = None
    length_km: Marked | None = None
    loss_db_per_km: Marked | None = None
    loss_db: Marked | None = None
    conversion_efficiency: Marked | None = None
    t1_s: Marked | None = None
    t2_s: Marked | None = None
    hold_us: Marked | None = None
    pairs_per_s: Marked | None = None
    coincidence_window_ps: Marked | None = None
    jitter_fwhm_ps: Marked | None = None
    dispersion_fwhm_ps: Marked | None = None
    clock_fwhm_ps: Marked | None = None
    swap_fidelity: Marked | None = None
    duty: Marked | None = None
    residual_depolarising: Marked | None = None

    def number(self, name: str, default: float | None = None) -> float:
        """A parameter's value, or the default. Raises ValueError without either."""
        marked: Marked | None = getattr(self, name)
        if marked is not None:
            return marked.value
        if default is None:
            raise ValueError(f"found no {name}; expected it in the preset")
        return default

    def given(self) -> Iterator[tuple[str, Marked]]:
        """Names and values of what the file gives."""
        for name in type(self).model_fields:
            marked = getattr(self, name)
            if marked is not None:
                yield name, marked


class Point(Table):
    """One setting of an experiment: parameters that differ, and what it found."""

    name: str = ""
    parameters: Parameters = Parameters()
    rate_hz: Published | None = None
    fidelity: Published | None = None
    qber: Published | None = None
    peak_fwhm_ps: Published | None = None


class Preset(Table):
    """A published experiment; `rate_put_in` where a parameter was derived from the rate itself."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
    title: str
    source: str
    kind: Kind
    notes: str = ""
    rate_put_in: bool = False
    parameters: Parameters = Parameters()
    points: Annotated[tuple[Point, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_are_explained(self) -> Self:
        for point in self.points:
            for name, marked in self.of(point).given():
                if (marked.mark == "fit") != (name in ("duty", "residual_depolarising")):
                    raise ValueError(
                        f"found mark {marked.mark!r} for {name}; expected 'fit' for duty and "
                        "residual_depolarising and for nothing else"
                    )
        return self

    def of(self, point: Point) -> Parameters:
        """The preset's parameters with those of a point in their place."""
        return self.parameters.model_copy(update=dict(point.parameters.given()))


def preset_names() -> list[str]:
    """The presets that ship, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """A preset that ships. Raises LabError for a name that is none and for a file that is wrong."""
    path = _FOLDER / f"{name}.toml"
    names = preset_names()
    if name not in names:
        raise LabError(path, "", f"found no such preset; expected one of {', '.join(names)}")
    preset = build(Preset, read_toml(path), path)
    if preset.id != name:
        raise LabError(path, "id", f"found {preset.id!r}; expected the file's name, {name!r}")
    return preset
