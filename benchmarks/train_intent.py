"""Trains the linear model of the question guard, and says how it does on lines of writers that it has not read.

    python -m benchmarks.train_intent --check          the shipped numbers are those that the training file gives
    python -m benchmarks.train_intent --write          replace them
    python -m benchmarks.train_intent --leave-one-out  judge each writer by a model trained without that writer
    python -m benchmarks.train_intent --judge MORE.jsonl

A line of a file is ``{"text", "label": "attack"|"benign", "class", "source"}``. Logistic loss, AdaGrad, L2; then the
features that move most are kept and trained again. The same file and grammar give the same numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sql_synthesizer.guard.question import intent

CALM = 8
MODEL = Path(intent.__file__).with_name("intent.json")
GRAMMAR = Path(intent.__file__).with_name("intent.toml")
TRAINING = Path(__file__).parents[1] / "tests" / "data" / "security" / "training-intent.jsonl"
CLASSES = {"prompt-injection", "prompt-leak", "destructive-request", "data-leak", "sql-smuggle"}
TOLERANCE = 0.05
"""Of a weight: what the last digits of ``exp`` on another machine may add up to."""

Weights = dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """``texts``: a feature counts when so many texts have it; ``keep``: so many features are shipped.

    ``attack`` and ``hard``: weight of an attack and of a hard benign line against a plain one. ``refuse``: log odds
    above which a text is refused whose signs weigh 0, 1, 2, 3, or more.
    """

    seed: int = 1
    epochs: int = 20
    rate: float = 0.3
    l2: float = 0.002
    attack: float = 1.5
    hard: float = 2.0
    texts: int = 2
    keep: int = 9000
    refuse: tuple[float, ...] = (1.4, 1.0, 0.75, -1.25, -7.0)


@dataclass(frozen=True)
class Line:
    """What the model sees of the whole text and of each sentence, and the summed weight of the signs."""

    parts: tuple[frozenset[str], ...]
    signs: int
    label: str
    name: str
    source: str


def form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).lower()


def read(path: Path) -> list[Line]:
    lines = []
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if row["label"] == "benign" or row["class"] in CLASSES:
            signs, parts = intent.signs_and_features(form(row["text"]))
            source = row["source"].partition(":")[0]
            lines.append(Line(tuple(map(frozenset, parts)), sum(signs.values()), row["label"], row["class"], source))
    return lines


def train(lines: Iterable[Line], recipe: Recipe) -> tuple[Weights, float]:
    """Weights and bias, in log odds."""
    lines = list(lines)
    counts = Counter(feature for line in lines for feature in line.parts[0])
    known = sorted(feature for feature, count in counts.items() if count >= recipe.texts)
    weights, bias = _fit(lines, known, recipe)
    if len(known) > recipe.keep:
        known.sort(key=lambda feature: -abs(weights[feature]) * math.sqrt(counts[feature]))
        weights, bias = _fit(lines, sorted(known[: recipe.keep]), recipe)
    return weights, bias


def _fit(lines: list[Line], known: list[str], recipe: Recipe) -> tuple[Weights, float]:
    places = {feature: place for place, feature in enumerate(known)}
    data = []
    for line in lines:
        attack = line.label == "attack"
        share = recipe.attack if attack else recipe.hard if line.name == "hard-benign" else 1.0
        data.append((sorted(places[f] for f in line.parts[0] if f in places), attack, share))
    weights, squares = [0.0] * len(known), [1e-6] * len(known)
    bias, order = -1.0, random.Random(recipe.seed)
    for epoch in range(recipe.epochs):
        rate = recipe.rate * (1 - epoch / recipe.epochs)
        order.shuffle(data)
        for features, attack, share in data:
            root = math.sqrt(len(features) + CALM)
            score = bias + sum(map(weights.__getitem__, features)) / root
            slope = (1 / (1 + math.exp(-score)) - attack) * share
            pull = slope / root
            for place in features:
                step = pull + recipe.l2 * weights[place]
                squares[place] += step * step
                weights[place] -= rate * step / math.sqrt(squares[place])
            bias -= 0.02 * slope
    return dict(zip(known, weights, strict=True)), bias


def score(model: tuple[Weights, float], features: Iterable[str]) -> float:
    known = [model[0][feature] for feature in features if feature in model[0]]
    return model[1] + sum(known) / math.sqrt(len(known) + CALM)


def refused(model: tuple[Weights, float], line: Line, recipe: Recipe) -> bool:
    least = recipe.refuse[min(line.signs, len(recipe.refuse) - 1)]
    return max(score(model, part) for part in line.parts) > least


def judged(model: tuple[Weights, float], lines: Iterable[Line], recipe: Recipe) -> None:
    total, found = Counter[str](), Counter[str]()
    for line in lines:
        name = f"{line.label} {line.name}"
        total[name] += 1
        found[name] += refused(model, line, recipe)
    for name, count in sorted(total.items()):
        print(f"    {name:28} {found[name]:5} of {count:5} refused   {found[name] / count:6.1%}")


def numbers(lines: list[Line], recipe: Recipe) -> dict[str, object]:
    """What the model's file holds."""
    weights, bias = train(lines, recipe)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (TRAINING, GRAMMAR)}
    counts = Counter(f"{line.source}: {line.label}" for line in lines)
    return {
        "recipe": asdict(recipe),
        "files": files,
        "lines": dict(sorted(counts.items())),
        "bias": round(bias, 3),
        "refuse": list(recipe.refuse),
        "weights": {feature: round(weight, 2) for feature, weight in sorted(weights.items()) if abs(weight) >= 0.01},
    }


def differences(shipped: dict[str, object], fresh: dict[str, object]) -> list[str]:
    """Where two models differ by more than the tolerance."""
    old, new = shipped["weights"], fresh["weights"]
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    far = [name for name in old.keys() | new.keys() if abs(old.get(name, 0) - new.get(name, 0)) > TOLERANCE]
    return sorted(far) + [name for name in ("files", "refuse") if shipped[name] != fresh[name]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", nargs="*", type=Path, default=[], help="files to judge, not to learn from")
    parser.add_argument("--leave-one-out", action="store_true", help="one writer after the other")
    parser.add_argument("--check", action="store_true", help=f"compare with {MODEL.name}")
    parser.add_argument("--write", action="store_true", help=f"replace {MODEL.name}")
    options = parser.parse_args()
    lines, recipe = read(TRAINING), Recipe()
    if options.leave_one_out:
        for source in sorted({line.source for line in lines}):
            print(f"trained without {source}")
            left = train([line for line in lines if line.source != source], recipe)
            judged(left, [line for line in lines if line.source == source], recipe)
    fresh = numbers(lines, recipe) if options.check or options.write else None
    if options.judge:
        model = train(lines, recipe)
        for path in options.judge:
            print(f"never trained with: {path.name}")
            judged(model, read(path), recipe)
    if fresh and options.write:
        MODEL.write_text(json.dumps(fresh, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    elif fresh and (far := differences(json.loads(MODEL.read_text(encoding="utf-8")), fresh)):
        parser.exit(1, f"{MODEL.name} is not what the training file gives: {', '.join(far[:20])}\n")


if __name__ == "__main__":
    main()
