"""The two wheels: what operators deploy goes with the service, what proves it stays apart."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from sql_synthesizer import __version__
from sql_synthesizer.cli import PROOF_PACKAGE, PROOF_VERBS, VERBS
from tests.support.serving import HANG

ROOT = Path(__file__).parent.parent
PROJECTS = {"service": ROOT, "proof": ROOT / "sql_synthesizer_proof"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, project in PROJECTS.items():
        place = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=HANG, check=False)
        assert done.returncode == 0, done.stderr
        (made[name],) = place.glob("*.whl")
    return made


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def unpacked(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def libraries(place: Path, without: str = "-") -> None:
    """Links every installed library into ``place``, but none of this project, and not ``without``."""
    (installed,) = (Path(path) for path in sys.path if path.endswith("site-packages"))
    for path in installed.iterdir():
        if "sql_synthesizer" not in path.name and not path.name.startswith(without) and path.suffix != ".pth":
            (place / path.name).symlink_to(path)


def verb(*arguments: str, place: Path, without: str = "-") -> subprocess.CompletedProcess[str]:
    """The command line as it is where only ``place`` holds packages of this project, and ``without`` is missing."""
    program = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + sys.argv[1:3]; "
        "del sys.argv[1:3]; from sql_synthesizer.cli import main; main()"
    )
    links = place / "libraries"
    links.mkdir()
    libraries(links, without)
    command = [sys.executable, "-S", "-c", program, str(place), str(links), *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=HANG, check=False)


@pytest.mark.parametrize("folder", ["monitoring", "runbooks"])
def test_deployed_files_are_in_it(wheels: dict[str, Path], folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    missing = {f"sql_synthesizer/shipped/{path.relative_to(ROOT)}" for path in files} - names(wheels["service"])
    assert files
    assert not missing


@pytest.mark.parametrize(("wheel", "package"), [("service", "sql_synthesizer"), ("proof", "sql_synthesizer_proof")])
def test_a_wheel_holds_its_own_package_only(wheels: dict[str, Path], wheel: str, package: str) -> None:
    held = names(wheels[wheel])
    assert {name.split("/")[0].partition("-")[0] for name in held} == {package}
    assert not [name for name in held if "__pycache__" in name or name.endswith((".sqlite", "pyproject.toml"))]
    files = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
    assert files == {name for name in held if name.endswith(".py")}
    assert f"{package}/py.typed" in held


def test_there_is_one_version() -> None:
    service, proof = (
        tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for project in PROJECTS.values()
    )
    assert {service["version"], proof["version"]} == {__version__}
    assert f"sql-synthesizer[operate]=={__version__}" in proof["dependencies"]
    assert proof["name"] == PROOF_PACKAGE
    assert proof["entry-points"]["sql_synthesizer.verbs"].keys() == PROOF_VERBS.keys()


@pytest.mark.parametrize("name", PROOF_VERBS)
def test_without_the_proof_package_its_verbs_name_it(wheels: dict[str, Path], tmp_path: Path, name: str) -> None:
    done = verb(name, "--help", place=unpacked(wheels["service"], tmp_path))
    assert done.returncode == 2
    assert PROOF_PACKAGE in done.stderr


def test_with_both_packages_every_verb_is_there(wheels: dict[str, Path], tmp_path: Path) -> None:
    for wheel in wheels.values():
        unpacked(wheel, tmp_path)
    shown = verb("--help", place=tmp_path).stdout
    assert all(f"  {name} " in shown for name in (*VERBS, *PROOF_VERBS))


@pytest.mark.parametrize("name", ["inbox", "stack"])
def test_without_the_extra_it_is_named(wheels: dict[str, Path], tmp_path: Path, name: str) -> None:
    done = verb(name, place=unpacked(wheels["service"], tmp_path), without="aiosmtpd")
    assert done.returncode == 2
    assert "pip install 'sql-synthesizer[operate]'" in done.stderr
