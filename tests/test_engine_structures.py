"""What whole questions mean to the embedded engine: alternatives, absence, groups, values over some rows only."""

from __future__ import annotations

import pytest

from sql_synthesizer.errors import Declined
from tests.test_engine_answers import ask, read, rows

CASES: dict[tuple[str, str], set[object]] = {
    ("films", "What are the last names of members whose age is above the average age of members from Leeds?"): {"Hill"},
    ("orders", "names of products that are cheaper than Lamp and have stock above 5"): {"Kettle", "Candle"},
    ("orders", "Find products with the same category as Kettle."): {"Kettle", "Knife"},
    ("orders", "products whose price is higher than any product in the light category"): {
        "Kettle", "Knife", "Lamp", "Chair",
    },
    ("music", "names of artists who have more than one album or were born after 1990"): {"Nia", "Pia"},
    ("music", "names of artists that have no pop songs"): {"Olaf", "Quinn"},
    ("music", "Which artists have released at least one album after 2004 and before 2015?"): {"Nia"},
    ("music", "How many songs have more plays than Red?"): {2},
    ("music", "What are the durations of the longest and the shortest songs?"): {400},
    ("orders", "How many categories have at least two products?"): {2},
    ("orders", "categories for which the maximum price is larger than 50"): {"light", "furniture"},
    ("orders", "Find the name of clients that do not have shipped or pending orders."): {"Carl", "Dora"},
    ("orders", "Which countries have both clients from Berlin and clients from Hamburg?"): {"Germany"},
    ("orders", "Show all countries."): {"Italy", "Germany", "France"},
    ("orders", "names of clients from Atlantis city"): set(),
    ("films", "last names of members who have rented more than 2 films"): {"Hill"},
    ("films", "Which film was rented the most?"): {"Alpha"},
    ("films", "titles of films that were rented by members younger than 30"): {"Gamma"},
    ("films", "Which films have been rented at least three times?"): {"Alpha"},
    ("films", "towns of members “Eva Stone”"): {"Leeds"},
    ("orders", "What percentage of orders are shipped?"): {60.0},
    ("orders", "What is the average number of orders per client?"): {5 / 3},
    ("orders", "most expensive product in each category"): {"kitchen", "light", "furniture"},
    ("music", "titles of the 2 songs with the most plays for each album"): {"Dawn", "Noon", "Fjord", "Ice"},
    ("orders", "names of clients with several orders"): {"Aldo"},
    ("orders", "names of clients who have at least one shipped order and at least one pending order"): {"Aldo"},
    ("films", "last names of the members who rented at least 2 different films"): {"Stone", "Hill"},
    ("music", "titles of albums by artist Taylor Quick"): set(),
    ("kennel", "names of abandoned dogs"): {"Rex", "Bo"},
    ("kennel", "names of dogs that are not abandoned"): {"Ada"},
    ("kennel", "How many dogs are trained?"): {2},
    ("twice", "towns of ports with no ferries"): set(),
}  # fmt: skip


@pytest.mark.parametrize(("name", "question"), CASES)
def test_first_column(name: str, question: str) -> None:
    assert {row[0] for row in rows(name, read(name, question).sql)} == CASES[name, question]


@pytest.mark.parametrize(
    "question",
    [
        "Wie viele Kunden gibt es?",
        "Combien de produits y a-t-il par catégorie ?",
        "¿Cuántos clientes hay en Alemania?",
        "Quanti ordini sono stati spediti?",
        "Quantos clientes fizeram pedidos?",
    ],
)
def test_questions_in_other_languages_are_told_what_can_be_asked(question: str) -> None:
    with pytest.raises(Declined) as caught:
        ask("orders", question)
    assert "How many clients are there?" in caught.value.suggestions
