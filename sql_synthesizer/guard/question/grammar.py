"""The grammar of ``intent.toml``: word classes, and signs as patterns over lines of classes."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sql_synthesizer.guard.question.shapes import Shape

_PUNCTUATION = '.,:"'
_UNKNOWN, _NUMBER, _FIRST, _ORDER = 0xE000, 0xE001, 0xE002, 0x800
_MACRO = re.compile(r"<(!?)([^<>!]+)>|\.")
_OPTIONAL = re.compile(r"\(\?[!=].*?\)|<[^<>]+>(?:[?*]|\{0)")
_SPACE = re.compile(r"\s")
_MARKS = {
    **dict.fromkeys(".!?;|", "."),
    **dict.fromkeys('"\u201c\u201d[]', '"'),
    **dict.fromkeys((",", "\u2014", "-", "--"), ","),
    ":": ":",
}
_LONGEST = 24
_SHIFTED = chr(_UNKNOWN + _ORDER)
_LEET = str.maketrans("013457@$", "oieastas")


@dataclass(frozen=True, slots=True)
class Sign:
    """A pattern of a row of the file.

    ``weight``: 1 (a hint) to 4 (unmistakable); 0 withdraws the reason. ``marks``: characters of which one must occur.
    """

    reason: str
    weight: int
    pattern: re.Pattern[str]
    marks: frozenset[str]


class IntentGrammar:
    """Reads texts by the word classes and signs of a file's contents.

    Each set of classes that a word may have is one letter; the letter of a word that stands where an order begins is
    shifted, so that a pattern asks for such a place at no cost. Raises ValueError or KeyError when the file is wrong.
    """

    def __init__(self, source: Mapping[str, Any]) -> None:
        for row in source["signs"]:
            row["patterns"] = [_SPACE.sub("", pattern) for pattern in row["patterns"]]
        self.rows = tuple(map(_build_row, (*source["signs"], *source["texts"])))
        classes = _word_classes(source)
        sets = sorted({frozenset(names) for names in classes.values()}, key=sorted)
        letters = {names: chr(_FIRST + number) for number, names in enumerate(sets)}
        self._letters = {word: letters[frozenset(names)] for word, names in classes.items()} | _MARKS
        self._members = {name: {letters[names] for names in sets if name in names} for name in set().union(*sets)}
        self._members |= {mark: {mark} for mark in _PUNCTUATION} | {"NUM": {chr(_NUMBER)}}
        self._seen = _letter_features(letters)
        self._leads = self._members["lead"] | set(".,:")
        common = set(source["common"].split())
        self.texts = tuple(_build_sign(row, "|".join(row["patterns"])) for row in source["texts"])
        signs = [
            (_build_sign(row, self._expand_macros(p)), self._index_letters(p, common))
            for row in source["signs"]
            for p in row["patterns"]
        ]
        signs.sort(key=lambda pair: -pair[0].weight)
        index: dict[str, list[int]] = defaultdict(list)
        for number, (_, key) in enumerate(signs):
            for letter in key:
                index[letter].append(number)
                index[chr(ord(letter) + _ORDER)].append(number)
        self._signs = tuple(sign for sign, _ in signs)
        self._index = dict(index)

    def encode_words(self, words: Iterable[str]) -> str:
        """One letter for each token."""
        unto, wish, want, we = (self._members[name] for name in ("unto", "wish", "want", "i"))
        out = ["."]
        last = before = ""
        previous = "."
        for word in words:
            letter = self._letters.get(word) or self._guess_letter(word)
            if previous in self._leads or (previous in unto and (last in wish or (last in want and before in we))):
                out.append(letter if letter in _PUNCTUATION else chr(ord(letter) + _ORDER))
            else:
                out.append(letter)
            before, last, previous = last, previous, letter
        out.append(".")
        return "".join(out)

    def _guess_letter(self, word: str) -> str:
        letters, unknown = self._letters, chr(_UNKNOWN)
        if word.isdigit():
            return chr(_NUMBER)
        for mark in "-_":
            if mark in word:
                return letters.get(word.replace(mark, "")) or letters.get(word.rpartition(mark)[2], unknown)
        if "'" in word or "\u2019" in word:
            first, _, rest = word.replace("\u2019", "'").partition("'")
            return letters.get(f"{first}'{rest}") or letters.get(first) or letters.get(rest) or unknown
        return letters.get(word.translate(_LEET), unknown)

    def features(self, words: Sequence[str], line: str) -> set[str]:
        """What a linear model sees: the words of a text and their classes, alone, in pairs, and with one between.

        ``>`` marks where an order begins, ``~`` the first letters of a long word, ``^`` and ``$`` the ends, ``#`` a
        number, ``|`` neighbouring classes; ``len4`` is a text of 15 to 30 words.
        """
        found = {f"len{min(6, (len(words) + 1).bit_length() - 1)}"}
        texts, kinds = ["^"], ["^"]
        for word, letter in zip(words, line[1:-1], strict=True):
            features, kind = self._seen[letter]
            found.update(features)
            if letter not in _PUNCTUATION and not word.isdigit():
                found.add(word)
                if letter >= _SHIFTED:
                    found.add(f">{word}")
                if 5 < len(word) <= _LONGEST and word.isalpha():
                    found.add(f"~{word[:5]}")
            texts.append("#" if word.isdigit() else word)
            kinds.append(kind or texts[-1])
        texts.append("$")
        kinds.append("$")
        found.update(map(" ".join, pairwise(texts)))
        found.update(map("|".join, pairwise(kinds)))
        found.update(map(" _ ".join, zip(texts, texts[2:], strict=False)))
        return found

    def search(self, line: str) -> dict[str, int]:
        """The reasons whose signs occur in ``line``, with the weight of the heaviest.

        A reason is withdrawn for the sentence that says why, not for what stands in another.
        """
        found, withdrawn = self._search_signs(line)
        if withdrawn:
            for sentence in line.split("."):
                inside, _ = self._search_signs(f".{sentence}.")
                for reason in withdrawn & inside.keys():
                    found[reason] = max(found.get(reason, 0), inside[reason])
        return found

    def _search_signs(self, line: str) -> tuple[dict[str, int], set[str]]:
        found: dict[str, int] = {}
        withdrawn: set[str] = set()
        numbers = {number for letter in set(line) for number in self._index.get(letter, ())}
        for number in sorted(numbers):
            sign = self._signs[number]
            weight = found.get(sign.reason, 0)
            if sign.weight == 0:
                if weight and sign.pattern.search(line):
                    del found[sign.reason]
                    withdrawn.add(sign.reason)
            elif weight < sign.weight and sign.pattern.search(line):
                found[sign.reason] = sign.weight
        return found, withdrawn

    def _class_letters(self, names: str) -> set[str]:
        return set().union(*(self._members[name] for name in names.split("|") if name not in ("WORD", "END")))

    def _index_letters(self, pattern: str, common: set[str]) -> set[str]:
        """The letters of which one occurs wherever the pattern does: those of its rarest part."""
        parts = [names for no, names in _MACRO.findall(_OPTIONAL.sub("", pattern)) if names and not no]
        open_ = {"WORD", "END", "ANY", "GO"}
        parts = [
            names
            for names in parts
            if open_.isdisjoint(names.split("|")) and self._class_letters(names) - set(_PUNCTUATION)
        ]
        if not parts:
            raise ValueError(f"nothing certain in {pattern}")
        best = min(parts, key=lambda names: (not common.isdisjoint(names.split("|")), len(self._class_letters(names))))
        return self._class_letters(best)

    def _expand_macros(self, pattern: str) -> str:
        everything = f"{chr(_UNKNOWN)}-{chr(_UNKNOWN + 2 * _ORDER - 1)}"
        special = {
            "ANY": "[^.]",
            "GO": f"(?=[{chr(_UNKNOWN + _ORDER)}-{chr(_UNKNOWN + 2 * _ORDER - 1)}])",
            "END": f"(?=[{_PUNCTUATION}{_with_shifted(self._members['and'])}])",
        }

        def expand_macro(match: re.Match[str]) -> str:
            no, names = match.groups()
            if names is None:
                return r"\."
            if names in special:
                return special[names]
            inside = _with_shifted(self._class_letters(names)) + (everything if "WORD" in names.split("|") else "")
            inside += _PUNCTUATION if "END" in names.split("|") or no else ""
            return f"[{'^' * bool(no)}{inside}]"

        return _MACRO.sub(expand_macro, pattern)


def _letter_features(letters: dict[frozenset[str], str]) -> dict[str, tuple[list[str], str]]:
    """For each letter the features of its classes, and its name in pairs: empty for a word without class."""
    found: dict[str, tuple[list[str], str]] = {mark: ([], mark) for mark in _PUNCTUATION}
    for names, letter in [*letters.items(), (frozenset(), chr(_UNKNOWN)), (frozenset(), chr(_NUMBER))]:
        features = [f"<{name}>" for name in names]
        found[letter] = features, "+".join(sorted(names))
        found[chr(ord(letter) + _ORDER)] = [*features, *(f">{feature}" for feature in features)], found[letter][1]
    return found


def _with_shifted(letters: set[str]) -> str:
    return "".join(
        letter if letter in _PUNCTUATION else letter + chr(ord(letter) + _ORDER) for letter in sorted(letters)
    )


def _word_classes(source: Mapping[str, Any]) -> dict[str, set[str]]:
    """The classes of each word; a word that a pattern names is a class of its own."""
    classes: dict[str, set[str]] = defaultdict(set)
    for name, words in source["words"].items():
        for word in (word for entry in words.split() for word in _entry_spellings(entry)):
            classes[word].add(name)
    macros = [found[1] for row in source["signs"] for pattern in row["patterns"] for found in _MACRO.findall(pattern)]
    for name in {name for names in macros for name in names.split("|")}:
        if name.islower() and name not in source["words"]:
            classes[name].add(name)
    return classes


def _build_row(row: Mapping[str, Any]) -> Shape:
    return Shape(row["reason"], row["weight"], "|".join(row["patterns"]), tuple(row["catches"]), tuple(row["passes"]))


def _build_sign(row: Mapping[str, Any], pattern: str) -> Sign:
    return Sign(row["reason"], row["weight"], re.compile(pattern), frozenset(row.get("marks", "")))


def _entry_spellings(entry: str) -> Iterator[str]:
    base, *endings = entry.split("/")
    for word in (base, *(base + ending for ending in endings)):
        yield word
        yield "".join(mark for mark in unicodedata.normalize("NFKD", word) if not unicodedata.combining(mark))
