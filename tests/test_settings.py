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
    assert all(name in caught.value.message for name in map(environment_name, ("port", "threads", "rate_limit")))


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


def test_a_given_database_wins_over_the_file_also_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQL_SYNTHESIZER_DATABASES_FILE", "absent.yml")
    monkeypatch.setenv("SQL_SYNTHESIZER_DEFAULT_DATABASE", "elsewhere")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other")
    monkeypatch.setenv("DATABASE_URL_FILE", "absent")
    given = {"database_url": "sqlite:///this"}
    for name, value in settings.child_environment(given).items():
        monkeypatch.setenv(name, value)
    (database,) = load().databases()
    assert database.url.get_secret_value() == "sqlite:///this"
    assert load().default_database is None


def test_a_given_database_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQL_SYNTHESIZER_DATABASES_FILE", "absent.yml")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other")
    (database,) = load(database_url="sqlite:///this").databases()
    assert database.url.get_secret_value() == "sqlite:///this"


def test_empty_means_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(environment_name(name), "")
    loaded = load()
    assert loaded.databases() == ()
    assert (loaded.port, loaded.openai_api_key, loaded.audit_dir) == (5000, None, None)
    assert (loaded.rate_limit, loaded.failed_login_limit) == ("", "")


def test_ports_differ() -> None:
    with pytest.raises(ConfigurationError, match=environment_name("metrics_port")):
        load(port=7000, metrics_port=7000)
    assert load(port=7000, metrics_port=7000, metrics_host="127.0.0.2").metrics_port == 7000
    assert load(port=7000, metrics_port=7000, metrics_enabled=False).metrics_port == 7000


def test_unknown_variables_name_the_closest_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THREDS", "DATABASE_URL", "XYZZY", "STORE_URL_FILE", "workers"):
        monkeypatch.setenv(settings.PREFIX + name, "3")
    assert settings.unknown_variables() == {
        "SQL_SYNTHESIZER_THREDS": "SQL_SYNTHESIZER_THREADS",
        "SQL_SYNTHESIZER_DATABASE_URL": "DATABASE_URL",
        "SQL_SYNTHESIZER_XYZZY": None,
    }


def test_addresses() -> None:
    assert settings.format_address("::1", 80) == "[::1]:80"
    assert settings.format_address("localhost", 80) == "localhost:80"


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("0:0:0:0:0:0:0:0", "::1"),
        ("::1", "::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("db.example", "db.example"),
    ],
)
def test_where_a_server_is_reached(host: str, reached: str) -> None:
    assert settings.reachable_host(host) == reached
