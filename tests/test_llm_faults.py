"""Endpoints that fail, hang or ask for patience."""

from __future__ import annotations

import email.utils
import time

import pytest

from sql_synthesizer.errors import ModelUnavailable
from sql_synthesizer.synthesizer.endpoint import _parse_retry_after
from sql_synthesizer.synthesizer.llm import LLMSynthesizer
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.endpoint import build as build
from tests.support.endpoint import calls, outcomes, settings
from tests.support.endpoint import fake as fake
from tests.support.endpoint import telemetry as telemetry
from tests.support.llm import context


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_retry_then_success(build, fake, telemetry, status):
    fake.fail(status)
    assert build().synthesize(context()).sql
    assert outcomes(telemetry) == ["rejected" if status == 429 else "error", "success"]
    assert calls(telemetry)[0].reason == "model_unavailable"


def test_retries_end(build, fake, telemetry):
    fake.fail(500, times=9)
    with pytest.raises(ModelUnavailable):
        build(model_retries=2).synthesize(context())
    assert outcomes(telemetry) == ["error"] * 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_no_retry(build, fake, telemetry, status):
    fake.fail(status)
    with pytest.raises(ModelUnavailable):
        build().synthesize(context())
    assert outcomes(telemetry) == ["rejected"]
    assert calls(telemetry)[0].details.status == status


@pytest.mark.parametrize(
    ("retry_after", "seconds", "tries"),
    [
        (1, 0.9, 1),
        (0, 60, 2),
        (2, 60, 1),
        (60, 600, 1),
        ("date", 600, 1),
        ("nonsense", 60, 2),
        (-3, 60, 2),
        ("9" * 400, 60, 1),
    ],
)
def test_retry_after_is_respected_when_it_is_short(build, fake, retry_after, seconds, tries):
    value = email.utils.formatdate(time.time() + 60, usegmt=True) if retry_after == "date" else retry_after
    fake.fail(429, times=2, retry_after=value)
    with pytest.raises(ModelUnavailable):
        build().synthesize(context(seconds=seconds))
    assert len(fake.chats) == tries


def test_dropped_connection(build, fake, telemetry):
    fake.drop()
    build().synthesize(context())
    assert outcomes(telemetry) == ["error", "success"]


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_timeout(build, fake, telemetry, fault):
    getattr(fake, fault)()
    with pytest.raises(ModelUnavailable):
        build(model_timeout=0.2, model_retries=0).synthesize(context())
    (call,) = calls(telemetry)
    assert call.labels["outcome"] == "timeout"


def test_deadline_wins_over_timeout(build, fake, telemetry):
    fake.hang()
    with pytest.raises(ModelUnavailable):
        build(model_timeout=300, model_retries=5).synthesize(context(seconds=0.4))
    assert outcomes(telemetry) == ["timeout"]


def test_no_time_left(build, fake):
    with pytest.raises(ModelUnavailable):
        build().synthesize(context(seconds=0))
    assert not fake.chats


def test_nobody_listens(telemetry):
    with FakeOpenAI() as gone:
        url = gone.base_url
    synthesizer = LLMSynthesizer(settings(openai_base_url=url, model_retries=0), telemetry)
    with pytest.raises(ModelUnavailable):
        synthesizer.synthesize(context())
    with pytest.raises(ModelUnavailable):
        synthesizer.ping(1.0)
    synthesizer.close()
    (call,) = calls(telemetry)
    assert (call.labels["outcome"], call.details.sent_bytes) == ("error", 0)


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_a_date_to_retry_after_is_read_as_utc(zone):
    moment = email.utils.formatdate(time.time() + 60).replace("-0000", zone)
    assert 50 < _parse_retry_after(moment) <= 60
