"""CurveZMQ (ZeroMQ RFC 26), both ends of it: command bodies in, command bodies out.

The cryptography is libsodium's. Keys are of 32 bytes. Both ends prove their long-term keys in the
handshake and draw short-term keys for the connection, so that what was said stays secret when a
long-term key is lost. Numbers of messages only rise: nothing can be said twice.
"""

from __future__ import annotations

import hmac
import secrets

from nacl.bindings import (
    crypto_box,
    crypto_box_afternm,
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_box_open,
    crypto_box_open_afternm,
)
from nacl.exceptions import CryptoError

_HELLO, _WELCOME, _INITIATE = b"\x05HELLO\x01\x00" + bytes(72), b"\x07WELCOME", b"\x08INITIATE"
_READY, _ERROR, _MESSAGE = b"\x05READY", b"\x05ERROR", b"\x07MESSAGE"
_HELLO_BYTES, _WELCOME_BYTES, _COOKIE_BYTES = 200, 168, 96
_BOXED = 16
"""Bytes that a box is longer than what is in it."""

MORE, COMMAND = 1, 2
"""Flags of a message: another part of it follows; it is a command to the far end's connection."""


class Broken(Exception):
    """What came is no CurveZMQ, or not from whom it should be."""


class Denied(Exception):
    """The far end knows who we are, and does not let us in; the text is its three digits."""


class Session:
    """What both ends share after the handshake: seals what is said and opens what is heard."""

    __slots__ = ("_heard", "_ours", "_sent", "_shared", "_theirs")

    def __init__(self, shared: bytes, ours: bytes, theirs: bytes, sent: int, heard: int):
        self._shared, self._ours, self._theirs = shared, ours, theirs
        self._sent, self._heard = sent, heard

    def sealed(self, flags: int, data: bytes) -> bytes:
        """A MESSAGE with this in it."""
        self._sent += 1
        number = self._sent.to_bytes(8, "big")
        box = crypto_box_afternm(bytes((flags,)) + data, self._ours + number, self._shared)
        return _MESSAGE + number + box

    def opened(self, body: bytes) -> tuple[int, bytes]:
        """Flags and content of a MESSAGE; raises Broken for a forgery and for one from before."""
        number = body[8:16]
        if body[:8] != _MESSAGE or len(body) <= 16 + _BOXED:
            raise Broken("found something else, expected a MESSAGE")
        heard = int.from_bytes(number, "big")
        if heard <= self._heard:
            raise Broken(f"found message {heard} again after {self._heard}")
        plain = _opened(body[16:], self._theirs + number, self._shared)
        self._heard = heard
        return plain[0], plain[1:]


class Client:
    """The end that connects, and knows whom it wants to reach."""

    def __init__(self, public: bytes, secret: bytes, server: bytes):
        self._public, self._secret, self._server = public, secret, server
        self._short_public, self._short_secret = crypto_box_keypair()
        self.metadata = b""
        """What the far end says of itself, with its READY."""

    def hello(self) -> bytes:
        """The first word."""
        number = _number(1)
        box = crypto_box(bytes(64), b"CurveZMQHELLO---" + number, self._server, self._short_secret)
        return _HELLO + self._short_public + number + box

    def initiate(self, welcome: bytes, metadata: bytes) -> bytes:
        """The answer to a WELCOME; raises Broken, or Denied."""
        _raise_denied(welcome)
        if not welcome.startswith(_WELCOME) or len(welcome) != _WELCOME_BYTES:
            raise Broken("found something else, expected a WELCOME")
        nonce = b"WELCOME-" + welcome[8:24]
        plain = _box_opened(welcome[24:], nonce, self._server, self._short_secret)
        far_short, cookie = plain[:32], plain[32:]
        self._shared = crypto_box_beforenm(far_short, self._short_secret)
        vouch_nonce = secrets.token_bytes(16)
        vouch = crypto_box(
            self._short_public + self._server, b"VOUCH---" + vouch_nonce, far_short, self._secret
        )
        number = _number(2)
        box = crypto_box_afternm(
            self._public + vouch_nonce + vouch + metadata,
            b"CurveZMQINITIATE" + number,
            self._shared,
        )
        return _INITIATE + cookie + number + box

    def session(self, ready: bytes) -> Session:
        """We are let in with this READY; raises Broken, or Denied."""
        _raise_denied(ready)
        if not ready.startswith(_READY):
            raise Broken("found something else, expected READY")
        number = ready[6:14]
        self.metadata = _opened(ready[14:], b"CurveZMQREADY---" + number, self._shared)
        heard = int.from_bytes(number, "big")
        return Session(self._shared, b"CurveZMQMESSAGEC", b"CurveZMQMESSAGES", 2, heard)


