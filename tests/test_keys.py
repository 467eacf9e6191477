"""Keys on the command line, and docs/access.md: its commands run, its names exist, its figures are the defaults."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sql_synthesizer.access import KEY_TTL
from sql_synthesizer.cli import group
from sql_synthesizer.errors import InvalidRequest, NotFound
from sql_synthesizer.model import Role
from sql_synthesizer.settings import Settings, environment_name
from tests.support.serving import HANG, ROOT, service

PAGE = (ROOT / "docs/access.md").read_text(encoding="utf-8")
DEFAULTS = {environment_name(name): info.get_default() for name, info in Settings.model_fields.items()}


@pytest.fixture
def cli(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{demo_path}")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(group, ["keys", *arguments])

    return run


def limits(cli) -> list[str]:  # type: ignore[no-untyped-def]
    return [line.split()[4] for line in cli("list").stdout.splitlines() if line.split()[2] == "active"]


def test_a_limit_is_given_listed_changed_and_kept(cli) -> None:  # type: ignore[no-untyped-def]
    key_id = cli("create", "job", "--role", "operator", "--limit", "600/minute").stdout.split("_")[1]
    assert limits(cli) == ["600/minute"]
    assert {key_id, "none"} <= set(cli("limit", key_id, "none").stdout.split())
    assert limits(cli) == ["none"]
    key_id = cli("rotate", key_id).stdout.split("_")[1]
    assert limits(cli) == ["none"]
    cli("limit", key_id, "default")
    assert limits(cli) == ["default"]


@pytest.mark.parametrize("limit", ["", "none", "6 a minute", "0/minute"])
def test_a_limit_that_cannot_be(cli, limit: str) -> None:  # type: ignore[no-untyped-def]
    assert isinstance(cli("create", "job", "--limit", limit).exception, InvalidRequest)
    key_id = cli("create", "job").stdout.split("_")[1]
    assert isinstance(cli("limit", key_id, limit).exception, InvalidRequest)
    assert isinstance(cli("limit", "nobody", "6/minute").exception, NotFound)
    assert limits(cli) == ["default"]


def test_a_key_can_be_revoked_when_only_the_reserve_is_left(cli, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    key_id = cli("create", "stolen").stdout.split("_")[1]
    monkeypatch.setenv("SQL_SYNTHESIZER_AUDIT_RESERVE_BYTES", str(1 << 60))
    assert {key_id, "revoked"} <= set(cli("revoke", key_id).stdout.split())
    assert cli("list").stdout.split()[:3] == [key_id, "viewer", "revoked"]


# --- the page --------------------------------------------------------------------------------


def test_the_commands_run(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace(":5000", f":{served.port}")
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=ROOT,
            env=served.environment,
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert '"role":"analyst"' in done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"time"') or '"change"' in line]
    changes = [record["details"] for record in found if record["event_type"] == "credential_change"]
    assert [change["change"] for change in changes] == ["created", "limited", "rotated", "revoked"]
    assert [change["limit"] for change in changes] == ["600/minute", *["1200/minute"] * 3]


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", PAGE)) - {"ID_SECRET"}))
def test_settings_exist(variable: str) -> None:
    assert variable in DEFAULTS


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        ("RATE_LIMIT", "120/minute"),
        ("FAILED_LOGIN_LIMIT", "20/minute"),
        ("LOCK_SECONDS", 60),
        ("LOCK_MAX_SECONDS", 3600),
        ("SESSION_HOURS", 8.0),
    ],
)
def test_figures_are_the_defaults(variable: str, default: object) -> None:
    assert DEFAULTS[f"SQL_SYNTHESIZER_{variable}"] == default


def test_roles_are_all_there() -> None:
    assert re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE) == [role.value for role in Role]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).exists()


@pytest.mark.parametrize("verb", ["limit", "assign", "revoke"])
def test_the_help_says_how_soon_services_follow(verb: str) -> None:
    told = CliRunner().invoke(group, ["keys", verb, "--help"]).output
    assert KEY_TTL < int(re.findall(r"within\s+(\d+)\s+seconds", told)[0]) <= KEY_TTL + 1
