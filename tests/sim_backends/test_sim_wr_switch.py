"""The simulated White Rabbit switch, asked by another party's SNMP client (puresnmp, MIT)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from puresnmp import V2C, Client, PyWrapper
from puresnmp.exc import NoSuchOID, Timeout

from sim_backends.instruments.wr_switch import WrSwitch
from sim_backends.mount_udp import SnmpPlace

WRS = "1.3.6.1.4.1.96.100"


async def test_puresnmp_gets_and_walks() -> None:
    switch = WrSwitch("7SWP02030P1")
    place = SnmpPlace("127.0.0.1", 0)
    await place.start(switch.connect)
    port = int(place.resource.rsplit(":", 1)[1])
    client = PyWrapper(Client("127.0.0.1", V2C("public"), port=port))
    assert await client.get(f"{WRS}.6.1.3.0") == 1
    assert await client.get(f"{WRS}.6.3.7.0") == b"7SWP02030P1"
    switch.synchronised, switch.offset_ps = False, -300_000
    oids = [f"{WRS}.6.1.3.0", f"{WRS}.7.5.1.11.1", f"{WRS}.7.5.1.10.1"]
    assert await client.multiget(oids) == [2, 300_000, 300_000]
    with pytest.raises(NoSuchOID):
        await client.get(f"{WRS}.6.9.9.0")
    walked = [str(bind.oid) async for bind in client.walk(f"{WRS}.6.2.2")]
    assert walked == [f"{WRS}.6.2.2.{n}.0" for n in range(1, 6)]
    bulk = [bind async for bind in client.bulkwalk([WRS], bulk_size=5)]
    assert len(bulk) == len(switch.objects()) - 1
    assert bulk[-1].value == 300_000
    await place.stop()


async def test_another_community_is_not_answered() -> None:
    place = SnmpPlace("127.0.0.1", 0)
    await place.start(WrSwitch("x", community="lab").connect)
    port = int(place.resource.rsplit(":", 1)[1])
    stranger = Client("127.0.0.1", V2C("public"), port=port)
    with stranger.reconfigure(timeout=1, retries=1), pytest.raises(Timeout):
        await PyWrapper(stranger).get(f"{WRS}.6.1.3.0")
    friend = PyWrapper(Client("127.0.0.1", V2C("lab"), port=port))
    assert await friend.get(f"{WRS}.6.1.3.0") == 1
    await place.stop()


@given(st.binary(max_size=60))
def test_noise_is_not_answered(noise: bytes) -> None:
    assert WrSwitch("x").answer(noise) is None
