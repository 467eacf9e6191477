"""The confidence of the embedded engine fitted on labelled questions, and judged on databases it was not fitted on.

A logistic regression with a quadratic penalty (ridge), solved by Newton's method; cross-validation leaves whole
databases out, so that no figure is of a database whose questions shaped the coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.synthesizer.engine.confidence import INTERCEPT
from sql_synthesizer.synthesizer.engine.readings import read_question
from sql_synthesizer_proof.answers import Answerer, is_right

PENALTY = 30.0
STEPS = 8
FOLDS = 8
LEFT_OUT = frozenset({"share", "dropped", "ordered", "either"})
"""Features that say the same as others and would only make the coefficients hard to read."""
TENTHS = 10


@dataclass(frozen=True, slots=True)
class Example:
    """The best reading of a question: its features, its trust, and whether it is right; none where there is none."""

    database: str
    features: dict[str, float]
    trust: float
    right: bool


Model = dict[str, float]


def read_examples(answerer: Answerer, lines: Iterable[dict[str, Any]]) -> list[Example]:
    """Reads each question and compares its best reading with the gold SQL."""
    found = []
    for line in lines:
        readings = read_question(answerer.context(line["db_path"], line["question"]))
        if not readings:
            found.append(Example(line["db_path"], {}, 0.0, right=False))
            continue
        best = readings[0]
        features = {name: float(value) for name, value in best.features.items() if name not in LEFT_OUT}
        try:
            right = is_right(answerer, best.sql, line)
        except SqlSynthesizerError:
            right = False
        if right is None:
            continue
        found.append(Example(line["db_path"], features, best.draft.trust, right))
    return found


def fit_model(examples: Sequence[Example], penalty: float = PENALTY) -> Model:
    """The coefficients that make the examples likeliest, those of doubtful trust left aside."""
    kept = [example for example in examples if example.trust == 1.0]
    names = sorted({name for example in kept for name in example.features})
    means = {name: sum(e.features[name] for e in kept) / len(kept) for name in names}
    spreads = {name: _spread([e.features[name] for e in kept], means[name]) for name in names}
    rows = [[1.0, *((e.features[name] - means[name]) / spreads[name] for name in names)] for e in kept]
    weights = [0.0] * (len(names) + 1)
    for _ in range(STEPS):
        step = _newton_step(rows, [float(e.right) for e in kept], weights, penalty)
        weights = [weight - change for weight, change in zip(weights, step, strict=True)]
    model = {name: weight / spreads[name] for name, weight in zip(names, weights[1:], strict=True)}
    return {INTERCEPT: weights[0] - sum(model[name] * means[name] for name in names), **model}


def estimate(model: Model, example: Example) -> float:
    """The probability that an example is right."""
    total = model[INTERCEPT] + sum(model.get(name, 0.0) * value for name, value in example.features.items())
    return example.trust / (1 + math.exp(-max(-30.0, min(30.0, total))))


def cross_validate(examples: Sequence[Example]) -> list[float]:
    """The probability of each example by a model that saw no question of its database."""
    databases = sorted({example.database for example in examples})
    found = [0.0] * len(examples)
    for fold in range(FOLDS):
        held = set(databases[fold::FOLDS])
        others = [example for example in examples if example.database not in held]
        model = fit_model(others) if held and others else None
        for place, example in enumerate(examples):
            if model is not None and example.database in held:
                found[place] = estimate(model, example)
    return found


@dataclass(frozen=True, slots=True)
class Tenth:
    """The answers whose probability lies in one tenth: how many, what was foretold and how many of them were right."""

    low: float
    count: int
    foretold: float
    right: float


def calibrate(examples: Sequence[Example], foretold: Sequence[float]) -> tuple[list[Tenth], float]:
    """Tenths with what was foretold and what held, and the expected calibration error, between 0 and 1."""
    pairs = [(p, e.right) for p, e in zip(foretold, examples, strict=True) if e.features]
    tenths = []
    for tenth in range(TENTHS):
        own = [(p, right) for p, right in pairs if min(TENTHS - 1, int(p * TENTHS)) == tenth]
        if own:
            mean, share = sum(p for p, _ in own) / len(own), sum(right for _, right in own) / len(own)
            tenths.append(Tenth(tenth / TENTHS, len(own), mean, share))
    return tenths, sum(t.count * abs(t.foretold - t.right) for t in tenths) / max(1, len(pairs))


def answered_from(examples: Sequence[Example], foretold: Sequence[float], least: float) -> tuple[float, float, float]:
    """Shares at a threshold: of all questions those answered and those answered rightly; of the answers the right."""
    rights = [e.right for p, e in zip(foretold, examples, strict=True) if p >= least and e.features]
    right = sum(rights)
    return len(rights) / len(examples), right / len(examples), right / max(1, len(rights))


def model_text(model: Model) -> str:
    """The coefficients as the file that the engine reads."""
    head = (
        '# Made by "sql-synthesizer eval fit --write": what each feature adds to the logit that a reading is right.\n'
    )
    return head + "".join(f"{name} {value:.3f}\n" for name, value in model.items())


def _spread(values: Sequence[float], mean: float) -> float:
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) or 1.0


def _newton_step(
    rows: Sequence[Sequence[float]], rights: Sequence[float], weights: Sequence[float], penalty: float
) -> list[float]:
    size = len(weights)
    penalties = [0.0, *[penalty] * (size - 1)]
    gradient = [lam * weight for lam, weight in zip(penalties, weights, strict=True)]
    hessian = [[penalties[i] if i == j else 0.0 for j in range(size)] for i in range(size)]
    for row, right in zip(rows, rights, strict=True):
        p = 1 / (1 + math.exp(-sum(a * b for a, b in zip(weights, row, strict=True))))
        for i, value in enumerate(row):
            gradient[i] += (p - right) * value
            scaled = p * (1 - p) * value
            line = hessian[i]
            for j in range(i + 1):
                line[j] += scaled * row[j]
    for i in range(size):
        for j in range(i):
            hessian[j][i] = hessian[i][j]
    return _solve(hessian, gradient)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solves a positive definite system by Gaussian elimination."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i, pivot in enumerate(rows):
        for other in rows[i + 1 :]:
            factor = other[i] / pivot[i]
            for j in range(i, len(pivot)):
                other[j] -= factor * pivot[j]
    found = [0.0] * len(rows)
    for i in reversed(range(len(rows))):
        known = sum(rows[i][j] * found[j] for j in range(i + 1, len(rows)))
        found[i] = (rows[i][-1] - known) / rows[i][i]
    return found
