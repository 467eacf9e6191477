"""Endpoints as they are set, with a key and without."""

from __future__ import annotations

import subprocess
import sys

from sql_synthesizer.settings import load
from sql_synthesizer.synthesizer.llm import LLMSynthesizer
from tests.support.endpoint import fake as fake
from tests.support.endpoint import telemetry as telemetry
from tests.support.llm import context
from tests.support.serving import HANG


def test_endpoint_without_key(fake, telemetry, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    synthesizer = LLMSynthesizer(load(openai_base_url=fake.base_url), telemetry)
    assert synthesizer.synthesize(context()).sql
    synthesizer.close()


def test_openai_is_imported_only_when_needed():
    code = "import sys, sql_synthesizer.wiring; sys.exit('openai' in sys.modules or 'httpx2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG)
