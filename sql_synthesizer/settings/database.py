"""The settings of one database, an entry of the databases file; ``settings`` is the table of all others."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

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
