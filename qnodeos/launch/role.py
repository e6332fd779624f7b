"""One role of a program, in a process of its own, which `qnodeos.launch.fork_server` has made."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from pathlib import Path
from typing import Any


def main(spec_file: str) -> None:
    """Import the role's program and run it; its result goes to the file that the spec names."""
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    from qnodeos.launch import sdk

    sdk.here = sdk.Surroundings(**spec["here"])
    sys.modules["netqasm.sdk.external"] = sdk
    folder = Path(spec["program"])
    sys.path.insert(0, str(folder))
    result = _run(folder, sdk.here.role, sdk.here.node_of[sdk.here.role], spec["inputs"])
    Path(spec["result"]).write_text(json.dumps(result, default=_plain), encoding="utf-8")


def _run(folder: Path, role: str, node: str, inputs: dict[str, Any]) -> Any:
    from netqasm.runtime.app_config import AppConfig
    from netqasm.sdk.config import LogConfig

    module_spec = importlib.util.spec_from_file_location(f"app_{role}", folder / f"app_{role}.py")
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[f"app_{role}"] = module
    module_spec.loader.exec_module(module)
    # The SDK joins paths with each of these, also where it writes nothing.
    here = str(Path.cwd())
    log = LogConfig(log_subroutines_dir=here, comm_log_dir=here, app_dir=str(folder), log_dir=here)
    config = AppConfig(
        app_name=role, node_name=node, main_func=module.main, log_config=log, inputs=inputs
    )
    takes = inspect.signature(module.main).parameters
    given = {"app_config": config} if "app_config" in takes else {}
    return module.main(**given, **inputs)


def _plain(value: Any) -> Any:
    """Results hold futures and numbers of numpy: as integers, else as text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return str(value)
