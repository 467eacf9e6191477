"""Secrets that people type: none leaves the service, and none is kept."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from sql_synthesizer.model.masking import mask_secrets, mask_statement
from sql_synthesizer.settings import load
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.app import App, running

pytestmark = pytest.mark.boundary

SECRETS = {
    "key": "sk-proj-abcdefghijklmnop1234",
    "card": "4111 1111 1111 1111",
    "password": "hunter2",
    "number": "078-05-1120",
    "token": "ghp_" + "a1" * 18,
}
QUESTIONS = {
    "key": "customers with the key {}",
    "card": "orders paid by {}",
    "password": "the customer with password {}",
    "number": "customers whose number is {}",
    "token": "orders of {}",
}
every_kind = pytest.mark.parametrize("kind", SECRETS)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("list users where password=hunter2 now", "list users where password=*** now"),
        ("use api_key: 'abc123'", "use api_key: ***"),
        ("db_password = hunter2", "db_password = ***"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        ('secret: "two words" end', "secret: *** end"),
        ("mysql://bob:p@ss@db/x", "mysql://bob:***@db/x"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: ***"),
        ("send bearer abcdefghijkl", "send bearer ***"),
        ("postgresql://bob:s3cret@db/x", "postgresql://bob:***@db/x"),
        ("key sk-proj-abcdefghijklmnop1234 here", "key *** here"),
        ("sqs_a1b2_" + "x" * 43, "***"),
        ("ghp_" + "a" * 36, "***"),
        ("github_pat_" + "a" * 36, "***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "*** end"),
        ("orders paid by 4111 1111 1111 1111", "orders paid by ***"),
        ("customer 4111 1111 1111 1112", "customer 4111 1111 1111 1112"),
        ("orders between 2024-01-01 and 2024-12-31", "orders between 2024-01-01 and 2024-12-31"),
        ("what is the password policy", "what is the password policy"),
        ("redis://:hunter2@cache:6379/0 refused", "redis://:***@cache:6379/0 refused"),
        ("orders of the user with password hunter2", "orders of the user with password ***"),
        ("my password is correct#horse, who am I", "my password is ***, who am I"),
        ("who has the passcode 4711?", "who has the passcode ***?"),
        ("api key 4f3a9bc0 and token '007'", "api key *** and token ***"),
        ("the customer with ssn 078-05-1120", "the customer with ssn ***"),
        ("social security number 078051120", "social security number ***"),
        ("parts 000-12-3456 and 666-12-3456 and 900-12-3456", "parts 000-12-3456 and 666-12-3456 and 900-12-3456"),
        ("how many tokens were issued", "how many tokens were issued"),
        ("users whose password changed in 2025", "users whose password changed in 2025"),
        ("passwords reset 2025-01-01, secret santa!", "passwords reset 2025-01-01, secret santa!"),
        ("sk-learn models and the sk-a shelf", "sk-learn models and the sk-a shelf"),
    ],
)
def test_known_secrets_are_masked(text, masked):
    assert mask_secrets(text) == masked


@pytest.mark.parametrize(
    ("sql", "masked"),
    [
        ("SELECT 1 FROM t WHERE password = 'hunter2'", "SELECT 1 FROM t WHERE password = ***"),
        ("SELECT 1 FROM t WHERE \"api_key\" = 'abc'", 'SELECT 1 FROM t WHERE "api_key" = ***'),
        ("SELECT 1 FROM t WHERE card = '4111 1111 1111 1111'", "SELECT 1 FROM t WHERE card = '***'"),
        ("SELECT 1 FROM t WHERE token_count = 5", "SELECT 1 FROM t WHERE token_count = 5"),
        ("SELECT secret FROM t WHERE password IS NULL", "SELECT secret FROM t WHERE password IS NULL"),
        ("SELECT 'password hunter2'", "SELECT 'password hunter2'"),
    ],
)
def test_known_secrets_are_masked_in_statements(sql: str, masked: str) -> None:
    assert mask_statement(sql) == masked


@every_kind
def test_no_model_is_sent_a_secret(app_settings: dict[str, Any], kind: str) -> None:
    with FakeOpenAI() as model, running(load(**app_settings, openai_base_url=model.base_url)) as app:
        app.ask(QUESTIONS[kind].format(SECRETS[kind]))
        assert model.requests
        assert SECRETS[kind] not in str(model.requests)
        assert "***" in str(model.requests)


def test_a_model_cannot_answer_what_it_was_not_sent(app_settings: dict[str, Any]) -> None:
    with FakeOpenAI() as model, running(load(**app_settings, openai_base_url=model.base_url)) as app:
        model.reply(sql="SELECT id FROM customers WHERE '' = '***'")
        reply = app.ask(QUESTIONS["password"].format(SECRETS["password"]))
        assert (reply.status_code, reply.get_json()["reason"]) == (422, "declined")
        assert "no model is sent" in reply.get_json()["message"]


@every_kind
def test_nothing_keeps_a_secret(app: App, kind: str) -> None:
    secret = SECRETS[kind]
    app.ask(QUESTIONS[kind].format(secret))
    answered = app.post("/api/sql", {"sql": f"SELECT id FROM customers WHERE '{secret}' <> ''"})
    assert answered.status_code == 200
    comment = {"question_id": answered.get_json()["question_id"], "rating": "down", "comment": f"password {secret}"}
    assert app.post("/api/feedback", comment).status_code == 201
    app.rooms.history.flush(60)
    with sqlite3.connect(app.rooms.settings.state_dir / "store.sqlite") as store:
        kept = "\n".join(store.iterdump())
    store.close()
    assert "customers" in kept
    if kind != "password":  # a word of a statement, which nothing tells from any other
        assert secret not in kept
    assert secret not in str(app.records())


def test_what_held_a_secret_is_not_exported_as_something_else(app: App) -> None:
    body = app.post("/api/sql", {"sql": f"SELECT id FROM customers WHERE '' <> '{SECRETS['card']}'"}).get_json()
    reply = app.get(f"/api/results/{body['question_id']}/csv")
    assert (reply.status_code, reply.get_json()["reason"]) == (410, "page_expired")
