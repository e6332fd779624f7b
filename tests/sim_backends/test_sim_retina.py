"""The simulated Retina, asked as the vendor's client asks."""

import asyncio
import json
import struct
from typing import Any

import numpy as np
import pytest

from sim_backends.detectors import DetectorBank
from sim_backends.instruments.retina import Retina
from sim_backends.lab import DetectorConfig
from timing.loop import run_virtual

CONFIG = DetectorConfig(
    channels=14,
    efficiency=0.8,
    full_bias_ua=20.0,
    dark_cps=100.0,
    jitter_ps=80.0,
    dead_time_ns=60.0,
)


def make() -> tuple[Retina, DetectorBank]:
    bank = DetectorBank(CONFIG, np.random.default_rng(1))
    return Retina(bank, advance=lambda: None, unix_s=lambda: 1.7e9), bank


def ask(box: Retina, method: str, **params: Any) -> Any:
    request = {"method": method, "params": params or [], "jsonrpc": "2.0", "id": "7b1e"}
    answer = json.loads(box.call(json.dumps(request).encode()))
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", "7b1e")
    # As the client looks for it.
    return answer["result"] if "result" in answer else answer["error"]["data"]["message"]


def test_the_rank_map_leads_to_every_channel() -> None:
    box, bank = make()
    tree = ask(box, "getSettings")
    ranks = tree["frontend"]["rankMap"]
    assert (len(ranks), ranks["1"], ranks["14"]) == (14, [1, 1], [2, 2])
    mcu, cu = ranks["13"]
    change = {str(mcu): {"channels": {str(cu): {"configuration": {"biasI": 18e-6}}}}}
    after = ask(box, "setSettings", devices=change)
    told = after["devices"]["2"]["channels"]["1"]["configuration"]["biasI"]
    assert told == pytest.approx(18e-6)
    assert bank.bias_ua[12] == pytest.approx(18.0)
    assert bank.enabled
    assert ask(box, "getDevices")["devices"]["1"]["channels"]
    assert ask(box, "getBackend")["backend"]["temperatures"][-1]["temp1"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"devices": {"9": {"channels": {"1": {"configuration": {"biasI": 1e-6}}}}}},
        {"devices": {"1": {"channels": {"1": {"configuration": {"biasI": 1.0}}}}}},
        {"devices": {"1": {"channels": {"1": {"configuration": {"triggerV": 11.0}}}}}},
        {"devices": {"1": {"channels": {"1": {"configuration": {"colour": 1.0}}}}}},
        {"devices": {"1": 5}},
        {"backend": {"intTime": 15}},
        {"frontend": {}},
    ],
)
def test_what_is_wrong_changes_nothing(changes: dict[str, Any]) -> None:
    box, bank = make()
    before = ask(box, "getSettings")
    good = {"1": {"channels": {"1": {"configuration": {"triggerV": 1.0}}}}}
    if "devices" not in changes:
        changes = {"devices": good, **changes}
    assert isinstance(ask(box, "setSettings", **changes), str)
    assert ask(box, "getSettings") == before
    assert not bank.enabled
    assert "unknown method" in ask(box, "makeCoffee")


def test_a_record_a_channel_each_10_ms() -> None:
    async def scenario() -> None:
        box, bank = make()
        messages: list[bytes] = []

        class Client:
            def send(self, data: bytes) -> bool:
                messages.append(data)
                return True

            def close(self) -> None:
                pass

        session = box.connect_counts(Client())
        bank._totals = [10 * n for n in range(14)]
        await asyncio.sleep(0.1051)
        assert len(messages) == 10
        rows = list(struct.iter_unpack("<BBBxffIIId", messages[-1]))
        assert [row[5] for row in rows] == [10 * n for n in range(14)]
        assert [row[6] for row in rows] == [10] * 14
        assert [row[7] for row in rows] == list(range(1, 15))
        session.closed()
        await asyncio.sleep(0.1)
        assert len(messages) == 10

    run_virtual(scenario())
