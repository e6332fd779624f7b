import stat
from pathlib import Path

import pytest
import zmq.auth

from qnodeos import UserError
from qnodeos.keys import load_key_pair, load_public_key, new_keys


def test_new_keys_are_a_pair_that_zeromq_reads(tmp_path: Path):
    public, secret = new_keys("alice", tmp_path / "keys")
    assert public == tmp_path / "keys/alice.key"
    assert secret == tmp_path / "keys/alice.key_secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    pair = load_key_pair(secret)
    assert load_public_key(public) == load_public_key(secret) == pair.public
    assert zmq.auth.load_certificate(secret) == (pair.public, pair.secret)
    assert zmq.auth.load_certificate(public) == (pair.public, None)


def test_the_secret_is_not_in_the_public_file_nor_in_repr(tmp_path: Path):
    public, secret = new_keys("alice", tmp_path)
    pair = load_key_pair(secret)
    assert pair.secret not in public.read_bytes()
    assert pair.secret.decode() not in repr(pair)


def test_keys_made_by_pyzmq_are_accepted(tmp_path: Path):
    public, secret = zmq.auth.create_certificates(tmp_path, "bob")
    Path(secret).chmod(0o600)
    assert load_key_pair(secret).public == load_public_key(public)


@pytest.mark.parametrize("suffix", [".key", ".key_secret"])
def test_nothing_is_overwritten(tmp_path: Path, suffix: str):
    old = tmp_path / f"alice{suffix}"
    old.write_text("precious")
    with pytest.raises(UserError, match="exists already") as caught:
        new_keys("alice", tmp_path)
    assert caught.value.where == str(old)
    assert [file.name for file in tmp_path.iterdir()] == [old.name]
    assert old.read_text() == "precious"


def test_a_dangling_symlink_is_not_written_through(tmp_path: Path):
    (tmp_path / "alice.key_secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="exists already"):
        new_keys("alice", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "../alice", "Alice", "a/b", "a" * 33])
def test_names_that_cannot_be_used(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="name cannot be used"):
        new_keys(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file(tmp_path: Path):
    (tmp_path / "keys").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        new_keys("alice", tmp_path / "keys")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_secret_that_others_may_touch_is_refused(tmp_path: Path, mode: int):
    _, secret = new_keys("alice", tmp_path)
    secret.chmod(mode)
    with pytest.raises(UserError) as caught:
        load_key_pair(secret)
    error = caught.value
    assert error.where == str(secret)
    assert error.found == f"mode {mode:04o}"
    assert error.expected == "mode 0600"
    assert error.do == f"chmod 600 {secret}"


def test_stricter_modes_are_fine(tmp_path: Path):
    _, secret = new_keys("alice", tmp_path)
    secret.chmod(0o400)
    assert load_key_pair(secret).public


def test_missing_files_say_how_to_make_them(tmp_path: Path):
    with pytest.raises(UserError, match="no such secret key file") as caught:
        load_key_pair(tmp_path / "alice.key_secret")
    assert f"qnodeos keys new alice --dir {tmp_path}" in caught.value.do
    with pytest.raises(UserError, match="no such public key file") as caught:
        load_public_key(tmp_path / "bob.key")
    assert "node bob" in caught.value.do


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff" * 50, b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b'public-key = "short"\n',
     b'public-key = "' + b"\xc3" * 40 + b'"\n'],
)  # fmt: skip
def test_files_that_are_no_keys(tmp_path: Path, content: bytes):
    file = tmp_path / "alice.key"
    file.write_bytes(content)
    file.chmod(0o600)
    for load in (load_public_key, load_key_pair):
        with pytest.raises(UserError, match="not a CURVE key file") as caught:
            load(file)
        assert caught.value.where == str(file)


def test_a_public_file_in_place_of_the_secret(tmp_path: Path):
    public, secret = new_keys("alice", tmp_path)
    public.chmod(0o600)
    with pytest.raises(UserError, match="no secret key") as caught:
        load_key_pair(public)
    assert secret.name in caught.value.do


def test_keys_that_do_not_belong_together(tmp_path: Path):
    _, alice = new_keys("alice", tmp_path)
    _, bob = new_keys("bob", tmp_path)
    mixed = alice.read_text().replace(
        load_key_pair(alice).secret.decode(), load_key_pair(bob).secret.decode()
    )
    alice.write_text(mixed)
    with pytest.raises(UserError, match="do not belong together"):
        load_key_pair(alice)


def test_a_directory_is_no_key(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read"):
        load_key_pair(tmp_path)
