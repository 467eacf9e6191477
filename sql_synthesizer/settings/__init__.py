"""The one table of settings: name, default, unit and help. No other file reads the environment.

Every setting is read from the environment variable ``SQL_SYNTHESIZER_<NAME>`` (a few keep the name they have
elsewhere, such as ``DATABASE_URL``). A secret may be given as a file instead: ``<VARIABLE>_FILE`` names it.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.settings.business import PriceTable, TeamTable
from sql_synthesizer.settings.database import DatabaseSettings as DatabaseSettings
from sql_synthesizer.settings.database import read_databases, read_secret

PREFIX = "SQL_SYNTHESIZER_"
RATE_LIMIT = r"[1-9][0-9]{0,8}/([1-9][0-9]{0,2})?(second|minute|hour|day)s?"
"""How limits are written."""
EMPTY_MEANS_NONE = {"rate_limit", "failed_login_limit", "suspicion_limit"}
"""Settings whose empty value turns them off; any other is unset by an empty value."""


def _make_field(default: Any, help: str, *, unit: str = "", env: str | None = None, **limits: Any) -> Any:
    alias = AliasChoices(env) if env else None
    return Field(default, description=help, json_schema_extra={"unit": unit}, validation_alias=alias, **limits)


class Settings(BaseSettings):
    """All settings of one process, validated together."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, populate_by_name=True)

    # where the service listens
    host: str = _make_field("127.0.0.1", "Address of the application; keys are required unless it is loopback.")
    port: int = _make_field(5000, "Port of the application.", ge=1, le=65535)
    metrics_enabled: bool = _make_field(True, "Whether /metrics is exported at all.", env="PROMETHEUS_METRICS_ENABLED")
    metrics_host: str = _make_field("127.0.0.1", "Address of the metrics exporter.")
    metrics_port: int = _make_field(8080, "Port of the metrics exporter.", env="METRICS_PORT", ge=1, le=65535)
    workers: int = _make_field(1, "Web worker processes.", ge=1, le=64)
    threads: int = _make_field(8, "Threads of each web worker.", ge=3, le=256)
    question_queue: int = _make_field(
        128, "Questions of a worker that may wait for others to end; each takes a thread.", ge=0, le=1000
    )
    trusted_proxies: int = _make_field(
        0, "Proxies in front whose X-Forwarded-For is believed; with any, keys are required.", ge=0, le=10
    )
    state_dir: Path = _make_field(Path(".sql-synthesizer"), "Directory of the service's own state.")

    drain_seconds: float = _make_field(1.0, "How long readiness is off before a stop.", unit="seconds", ge=0, le=60)

    # databases
    database_url: SecretStr | None = _make_field(None, "URL of the one database to ask.", env="DATABASE_URL")
    databases_file: Path | None = _make_field(None, "YAML file that lists several databases.")
    default_database: str | None = _make_field(None, "Which database is asked when none is named; default: the first.")
    pool_size: int = _make_field(10, "Connections to each database.", ge=1, le=1000)
    pool_wait: float = _make_field(2.0, "How long to wait for a free connection.", unit="seconds", gt=0, le=60)
    connect_timeout: float = _make_field(3.0, "How long connecting may take.", unit="seconds", gt=0, le=60)
    deadline: float = _make_field(30.0, "How long a question may take in all.", unit="seconds", gt=0, le=600)
    statement_timeout: float = _make_field(20.0, "How long one statement may run.", unit="seconds", gt=0, le=600)
    max_rows: int = _make_field(1000, "Rows returned when a question does not say.", unit="rows", ge=1, le=100_000)
    row_cap: int = _make_field(10_000, "Rows that a question may ask for at most.", unit="rows", ge=1, le=100_000)
    byte_cap: int = _make_field(10_000_000, "Size of a result at most.", unit="bytes", ge=1000)
    allow_privileged_login: bool = _make_field(
        False, "Whether a database login may be superuser, bypass row security, or read the server's files."
    )
    schema_ttl: float = _make_field(300.0, "How long a schema is believed unchanged.", unit="seconds", ge=1)
    schema_timeout: float = _make_field(60.0, "How long reading a schema may take.", unit="seconds", gt=0, le=3600)
    value_index: bool = _make_field(True, "Whether text values are looked up to understand questions.")

    # jobs
    job_threads: int = _make_field(2, "Questions of jobs asked at once; 0: serve asks none.", ge=0, le=64)
    job_queue: int = _make_field(10_000, "Questions of jobs that may wait, a fifth of them one caller's.", ge=10)
    job_seconds: float = _make_field(3600.0, "How long a job may run.", unit="seconds", gt=0, le=604_800)
    job_days: float = _make_field(7.0, "How long an ended job is kept, with its results.", unit="days", gt=0, le=365)

    job_wakeups: Literal["poll", "redis"] = _make_field("poll", "redis: new jobs wake workers through REDIS_URL.")
    webhook_hosts: str = _make_field("", "Hosts that jobs may call, as host or host:port with commas between.")
    webhook_networks: str = _make_field("", "Networks that webhooks may reach although they are not public.")
    webhook_secret: SecretStr | None = _make_field(
        None, "Key that signs webhooks: whsec_ and base64; two with a space between while receivers change."
    )
    schedule_limit: int = _make_field(50, "Schedules of one caller at most.", ge=0, le=1000)

    # canaries
    canary_file: Path | None = _make_field(
        None, "YAML file of questions with known results; default: those of the demo, where that is asked."
    )
    canary_seconds: float = _make_field(
        300.0, "How often the service asks itself those questions; 0: never.", unit="seconds", ge=0, le=600
    )

    # regressions
    prometheus_url: str | None = _make_field(
        None, "Prometheus that watches the service, where it looks for regressions; default: it looks for none."
    )

    regression_week: float = _make_field(
        604_800.0, "The cycle that load has; shorter only to try regressions out.", unit="seconds", ge=600, le=604_800
    )

    # limits of input
    max_body_bytes: int = _make_field(65_536, "Request body at most.", unit="bytes", ge=1024)
    max_question_chars: int = _make_field(2_000, "Question text at most.", unit="characters", ge=10, le=20_000)
    max_sql_chars: int = _make_field(20_000, "Statement text at most.", unit="characters", ge=10, le=200_000)
    sure_confidence: float = _make_field(
        0.92, "Answers that are right with less probability are marked as not sure.", ge=0, le=1
    )

    # language model
    openai_api_key: SecretStr | None = _make_field(None, "Key of the model endpoint.", env="OPENAI_API_KEY")
    openai_base_url: str | None = _make_field(
        None, "Base URL of any OpenAI-compatible endpoint.", env="OPENAI_BASE_URL"
    )
    model: str = _make_field("gpt-4.1-mini", "Model that writes SQL.")
    model_provider: str = _make_field("openai", "What metrics call the endpoint.", pattern=r"^[a-z0-9_.-]{1,32}$")
    model_timeout: float = _make_field(15.0, "How long one model call may take.", unit="seconds", gt=0, le=300)
    model_retries: int = _make_field(1, "Further tries after a model call failed.", ge=0, le=5)
    model_max_tokens: int = _make_field(800, "Tokens of a model's reply at most.", unit="tokens", ge=50)
    model_input_price: float | None = _make_field(None, "Price of a million input tokens.", unit="US dollars", ge=0)
    model_output_price: float | None = _make_field(None, "Price of a million output tokens.", unit="US dollars", ge=0)
    model_prices: PriceTable = _make_field(
        "", "Prices of models, model=input/output in US dollars per million tokens, with commas between."
    )
    model_prompt_bytes: int = _make_field(24_000, "Schema sent to a model at most.", unit="bytes", ge=500)
    breaker_failures: int = _make_field(5, "Model failures in a row that open the circuit breaker.", ge=1)
    breaker_reset: float = _make_field(30.0, "How long an open breaker waits before a try.", unit="seconds", gt=0)

    # cache
    cache: Literal["memory", "redis", "memcached", "off"] = _make_field("memory", "Where answers are cached.")
    cache_ttl: int = _make_field(300, "How long an answer is kept.", unit="seconds", ge=1, le=86_400)
    cache_entries: int = _make_field(1_000, "Answers kept by the memory cache.", unit="answers", ge=1, le=1_000_000)
    cache_entry_bytes: int = _make_field(
        1_000_000, "Size of a cached answer at most.", unit="bytes", ge=1000, le=60_000_000
    )
    cache_timeout: float = _make_field(0.25, "How long a cache call may take.", unit="seconds", gt=0, le=10)
    redis_url: SecretStr | None = _make_field(None, "Redis for cache and rate limits.", env="REDIS_URL")
    memcached_servers: str = _make_field("127.0.0.1:11211", "Memcached servers, host:port with commas between.")
    cache_secret: SecretStr | None = _make_field(
        None, "Key that authenticates cached values; default: made in state_dir."
    )

    # access
    auth: Literal["auto", "required"] = _make_field("auto", "auto: keys are not needed on a loopback address.")
    rate_limit: str = _make_field("120/minute", "Requests of one caller, as count/period; empty for none.")
    failed_login_limit: str = _make_field("20/minute", "Wrong keys from one address before a lock; empty for no locks.")
    lock_seconds: int = _make_field(
        60, "First lock on guessing; each further one is twice as long.", unit="seconds", ge=1
    )
    lock_max_seconds: int = _make_field(3600, "Longest lock, and how soon locks are forgotten.", unit="seconds", ge=1)
    suspicion_limit: str = _make_field(
        "5/10minutes", "Suspicious questions of a caller that make an attack; empty for none."
    )
    rate_limit_storage: Literal["memory", "redis"] = _make_field("memory", "Where rate limits are counted.")
    store_url: SecretStr | None = _make_field(
        None, "Database of the service's own state; default: SQLite in state_dir."
    )
    teams: TeamTable = _make_field(
        "", "Teams of keys, with what each may use a month: sales, lab=50usd, web=900questions."
    )
    session_hours: float = _make_field(8.0, "How long a page's sign-in lasts.", unit="hours", gt=0, le=168)

    # audit and telemetry
    audit_dir: Path | None = _make_field(None, "Directory of the audit record; default: state_dir/audit.")
    audit_key_file: Path | None = _make_field(
        None, "File of the audit keys; default: beside the directory, with .key added."
    )
    audit_mode: Literal["strict", "batched"] = _make_field("strict", "batched answers before the record is durable.")
    audit_batch_seconds: float = _make_field(1.0, "What batched mode may lose.", unit="seconds", gt=0, le=10)
    audit_question_text: Literal["masked", "hashed"] = _make_field("masked", "How question text is recorded.")
    audit_segment_bytes: int = _make_field(
        64_000_000, "Size of an audit segment before the next.", unit="bytes", ge=10_000
    )
    audit_reserve_bytes: int = _make_field(
        64_000_000, "Free space below which nothing is answered, only recorded.", unit="bytes", ge=0
    )
    audit_verify_minutes: int = _make_field(
        60, "How often a running service verifies its record; 0 for never.", unit="minutes", ge=0, le=10_080
    )
    audit_retention_days: int | None = _make_field(
        None, "After how many days verified segments are removed; default: never.", unit="days", ge=1
    )
    telemetry: bool = _make_field(
        True, "Whether operations are observed; off only for measurements. The audit record is kept always."
    )
    telemetry_capacity: int = _make_field(20_000, "Facts that may wait to be folded.", unit="facts", ge=100)
    log_level: Literal["debug", "info", "warning", "error"] = _make_field("info", "Least level of log lines.")
    log_text: bool = _make_field(False, "Whether question text and SQL appear in logs and spans.")
    trace_ratio: float = _make_field(1.0, "Share of new traces that are sampled, 0 to 1.", ge=0, le=1)
    trace_slow: float | None = _make_field(
        None,
        "Traces this long are kept whatever the ratio; default: the bound of the latency objective.",
        unit="seconds",
        gt=0,
    )
    sql_comment: bool = _make_field(
        False, "Whether a statement ends with a comment that names its trace, for the database's own log."
    )
    trace_store_bytes: int = _make_field(
        64_000_000, "Size of the service's own store of traces; 0 for none.", unit="bytes", ge=0
    )
    trace_store_hours: float = _make_field(72.0, "How long the store keeps a trace.", unit="hours", gt=0)
    otlp_endpoint: str | None = _make_field(
        None, "OTLP/HTTP endpoint that spans are sent to.", env="OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    service_name: str = _make_field("sql-synthesizer", "Name of the service in traces.", env="OTEL_SERVICE_NAME")

    @field_validator("*", mode="before")
    @classmethod
    def _replace_empty(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        return cls.model_fields[name].get_default() if value == "" and name not in EMPTY_MEANS_NONE else value

    @field_validator("metrics_port")
    @classmethod
    def _check_metrics_port(cls, value: int, info: ValidationInfo) -> int:
        given = info.data
        if (
            given.get("metrics_enabled")
            and value == given.get("port")
            and given.get("host") == given.get("metrics_host")
        ):
            raise ValueError("the metrics exporter and the application need different ports")
        return value

    @field_validator("rate_limit", "failed_login_limit", "suspicion_limit")
    @classmethod
    def _check_rate_limit(cls, value: str) -> str:
        if value and not re.fullmatch(RATE_LIMIT, value):
            raise ValueError("write a limit as count/period, for example 120/minute")
        return value

    @field_validator("lock_max_seconds")
    @classmethod
    def _check_longest_lock(cls, value: int, info: ValidationInfo) -> int:
        if not info.data.get("lock_seconds", 0) <= value <= 86_400:
            raise ValueError("the longest lock lasts at least as long as the first, and a day at most")
        return value

    @property
    def audit_path(self) -> Path:
        """Directory of the audit record."""
        return self.audit_dir or self.state_dir / "audit"

    @property
    def audit_key_path(self) -> Path:
        """File of the audit keys. Raises ConfigurationError when it lies among what it seals."""
        path = self.audit_key_file or self.audit_path.with_name(self.audit_path.name + ".key")
        if path.resolve().is_relative_to(self.audit_path.resolve()):
            raise ConfigurationError(
                f"The audit key {path} lies in the directory of the record that it seals.",
                hint="Choose another place with SQL_SYNTHESIZER_AUDIT_KEY_FILE.",
            )
        return path

    @property
    def audit_state_path(self) -> Path:
        """File that holds how far the audit record was verified."""
        return self.audit_key_path.with_suffix(".verified")

    @property
    def metrics_dir(self) -> Path:
        """Directory that the processes of the service share their metrics in."""
        return self.state_dir / "metrics"

    @property
    def drain_file(self) -> Path:
        """File that exists while the service drains."""
        return self.state_dir / "draining"

    @property
    def trace_store_path(self) -> Path:
        """File of the service's own store of traces."""
        return self.state_dir / "traces.sqlite"

    @property
    def demo_path(self) -> Path:
        """File of the demo database."""
        return self.state_dir / "shop.sqlite"

    def databases(self) -> tuple[DatabaseSettings, ...]:
        """The configured databases, URLs resolved; empty when none is. Raises ConfigurationError."""
        if self.databases_file is not None:
            return read_databases(self.databases_file)
        if self.database_url is not None:
            return (DatabaseSettings(name="main", url=self.database_url),)
        return ()


def load(**overrides: Any) -> Settings:
    """Reads the environment; ``overrides`` (by setting name) win. Raises ConfigurationError with every fault listed."""
    given = {name: value for name, value in overrides.items() if value is not None}
    if "database_url" in given:
        given = {"databases_file": None, "default_database": None, **given}
    try:
        return Settings(**{**_read_secret_files(), **given})
    except ValidationError as error:
        raise ConfigurationError("The settings cannot be used:\n" + _format_faults(error)) from None


def environment_name(setting: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[setting].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + setting.upper()


def child_environment(overrides: Mapping[str, object], **variables: str) -> dict[str, str]:
    """The environment for a child process: this one, with settings (by name) and further variables put in."""
    given = {environment_name(name): str(value) for name, value in overrides.items() if value is not None}
    if overrides.get("database_url") is not None:
        others = (environment_name("databases_file"), environment_name("default_database"), "DATABASE_URL_FILE")
        given = {**dict.fromkeys(others, ""), **given}
    return {**os.environ, **given, **variables}


def unknown_variables() -> dict[str, str | None]:
    """Variables of the environment that look like settings and are none, each with the closest setting's variable."""
    known = {environment_name(name) for name in Settings.model_fields}
    known |= {environment_name(name) + "_FILE" for name in _secret_names()}
    short = {name.removeprefix(PREFIX): name for name in sorted(known)}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name.upper() not in known)
    closest = {name: difflib.get_close_matches(name.removeprefix(PREFIX), short, 1) for name in unknown}
    return {name: short[found[0]] if found else None for name, found in closest.items()}


def format_address(host: str, port: int) -> str:
    """Host and port as a URL writes them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def secret_text(secret: SecretStr | None) -> str | None:
    """The text of a secret setting; None when it is not given."""
    return None if secret is None else secret.get_secret_value()


def reachable_host(host: str) -> str:
    """Where this machine calls a server that listens on ``host``."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104 - compared, not bound
        if address.is_unspecified:
            return "::1" if address.version == 6 else "127.0.0.1"
    return host


def read_variable(name: str) -> str | None:
    """A variable that is not a setting, such as the one a databases file refers to."""
    return os.environ.get(name)


def _read_secret_files() -> dict[str, str]:
    paths = {name: os.environ.get(environment_name(name) + "_FILE") for name in _secret_names()}
    return {name: read_secret(path) for name, path in paths.items() if path}


def _secret_names() -> list[str]:
    return [name for name, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)]


def _format_faults(error: ValidationError) -> str:
    return "\n".join(f"  {_format_fault(fault)}" for fault in error.errors())


def _format_fault(fault: ErrorDetails) -> str:
    """What is wrong with a setting, by its variable, and what it is unless that may be a secret."""
    name, said = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
    if name not in Settings.model_fields:
        return f"{name}: {said}"
    given = "" if name in _secret_names() else f", not {fault['input']!r:.80}"
    return f"{environment_name(name)}: {said}{given}"
