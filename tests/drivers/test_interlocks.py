"""Conditions are read, never run; an interlock holds what it guards until it knows better."""

import random
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.conditions import parse_condition
from drivers.interlocks import Interlock
from drivers.status import InstrumentStatus
from drivers.supervisor import Supervisor

READINGS = {"power_mw": 1.2, "lit": True, "mode": "cw", "bad": float("nan"), "count": 3}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("power_mw > 1.0", True),
        ("power_mw > 1.2", False),
        ("1.0 < power_mw <= 1.2", True),
        ("power_mw > -3", True),
        ("not lit", False),
        ("lit and count == 3", True),
        ("mode == 'cw'", True),
        ("mode != 'cw' or (lit and power_mw < 1)", False),
        ("bad > 1", None),
        ("missing > 1", None),
        ("missing > 1 or power_mw > 1", True),
        ("missing > 1 or power_mw > 2", None),
        ("missing > 1 and power_mw > 2", False),
        ("not (missing > 1)", None),
        ("power_mw", None),
        ("mode > 1", None),
    ],
)
def test_conditions(text: str, holds: bool | None) -> None:
    assert parse_condition(text).holds(READINGS) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 > 2",
        "power_mw >",
        "power_mw + 1 > 2",
        "__import__('os').system('true')",
        "power_mw.real > 1",
        "power_mw in (1, 2)",
        "[x for x in power_mw]",
        "(lambda: 1)()",
        "x := 3",
        "'a' * 10**9 == mode",
        "a > 1 " * 200,
        "(" * 300 + "a" + ")" * 300,
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"accepted are|at most are"):
        parse_condition(text)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_raise_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_condition(text).holds(READINGS)


def make() -> tuple[Interlock, Supervisor, list[tuple[str, str]]]:
    def never() -> object:
        raise AssertionError("nothing is connected here")

    pump = Supervisor("pump", never, rng=random.Random(1))  # type: ignore[arg-type]
    said: list[tuple[str, str]] = []
    lock = Interlock(
        "blinding",
        parse_condition("power_mw > 1.0"),
        "meter",
        [pump],
        on_change=lambda state, reason: said.append((state, reason)),
    )
    return lock, pump, said


METER = InstrumentStatus("meter", "x", "online", 0.0)


def reading(power_mw: float) -> InstrumentStatus:
    return replace(METER, readings=MappingProxyType({"power_mw": power_mw}))


def test_it_holds_until_it_knows_and_whenever_it_does_not() -> None:
    lock, pump, _ = make()
    assert "blinding" in pump.held
    lock.hear(METER)
    assert "does not tell power_mw" in pump.held
    lock.hear(reading(0.5))
    assert (lock.state, pump.held) == ("closed", "")
    lock.hear(replace(METER, state="degraded"))
    assert "it is degraded" in pump.held
    lock.hear(reading(0.5))
    assert pump.held == ""


def test_a_trip_stays_until_it_is_acknowledged_and_the_reason_is_gone() -> None:
    lock, pump, said = make()
    lock.hear(reading(0.5))
    lock.hear(reading(1.5))
    assert lock.state == "tripped"
    assert "power_mw = 1.5 of 'meter', tripped by power_mw > 1.0" in pump.held
    assert "still there" in lock.acknowledge()
    lock.hear(reading(0.5))
    assert lock.state == "tripped"
    lock.hear(replace(METER, state="absent"))
    assert lock.acknowledge() == "it is not known"
    lock.hear(reading(0.5))
    assert lock.acknowledge() == ""
    assert (lock.state, pump.held) == ("closed", "")
    assert [state for state, _ in said] == ["unknown", "closed", "tripped", "closed"]
