"""How prices and teams are written in the settings; ``settings`` is the table of all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

MICRO = 1_000_000
"""Costs are whole millionths of a US dollar, so that sums are exact."""
MODEL_NAME, AMOUNT = r"[\w.:/@-]{1,64}", r"[0-9]{1,6}(?:\.[0-9]{1,6})?"


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
        prices[match[1]] = Price(to_microusd(match[2]), to_microusd(match[3]))
    return prices


def to_microusd(usd: str | float) -> int:
    """US dollars as they are written, in whole millionths."""
    return round(Decimal(str(usd)) * MICRO)


def _check_prices(text: str) -> str:
    parse_prices(text)
    return text


PriceTable = Annotated[str, AfterValidator(_check_prices)]
"""A text that ``parse_prices`` reads."""


def price_of(model: str, table: str, own: tuple[float | None, float | None]) -> Price | None:
    """The price of a model: its ``own`` for input and output, else its row of the table; None when it is unknown."""
    if own[0] is not None and own[1] is not None:
        return Price(to_microusd(own[0]), to_microusd(own[1]))
    return parse_prices(table).get(model)
