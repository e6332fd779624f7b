"""CURVE key files, in ZeroMQ's certificate text form: NAME.key (public), NAME.key_secret (0600)."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from nacl.bindings import crypto_box_keypair, crypto_scalarmult_base
from zmq.utils import z85

from qnodeos.errors import UserError

_Z85_KEY = re.compile(rb"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$")
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
_MAX_KEY_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public and a secret key, Z85 text of 40 bytes each; the secret is never shown."""

    public: bytes
    secret: bytes = field(repr=False)


def new_keys(name: str, folder: str | Path) -> tuple[Path, Path]:
    """Make NAME.key and NAME.key_secret in the folder; returns both paths.

    Raises UserError for a name that cannot be used and rather than overwrite anything.
    """
    if not _NAME.match(name):
        raise UserError(
            "this name cannot be used for keys",
            found=f"'{name}'",
            expected="a small letter, then up to 31 small letters, digits, - or _",
            do="use the node's name",
        )
    folder = Path(folder).expanduser().absolute()
    public_file = folder / f"{name}.key"
    secret_file = folder / f"{name}.key_secret"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    for file in (public_file, secret_file):
        if os.path.lexists(file):
            raise _exists(file)
    public, secret = map(z85.encode, crypto_box_keypair())
    header = f"#   ZeroMQ CURVE {{}} of node {name}\n\nmetadata\ncurve\n"
    line = '    {}-key = "{}"\n'
    _create(
        secret_file,
        header.format("SECRET key, for this node's eyes only,")
        + line.format("public", public.decode())
        + line.format("secret", secret.decode()),
        0o600,
    )
    try:
        _create(
            public_file,
            header.format("public key, to be given to its peers,")
            + line.format("public", public.decode()),
            0o644,
        )
    except UserError:
        secret_file.unlink()
        raise
    return public_file, secret_file


def load_public_key(file: str | Path) -> bytes:
    """The public key in a key file, Z85; raises UserError."""
    file = Path(file)
    return _key(file, _read(file, secret=False), b"public-key")


def load_key_pair(file: str | Path) -> KeyPair:
    """Both keys of a secret key file; raises UserError, also when others may read or write it."""
    file = Path(file)
    data = _read(file, secret=True)
    pair = KeyPair(_key(file, data, b"public-key"), _key(file, data, b"secret-key"))
    if z85.encode(crypto_scalarmult_base(z85.decode(pair.secret))) != pair.public:
        raise UserError(
            "the two keys in this file do not belong together",
            where=str(file),
            expected="the public key that follows from the secret key",
            do="restore the file from its copy, or make new keys with `qnodeos keys new`",
        )
    return pair


def _create(file: Path, text: str, mode: int) -> None:
    # The mode is given at creation, so that no moment exists in which others may read the file.
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise _cannot_write(file, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        raise _cannot_write(file, error) from None


def _read(file: Path, *, secret: bool) -> bytes:
    kind = "secret key" if secret else "public key"
    try:
        with file.open("rb") as opened:
            if secret and os.name == "posix":
                _check_mode(file, os.fstat(opened.fileno()).st_mode)
            return opened.read(_MAX_KEY_FILE_BYTES)
    except FileNotFoundError:
        name = file.name.removesuffix("_secret").removesuffix(".key") or "NAME"
        raise UserError(
            f"there is no such {kind} file",
            where=str(file),
            do=f"make it with `qnodeos keys new {name} --dir {file.parent}`"
            if secret
            else f"copy it from node {name}, which made it with `qnodeos keys new {name}`",
        ) from None
    except OSError as error:
        raise UserError(
            f"the {kind} file cannot be read",
            where=str(file),
            found=f"{error.strerror}",
            expected="a file that this user may read",
            do=f"check it: ls -l {file}",
        ) from None


def _check_mode(file: Path, mode: int) -> None:
    if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
        raise UserError(
            "others may read or write the secret key file",
            where=str(file),
            found=f"mode {stat.S_IMODE(mode):04o}",
            expected="mode 0600",
            do=f"chmod 600 {file}",
        )


def _key(file: Path, data: bytes, label: bytes) -> bytes:
    for line in data.splitlines():
        name, equals, value = line.strip().partition(b"=")
        if equals and name.strip() == label:
            key = value.strip(b" \t'\"")
            if _Z85_KEY.match(key):
                return key
            raise UserError(
                "this is not a CURVE key file",
                where=str(file),
                found=f"a {label.decode()} of {len(key)} characters",
                expected="40 characters of Z85 text",
                do="make keys with `qnodeos keys new NAME`",
            )
    do = "make keys with `qnodeos keys new NAME`"
    if label == b"secret-key" and b"public-key" in data:
        do = f"the secret key is in {file.name}_secret: name that file, or {do}"
    raise UserError(
        "this is not a CURVE key file"
        if label == b"public-key"
        else "this key file holds no secret key",
        where=str(file),
        found=f"no line `{label.decode()} = ...` in it",
        expected="a file made by `qnodeos keys new NAME`",
        do=do,
    )


def _exists(file: Path) -> UserError:
    return UserError(
        "the key file exists already and will not be overwritten",
        where=str(file),
        do="give another name or --dir, or move the old file away first",
    )


def _cannot_write(place: Path, error: OSError) -> UserError:
    return UserError(
        "keys cannot be written here",
        where=str(place),
        found=f"{error.strerror}",
        expected="a directory that this user may write",
        do="give another directory with --dir",
    )
