"""Words that can stand for each other, from ``synonyms.txt`` beside this file."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from sql_synthesizer.synthesizer.engine.words import stem_word

EXPANSIONS = {
    "birthday": ("birth", "date"),
    "birthdate": ("birth", "date"),
    "surname": ("last", "name"),
    "forename": ("first", "name"),
    "surnames": ("last", "name"),
    "forenames": ("first", "name"),
    "zipcode": ("zip", "code"),
    "postcode": ("zip", "code"),
    "birthplace": ("birth", "place"),
    "headcount": ("number", "employee"),
    "mph": ("speed",),
    "mpg": ("mpg",),
}
"""Words of a question that say two words of a name."""


@lru_cache(maxsize=1)
def synonyms() -> dict[str, frozenset[str]]:
    """The stem of a word -> the stems that it can stand for."""
    found: dict[str, set[str]] = {}
    text = files(__package__).joinpath("synonyms.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        stems = [stem_word(word) for word in line.split()] if not line.startswith("#") else []
        for stem in stems:
            found.setdefault(stem, set()).update(stems)
    return {stem: frozenset(others - {stem}) for stem, others in found.items()}
