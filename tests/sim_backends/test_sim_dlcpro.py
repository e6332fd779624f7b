"""The simulated DLC pro by its command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.instruments.dlcpro import DlcPro
from sim_backends.lab import LaserConfig
from sim_backends.lasers import LaserModel

PROMPT = b"\n> "


class Sink:
    def __init__(self) -> None:
        self.taken = b""

    def send(self, data: bytes) -> bool:
        self.taken += data
        return True

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self.taken = self.taken, b""
        return taken


def make_laser() -> tuple[DlcPro, LaserModel, list[bool]]:
    model = LaserModel(
        LaserConfig(threshold_ma=40, slope_mw_per_ma=0.2, max_current_ma=120, wavelength_nm=405)
    )
    advanced: list[bool] = []
    box = DlcPro(model, "DLC PRO_024817", advance=lambda: advanced.append(model.emission))
    return box, model, advanced


def ask(command: str | bytes, box: DlcPro | None = None) -> str:
    sink = Sink()
    session = (box or make_laser()[0]).connect(sink)
    assert sink.take().endswith(b"DeCoF Command Line\r\n> ")
    session.feed(command if isinstance(command, bytes) else f"{command}\n".encode())
    reply = sink.take()
    assert reply.endswith(PROMPT)
    return reply[: -len(PROMPT)].decode()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("(param-ref 'serial-number)", '"DLC PRO_024817"'),
        ("(param-ref 'emission)", "#f"),
        ("(param-ref 'laser1:dl:cc:enabled)", "#f"),
        ("(param-ref 'laser1:ctl:wavelength-act)", "405.0"),
        ("(param-ref 'system-health)", "0"),
        ("(param-gsv 'laser1:dl:cc:current-set)", "0.0"),
        ("(param-set! 'laser1:dl:cc:current-set 90)", "0"),
        ("(param-set! 'laser1:dl:cc:enabled #t)", "0"),
        ('(exec \'change-ul 1 "password")', "1"),
        ("`(,(param-ref 'emission) ,(param-ref 'ul) 7)", "(#f 3 7)"),
        ("", ""),
        ("  ( param-ref   'emission )\r", "#f"),
    ],
)
def test_forms(command: str, reply: str) -> None:
    assert ask(command) == reply


@pytest.mark.parametrize(
    "command",
    [
        "(param-ref 'no:such:key)",
        "(param-set! 'no:such:key 1)",
        "(param-set! 'laser1:dl:cc:current-act 1.0)",
        "(param-set! 'laser1:dl:cc:current-set 120.1)",
        "(param-set! 'laser1:dl:cc:current-set -1)",
        "(param-set! 'laser1:dl:cc:current-set #t)",
        "(param-set! 'laser1:dl:cc:enabled 1)",
        "(param-set! 'laser1:dl:cc:enabled '(#t #t))",
        "(param-set! 'system-label 5)",
        "(exec 'no-such-command)",
        "(param-ref emission)",
        "(launch-missiles)",
        "param-ref 'emission",
        ")",
        "(param-ref 'emission) (param-ref 'emission)",
        "(param-set! 'system-label \"open)",
        "`(" + "(" * 40 + ")" * 41,
    ],
)
def test_what_is_wrong_is_an_error_and_changes_nothing(command: str) -> None:
    box, model, _ = make_laser()
    assert ask(command, box).startswith("Error: -")
    assert (model.emission, model.current_set_ma) == (False, 0.0)


def test_light_needs_current_key_interlock_and_button() -> None:
    box, model, _ = make_laser()
    assert ask("(param-set! 'laser1:dl:cc:current-set 90.0)", box) == "0"
    assert model.power_mw == 0.0
    assert ask("(param-set! 'laser1:dl:cc:enabled #t)", box) == "0"
    assert model.power_mw == pytest.approx(10.0)
    assert ask("(param-ref 'laser1:dl:cc:current-act)", box) == "90.0"
    for name, value, off in (
        ("interlock_open", True, "Interlock open"),
        ("key_locked", True, "Key locked"),
    ):
        setattr(box, name, value)
        box.refresh()
        assert ask("(param-ref 'emission)", box) == "#f"
        assert model.power_mw == 0.0
        assert off in ask("(param-ref 'system-health-txt)", box)
        setattr(box, name, not value)
        box.refresh()
        assert ask("(param-ref 'emission)", box) == "#t"
    assert ask("(param-set! 'emission-button-enabled #f)", box) == "0"
    assert ask("(param-ref 'emission)", box) == "#f"
    assert ask("(param-ref 'system-health)", box) != "0"


def test_the_world_is_brought_up_to_now_before_the_light_changes() -> None:
    box, _, advanced = make_laser()
    ask("(param-set! 'laser1:dl:cc:enabled #t)", box)
    ask("(param-set! 'laser1:dl:cc:enabled #f)", box)
    assert advanced == [False, True]


def test_two_clients_do_not_mix_their_half_commands() -> None:
    box, _, _ = make_laser()
    first, second = Sink(), Sink()
    one, two = box.connect(first), box.connect(second)
    first.take(), second.take()
    one.feed(b"(param-set! 'system-label \n")
    two.feed(b"(param-ref 'ul)\n(param-ref 'emission)\n(exec 'change")
    assert second.take() == b"3\n> #f\n> "
    one.feed(b'"rack 3")\n')
    assert first.take() == b"0\n> "
    two.feed(b'-ul 2 "")\n(param-ref \'ul)\n')
    assert second.take() == b"2\n> 2\n> "
    one.feed(b"(param-ref 'ul)\n")
    assert first.take() == b"3\n> "


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30))
def test_a_string_comes_back_as_it_was_set(text: str) -> None:
    box, _, _ = make_laser()
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert ask(f"(param-set! 'system-label {quoted})", box) == "0"
    assert ask("(param-ref 'system-label)", box) == quoted


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_garbage_is_answered_or_dropped_and_the_next_client_is_served(
    pieces: list[bytes],
) -> None:
    box, _, _ = make_laser()
    session = box.connect(Sink())
    for piece in pieces:
        session.feed(piece)
    session.closed()
    assert ask("(param-ref 'ul)", box) == "3"


def test_a_command_without_end_is_given_up() -> None:
    sink = Sink()
    session = make_laser()[0].connect(sink)
    sink.take()
    for _ in range(100):
        session.feed(b"(" + b"x" * 1000 + b"\n")
    assert sink.take().startswith(b"Error: -1 Command too long")
