"""The wheel: what operators deploy goes with the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("folder", ["monitoring", "runbooks"])
def test_deployed_files_are_in_it(names: set[str], folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    missing = {f"sql_synthesizer/shipped/{path.relative_to(ROOT)}" for path in files} - names
    assert files
    assert not missing


def test_tests_and_state_are_not(names: set[str]) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"sql_synthesizer"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".sqlite")]
