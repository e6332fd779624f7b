"""Quantities as people write them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnodeos import UserError, load_node
from qnodeos.config import PhotonicLinkTable, schema
from qnodeos.config.units import UNITS, in_named_units, read, shown, shown_entry, unit_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "two_nodes"
ALICE = (EXAMPLES / "alice.toml").read_text()


def alice(tmp_path: Path, *replacements: tuple[str, str]) -> Path:
    text = ALICE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "alice.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1.2 ns", "ps", 1200),
        ("1.2ns", "ps", 1200),
        ("2 s", "s", 2),
        ("1.5 min", "s", 90),
        ("7 d", "h", 168),
        ("10 MHz", "Hz", 1e7),
        ("5 mW", "mW", 5),
        ("-3 dBm", "mW", 0.501187),
        ("2 mW", "dBm", 3.0103),
        ("1_000 µs", "ms", 1),
        ("1.55 um", "nm", 1550),
        ("25 °C", "C", 25),
        ("4 MB/s", "B/s", 4e6),
        ("3 kcounts/s", "cps", 3000),
    ],
)
def test_a_quantity_is_read_in_the_unit_of_its_entry(text: str, unit: str, value: float):
    assert float(read(text, unit)) == pytest.approx(value, rel=1e-5)


def test_conversion_is_exact_where_floats_are_not():
    assert read("0.3 ns", "ps") == 300
    assert read("1.1 us", "ps") == 1_100_000


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("5 mW", "ps", "a power, expected a time"),
        ("5", "ps", "found string '5', expected a time: a number in ps"),
        ("5 lightyears", "ps", "a unit that is not known"),
        ("0 W", "dBm", "dBm has no zero"),
        ("wide", "ps", "found string 'wide'"),
    ],
)
def test_what_is_no_such_quantity_is_told(text: str, unit: str, says: str):
    with pytest.raises(ValueError, match=says):
        read(text, unit)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (6000, "ps", "6 ns"),
        (1.0, "s", "1 s"),
        (600.0, "s", "10 min"),
        (168.0, "h", "7 d"),
        (4_000_000, "B/s", "4 MB/s"),
        (1550.12, "nm", "1550.12 nm"),
        (0, "ps", "0 ps"),
        (-1500, "ps", "-1.5 ns"),
        (0.0005, "mW", "500 nW"),
    ],
)
def test_a_value_is_shown_as_it_is_best_read(value: float, unit: str, text: str):
    assert shown(value, unit) == text


@given(st.sampled_from(sorted(UNITS)), st.integers(-(10**9), 10**9))
def test_what_is_shown_can_be_read_back(unit: str, value: int):
    assert float(read(shown(value, unit), unit)) == pytest.approx(value, rel=1e-5)


def test_the_name_of_an_entry_tells_the_unit():
    names = {"window_ps": "ps", "tag_bytes_per_s": "B/s", "current_ma": "mA", "bias_ua": "uA"}
    assert {name: unit_of(name) for name in names} == names
    assert [unit_of(name) for name in ("serial", "level_a", "hwp_address", "ps")] == [""] * 4


def test_a_drivers_entries_become_the_numbers_that_it_takes():
    found = in_named_units(
        {"current_ma": "0.09 A", "bias_ua": ["20 uA", 21.0], "level": "5 V", "gate_s": "never"}
    )
    assert found == {"current_ma": 90, "bias_ua": [20, 21.0], "level": "5 V", "gate_s": "never"}
    assert shown_entry("bias_ua", [20.0, 1500.0]) == "[20 uA, 1.5 mA]"
    with pytest.raises(ValueError, match="current_ma: found '5 mW', a power"):
        in_named_units({"current_ma": "5 mW"})


def test_a_node_file_may_have_units_everywhere(tmp_path: Path):
    config = load_node(
        alice(
            tmp_path,
            ("window_ps = 6000", 'window_ps = "6 ns"'),
            ("basis_dwell_s = 1.2", 'basis_dwell_s = "1200 ms"'),
            ("outcome_delays_ps = [0, 0]", 'outcome_delays_ps = ["0.1 ns", 0]'),
            ("tag_bytes_per_s = 4_000_000", 'tag_bytes_per_s = "4 MB/s"'),
            ("current_ma = 90.0", 'current_ma = "90 mA"'),
        ),
        environment={},
    )
    link = config.links["photonic"]
    assert isinstance(link, PhotonicLinkTable)
    assert (link.window_ps, link.basis_dwell_s, link.outcome_delays_ps) == (6000, 1.2, (100, 0))
    assert link.tag_bytes_per_s == 4_000_000
    assert config.instruments["pump"].settings["current_ma"] == 90


@pytest.mark.parametrize(
    ("old", "new", "found", "expected"),
    [
        ("window_ps = 6000", 'window_ps = "6 nW"', "'6 nW', a power", "a time: a number in ps"),
        ("window_ps = 6000", 'window_ps = "6.5 fs"', "'6.5 fs'", "a whole number of ps"),
        ("window_ps = 6000", 'window_ps = "2 s"', "2000000000000 ps", "1000000 ps"),
        ("current_ma = 90.0", 'current_ma = "90 mW"', "'90 mW', a power", "a current"),
    ],
)
def test_a_wrong_unit_is_one_message(tmp_path: Path, old: str, new: str, found: str, expected: str):
    with pytest.raises(UserError) as caught:
        load_node(alice(tmp_path, (old, new)), environment={})
    assert found in caught.value.found
    assert expected in caught.value.expected


def test_the_schema_takes_numbers_with_their_bounds_and_texts_with_a_unit():
    tables = schema()["$defs"]
    window = tables["PhotonicLinkTable"]["properties"]["window_ps"]
    number, text = window["anyOf"]
    assert number == {"type": "integer", "minimum": 1, "maximum": 1_000_000}
    assert re.match(text["pattern"], "6 ns")
    assert re.match(text["pattern"], "6 mW") is None
    every = tables["VerifyTable"]["properties"]["tomography_every_h"]
    assert "x-unit" not in json.dumps(schema())
    assert every["default"] == 168.0
    assert {"type": "null"} in every["anyOf"]


def test_a_misspelt_target_is_guessed(tmp_path: Path):
    targets = "[links.memory.targets]\nfidelty = 0.9\n\n[applications.teleport]"
    with pytest.raises(UserError) as caught:
        load_node(alice(tmp_path, ("[applications.teleport]", targets)), environment={})
    assert "did you mean 'fidelity'?" in caught.value.do
