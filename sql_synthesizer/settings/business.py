"""How prices and teams are written in the settings; ``settings`` is the table of all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator

MICRO = 1_000_000
"""Costs are whole millionths of a US dollar, so that sums are exact."""
MODEL_NAME, AMOUNT = r"[\w.:/@-]{1,64}", r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
TEAM_NAME = r"(?!none\b|other\b)[a-z][a-z0-9_-]{0,31}"
MOST_TEAMS = 32
NO_TEAM = "none"
"""What callers without a team are counted as."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in millionths of a US dollar."""

    input: int
    output: int

    def cost_microusd(self, input_tokens: int, output_tokens: int) -> int:
        """The cost of a call, rounded half up to a millionth of a US dollar."""
        return (input_tokens * self.input + output_tokens * self.output + MICRO // 2) // MICRO


def parse_prices(text: str) -> dict[str, Price]:
    """Model -> its price, from ``model=input/output`` with commas between, in US dollars. Raises ValueError."""
    prices: dict[str, Price] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(rf"({MODEL_NAME}) *= *({AMOUNT}) */ *({AMOUNT})", part)
        if match is None:
            raise ValueError("write prices as model=input/output in US dollars, for example gpt-4.1-mini=0.40/1.60")
        if match[1] in prices:
            raise ValueError(f"{match[1]} has two prices: leave one out")
        prices[match[1]] = Price(to_microusd(match[2]), to_microusd(match[3]))
    return prices


@dataclass(frozen=True, slots=True)
class Budget:
    """What a team may use in a calendar month, in UTC: answered questions, or millionths of a US dollar."""

    amount: int
    unit: Literal["usd", "questions"]

    def used(self, answered: int, microusd: int) -> float:
        """The share that so much is of it; more than 1 is too much."""
        return (microusd if self.unit == "usd" else answered) / self.amount


def parse_teams(text: str) -> dict[str, Budget | None]:
    """Team -> its budget, from ``team``, ``team=100usd`` or ``team=5000questions`` with commas between.

    Raises ValueError.
    """
    teams: dict[str, Budget | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(rf"({TEAM_NAME})(?: *= *(?:({AMOUNT}) *usd|([0-9]{{1,9}}) *questions))?", part)
        if match is None:
            raise ValueError(
                "write teams as name, name=100usd or name=5000questions, with commas between; names are of lower-case "
                "letters, digits, _ and -, begin with a letter, have 32 characters at most, and are not none or other"
            )
        if match[1] in teams:
            raise ValueError(f"the team {match[1]} is named twice: leave one out")
        usd, questions = match[2], match[3]
        amount = to_microusd(usd) if usd else int(questions or 0)
        if (usd or questions) and not amount:
            raise ValueError(f"the budget of {match[1]} is nothing: leave the team out, or give it one")
        teams[match[1]] = Budget(amount, "usd" if usd else "questions") if amount else None
    if len(teams) > MOST_TEAMS:
        raise ValueError(f"there can be {MOST_TEAMS} teams")
    return teams


def to_microusd(usd: str | float) -> int:
    """US dollars as they are written, in whole millionths."""
    return round(Decimal(str(usd)) * MICRO)


def _check_prices(text: str) -> str:
    parse_prices(text)
    return text


def _check_teams(text: str) -> str:
    parse_teams(text)
    return text


TeamTable = Annotated[str, AfterValidator(_check_teams)]
"""A text that ``parse_teams`` reads."""
PriceTable = Annotated[str, AfterValidator(_check_prices)]
"""A text that ``parse_prices`` reads."""


def price_of(model: str, table: str, own: tuple[float | None, float | None]) -> Price | None:
    """The price of a model: its ``own`` for input and output, else its row of the table; None when it is unknown."""
    if own[0] is not None and own[1] is not None:
        return Price(to_microusd(own[0]), to_microusd(own[1]))
    return parse_prices(table).get(model)
