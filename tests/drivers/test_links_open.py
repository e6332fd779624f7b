"""Resource strings: what is taken, and what is said about the others."""

from typing import Any

import pytest

from drivers.links import SerialSettings, Transport, make_link
from drivers.links.http import HttpTransport
from drivers.links.open import community, scheme
from drivers.links.serial import SerialTransport
from drivers.links.snmp import SnmpTransport
from drivers.links.tcp import TcpTransport
from drivers.links.visa import VisaTransport
from drivers.links.ws import WebSocketTransport
from drivers.links.zmq import ZmqTransport


@pytest.mark.parametrize(
    ("resource", "host", "port"),
    [
        ("tcp://127.0.0.1:1998", "127.0.0.1", 1998),
        ("tcp://laser.lab:5025", "laser.lab", 5025),
        ("tcp://[fe80::1]:5025", "fe80::1", 5025),
        ("TCPIP::10.0.0.7::5025::SOCKET", "10.0.0.7", 5025),
        ("TCPIP0::meter::5025::socket", "meter", 5025),
    ],
)
def test_tcp(resource: str, host: str, port: int) -> None:
    link = make_link(resource, owner="x")
    assert isinstance(link.transport, TcpTransport)
    assert (link.transport.host, link.transport.port) == (host, port)
    assert link.resource == resource
    assert scheme(resource) == "tcp"


@pytest.mark.parametrize(
    ("resource", "path", "settings"),
    [
        ("serial://run/alice-tagger", "run/alice-tagger", SerialSettings(baud=9600)),
        ("serial:///dev/ttyACM0", "/dev/ttyACM0", SerialSettings(baud=9600)),
        ("ASRL/dev/ttyUSB1::INSTR", "/dev/ttyUSB1", SerialSettings(baud=9600)),
        (
            "serial:///dev/ttyUSB0?baud=115200&parity=e&stop_bits=2&data_bits=7&rtscts=true",
            "/dev/ttyUSB0",
            SerialSettings(baud=115200, parity="E", stop_bits=2, data_bits=7, rtscts=True),
        ),
    ],
)
def test_serial(resource: str, path: str, settings: SerialSettings) -> None:
    link = make_link(resource, owner="x", serial=SerialSettings(baud=9600))
    assert isinstance(link.transport, SerialTransport)
    assert (link.transport.path, link.transport.settings) == (path, settings)
    assert scheme(resource) == "serial"


@pytest.mark.parametrize(
    ("resource", "kind", "expected"),
    [
        (
            "zmq://10.0.0.9:5555",
            ZmqTransport,
            {"host": "10.0.0.9", "port": 5555, "pattern": "REQ"},
        ),
        ("zmq+pair://[::1]:4242", ZmqTransport, {"host": "::1", "port": 4242, "pattern": "PAIR"}),
        (
            "http://ps.lab:8050/json-rpc",
            HttpTransport,
            {"host": "ps.lab", "port": 8050, "path": "/json-rpc"},
        ),
        ("http://ps.lab", HttpTransport, {"port": 80, "path": "/"}),
        ("ws://10.0.0.9/counts", WebSocketTransport, {}),
        ("snmp://switch", SnmpTransport, {"host": "switch", "port": 161}),
        ("snmp://switch:1161?community=lab", SnmpTransport, {"port": 1161}),
        (
            "USB0::0x1313::0x8078::P1::INSTR",
            VisaTransport,
            {"name": "USB0::0x1313::0x8078::P1::INSTR"},
        ),
        ("GPIB0::9::INSTR", VisaTransport, {"name": "GPIB0::9::INSTR"}),
        ("TCPIP::10.0.0.7::hislip0::INSTR", VisaTransport, {}),
        ("visa://ASRL/dev/ttyS0::INSTR", VisaTransport, {"name": "ASRL/dev/ttyS0::INSTR"}),
    ],
)
def test_links_that_carry_messages(
    resource: str, kind: type[Transport], expected: dict[str, Any]
) -> None:
    transport = make_link(resource, owner="x").transport
    assert type(transport) is kind
    assert transport.resource == resource
    assert {name: getattr(transport, name) for name in expected} == expected
    names = {
        ZmqTransport: "zmq",
        HttpTransport: "http",
        WebSocketTransport: "ws",
        SnmpTransport: "snmp",
        VisaTransport: "visa",
    }
    assert scheme(resource) == names[kind]


def test_the_community_is_in_the_resource() -> None:
    assert community("snmp://switch?community=lab") == "lab"
    assert community("snmp://switch") == community("mem://switch") == "public"


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        ("", "resource '' is not understood; accepted are tcp://"),
        ("tcp://host", "'tcp://host' is not understood"),
        ("tcp://host:99999", "port 99999; a TCP port is 1 to 65535"),
        ("tcp:/host:1", "not understood"),
        ("usb://1", "for example tcp://192.168.1.20:1998"),
        ("zmq://host", "'zmq://host' is not understood"),
        ("zmq+sub://host:1", "not understood; .*zmq[+]pair://HOST:PORT"),
        ("http://host:0/api", "port 0; a TCP port is 1 to 65535"),
        ("https://host/api", "not understood; .*http://HOST:PORT/PATH"),
        ("ws:/host", "not understood; .*ws://HOST:PORT/PATH"),
        ("snmp://host/path", "not understood; .*snmp://HOST[?]community=public"),
        ("tcp://host:1?community=x", "not understood"),
        ("visa://", "not understood; .*visa://NAME"),
        ("ASRL1::INSTR", "not understood"),
        ("serial://", "names no port"),
        ("serial:///dev/ttyS0?baud=fast", "baud=fast; accepted is a baud rate"),
        ("serial:///dev/ttyS0?speed=9600", "unknown entry 'speed'"),
        ("serial:///dev/ttyS0?parity=X", "accepted is N, E or O"),
        ("serial:///dev/ttyS0?data_bits=", r"data_bits=\(nothing\)"),
        ("mem://x", "simulated lab in the same process"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(resource: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        make_link(resource, owner="x")
    assert "\n" not in str(caught.value)
