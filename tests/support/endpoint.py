"""A synthesizer before a real HTTP server that plays the model, and what it told of its calls."""

from __future__ import annotations

import pytest

from sql_synthesizer.settings import Settings, load
from sql_synthesizer.synthesizer.llm import LLMSynthesizer
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI

KEY = "sk-do-not-log-7f3a"


def settings(fake: FakeOpenAI | None = None, **more) -> Settings:
    defaults = {"openai_api_key": KEY, "model": "test-model", "model_provider": "test", "model_retries": 1}
    return load(**{**defaults, "openai_base_url": fake.base_url if fake else None, **more})


@pytest.fixture
def fake():
    with FakeOpenAI(lambda _: "SELECT count(*) FROM customers") as server:
        yield server


@pytest.fixture
def telemetry():
    facade = Telemetry()
    facade.observers.append(MemoryObserver())
    return facade


@pytest.fixture
def build(fake, telemetry):
    made = []

    def make(**more) -> LLMSynthesizer:
        made.append(LLMSynthesizer(settings(fake, **more), telemetry))
        return made[-1]

    yield make
    for synthesizer in made:
        synthesizer.close()


def calls(telemetry: Telemetry) -> list:
    telemetry.fold()
    return telemetry.observers[0].operations(vocabulary.LLM_REQUEST)


def outcomes(telemetry: Telemetry) -> list[str]:
    return [call.labels["outcome"] for call in calls(telemetry)]
