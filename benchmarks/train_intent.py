"""Trains the linear model of the question guard and says how it does on sources that it has not seen.

    python -m benchmarks.train_intent tests/data/security/training-intent.jsonl MORE.jsonl --write

A line of a file is ``{"text", "label": "attack"|"benign", "class", "source"}``. Logistic loss, AdaGrad, L2; features
are those of ``guard.intent.features`` that occur in four texts or more. The same files and seed give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import unicodedata
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from sql_synthesizer.guard import intent

CLASSES = {"prompt-injection", "prompt-leak", "destructive-request", "data-leak", "sql-smuggle"}
CALM = 8
MODEL = Path(intent.__file__).with_name("intent.json")


@dataclass(frozen=True)
class Recipe:
    """``texts``: a feature counts when so many texts have it; ``attack_weight``: of an attack against a benign text."""

    seed: int = 1
    epochs: int = 12
    rate: float = 0.2
    l2: float = 0.03
    attack_weight: float = 2.0
    texts: int = 4


@dataclass(frozen=True)
class Line:
    features: frozenset[str]
    grammar: int
    attack: bool
    name: str
    source: str


def form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).lower()


def read(paths: list[Path]) -> list[Line]:
    lines = []
    for row in (json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()):
        attack = row["label"] == "attack"
        if row.get("kind", "question") == "question" and (not attack or row["class"] in CLASSES):
            text = form(row["text"])
            weights = intent.signs(text)[0].values()
            name = f"{row['label']} {row['class']}"
            features = frozenset(intent.features(text))
            lines.append(Line(features, sum(weights), attack, name, row["source"].split(":")[0]))
    return lines


def train(lines: list[Line], recipe: Recipe) -> tuple[dict[str, float], float]:
    counts = Counter(feature for line in lines for feature in line.features)
    data = [(sorted(f for f in line.features if counts[f] >= recipe.texts), line.attack) for line in lines]
    weights: dict[str, float] = defaultdict(float)
    squares: dict[str, float] = defaultdict(lambda: 1e-6)
    bias, order = -1.0, random.Random(recipe.seed)
    for _ in range(recipe.epochs):
        order.shuffle(data)
        for features, attack in data:
            root = math.sqrt(len(features) + CALM)
            score = bias + sum(weights[feature] for feature in features) / root
            slope = (1 / (1 + math.exp(-score)) - attack) * (recipe.attack_weight if attack else 1)
            for feature in features:
                step = slope / root + recipe.l2 * weights[feature]
                squares[feature] += step * step
                weights[feature] -= recipe.rate * step / math.sqrt(squares[feature])
            bias -= 0.02 * slope
    return dict(weights), bias


def score(model: tuple[dict[str, float], float], features: frozenset[str]) -> float:
    known = [model[0][feature] for feature in features if feature in model[0]]
    return model[1] + sum(known) / math.sqrt(len(known) + CALM)


def judged(model: tuple[dict[str, float], float], lines: list[Line], refuse: float, hint: float) -> None:
    total, grammar, both = Counter[str](), Counter[str](), Counter[str]()
    for line in lines:
        value = score(model, line.features)
        total[line.name] += 1
        grammar[line.name] += line.grammar >= 2
        both[line.name] += line.grammar + (2 if value > refuse else value > hint) >= 2
    for name, count in sorted(total.items()):
        print(f"    {name:28} {count:5} lines   grammar {grammar[name]:5}   with the model {both[name]:5}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--check", nargs="*", type=Path, default=[], help="files to judge, not to learn from")
    parser.add_argument("--refuse", type=float, default=0.8, help="log odds above which a text is refused")
    parser.add_argument("--hint", type=float, default=0.5, help="log odds above which the model gives a hint")
    parser.add_argument("--write", action="store_true", help=f"replace {MODEL.name}")
    options = parser.parse_args()
    lines, recipe = read(options.files), Recipe()
    for source in sorted({line.source for line in lines if line.source != "own"}):
        print(f"trained without {source}")
        left = train([line for line in lines if line.source != source], recipe)
        judged(left, [line for line in lines if line.source == source], options.refuse, options.hint)
    model = train(lines, recipe)
    for path in options.check:
        print(f"never trained with: {path.name}")
        judged(model, read([path]), options.refuse, options.hint)
    if options.write:
        weights = {feature: round(weight, 2) for feature, weight in sorted(model[0].items()) if abs(weight) >= 0.05}
        counts = Counter(f"{line.source}: {line.name.split()[0]}" for line in lines)
        figures = {"recipe": asdict(recipe), "lines": dict(sorted(counts.items()))}
        numbers = {"bias": round(model[1], 3), "refuse": options.refuse, "hint": options.hint, "weights": weights}
        MODEL.write_text(json.dumps(figures | numbers, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
