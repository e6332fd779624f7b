"""The node operating system of a quantum network: the public face.

Scripts import from here and from `qnodeos.plugin` and `qnodeos.tags`; everything is imported when
it is first used. The other rooms of the house have short names (`drivers`, `timing`, ...), so this
module makes sure that Python finds them beside this package and not somebody else's.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qnodeos.client import connect
    from qnodeos.config import NodeConfig, load_node
    from qnodeos.errors import QnodeosError, UserError

__all__ = ["NodeConfig", "QnodeosError", "UserError", "__version__", "connect", "load_node"]

_ROOMS = ("drivers", "timing", "cext", "link_layer", "sim_backends")
_FACE = {
    "NodeConfig": "qnodeos.config",
    "QnodeosError": "qnodeos.errors",
    "UserError": "qnodeos.errors",
    "connect": "qnodeos.client",
    "load_node": "qnodeos.config",
}


def _check_rooms() -> None:
    house = Path(__file__).resolve().parent.parent
    for room in _ROOMS:
        spec = find_spec(room)
        places = [spec.origin] if spec and spec.origin else []
        if spec and not places:
            places = list(spec.submodule_search_locations or ())
        if not places:
            raise ImportError(
                f"qnodeos: its package '{room}' is missing; found nothing, expected "
                f"{house / room}. Install qnodeos again: pip install --force-reinstall qnodeos"
            )
        for place in places:
            found = Path(place).resolve()
            if not found.is_relative_to(house / room):
                raise ImportError(
                    f"qnodeos: {found} shadows its own package '{room}'; expected "
                    f"{house / room}. Rename that file or folder, or start Python from another "
                    "directory or without it in PYTHONPATH"
                )


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(import_module(_FACE[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("qnodeos")
    raise AttributeError(f"module 'qnodeos' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_check_rooms()
