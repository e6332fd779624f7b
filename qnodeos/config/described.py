"""A node's configuration and versions as they are written down, without its secrets."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from qnodeos.config.places import without_password

if TYPE_CHECKING:
    from qnodeos.config.models import NodeConfig

PACKAGES = ("qnodeos", "numpy", "pyzmq", "msgspec", "aiomqtt", "pydantic")

_SECRET = re.compile(r"password|passwd|token|secret(?!_key)|pin\b|community", re.IGNORECASE)


def described(config: NodeConfig) -> dict[str, Any]:
    """All of it as JSON values, with the versions of what runs; words that open doors are `***`."""
    versions = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    told = config.model_dump(mode="json", exclude_none=True)
    return {"config": _without_secrets(told), "versions": versions}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "***" if _SECRET.search(str(key)) else _without_secrets(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    if isinstance(value, str):
        return re.sub(r"(community=)[^&#\s]+", r"\1***", without_password(value))
    return value
