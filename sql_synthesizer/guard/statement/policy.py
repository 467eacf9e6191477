"""What a database's settings allow to the role that asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sql_synthesizer.model import Role
from sql_synthesizer.settings import DatabaseSettings


@dataclass(frozen=True, slots=True)
class Policy:
    """``catalogues``: system catalogues and functions that tell about the session may be read.

    ``sensitive``: a statement that touches a sensitive column is recorded, gets ``***`` instead, or is refused.
    """

    catalogues: bool = False
    sensitive: Literal["record", "mask", "deny"] = "record"


def policy_of(config: DatabaseSettings, role: Role) -> Policy:
    """The policy of a database for a role."""
    least = config.catalogue_role
    return Policy(least is not None and role.includes(least), config.sensitive_access)
