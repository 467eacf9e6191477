"""A row that is added to a closed table without what it needs: the check says in a line each what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sql_synthesizer_proof.mixin.build import check_files, check_tables
from tests.monitoring.seeding import CODE, Seed, copy, mixin, replaced, together

ACCESS = "docs/access.md"
ALERT = "sql_synthesizer_proof/mixin/alerts/service.py"
CATALOG, VOCABULARY = "sql_synthesizer/monitoring/catalog.py", "sql_synthesizer/telemetry/vocabulary.py"
DIALECTS, LIMITS = "sql_synthesizer/model/dialects.py", "sql_synthesizer/database/http.py"
ERRORS, SETTINGS = "sql_synthesizer/errors/__init__.py", "sql_synthesizer/settings/__init__.py"
ALLOWED = "sql_synthesizer/guard/statement/allowed"


def inserted(file: str, before: str, text: str) -> Seed:
    return replaced(file, before, text + before)


def listed(root: Path) -> None:
    """What a statement may read in the new engine, and how its sessions are limited."""
    (root / ALLOWED / "oracle.toml").write_text('functions = "nvl"\n', encoding="utf-8")
    inserted(LIMITS, '    if kind == "trino":', '    if kind == "oracle":\n        return {}\n')(root)


def engine(sqlglot: str, protocol: str) -> Seed:
    names = (
        f'name="oracle", title="Oracle", sqlglot="{sqlglot}", driver="oracle", protocol="{protocol}", extra="oracle"'
    )
    return inserted(DIALECTS, '    DialectRow(\n        name="trino"', f"    DialectRow({names}),\n")


ADDED: dict[str, tuple[Seed, tuple[str, ...]]] = {
    "a security event": (
        inserted(
            VOCABULARY, '        _make_security_event("schema_', '_make_security_event("key_stolen", "grave", ""),\n'
        ),
        (
            "event key_stolen: it has no help",
            "event key_stolen: grave is no severity",
            "event key_stolen: it needs a name of OWASP's or the reason why it has none",
            "event key_stolen: nothing in the service emits it",
            "event key_stolen: audit/ocsf.py does not say what it is in OCSF",
            "event key_stolen: no scenario in evidence/scenarios.py causes it",
            "docs/events.md is stale",
        ),
    ),
    "an event that is renamed in one place": (
        replaced("sql_synthesizer/audit/ocsf.py", '"csrf_failure": ', '"csrf_fault": '),
        (
            "event csrf_failure: audit/ocsf.py does not say what it is in OCSF",
            "event csrf_fault: a scenario or audit/ocsf.py has it, but there is no such event",
        ),
    ),
    "an event with a name and a reason why it has none": (
        replaced(VOCABULARY, 'owasp="malicious_cors"', 'owasp="malicious_cors", unnamed=_ORDINARY'),
        ("event csrf_failure: it needs a name of OWASP's or the reason why it has none",),
    ),
    "a metric": (
        together(
            inserted(VOCABULARY, "CACHE_ENTRIES = ", 'IDLE = ReadingType("idle", (), "Nobody asks.")\n'),
            inserted(CATALOG, "    # questions\n", '_make_gauge("idle", "", vocabulary.IDLE),\n'),
            inserted(CATALOG, "    # questions\n", '_make_gauge("swap_bytes", "Swap"),\n'),
            inserted(CATALOG, "    # questions\n", 'Metric("lost_total", "counter", "Lost", ()),\n'),
        ),
        (
            "metric sql_synthesizer_idle: it has no help",
            "metric sql_synthesizer_idle: nothing in the service reports idle",
            "metric sql_synthesizer_idle: no alert and no panel uses it",
            "metric sql_synthesizer_swap_bytes: nothing in the service sets it",
            "metric sql_synthesizer_lost_total: nothing in the service sets it",
            "docs/metrics.md is stale",
        ),
    ),
    "an alert": (
        replaced(ALERT, '"SqlSynthesizerDown"', '"SqlSynthesizerGone"'),
        (
            "alert SqlSynthesizerGone: there is no runbook SqlSynthesizerGone.md",
            "alert SqlSynthesizerGone: no scenario in drill/faults fires it",
            "alert SqlSynthesizerGone: no case in tests/rules/scenarios fires it",
            "alert SqlSynthesizerGone: no case in tests/rules/scenarios keeps it quiet",
            "alert SqlSynthesizerGone: no case in tests/rules/scenarios shows its text",
            "alert SqlSynthesizerGone: it is fast, and no case in tests/rules/scenarios has its fault",
            "alert SqlSynthesizerDown: a scenario in drill/faults has it, but it is none",
            "alerts.yml is stale",
        ),
    ),
    "cases that cannot be read": (
        replaced("tests/rules/scenarios/service.py", "UP, GONE = ", "UP, GONE = lost, "),
        ("tests/rules/scenarios cannot be read: NameError: name 'lost' is not defined",),
    ),
    "a route": (
        inserted(
            "sql_synthesizer/web/pages.py",
            "    operating = [Tag",
            '    @app.get("/version/<part>")\n    def version(part: str) -> str:\n        return part\n\n',
        ),
        ("route GET /version/PART: docs/access.md does not list it as | operator | refused |",),
    ),
    "a setting": (
        together(
            inserted(SETTINGS, "    # limits of input\n", '    spare: int = _make_field(0, "")\n'),
            inserted(
                "sql_synthesizer/settings/database.py", "    shareable: tuple", '    colour: str = Field("red")\n'
            ),
            replaced(SETTINGS, '_make_field("120/minute", ', '_make_field("often", '),
        ),
        (
            "setting spare: it has no help",
            "setting spare: nothing reads it",
            "database setting colour: it has no help",
            "database setting colour: nothing reads it",
            "setting rate_limit: its default is refused: Value error, write a limit as count/period",
            "docs/settings.md is stale",
        ),
    ),
    "an error": (
        inserted(
            ERRORS,
            "class Overloaded",
            'class Lost(ServiceFailure):\n    status = 200\n    event = "loss"\n\n\n'
            'class Busy(ServiceFailure):\n    reason = "overloaded"\n\n\n',
        ),
        (
            "error Lost: 200 is no status of an error",
            "error Lost: it has no reason of its own",
            "error Lost: it has no message or no hint of its own",
            "error Lost: there is no security event loss",
            "error Lost: nothing in the service raises it",
            "error Busy: it has no reason of its own",
            "error Overloaded: it has no reason of its own",
            "docs/errors.md is stale",
        ),
    ),
    "a database engine": (
        engine("oracel", "tds"),
        (
            "dialect oracle: sqlglot has no dialect oracel",
            "dialect oracle: guard/statement/allowed/oracel.toml, what a statement may read there, is missing",
            "dialect oracle: database/tds.py, the driver of its protocol, is missing",
        ),
    ),
    "a database engine spoken to over HTTP": (
        engine("trino", "http"),
        ("dialect oracle: database/http.py has no limits for it",),
    ),
    "a database engine that nobody is told of": (
        together(engine("oracle", "http"), listed),
        (
            "dialect oracle: README.md does not name Oracle",
            "dialect oracle: docs/statements.md does not name Oracle",
            "dialect oracle: there is no extra oracle",
            "docs/metrics.md is stale",
        ),
    ),
}
ALONE = {
    "cases that cannot be read",
    "a database engine",
    "a database engine spoken to over HTTP",
    "a database engine that nobody is told of",
}
"""Rows that hide what others lack, or that are the same row."""

IN_DOCUMENTS: dict[str, tuple[Seed, str]] = {
    "a route with another role": (
        replaced(ACCESS, "| `POST /api/sql` | analyst |", "| `POST /api/sql` | viewer |"),
        "route POST /api/sql: it is for | analyst | refused |, docs/access.md says | viewer | refused |",
    ),
    "a route that leads strangers elsewhere": (
        replaced(ACCESS, "| `GET /audit` | operator | sign-in page |", "| `GET /audit` | operator | refused |"),
        "route GET /audit: it is for | operator | sign-in page |, docs/access.md says | operator | refused |",
    ),
    "a route that is left out": (
        replaced(ACCESS, "| `GET /metrics` | operator |", "| /metrics | operator |"),
        "route GET /metrics: docs/access.md does not list it as | operator | this machine |",
    ),
    "a route that does not exist": (
        replaced(ACCESS, "| `GET /metrics` |", "| `GET /metric` | viewer | refused | |\n| `GET /metrics` |"),
        "route GET /metric: docs/access.md lists it, but there is none",
    ),
    "a copy without tests": (
        lambda _: None,
        "tests/rules/scenarios is not under",
    ),
}


def test_every_row_has_what_it_needs() -> None:
    assert list(check_tables()) == []


def check_copy(root: Path, *names: str) -> str:
    """What the check says of a copy with these rows added."""
    copy(root, *CODE, "tests/rules", "tests/support", "tests/__init__.py")
    for name in names:
        ADDED[name][0](root)
    done = mixin(root, "check", "--root", str(root))
    assert done.returncode == 1, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def found_together(tmp_path_factory: pytest.TempPathFactory) -> str:
    return check_copy(tmp_path_factory.mktemp("together"), *(ADDED.keys() - ALONE))


@pytest.mark.parametrize("name", ADDED)
def test_what_a_row_lacks_is_named(tmp_path: Path, name: str, found_together: str) -> None:
    found = check_copy(tmp_path, name) if name in ALONE else found_together
    lines = found.splitlines()
    assert [fault for fault in ADDED[name][1] if not any(fault in line for line in lines)] == [], found


@pytest.mark.parametrize(("seed", "fault"), IN_DOCUMENTS.values(), ids=IN_DOCUMENTS)
def test_a_row_that_a_document_gets_wrong_is_named(tmp_path: Path, seed: Seed, fault: str) -> None:
    seed(copy(tmp_path))
    assert any(fault in line for line in check_files(tmp_path))


def test_without_a_checkout_the_tables_alone_are_checked(tmp_path: Path) -> None:
    copy(tmp_path, *CODE)
    shutil.rmtree(tmp_path / "docs")
    replaced("sql_synthesizer/audit/ocsf.py", '"csrf_failure": ', '"csrf_fault": ')(tmp_path)
    done = mixin(tmp_path, "check")
    assert done.returncode != 0
    assert "event csrf_failure: audit/ocsf.py does not say" in done.stderr
    assert "this package is in none" in done.stderr
    assert "looks at the tables in the code alone" in done.stderr
    assert "is stale" not in done.stderr
