"""Every command of the page about operations, in its order."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from sql_synthesizer.cli import group
from tests.support.audit import Bench
from tests.support.serving import HANG, ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_command_of_the_page_works(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    bench = Bench(state)
    bench.ask()
    bench.log.close()
    for name, value in (("STATE", state), ("BACKUP", backup), ("DATABASE_URL", f"sqlite:///{demo_path}")):
        monkeypatch.setenv(name, str(value))

    def run(line: str) -> str:
        words = [re.sub(r"\$(\w+)", lambda found: values[found[1]], word) for word in shlex.split(line)]
        given = {"SQL_SYNTHESIZER_STATE_DIR": str(state)}
        while "=" in words[0]:
            given |= [words.pop(0).split("=", 1)]
        if words[0] != "sql-synthesizer":
            done = subprocess.run(words, capture_output=True, text=True, timeout=HANG, check=False)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            return done.stdout
        said = CliRunner().invoke(group, words[1:], env=given)
        assert said.exit_code == 0, f"{line}: {said.output} {said.exception}"
        return said.stdout

    values = {"STATE": str(state), "BACKUP": str(backup)}
    values["KEY"] = run("sql-synthesizer keys create somebody").split("_")[1]
    verbs = set()
    for line in LINES:
        if "/one" in line and not (backup / "one").exists():
            (backup / "one").mkdir()
            run("cp -a $STATE/audit $STATE/audit.key $STATE/audit.verified $BACKUP/one/")
        run(line)
        verbs.add(line.rpartition("sql-synthesizer ")[2].split("--")[0].strip())
    assert len(verbs) >= 10
