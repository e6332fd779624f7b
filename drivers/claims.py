"""Claims: two programs never use one instrument at the same time without knowing.

A claim is a locked file, named after the resource, that says who has it, since when, and until
when unless renewed. It ends with its process. One whose holder hangs, so that its lease has ended,
may be taken over; the holder learns that when it next renews.

The files are in `$XDG_RUNTIME_DIR/qnodeos/locks`, else in `qnodeos-UID/locks` in the folder for
temporary files: programs of one user see each other's claims. Between users only serial ports are
locked, by the port itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TextIO

import msgspec

from drivers.errors import NotConnected
from drivers.links.open import scheme, serial_path

LEASE_S = 30.0
"""For how long a claim holds without being renewed."""

_TRIES = 20
_TRY_S = 0.005


class Holder(msgspec.Struct, frozen=True):
    """Who has an instrument; instants are seconds since 1970."""

    owner: str
    pid: int
    resource: str
    since_unix_s: float
    until_unix_s: float


class Claim:
    """One instrument, held until `release` or the end of a `with`; keep it, or it is lost."""

    def __init__(self, claims: Claims, path: Path, file: TextIO, holder: Holder):
        self.holder = holder
        self._claims = claims
        self._path = path
        self._file = file

    def renew(self) -> None:
        """Hold it for another lease; raises NotConnected when somebody has taken it over."""
        if not self._ours():
            there = _read(self._path)
            by = f" by {there.owner} (process {there.pid})" if there else ""
            raise NotConnected(
                f"its claim had run out and was taken over{by}",
                owner=self.holder.owner,
                resource=self.holder.resource,
            )
        until_unix_s = self._claims.wall() + self._claims.lease_s
        self.holder = msgspec.structs.replace(self.holder, until_unix_s=until_unix_s)
        _write(self._file, self.holder)

    def release(self) -> None:
        """Give it up; harmless when it has been given up or taken."""
        if self._file.closed:
            return
        if self._ours():
            self._path.unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _ours(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except (OSError, ValueError):
            return False


class Claims:
    """The claims of this user on this machine. `wall` gives seconds since 1970."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        wall: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ):
        self.folder = default_folder() if folder is None else folder
        self.wall = wall
        self.lease_s = lease_s

    def take(self, resource: str, owner: str) -> Claim | None:
        """Claim what a resource names; None where there is nothing to claim (`mem://`).

        Raises NotConnected, which says who has it and since when.
        """
        name = claim_name(resource)
        if name is None:
            return None
        path = self.folder / name
        try:
            with self._alone(resource, owner):
                file = self._open(path, resource, owner)
                now = self.wall()
                holder = Holder(owner, os.getpid(), resource, now, now + self.lease_s)
                _write(file, holder)
        except OSError as error:
            raise NotConnected(
                f"it cannot be claimed in {self.folder} ({error.strerror or error}); "
                "make that folder writable, or set XDG_RUNTIME_DIR",
                owner=owner,
                resource=resource,
            ) from error
        return Claim(self, path, file, holder)

    def holder(self, resource: str) -> Holder | None:
        """Who has it now."""
        name = claim_name(resource)
        return None if name is None else _holder_of(self.folder / name)

    def all(self) -> list[Holder]:
        """Every claim that is held now, in the order of their resources."""
        paths = self.folder.glob("*.lock") if self.folder.is_dir() else ()
        held = [holder for path in paths if (holder := _holder_of(path)) is not None]
        return sorted(held, key=lambda holder: holder.resource)

    def _open(self, path: Path, resource: str, owner: str) -> TextIO:
        file = path.open("a+")
        if _lock(file):
            return file
        there = _read(path)
        file.close()
        if there is not None and self.wall() <= there.until_unix_s:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(there.since_unix_s))
            raise NotConnected(
                f"{there.owner} (process {there.pid}) has it since {since}; "
                "stop that program, or ask it instead of the instrument",
                owner=owner,
                resource=resource,
            )
        # Its holder hangs: it keeps the file it has locked, and everybody else gets a new one.
        path.unlink(missing_ok=True)
        file = path.open("a+")
        if not _lock(file):
            raise OSError(f"{path} is locked and cannot be replaced")
        return file

    @contextmanager
    def _alone(self, resource: str, owner: str) -> Iterator[None]:
        """One program at a time looks at claims and makes one."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "claiming").open("a") as file:
            for _ in range(_TRIES):
                if _lock(file):
                    yield
                    return
                time.sleep(_TRY_S)
        raise NotConnected(
            "another program is claiming an instrument and does not come to an end",
            owner=owner,
            resource=resource,
        )


def default_folder() -> Path:
    """Where the claims of this user are."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "qnodeos" / "locks"
    return Path(tempfile.gettempdir()) / f"qnodeos-{os.getuid()}" / "locks"


def claim_name(resource: str) -> str | None:
    """The file of a claim: the same for all the ways to write one resource; None for `mem://`."""
    kind = scheme(resource)
    if kind in ("mem", ""):
        return None
    if kind == "serial":
        place = str(Path(serial_path(resource)).resolve())
    elif found := re.fullmatch(r"TCPIP\d*::([^:]+)::(\d+)::SOCKET", resource, re.IGNORECASE):
        place = f"{found[1]}:{found[2]}".lower()
    else:
        place = resource.partition("://")[2].partition("?")[0].rstrip("/").lower() or resource
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", place).strip("_")[-80:]
    return f"{kind}_{readable}_{zlib.crc32(f'{kind} {place}'.encode()):08x}.lock"


def _holder_of(path: Path) -> Holder | None:
    try:
        with path.open("r+") as file:
            return None if _lock(file) else _read(path)
    except OSError:
        return None


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: TextIO, holder: Holder) -> None:
    file.seek(0)
    file.truncate()
    file.write(msgspec.json.encode(holder).decode())
    file.flush()


def _read(path: Path) -> Holder | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    return None
