"""The command line, in this process where it can be."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sql_synthesizer.cli import group, main
from sql_synthesizer.errors import ConfigurationError, SqlSynthesizerError
from sql_synthesizer.model import ApiKey, Role
from sql_synthesizer.store import Store

QUESTION = "how many orders per status"


@pytest.fixture
def cli(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{demo_path}")

    def run(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(group, list(arguments), input=input)

    return run


def test_help_names_every_verb(cli) -> None:  # type: ignore[no-untyped-def]
    shown = cli("--help").output
    assert all(verb in shown for verb in ("serve", "ask", "keys", "audit", "store", "demo"))


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("cli.serve", "sqlalchemy sqlglot prometheus_client flask yaml"),
        ("webapp", "redis pymemcache psycopg pymysql opentelemetry openai yaml"),
    ],
)
def test_only_what_is_chosen_is_loaded(module: str, unwanted: str) -> None:
    """The service starts quickly because libraries that the settings do not ask for stay unread."""
    program = f"import sys, sql_synthesizer.{module}; print(*sorted({{*sys.argv[1:]}} & {{*sys.modules}}))"
    command = [sys.executable, "-c", program, *unwanted.split()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == []


def test_table(cli) -> None:  # type: ignore[no-untyped-def]
    lines = cli("ask", QUESTION).stdout.splitlines()
    assert lines[0].startswith("status")
    assert lines[-1] == "(4 rows)"


def test_json(cli) -> None:  # type: ignore[no-untyped-def]
    body = json.loads(cli("ask", QUESTION, "--output", "json").stdout)
    assert body["source"] == "rules"
    assert len(body["rows"]) == 4


def test_csv(cli) -> None:  # type: ignore[no-untyped-def]
    rows = list(csv.reader(io.StringIO(cli("ask", QUESTION, "--output", "csv").stdout)))
    assert len(rows) == 5
    assert rows[0][0] == "status"


def test_sql_only(cli) -> None:  # type: ignore[no-untyped-def]
    assert cli("ask", QUESTION, "--sql-only").stdout.startswith("SELECT status")


def test_explain(cli) -> None:  # type: ignore[no-untyped-def]
    shown = cli("ask", QUESTION, "--explain").stdout
    assert "source rules" in shown
    assert "execute" in shown
    assert "trace " in shown


def test_interactive_goes_on_after_a_decline(cli) -> None:  # type: ignore[no-untyped-def]
    done = cli("ask", "--interactive", input="what is love\nhow many customers are there\n\n")
    assert "(1 row)" in done.stdout
    assert "You could ask:" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("what is love",), ("how many orders", "--name", "nope"), ("x' OR 1=1 --",)])
def test_errors_are_errors(cli, arguments: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    done = cli("ask", *arguments)
    assert done.exit_code != 0
    assert isinstance(done.exception, SqlSynthesizerError)


def test_keys(cli) -> None:  # type: ignore[no-untyped-def]
    key = cli("keys", "create", "laptop", "--role", "analyst", "--days", "7").stdout.strip()
    key_id = key.split("_")[1]
    assert key.startswith("sqs_")
    (listed,) = cli("keys", "list").stdout.splitlines()
    ends = (datetime.now(UTC) + timedelta(days=7)).date()
    assert listed == f"{key_id}  analyst   active   {ends}  default     laptop"
    replaced = cli("keys", "rotate", key_id).stdout.strip()
    assert replaced.startswith("sqs_")
    assert cli("keys", "revoke", replaced.split("_")[1]).exit_code == 0
    assert "active" not in cli("keys", "list").stdout
    assert isinstance(cli("keys", "revoke", "nope").exception, SqlSynthesizerError)
    changes = [json.loads(line) for line in cli("audit", "search", "--event", "credential_change").stdout.splitlines()]
    assert [change["details"]["change"] for change in changes] == ["created", "rotated", "revoked"]
    assert key not in json.dumps(changes)


def test_an_expired_key_says_so(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cli("keys", "create", "lasting")
    store = Store(None, tmp_path / "state")
    store.add_key(ApiKey("old", "old", Role.VIEWER, "", "", time.time() - 9, time.time() - 1))
    store.close()
    old, lasting = sorted(cli("keys", "list").stdout.splitlines(), key=lambda line: "lasting" in line)
    assert "expired" in old
    assert "active   never" in lasting


@pytest.mark.parametrize("moment", ["2020-01-31", "2020-01-31T12:00:00Z", "2020-01-31T12:00:00.123+02:00"])
def test_audit_search_by_moment(cli, moment: str) -> None:  # type: ignore[no-untyped-def]
    cli("ask", QUESTION)
    wanted = ("audit", "search", "--event", "query_execution")
    (record,) = map(json.loads, cli(*wanted, "--since", moment).stdout.splitlines())
    assert record["event_type"] == "query_execution"
    assert cli(*wanted, "--until", moment).stdout == ""
    assert cli(*wanted, "--since", "yesterday").exit_code == 2


def test_a_decline_shows_suggestions(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit):
        main(args=["ask", "what is love"])
    assert "You could ask:\n  " in capsys.readouterr().err


def test_the_database_option_wins(cli, tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SQL_SYNTHESIZER_DATABASES_FILE", str(tmp_path / "absent.yml"))
    assert isinstance(cli("ask", QUESTION).exception, ConfigurationError)
    assert cli("ask", QUESTION, "--database", f"sqlite:///{demo_path}").exit_code == 0


@pytest.mark.parametrize("verb", [("ask", QUESTION), ("serve",)])
def test_an_unusable_state_directory(cli, tmp_path: Path, verb: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "state").touch()
    assert isinstance(cli(*verb).exception, ConfigurationError)


def test_audit_search(cli) -> None:  # type: ignore[no-untyped-def]
    cli("ask", QUESTION)
    (record,) = [json.loads(line) for line in cli("audit", "search", "--event", "query_execution").stdout.splitlines()]
    assert record["actor"].startswith("cli:")
    assert cli("audit", "search", "--actor", "nobody").stdout == ""
    looks = map(json.loads, cli("audit", "search", "--event", "audit_access").stdout.splitlines())
    searched = [look["details"]["search"] for look in looks]
    assert [(search.get("event_type"), search.get("actor")) for search in searched] == [
        ("query_execution", None),
        (None, "nobody"),
        ("audit_access", None),
    ]


def test_store_backup_and_restore(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cli("keys", "create", "kept")
    assert cli("store", "backup", str(tmp_path / "copy")).exit_code == 0
    cli("keys", "create", "lost")
    assert cli("store", "restore", str(tmp_path / "copy")).exit_code == 0
    shown = cli("keys", "list").stdout
    assert "kept" in shown
    assert "lost" not in shown


def test_demo_create(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert cli("demo", "create", str(tmp_path / "shop.sqlite")).stdout.startswith("sqlite:///")
    assert (tmp_path / "shop.sqlite").stat().st_size > 1_000_000
    assert isinstance(cli("demo", "create", str(tmp_path / "shop.sqlite")).exception, ConfigurationError)


@pytest.mark.parametrize("verb", ["ask", "audit", "jobs", "keys", "schedules"])
def test_a_verb_loads_no_metrics_before_it_knows_their_directory(verb: str) -> None:
    code = f"import sys, sql_synthesizer.cli.{verb}; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
