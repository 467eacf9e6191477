"""The table of settings: where values come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sql_synthesizer import settings
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings import Settings, environment_name, load

PINNED = {
    "metrics_enabled": "PROMETHEUS_METRICS_ENABLED",
    "metrics_port": "METRICS_PORT",
    "database_url": "DATABASE_URL",
    "openai_api_key": "OPENAI_API_KEY",
    "openai_base_url": "OPENAI_BASE_URL",
    "redis_url": "REDIS_URL",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_help_and_a_name(name: str) -> None:
    assert (Settings.model_fields[name].description or "").endswith((".", "1."))
    assert environment_name(name) == PINNED.get(name, environment_name(name))
    assert environment_name(name).isupper()


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQL_SYNTHESIZER_PORT", "5050")
    monkeypatch.setenv("METRICS_PORT", "9999")
    monkeypatch.setenv("PROMETHEUS_METRICS_ENABLED", "false")
    loaded = load()
    assert (loaded.port, loaded.metrics_port, loaded.metrics_enabled) == (5050, 9999, False)
    assert load(port=6000).port == 6000


def test_all_faults_are_listed_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(port=0, threads=1, rate_limit="many")
    assert all(name in caught.value.message for name in ("port", "threads", "rate_limit"))


def test_secret_from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    key = load().openai_api_key
    assert key is not None
    assert key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(load())
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="absent"):
        load()


def test_databases_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", "postgresql://reader@db/wh")
    path = tmp_path / "databases.yml"
    path.write_text(
        "databases:\n"
        "  shop: {url: 'sqlite:///shop.sqlite', sensitive: [customers.email]}\n"
        "  wh: {url: 'env:WAREHOUSE', models: false}\n"
    )
    shop, warehouse = load(databases_file=path).databases()
    assert (shop.name, shop.sensitive) == ("shop", ("customers.email",))
    assert warehouse.url.get_secret_value() == "postgresql://reader@db/wh"
    assert not warehouse.models


@pytest.mark.parametrize(
    "text",
    [
        "",
        "databases:",
        "databases: []",
        "{",
        "databases: {Shop: {url: x}}",
        "databases: {a: 3}",
        "databases: {a: {}}",
        "databases: {a: {url: x, colour: red}}",
    ],
)
def test_bad_databases_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "databases.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"databases\.yml"):
        load(databases_file=path).databases()


def test_child_environment() -> None:
    child = settings.child_environment({"port": 7000, "host": None}, EXTRA="1")
    assert child["SQL_SYNTHESIZER_PORT"] == "7000"
    assert child["EXTRA"] == "1"
    assert "SQL_SYNTHESIZER_HOST" not in child
