"""The wheel carries its types: code outside this product is checked against it, as it would be installed."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.test_wheel import libraries, unpacked, wheels

__all__ = ["wheels"]
CODE = Path(__file__).with_name("public_names.py")


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the service's wheel, and the libraries without this checkout."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    (place,) = home.glob("lib/python*/site-packages")
    unpacked(wheels["service"], place)
    libraries(place)
    return home / "bin" / "python"


def check(python: Path, code: Path, cache: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--python-executable={python}"]
    done = subprocess.run(
        [*command, f"--cache-dir={cache}", str(code)], cwd=code.parent, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_public_names_have_their_types(python: Path, tmp_path: Path) -> None:
    code = tmp_path / CODE.name
    code.write_text(CODE.read_text(encoding="utf-8"), encoding="utf-8")
    assert check(python, code, tmp_path / "cache") == "Success: no issues found in 1 source file\n"
    code.write_text(code.read_text(encoding="utf-8").replace("assert_type(error.status, int)", "error.staus"))
    assert 'has no attribute "staus"' in check(python, code, tmp_path / "cache")
