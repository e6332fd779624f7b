"""The driver keeps the contract of its kind, against its twin in memory and on TCP."""

import asyncio

import pytest

from qnodeos_acme_dimmer.driver import Dimmer
from qnodeos_acme_dimmer.twin import Twin
from qnodeos.plugin import Check, Subject, checks_for, dial_to, make_instrument, on_tcp, run_virtual

CHECKS = pytest.mark.parametrize("check", checks_for(Dimmer), ids=lambda check: check.__name__)


def subject(twin: Twin, resource: str) -> Subject:
    memory = {"twin": dial_to(twin.connect)}
    return Subject(
        lambda: make_instrument(Dimmer, resource, owner="test", memory=memory),
        serial=twin.serial,
        settings={"attenuation_db": 20.0},
        refused=(({"attenuation_db": 60.5}, "0 to 60 dB"), ({"attenuation_db": "20"}, "a number")),
        calls={"set_attenuation_db": (12.5,)},
        refused_calls=(("set_attenuation_db", (-0.1,), "0 to 60"),),
        state=lambda: twin.attenuation_db,
    )


@CHECKS
def test_in_memory(check: Check) -> None:
    run_virtual(check(subject(Twin("A17"), "mem://twin")), limit_s=600.0)


@CHECKS
def test_on_tcp(check: Check) -> None:
    async def scenario() -> None:
        twin = Twin("A17")
        async with on_tcp(twin.connect) as resource:
            await check(subject(twin, resource))

    asyncio.run(scenario())
