"""The settings of one database, an entry of the databases file; ``settings`` is the table of all others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model import Role


class DatabaseSettings(BaseModel):
    """One database that may be asked.

    Tables and columns are named ``table`` and ``table.column``, also with the schema before, without case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="What callers and labels call it.")
    url: SecretStr = Field(description="SQLAlchemy URL, or 'env:NAME' / 'file:PATH' to keep it elsewhere.")
    schemas: tuple[str, ...] = Field((), description="Schemas that may be read; empty means the default one.")
    tables: tuple[str, ...] = Field((), description="Tables that may be read; empty means all in the schemas.")
    hidden: tuple[str, ...] = Field((), description="Tables and columns that do not exist for who asks.")
    sensitive: tuple[str, ...] = Field((), description="Columns hidden from models; reading them is recorded.")
    sensitive_access: Literal["record", "mask", "deny"] = Field(
        "record", description="Sensitive columns are read, come as ***, or are refused; recorded either way."
    )
    catalogue_role: Role | None = Field(
        None, description="Least role that may read system catalogues and version and user functions; default: none."
    )
    shareable: tuple[str, ...] = Field((), description="Columns whose values a model may see.")
    models: bool = Field(True, description="Whether questions about it may go to a language model.")
    pool_size: int | None = Field(None, ge=1, le=1000, description="Connections; default: the pool_size setting.")


def read_secret(path: str) -> str:
    """What a file holds, without space around it. Raises ConfigurationError."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The secret file {path} cannot be read: {type(error).__name__}.") from None


def read_databases(path: Path) -> tuple[DatabaseSettings, ...]:
    """The databases of a file, URLs resolved. Raises ConfigurationError with every fault listed."""
    import yaml  # noqa: PLC0415

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = document["databases"].items()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The databases file {path} cannot be used: {type(error).__name__}.",
            hint="It holds 'databases:' with one entry a database; docs/settings.md shows an example.",
        ) from None
    faults: list[str] = []
    databases: list[DatabaseSettings] = []
    for name, entry in entries:
        try:
            databases.append(
                DatabaseSettings(**{"name": name, **(entry or {}), "url": _resolve_url((entry or {}).get("url"))})
            )
        except ValidationError as error:
            faults.append(f"{name}:\n{_format_faults(error)}")
        except (TypeError, AttributeError):
            faults.append(f"{name}: an entry is a mapping with at least 'url'")
    if faults or not databases:
        raise ConfigurationError(f"The databases file {path} cannot be used:\n" + ("\n".join(faults) or "it is empty"))
    return tuple(databases)


def _resolve_url(url: object) -> object:
    text = url if isinstance(url, str) else ""
    if text.startswith("env:"):
        return os.environ.get(text[4:])
    return read_secret(text[5:]) if text.startswith("file:") else url


def _format_faults(error: ValidationError) -> str:
    told = ((".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in error.errors())
    return "\n".join(f"  {name}: {said}" for name, said in told)
