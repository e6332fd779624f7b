"""Two programs never have one instrument at once, and a dead one's claim is nobody's."""

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.claims import Claim, Claims, claim_name
from drivers.errors import NotConnected

METER = "tcp://192.0.2.7:5025"


class Wall:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def taken(claims: Claims, resource: str, owner: str) -> Claim:
    claim = claims.take(resource, owner)
    assert claim is not None
    return claim


def test_the_second_is_told_who_has_it_and_since_when(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    held = taken(claims, METER, "alice/meter")
    with pytest.raises(NotConnected, match=r"alice/meter \(process \d+\) has it since 20") as told:
        claims.take(METER, "qnodeos instrument query")
    assert told.value.resource == METER
    assert claims.holder(METER) == held.holder
    assert claims.all() == [held.holder]
    held.release()
    assert claims.holder(METER) is None
    with taken(claims, METER, "bob") as again:
        assert claims.all() == [again.holder]


def test_others_do_not_matter(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with taken(claims, METER, "a"), taken(claims, "tcp://192.0.2.7:5026", "b"):
        assert len(claims.all()) == 2
        assert claims.take("mem://meter", "c") is None


def test_every_way_to_write_a_resource_is_the_same(tmp_path: Path) -> None:
    port = tmp_path / "ttyACM0"
    port.touch()
    alias = tmp_path / "by-id"
    alias.symlink_to(port)
    names = {claim_name(f"serial://{port}"), claim_name(f"serial://{alias}?baud=9600")}
    names.add(claim_name(f"ASRL{alias}::INSTR"))
    assert len(names) == 1
    assert claim_name("TCPIP0::Meter.lab::5025::SOCKET") == claim_name("tcp://meter.lab:5025")
    assert claim_name(METER) != claim_name("tcp://192.0.2.7:5026")


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from drivers.claims import Claims\n"
        f"claim = Claims(Path(sys.argv[1])).take({METER!r}, 'doomed')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(NotConnected, match="doomed"):
            Claims(tmp_path).take(METER, "next")
        process.kill()
        process.wait(10)
    taken(Claims(tmp_path), METER, "next").release()


def test_a_claim_that_is_not_renewed_may_be_taken_over_and_its_holder_learns_it(
    tmp_path: Path,
) -> None:
    wall = Wall()
    claims = Claims(tmp_path, wall=wall, lease_s=30.0)
    hung = taken(claims, METER, "alice")
    wall.now_s += 29.0
    hung.renew()
    wall.now_s += 29.0
    with pytest.raises(NotConnected, match="alice"):
        claims.take(METER, "bob")
    wall.now_s += 2.0
    bob = taken(claims, METER, "bob")
    with pytest.raises(NotConnected, match=r"taken over by bob"):
        hung.renew()
    hung.release()
    assert claims.holder(METER) == bob.holder, "giving up what is lost does not free the other's"
    bob.release()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotConnected, match="make that folder writable"):
        Claims(tmp_path / "file" / "locks").take(METER, "a")
