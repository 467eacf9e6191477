"""Looks through a set-up, changes nothing, and says what is to be mended."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, Literal

from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.monitoring import catalog, slo
from sql_synthesizer.operate.programs import direct, is_answering
from sql_synthesizer.settings import Settings, format_address, reachable_host, unknown_variables
from sql_synthesizer.telemetry import Telemetry

LIMIT = 3.0
"""Seconds that an answer may take."""
DAY = 86_400.0
SHIPPED = ("inbox:1025", "@company.com")
"""What stands in Alertmanager's file as it is shipped, and leads to nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what mends it."""

    subject: str
    state: Literal["ok", "doubtful", "wrong"]
    said: str
    mend: str = ""


def examine(settings: Settings, prometheus: str, alertmanager: str) -> Iterator[Finding]:
    """Every finding, as it is made; ``prometheus`` and ``alertmanager`` are URLs."""
    yield from _examine_settings()
    yield from _examine_state(settings)
    yield from _examine_record(settings)
    yield from _examine_databases(settings)
    yield from _examine_service(settings)
    yield from _examine_prometheus(prometheus.rstrip("/"))
    yield from _examine_alertmanager(alertmanager.rstrip("/"))


def _examine_settings() -> Iterator[Finding]:
    for name, closest in unknown_variables().items():
        mend = f"Did you mean {closest}?" if closest else "docs/settings.md lists all."
        yield Finding("settings", "doubtful", f"{name} is not a setting", mend)


def _examine_state(settings: Settings) -> Iterator[Finding]:
    place = settings.state_dir
    if not place.is_dir():
        yield Finding("state directory", "doubtful", f"{place} does not exist yet", "The first start makes it.")
        return
    mode = stat.S_IMODE(place.stat().st_mode)
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding("state directory", "wrong", f"{place} cannot be written", f"chown it to uid {os.geteuid()}.")
    elif mode & 0o077:
        yield Finding("state directory", "wrong", f"{place} can be read by others ({mode:o})", f"chmod 700 {place}")
    else:
        yield Finding("state directory", "ok", f"{place} is this account's alone")
    free = shutil.disk_usage(settings.audit_path if settings.audit_path.is_dir() else place).free
    said = f"{free / 1024**3:.1f} GiB are free for the audit record"
    if free < settings.audit_reserve_bytes:
        yield Finding("disk", "wrong", f"{said}: nothing is answered", "Free space, or audit retire.")
    else:
        low = free < slo.AUDIT_LEAST_BYTES
        yield Finding("disk", "doubtful" if low else "ok", said, "Free space, or audit retire." * low)


def _examine_record(settings: Settings) -> Iterator[Finding]:
    path = settings.audit_key_path
    if not path.exists():
        missing = settings.audit_path.is_dir() and any(settings.audit_path.iterdir())
        mend = "Put it back from its backup." if missing else "The first start makes it."
        yield Finding("audit key", "wrong" if missing else "doubtful", f"{path} does not exist", mend)
        return
    try:
        keyring = Keyring(path, make=False)
    except SqlSynthesizerError as error:
        yield Finding("audit key", "wrong", error.message, "Put it back from its backup.")
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("audit key", "wrong", f"{path} can be read by others", f"chmod 600 {path}")
    elif path.stat().st_dev == settings.audit_path.parent.stat().st_dev:
        mend = "Set SQL_SYNTHESIZER_AUDIT_KEY_FILE to a place on another."
        yield Finding("audit key", "doubtful", "the key lies on the volume of the record", mend)
    else:
        yield Finding("audit key", "ok", "this account's alone, on a volume of its own")
    state = VerificationState.load(settings.audit_state_path, keyring)
    age = time.time() - state.verified_at
    if not state.verified_at or age > slo.AUDIT_UNVERIFIED_SECONDS:
        yield Finding("audit record", "doubtful", "it was not verified for a day", "sql-synthesizer audit verify")
    else:
        yield Finding("audit record", "ok", f"found sound {age / 60:.0f} minutes ago")
    if state.stamp is not None:
        lead = state.stamp.advance().lead
        mend = "Set the clock; if it is right: audit retire --trust-clock." * (lead > DAY)
        said = f"{lead / DAY:.1f} days ahead of what is known to have passed"
        yield Finding("clock", "wrong" if lead > DAY else "ok", said, mend)


def _examine_databases(settings: Settings) -> Iterator[Finding]:
    try:
        databases = settings.databases()
        if not databases:
            yield Finding("databases", "doubtful", "none is configured: the demo shop is served", "Set DATABASE_URL.")
            return
        with closing(DatabaseManager(databases, settings, Telemetry())) as manager:
            for name in manager.names:
                yield _examine_database(manager, name)
    except SqlSynthesizerError as error:
        yield Finding("databases", "wrong", " ".join(error.message.split()), error.hint)


