"""Which keys a node accepts of its peers: the present one, the one before for a while, no revoked.

All of it is in files beside the public keys, so that a change needs no new configuration: of
`bob.key` the one before is `bob.old.key`, which says until when it holds; revoked ones are lines of
`revoked` beside the node's secret key.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qnodeos.config import WireTable
from qnodeos.errors import UserError
from qnodeos.keys import load_key_pair, load_public_key, new_keys

_UNTIL = re.compile(r'^\s*until\s*=\s*"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PeerKey:
    """A public key (Z85) of a peer; accepted until `until_s`, seconds since 1970, None: always."""

    peer: str
    public: bytes
    until_s: float | None = None
    revoked: bool = False

    def accepted(self, now_s: float) -> bool:
        """It proves who its peer is."""
        return not self.revoked and (self.until_s is None or now_s < self.until_s)


class KeyRing:
    """The peers' keys as they were read; whether one still holds is asked at each use."""

    def __init__(self, keys: Iterable[PeerKey], wall: Callable[[], float] = time.time):
        self._keys = {key.public: key for key in keys}
        self._wall = wall

    def owner(self, public: bytes) -> str | None:
        """The peer that a key (Z85) proves; None for a stranger's and one that holds no longer."""
        key = self._keys.get(public)
        return key.peer if key is not None and key.accepted(self._wall()) else None

    def fingerprints(self) -> list[tuple[str, str]]:
        """Each peer with the fingerprint of a key that holds."""
        now_s = self._wall()
        return [
            (key.peer, fingerprint(key.public))
            for key in self._keys.values()
            if key.accepted(now_s)
        ]

    def of(self, peer: str) -> list[bytes]:
        """The keys that this peer may have now, the present one first."""
        now_s = self._wall()
        return [
            key.public for key in self._keys.values() if key.peer == peer and key.accepted(now_s)
        ]


def fingerprint(public: bytes) -> str:
    """Short enough to be read out on the telephone: 64 bits of the key's SHA-256."""
    digest = hashlib.sha256(public).hexdigest()
    return "-".join(digest[k : k + 4] for k in range(0, 16, 4))


def peer_keys(config: WireTable) -> list[PeerKey]:
    """Every key of every peer, also those that hold no longer. Raises UserError."""
    revoked = _revoked(config)
    found = []
    for name, peer in config.peers.items():
        public = load_public_key(peer.public_key)
        found.append(PeerKey(name, public, revoked=public in revoked))
        old = old_file(peer.public_key)
        if old.exists():
            before = load_public_key(old)
            if before != public:
                found.append(PeerKey(name, before, _until_s(old), before in revoked))
    return found


def old_file(file: Path) -> Path:
    """Where the key before the one in this file is kept."""
    return file.with_name(f"{file.name.removesuffix('.key')}.old.key")


def next_files(config: WireTable) -> tuple[Path, Path]:
    """Where this node's next key is kept until it is used: public, secret."""
    secret = config.secret_key
    name = secret.name.removesuffix("_secret").removesuffix(".key")
    return secret.with_name(f"{name}-next.key"), secret.with_name(f"{name}-next.key_secret")


def prepare_next(config: WireTable) -> Path:
    """Make this node's next key; its public file, to be given to the peers. Raises UserError."""
    public, _ = next_files(config)
    new_keys(public.name.removesuffix(".key"), public.parent)
    return public


def use_next(config: WireTable) -> bytes:
    """The next key is this node's own from its next start; its public half. Raises UserError."""
    public, secret = next_files(config)
    pair = load_key_pair(secret)
    load_public_key(public)
    own = config.secret_key
    # The secret first: a crash in between leaves a public file that can be written again from it.
    secret.replace(own)
    public.replace(own.with_name(own.name.removesuffix("_secret")))
    return pair.public


def accept(config: WireTable, peer: str, file: Path, *, overlap_s: float, now_s: float) -> PeerKey:
    """Take a peer's next key; the present one holds for `overlap_s` more. Raises UserError."""
    table = _peer(config, peer)
    public, before = load_public_key(file), load_public_key(table)
    for key in [*peer_keys(config), PeerKey("this node", load_key_pair(config.secret_key).public)]:
        if key.public == public and (key.peer != peer or key.revoked):
            raise UserError(
                "this key cannot be accepted",
                where=str(file),
                found=f"a {'revoked key' if key.revoked else 'key of ' + key.peer}",
                expected=f"a new key of {peer}",
                do=f"have {peer} make one with `qnodeos keys rotate`",
            )
    if public == before:
        return PeerKey(peer, public)
    until = datetime.fromtimestamp(now_s + overlap_s, UTC).isoformat(timespec="seconds")
    text = f'metadata\n    until = "{until}"\ncurve\n    public-key = "{before.decode()}"\n'
    _replace(old_file(table), text)
    _replace(table, f'metadata\ncurve\n    public-key = "{public.decode()}"\n')
    return PeerKey(peer, public)


def revoke(config: WireTable, peer: str) -> list[PeerKey]:
    """Accept none of the keys that a peer has here, from the next reload. Raises UserError."""
    _peer(config, peer)
    theirs = [key for key in peer_keys(config) if key.peer == peer]
    lines = _revoked(config) | {key.public for key in theirs}
    _replace(_revoked_file(config), "".join(f"{key.decode()}\n" for key in sorted(lines)))
    return theirs


def _peer(config: WireTable, peer: str) -> Path:
    if peer not in config.peers:
        raise UserError(
            "there is no such peer",
            found=f"'{peer}'",
            expected=f"one of {', '.join(sorted(config.peers))}",
        )
    return config.peers[peer].public_key


def _revoked_file(config: WireTable) -> Path:
    return config.secret_key.with_name("revoked")


def _revoked(config: WireTable) -> set[bytes]:
    file = _revoked_file(config)
    try:
        return set(file.read_bytes().split())
    except FileNotFoundError:
        return set()
    except OSError as error:
        # Without it a revoked key would be let in again.
        raise UserError(
            "the list of revoked keys cannot be read",
            where=str(file),
            found=f"{error.strerror}",
            do=f"check it: ls -l {file}",
        ) from None


def _until_s(file: Path) -> float:
    found = _UNTIL.search(file.read_text(encoding="ascii", errors="replace"))
    try:
        until = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        until = None
    if until is None or until.tzinfo is None:
        raise UserError(
            "this old key does not say until when it holds",
            where=str(file),
            expected='a line such as until = "2026-12-31T12:00:00+00:00"',
            do="write it, or remove the file",
        )
    return until.timestamp()


def _replace(file: Path, text: str) -> None:
    """A crash leaves the old content or the new, never half of it. Raises UserError."""
    half = file.with_name(f".{file.name}.new")
    try:
        half.write_text(text, encoding="ascii")
        half.replace(file)
    except OSError as error:
        raise UserError(
            "this file cannot be written", where=str(file), found=f"{error.strerror}"
        ) from None