class Server:
    """The end that is reached, and learns by whom."""

    def __init__(self, public: bytes, secret: bytes):
        self._public, self._secret = public, secret
        self._cookie = secrets.token_bytes(_COOKIE_BYTES)
        self.metadata = b""
        """What the far end says of itself, with its INITIATE."""

    def welcome(self, hello: bytes) -> bytes:
        """The answer to a HELLO; raises Broken, also for one that is meant for another key."""
        if not hello.startswith(_HELLO) or len(hello) != _HELLO_BYTES:
            raise Broken("found something else, expected a HELLO")
        self._far_short, number = hello[80:112], hello[112:120]
        _box_opened(hello[120:], b"CurveZMQHELLO---" + number, self._far_short, self._secret)
        self._heard = int.from_bytes(number, "big")
        self._short_public, self._short_secret = crypto_box_keypair()
        nonce = secrets.token_bytes(16)
        box = crypto_box(
            self._short_public + self._cookie, b"WELCOME-" + nonce, self._far_short, self._secret
        )
        return _WELCOME + nonce + box

    def proved(self, initiate: bytes) -> bytes:
        """The long-term public key that this INITIATE proves; raises Broken."""
        if not initiate.startswith(_INITIATE):
            raise Broken("found something else, expected INITIATE")
        cookie, number = initiate[9 : 9 + _COOKIE_BYTES], initiate[105:113]
        # One connection, one cookie: kept here, so that it need not carry our state.
        if not hmac.compare_digest(cookie, self._cookie):
            raise Broken("found the cookie of another connection")
        heard = int.from_bytes(number, "big")
        if heard <= self._heard:
            raise Broken(f"found message {heard} again after {self._heard}")
        self._heard = heard
        self._shared = crypto_box_beforenm(self._far_short, self._short_secret)
        plain = _opened(initiate[113:], b"CurveZMQINITIATE" + number, self._shared)
        public, nonce, vouch, self.metadata = plain[:32], plain[32:48], plain[48:128], plain[128:]
        said = _box_opened(vouch, b"VOUCH---" + nonce, public, self._short_secret)
        if not hmac.compare_digest(said, self._far_short + self._public):
            raise Broken("found a vouch for another connection")
        return public

    def ready(self, metadata: bytes) -> tuple[bytes, Session]:
        """Let it in: what tells it so, and what is shared from now on."""
        number = _number(1)
        box = crypto_box_afternm(metadata, b"CurveZMQREADY---" + number, self._shared)
        session = Session(self._shared, b"CurveZMQMESSAGES", b"CurveZMQMESSAGEC", 1, self._heard)
        return _READY + number + box, session

    @staticmethod
    def error(status: bytes) -> bytes:
        """What tells it in three digits that it is not let in."""
        return _ERROR + bytes((len(status),)) + status


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _raise_denied(body: bytes) -> None:
    if body.startswith(_ERROR):
        raise Denied(body[7:10].decode("ascii", errors="replace"))


def _opened(box: bytes, nonce: bytes, shared: bytes) -> bytes:
    try:
        return crypto_box_open_afternm(box, nonce, shared)
    except (CryptoError, ValueError) as error:
        raise Broken(f"found a box that these keys do not open: {error}") from None


def _box_opened(box: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
    try:
        return crypto_box_open(box, nonce, public, secret)
    except (CryptoError, ValueError) as error:
        raise Broken(f"found a box that these keys do not open: {error}") from None
