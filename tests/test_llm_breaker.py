"""An endpoint that keeps failing is left alone, and tried again."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from sql_synthesizer.errors import Declined, ModelInvalid, ModelUnavailable
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.llm import LLMSynthesizer
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.endpoint import build as build
from tests.support.endpoint import fake as fake
from tests.support.endpoint import settings
from tests.support.endpoint import telemetry as telemetry
from tests.support.llm import context
from tests.support.serving import HANG, until

REST = 3600.0
"""Seconds that the breaker stays open; tests put them into the past."""


@pytest.mark.parametrize("status", [500, 429, 401, 404])
def test_breaker_opens_and_recovers(build, fake, status):
    synthesizer = build(breaker_failures=2, breaker_reset=REST, model_retries=0)
    fake.fail(status, times=2)
    for _ in range(3):
        with pytest.raises(ModelUnavailable):
            synthesizer.synthesize(context())
    assert len(fake.chats) == 2
    with pytest.raises(ModelUnavailable):
        synthesizer.ping(1.0)
    end_rest(synthesizer)
    synthesizer.ping(HANG)
    assert synthesizer.synthesize(context()).sql
    assert synthesizer.synthesize(context()).sql


def test_breaker_stays_open_after_a_failed_trial(build, fake):
    synthesizer = build(breaker_failures=1, breaker_reset=REST, model_retries=0)
    fake.fail(500, times=2)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    end_rest(synthesizer)
    synthesizer.ping(HANG)
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            synthesizer.synthesize(context())
    assert len(fake.chats) == 2


def test_one_trial_at_a_time(build, fake):
    synthesizer = build(breaker_failures=1, breaker_reset=REST, model_retries=0)
    fake.fail(500)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    end_rest(synthesizer)
    synthesizer.ping(HANG)
    fake.hang()
    trial = threading.Thread(target=fails, args=(synthesizer, context(seconds=1)))
    trial.start()
    until(lambda: len(fake.chats) == 2)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    trial.join(HANG)
    assert len(fake.chats) == 2


@pytest.mark.parametrize("answer", [{"text": "prose"}, {"sql": None}])
def test_breaker_ignores_answers(build, fake, answer):
    synthesizer = build(breaker_failures=1)
    for _ in range(3):
        fake.reply(**answer)
        with pytest.raises((Declined, ModelInvalid)):
            synthesizer.synthesize(context())
    assert synthesizer.synthesize(context()).sql


def test_breaker_does_not_serialize(telemetry):
    gate = threading.Barrier(3, timeout=HANG)
    with FakeOpenAI(lambda _: gate.wait() is not None and "SELECT 1") as fake:
        synthesizer = LLMSynthesizer(settings(fake), telemetry)
        threads = [threading.Thread(target=synthesizer.synthesize, args=(context(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        gate.wait()  # broken unless both requests are at the endpoint at once
        for thread in threads:
            thread.join()
        synthesizer.close()
        assert len(fake.chats) == 2


def test_ping_costs_nothing(build, fake):
    build().ping(1.0)
    assert [request.method for request in fake.requests] == ["GET"]


def fails(synthesizer: LLMSynthesizer, asked: Context) -> None:
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(asked)


def end_rest(synthesizer: LLMSynthesizer) -> None:
    """Makes the breaker's rest lie in the past."""
    synthesizer._circuit.opened_at -= timedelta(seconds=REST)
