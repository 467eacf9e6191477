"""Do the cases notice a mistake in a rule? ``python -m tests.rules.mutate [--alert NAME]``.

Each rule is changed in one place at a time; the cases of its alert must then fail. Changes that make no difference
to any series are listed in ``equivalent.yml`` with the reason. Ends with 1 under 97 % of mutants killed, or where the
list is wrong.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.rules.mutants import Mutant, mutants
from tests.rules.promtool import shipped, try_rule
from tests.rules.scenarios import cases_of
from tests.support.mutation import Score, read_reasons

EQUIVALENT = Path(__file__).parent / "equivalent.yml"
LEAST = 0.97


def survives(name: str, mutant: Mutant) -> bool:
    """Whether every case of the alert is content with the mutant."""
    with TemporaryDirectory() as directory:
        content, said = try_rule(Path(directory), mutant.rule, cases_of(name))
    assert "could not parse" not in said, said
    return content


@click.command(help=__doc__)
@click.option("--alert", help="The alert to change; all if not given.")
@click.option("--change", default="", help="Only changes whose description holds this text.")
def main(alert: str | None, change: str) -> None:
    rules = {name: rule for name, rule in shipped()[0].items() if alert in (None, name, rule["alert"])}
    if not rules:
        raise click.UsageError(f"no alert is named {alert}")
    made = [(name, mutant) for name, rule in rules.items() for mutant in mutants(rule) if change in mutant.change]
    with ThreadPoolExecutor(2) as pool:
        sound = list(pool.map(lambda name: survives(name, Mutant("none", rules[name])), rules))
        if failed := [name for name, passes in zip(rules, sound, strict=True) if not passes]:
            raise click.ClickException(f"their cases fail as they are: {', '.join(failed)}")
        alive = list(pool.map(lambda pair: survives(*pair), made))
    reasons = {key: reason for key, reason in read_reasons(EQUIVALENT).items() if key[0] in rules and change in key[1]}
    outcome = {(name, mutant.change): lives for (name, mutant), lives in zip(made, alive, strict=True)}
    score = Score(outcome, reasons, outcome)
    score.show(EQUIVALENT)
    sys.exit(score.share < LEAST or bool(score.wrong))


if __name__ == "__main__":
    main()