def _examine_database(manager: DatabaseManager, name: str) -> Finding:
    try:
        told = manager.ping(name, LIMIT)
    except SqlSynthesizerError as error:
        return Finding(f"database {name}", "wrong", error.message, error.hint)
    if told:
        return Finding(f"database {name}", "doubtful", told, "docs/statements.md has a role that only reads.")
    return Finding(f"database {name}", "ok", "answers, and the login only reads")


def _examine_service(settings: Settings) -> Iterator[Finding]:
    url = f"http://{format_address(reachable_host(settings.host), settings.port)}/health/ready"
    if is_answering(url, LIMIT):
        yield Finding("service", "ok", f"ready at {url}")
    else:
        yield Finding("service", "doubtful", f"not ready at {url}", "Start it, or see GET /health.")
    if settings.metrics_enabled:
        url = f"http://{format_address(reachable_host(settings.metrics_host), settings.metrics_port)}/metrics"
        good = is_answering(url, LIMIT)
        said = f"{'' if good else 'nothing '}at {url}"
        yield Finding("metrics", "ok" if good else "doubtful", said, "" if good else "Start the service.")


def _examine_prometheus(url: str) -> Iterator[Finding]:
    subject = "prometheus"
    found = _ask(f"{url}/api/v1/targets?state=active")
    if found is None:
        yield Finding(subject, "wrong", f"nothing answers at {url}", "Give its address with --prometheus.")
        return
    answer, date = found
    ours = [target for target in _list(answer, "activeTargets") if target.get("labels", {}).get("job") == catalog.JOB]
    down = [str(target.get("scrapeUrl")) for target in ours if target.get("health") != "up"]
    if not ours:
        mend = "See monitoring/prometheus/targets, or the ServiceMonitor's labels."
        yield Finding(subject, "wrong", f"it scrapes no target of job {catalog.JOB}", mend)
    elif down:
        yield Finding(subject, "wrong", f"it cannot scrape {', '.join(down)}", "Let it reach METRICS_PORT.")
    else:
        yield Finding(subject, "ok", f"scrapes {len(ours)} target(s)")
    rules = _ask(f"{url}/api/v1/rules?type=alert")
    groups = _list(rules[0], "groups") if rules else []
    names = {rule.get("name") for group in groups for rule in group.get("rules", ())}
    known = "SqlSynthesizerDown" in names
    mend = "" if known else "Load monitoring/prometheus/alerts.yml and recording.yml."
    yield Finding("alert rules", "ok" if known else "wrong", "loaded" if known else "not loaded", mend)
    managers = _ask(f"{url}/api/v1/alertmanagers")
    sent = bool(managers and _list(managers[0], "activeAlertmanagers"))
    said = "Prometheus sends alerts to Alertmanager" if sent else "Prometheus knows no Alertmanager"
    mend = "" if sent else "See the section alerting of its configuration."
    yield Finding("alerting", "ok" if sent else "wrong", said, mend)
    if date:
        apart = abs(time.time() - date)
        wrong = apart > slo.CLOCK_SKEW_SECONDS
        mend = "Set both by one source of time." * wrong
        yield Finding("clocks", "wrong" if wrong else "ok", f"{apart:.0f} s apart from Prometheus", mend)


def _examine_alertmanager(url: str) -> Iterator[Finding]:
    found = _ask(f"{url}/api/v2/status")
    if found is None:
        yield Finding("alertmanager", "wrong", f"nothing answers at {url}", "Give its address with --alertmanager.")
        return
    text = str(found[0].get("config", {}).get("original", ""))
    shipped = [word for word in SHIPPED if word in text]
    yield Finding("alertmanager", "ok", f"answers at {url}")
    mend = "Set relay, addresses and channels in monitoring/alertmanager/config.yml." * bool(shipped)
    said = f"still as shipped: {', '.join(shipped)}" if shipped else "set to addresses of yours"
    yield Finding("receivers", "doubtful" if shipped else "ok", said, mend)


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = answer.get("data", {}).get(name, [])
    return found if isinstance(found, list) else []


def _ask(url: str) -> tuple[dict[str, Any], float] | None:
    """The JSON object at an address, and the time by the other's clock (0 where it does not say); None without."""
    try:
        with direct.open(url, timeout=LIMIT) as reply:
            answer, date = json.loads(reply.read()), reply.headers.get("Date")
        when = parsedate_to_datetime(date).timestamp() if date else 0.0
    except (OSError, HTTPException, ValueError):
        return None
    return (answer, when) if isinstance(answer, dict) else None
