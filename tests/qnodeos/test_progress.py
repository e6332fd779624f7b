"""Bars are for terminals, and never get into the output."""

import pytest

from qnodeos.cli.progress import bar


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rich takes for one that can draw."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("terminal")
def test_a_bar_is_drawn_beside_the_output(capsys: pytest.CaptureFixture[str]):
    with bar("measuring") as told:
        told(0.5, "half of it")
        print("a result")
    out, err = capsys.readouterr()
    assert out == "a result\n"
    assert "measuring" in err


@pytest.mark.usefixtures("terminal")
def test_what_cannot_call_is_followed(capsys: pytest.CaptureFixture[str]):
    asked: list[float] = []

    def done() -> float:
        asked.append(0.25)
        return 0.25

    with bar("rehearsing", done=done):
        pass
    assert asked
    assert "rehearsing" in capsys.readouterr().err


@pytest.mark.parametrize("quiet", [True, False])
def test_in_a_pipe_nothing_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quiet: bool
):
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    with bar("measuring", quiet=quiet) as told:
        told(0.5, "half of it")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
def test_quiet_is_quiet_on_a_terminal_too(capsys: pytest.CaptureFixture[str]):
    with bar("measuring", quiet=True) as told:
        told(0.5, "")
    assert capsys.readouterr().err == ""
