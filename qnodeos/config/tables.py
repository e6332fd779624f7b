"""What the tables of the configuration are made of: their base, and the types of their entries.

Paths and resources are made absolute here: they are given relative to the folder of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from qnodeos.config.places import (
    absolute_path,
    absolute_resource,
    checked_broker_url,
    checked_listen,
    checked_tcp,
)


def _path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return absolute_path(value, _folder(info))
    return value


def _folder(info: ValidationInfo) -> Path:
    context = info.context or {}
    folder: Path = context.get("folder", Path())
    return folder


def _resource(value: str, info: ValidationInfo) -> str:
    return absolute_resource(value, _folder(info))


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""Names of nodes, instruments and links: they become parts of topics and file names."""

NodeId = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[Path, BeforeValidator(_path, json_schema_input_type=str)]
Resource = Annotated[str, Field(min_length=1), AfterValidator(_resource)]
TcpAddress = Annotated[str, AfterValidator(checked_tcp)]
ListenAddress = Annotated[str, AfterValidator(checked_listen)]
BrokerUrl = Annotated[str, AfterValidator(checked_broker_url)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Fidelity = Annotated[float, Field(ge=0.5, le=1.0)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class Table(BaseModel):
    """Base of all tables: frozen, no unknown entries, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
