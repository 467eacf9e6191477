"""What mutation runs share: the score, and the list of mutants that no test can kill, with the reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

Change = tuple[str, str]
"""Of whom, say an alert, and what is changed."""


def read_reasons(path: Path) -> dict[Change, str]:
    """Why a mutant may survive: of each whom a list of changes, each with its reason."""
    listed: dict[str, dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {(name, change): reason for name, reasons in listed.items() for change, reason in reasons.items()}


@dataclass(frozen=True)
class Score:
    """``outcome`` tells of each mutant whether it survived, ``possible`` names all that could be made."""

    outcome: Mapping[Change, bool]
    reasons: Mapping[Change, str]
    possible: Collection[Change]

    @property
    def excused(self) -> list[Change]:
        """Those that survived for a reason that is listed."""
        return [change for change, lives in self.outcome.items() if lives and change in self.reasons]

    @property
    def survivors(self) -> list[Change]:
        """Those that survived for none."""
        return [change for change, lives in self.outcome.items() if lives and change not in self.reasons]

    @property
    def wrong(self) -> list[Change]:
        """What is listed, but is killed or cannot be made."""
        return [c for c in self.reasons if c not in self.possible or not self.outcome.get(c, True)]

    @property
    def counted(self) -> int:
        """All but those that no test can kill."""
        return len(self.outcome) - len(self.excused)

    @property
    def killed(self) -> int:
        return self.counted - len(self.survivors)

    @property
    def share(self) -> float:
        """Of those that a test can kill, how many are killed."""
        return self.killed / self.counted if self.counted else 1.0

    def show(self, listing: Path) -> None:
        """Prints the score and what is wrong."""
        click.echo(
            f"{len(self.outcome)} mutants, {len(self.excused)} equivalent, "
            f"{self.killed} of {self.counted} killed ({self.share:.1%})"
        )
        for name, change in self.survivors:
            click.echo(f"  {name}: {change}: survives")
        for name, change in self.wrong:
            click.echo(f"  {listing.name}: {name}: {change}: is listed, but is killed or not made")
