"""Answers questions in plain language from a SQL database, and is the text-to-SQL service that can be operated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sql_synthesizer.agent import AsyncQueryAgent, QueryAgent

__all__ = ["AsyncQueryAgent", "QueryAgent", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The agents, loaded when they are named first."""
    if name in ("AsyncQueryAgent", "QueryAgent"):
        from sql_synthesizer.agent import AsyncQueryAgent, QueryAgent  # noqa: PLC0415

        return QueryAgent if name == "QueryAgent" else AsyncQueryAgent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
