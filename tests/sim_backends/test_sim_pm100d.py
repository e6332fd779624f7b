"""The simulated PM100D by its SCPI lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.instruments.pm100d import Pm100d, responsivity_a_per_w
from sim_backends.lab import LaserConfig
from sim_backends.lasers import LaserModel
from sim_backends.mount import Session


class Sink:
    def __init__(self) -> None:
        self.taken = b""

    def send(self, data: bytes) -> bool:
        self.taken += data
        return True

    def close(self) -> None:
        pass


def make_meter(current_ma: float = 90.0) -> tuple[Session, Sink]:
    laser = LaserModel(
        LaserConfig(threshold_ma=40, slope_mw_per_ma=0.2, max_current_ma=120, wavelength_nm=405)
    )
    laser.emission, laser.current_set_ma = True, current_ma
    sink = Sink()
    return Pm100d(laser, "P0031415", np.random.default_rng(1)).connect(sink), sink


def ask(session: Session, sink: Sink, *lines: str) -> str:
    sink.taken = b""
    for line in lines:
        session.feed(f"{line}\n".encode())
    return sink.taken.decode()


def test_identity_has_four_fields_and_the_sensor_six() -> None:
    meter = make_meter()
    assert ask(*meter, "*IDN?") == "THORLABS,PM100D,P0031415,2.6.0\n"
    sensor = ask(*meter, "SYST:SENS:IDN?").strip().split(",")
    assert len(sensor) == 6
    assert int(sensor[5]) & 1
    assert int(sensor[5]) & 32


def test_power_is_the_lasers_at_its_wavelength_and_off_by_the_responsivity_at_another() -> None:
    meter = make_meter()
    right = [float(ask(*meter, "SENS:CORR:WAV 405", "MEAS:POW?")) for _ in range(200)]
    assert np.mean(right) == pytest.approx(10e-3, rel=1e-3)
    assert 0.0 < np.std(right) < 5e-3 * 10e-3
    wrong = [float(ask(*meter, "SENS:CORR:WAV 810", "MEAS:POW?")) for _ in range(200)]
    ratio = responsivity_a_per_w(405.0) / responsivity_a_per_w(810.0)
    assert np.mean(wrong) == pytest.approx(10e-3 * ratio, rel=1e-3)
    assert ratio < 0.5
    current = float(ask(*meter, "MEAS:CURR?"))
    assert current == pytest.approx(10e-3 * responsivity_a_per_w(405.0), rel=0.01)


def test_dark_is_nearly_zero() -> None:
    assert abs(float(ask(*make_meter(0.0), "SENS:CORR:WAV 405", "MEAS:POW?"))) < 1e-8


def test_wavelength_limits_long_forms_and_case() -> None:
    meter = make_meter()
    assert float(ask(*meter, "SENS:CORR:WAV? MIN")) == 400.0
    assert float(ask(*meter, "SENS:CORR:WAV? MAX")) == 1100.0
    # The standard: after `;` a header goes on where the one before it stood.
    assert float(ask(*meter, ":sense:correction:wavelength 532nm;WAV?")) == 532.0
    assert float(ask(*meter, "SENSe:CORRection:WAVelength?")) == 532.0
    assert float(ask(*meter, "SENS:CORR:WAV MIN", "SENS:CORR:WAV?")) == 400.0


def test_ranges() -> None:
    meter = make_meter()
    assert ask(*meter, "SENS:CORR:WAV 405", "SENS:POW:RANG:AUTO?") == "1\n"
    assert float(ask(*meter, "SENS:POW:RANG?")) == pytest.approx(0.05)
    assert float(ask(*meter, "SENS:POW:RANG 0.001", "SENS:POW:RANG?")) == pytest.approx(5e-3)
    assert ask(*meter, "SENS:POW:RANG:AUTO?") == "0\n"
    assert float(ask(*meter, "MEAS:POW?")) > 1e37
    assert ask(*meter, "SENS:POW:RANG:AUTO ON", "SENS:POW:RANG:AUTO?") == "1\n"
    assert float(ask(*meter, "MEAS:POW?")) == pytest.approx(10e-3, rel=0.02)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("NONSENSE", -113),
        ("MEAS:TEMP?", -113),
        ("SENS:CORR:WAV 399.9", -222),
        ("SENS:CORR:WAV 1e999", -222),
        ("SENS:CORR:WAV nan", -222),
        ("SENS:CORR:WAV", -109),
        ("SENS:CORR:WAV blue", -104),
        ("SENS:CORR:WAV? BLUE", -224),
        ("SENS:POW:RANG 5", -222),
        ("SENS:POW:RANG:AUTO maybe", -224),
        ("SENS:POW:UNIT DBM", -224),
        ("x" * 2000, -363),
    ],
)
def test_errors_are_queued_and_nothing_is_answered(line: str, code: int) -> None:
    meter = make_meter()
    assert ask(*meter, line) == ""
    assert ask(*meter, "SYST:ERR?").startswith(f'{code:+d},"')
    assert ask(*meter, "SYST:ERR?") == '+0,"No error"\n'
    assert float(ask(*meter, "SENS:CORR:WAV?")) == 635.0


def test_error_queue_is_bounded_and_cleared() -> None:
    meter = make_meter()
    ask(*meter, *["WRONG"] * 100)
    codes = [int(ask(*meter, "SYST:ERR?").split(",")[0]) for _ in range(31)]
    assert codes[28:] == [-113, -350, 0]
    ask(*meter, "WRONG", "*CLS")
    assert ask(*meter, "SYST:ERR?") == '+0,"No error"\n'


def test_several_queries_in_a_line_share_the_answer() -> None:
    assert ask(*make_meter(), "SENS:CORR:WAV 405;*OPC?;SYST:ERR?") == '1;+0,"No error"\n'


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_garbage_leaves_it_working(pieces: list[bytes]) -> None:
    session, sink = make_meter()
    for piece in pieces:
        session.feed(piece)
    assert ask(session, sink, "", "*CLS", "*IDN?").endswith("P0031415,2.6.0\n")


def test_a_flood_without_line_end_is_dropped_and_told() -> None:
    session, sink = make_meter()
    for _ in range(100):
        session.feed(b"y" * 1000)
    assert ask(session, sink, "", "SYST:ERR?").startswith("-363")
