"""Where a node's local sockets are: in a directory of its user's own, told by a file of its data.

Not in the data directory itself, as the path of a socket has room for 107 bytes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def socket_place(
    told_in: Path, name: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Path]:
    """A path for a socket; once `tell` has been called the file `told_in` says where it is.

    Under systemd it is in the unit's runtime directory, which others see as the unit does: its
    /tmp may be its own.
    """
    base = environment.get("RUNTIME_DIRECTORY", "").split(":")[0] or None
    folder = Path(tempfile.mkdtemp(prefix="qnodeos-", dir=base))
    try:
        yield folder / name
    finally:
        told_in.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def tell(socket: Path, told_in: Path) -> None:
    """The socket is there: for its user alone, and for whoever reads the file."""
    socket.chmod(0o600)
    fresh = told_in.with_suffix(".new")
    fresh.write_text(str(socket), encoding="utf-8")
    fresh.replace(told_in)
