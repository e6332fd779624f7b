"""Where things are: file paths, instrument resources and network addresses in a configuration.

Each function returns the checked, absolute form or raises ValueError with a plain sentence.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from drivers.links.open import make_link

_MEMORY = re.compile(r"mem://[A-Za-z0-9][A-Za-z0-9._-]*")
_WINDOWS_PORT = re.compile(r"^COM\d+$", re.IGNORECASE)


def absolute_path(text: str, folder: Path) -> Path:
    """A path as written in a file of that folder; `~` is the home directory."""
    if not text:
        raise ValueError("found an empty path, expected the path of a file or directory")
    return (folder / Path(text).expanduser()).absolute()


def absolute_resource(text: str, folder: Path) -> str:
    """An instrument's resource; the path of a serial port or a recording becomes absolute."""
    if text.startswith("mem://"):
        return text  # needs the simulated lab that a test puts together
    if text.startswith("serial://"):
        port, question, query = text.removeprefix("serial://").partition("?")
        if port and not _WINDOWS_PORT.match(port):
            port = absolute_path(port, folder).as_posix()
        text = f"serial://{port}{question}{query}"
    if text.startswith("file://") and (path := text.removeprefix("file://")):
        text = f"file://{absolute_path(path, folder).as_posix()}"
    try:
        make_link(text, owner="")
    except ValueError as error:
        found, _, expected = str(error).partition("; ")
        raise ValueError(
            f"found {found}, expected {expected.removeprefix('accepted are ')}"
        ) from None
    return text


def checked_tcp(text: str) -> str:
    """tcp://HOST:PORT with a port from 1 to 65535; or mem://NAME, of a rehearsal in one process."""
    if _MEMORY.fullmatch(text):
        return text
    host, port = _host_and_port(text, ("tcp",), example="tcp://10.0.0.7:7101")
    if not host or port is None or port == 0:
        raise ValueError(f"found '{text}', expected tcp://HOST:PORT with a port from 1 to 65535")
    return text


def checked_listen(text: str) -> str:
    """tcp://ADDRESS:PORT to listen on; ADDRESS may be * for all, PORT is from 1 to 65535."""
    return checked_tcp(text)


def checked_broker_url(text: str) -> str:
    """mqtt://[USER:PASSWORD@]HOST[:PORT], mqtts:// for TLS; or mem://NAME, of a rehearsal."""
    if _MEMORY.fullmatch(text):
        return text
    host, _ = _host_and_port(text, ("mqtt", "mqtts"), example="mqtt://127.0.0.1:1883")
    if not host:
        raise ValueError(f"found '{text}', expected mqtt://HOST:PORT")
    return text


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return re.sub(r"//[^@/]*@", "//***@", url)


def _host_and_port(text: str, schemes: tuple[str, ...], example: str) -> tuple[str, int | None]:
    shown = without_password(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"found '{shown}' ({error}), expected such as {example}") from None
    if parts.scheme not in schemes or parts.path not in ("", "/") or parts.query:
        raise ValueError(
            f"found '{shown}', expected {' or '.join(f'{s}://' for s in schemes)} with a host and "
            f"a port, such as {example}"
        )
    host = parts.hostname or ""
    try:
        host.encode("idna")
    except UnicodeError:  # an empty part, or one of more than 63 letters
        raise ValueError(f"found '{host}', expected the name of a host or its address") from None
    return host, port
