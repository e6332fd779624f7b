"""What `qnodeos status` prints of an answer."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qnodeos.cli import app, asking

TOLD: dict[str, Any] = {
    "node": "alice",
    "draining": "",
    "peers": {"bob": "up"},
    "instruments": {
        "meter": {"state": "online", "reason": "", "readings": {"power_mw": 0.0, "on": True}},
        "pump": {"state": "absent", "reason": "unplugged", "readings": {"power_mw": 3.0}},
    },
    "links": {"memory": {"ready": True, "delivered": 0, "fidelity": 0.91234}},
    "apps": {},
}


def test_instruments_show_their_readings_or_why_there_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(asking, "ask", lambda *args, **kwargs: TOLD)
    result = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (meter,) = (line for line in result.output.splitlines() if "meter" in line)
    assert "power_mw 0, on True" in meter
    (pump,) = (line for line in result.output.splitlines() if "pump" in line)
    assert "unplugged" in pump
    assert "power_mw" not in pump
    (link,) = (line for line in result.output.splitlines() if "memory" in line)
    assert "fidelity 0.9123" in link
    assert "delivered" not in link
