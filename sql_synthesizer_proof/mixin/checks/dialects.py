"""Database engines: each is judged, spoken to, installed and described."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from sqlglot import Dialects

from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer_proof.mixin.checks.source import PACKAGE, list_faults, words_in

DOCUMENTS = ("README.md", "docs/statements.md")


def dialect_faults() -> Iterator[str]:
    """What the code lacks for a row of ``DIALECTS``."""
    for name, row in DIALECTS.items():
        allowed, driver = f"guard/statement/allowed/{row.sqlglot}.toml", f"database/{row.protocol}.py"
        spoken = (PACKAGE / driver).exists()
        expected = {
            f"sqlglot has no dialect {row.sqlglot}": row.sqlglot in set(Dialects),
            f"{allowed}, what a statement may read there, is missing": (PACKAGE / allowed).exists(),
            f"{driver}, the driver of its protocol, is missing": spoken,
            f"{driver} has no limits for it": row.protocol != "http" or (spoken and repr(name) in words_in(driver)),
        }
        yield from list_faults(f"dialect {name}", expected)


def description_faults(root: Path) -> Iterator[str]:
    """Engines that a document does not name, and extras that do not exist."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in DOCUMENTS}
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name, row in DIALECTS.items():
        expected = {f"{document} does not name {row.title}": row.title in text for document, text in texts.items()}
        yield from list_faults(
            f"dialect {name}", {**expected, f"there is no extra {row.extra}": row.extra in ("", *extras)}
        )
