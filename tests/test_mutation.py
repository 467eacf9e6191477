"""The mutation runs make the changes that they say, choose them alike each time, and judge them by the list."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.house import SERVICE
from tests.mutants import choose, mutants
from tests.mutate import (
    PAGE,
    SURVIVORS,
    TESTS,
    find_tests,
    record_reach,
    replace_row,
    run_tests,
    survives,
    table_row,
)
from tests.support import reach
from tests.support.mutation import Score, read_reasons
from tests.support.processes import states
from tests.support.serving import until

SOURCE = '''\
"""A room."""

LIMIT = 3


class Shelf:
    @property
    def full(self, least: int = 1) -> bool:
        """Whether it is."""
        return self.size >= least and not self.öpen

    def put(self, thing: str) -> None:
        if thing == "x":
            raise ValueError(f"no {thing + 'y'} here")
        self.things.append(thing)
'''
CHANGES = {
    "Shelf.full: 1 -> 0": "def full(self, least: int = (0)) -> bool:",
    "Shelf.full: 1 -> 2": "def full(self, least: int = (2)) -> bool:",
    "Shelf.full: self.size >= least and (not self.öpen): None returned": "return (None)",
    "Shelf.full: self.size >= least and (not self.öpen) -> or": "return (self.size >= least or not self.öpen)",
    "Shelf.full: self.size >= least: GtE -> Gt": "return (self.size > least) and not self.öpen",
    "Shelf.full: self.size >= least: GtE -> Lt": "return (self.size < least) and not self.öpen",
    "Shelf.full: not self.öpen: not dropped": "return self.size >= least and (self.öpen)",
    "Shelf.put: thing == 'x': negated": "if (not thing == 'x'):",
    "Shelf.put: thing == 'x': Eq -> NotEq": "if (thing != 'x'):",
    "Shelf.put: 'x' -> 'xx'": "if thing == ('xx'):",
    "Shelf.put: raise ValueError: swallowed": "pass",
    "Shelf.put: self.things.append(thing): deleted": "pass",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose only room has one file."""
    (tmp_path / SERVICE).mkdir()
    (tmp_path / SERVICE / "shelf.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def test_each_mutant_is_one_change(checkout: Path) -> None:
    made = {}
    for mutant in mutants("shelf", checkout):
        ast.parse(mutant.source(SOURCE))
        lines = zip(SOURCE.splitlines(), mutant.source(SOURCE).splitlines(), strict=True)
        (changed,) = [after.strip() for before, after in lines if before != after]
        made[mutant.name.removeprefix("shelf.py: ")] = changed
        assert changed in mutant.diff(SOURCE)
    assert made == CHANGES


def test_a_change_elsewhere_leaves_the_choice_as_it_is(checkout: Path) -> None:
    path = checkout / SERVICE / "shelf.py"
    before = choose(mutants("shelf", checkout), len(CHANGES), seed=1)
    assert before == choose(mutants("shelf", checkout), len(CHANGES), seed=1)
    assert before != choose(mutants("shelf", checkout), len(CHANGES), seed=2)
    path.write_text(SOURCE.replace("class", "def added() -> int:\n    return 1 + LIMIT\n\n\nclass"), encoding="utf-8")
    after = choose(mutants("shelf", checkout), 100, seed=1)
    assert [mutant for mutant in after if mutant.function != "added"] == before


def test_every_pattern_finds_tests() -> None:
    for room, patterns in TESTS.items():
        assert len(find_tests(room)) >= len(patterns.split()), room
    assert set(yaml.safe_load(SURVIVORS.read_text(encoding="utf-8")) or {}) <= TESTS.keys()


@pytest.fixture
def tree(checkout: Path) -> Path:
    """A checkout as it lies in the place of a run, with tests."""
    tree = checkout.parent / f"{checkout.name}-place" / "tree"
    tree.parent.mkdir()
    checkout.rename(tree)
    (tree / "tests" / "support").mkdir(parents=True)
    shutil.copy(reach.__file__, tree / "tests" / "support")
    (tree / "test_shelf.py").write_text(
        f'from pathlib import Path\n\ndef test_it():\n    assert "append" in Path("{SERVICE}/shelf.py").read_text()\n'
    )
    (tree / "test_hang.py").write_text(
        "import subprocess, sys\n\ndef test_it():\n"
        '    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])\n'
        '    open("child", "w").write(f"{child.pid}\\n")\n'
        "    child.wait()\n"
    )
    return tree


def test_mutants_are_tried_and_taken_back(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = {
        mutant.change: survives(tree, mutant, ["test_shelf.py"], 600)
        for mutant in mutants("shelf", tree)
        if mutant.change in ("raise ValueError: swallowed", "self.things.append(thing): deleted")
    }
    assert verdicts == {"raise ValueError: swallowed": True, "self.things.append(thing): deleted": False}
    assert (tree / SERVICE / "shelf.py").read_text(encoding="utf-8") == SOURCE
    assert '-            raise ValueError(f"no' in capsys.readouterr().out


def test_a_run_that_hangs_is_ended_with_its_servers(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Started(subprocess.Popen[bytes]):
        """A run whose limit is over once its server is there."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout == 0:
                until(lambda: (tree / "child").exists() and (tree / "child").read_text().endswith("\n"))
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr("tests.mutate.ENDING", 0)
    assert not run_tests(tree, ["test_hang.py"], 0)
    until(lambda: states(int((tree / "child").read_text())) <= set("ZX"))


USING = """\
import threading
import pytest
from sql_synthesizer.jar.lid import close, open

@pytest.fixture(scope="module")
def opened():
    return open(3)

def test_opened(opened):
    assert opened == 3

def test_again(opened):
    assert opened == 3

def test_closed_in_a_thread():
    thread = threading.Thread(target=close, args=[3])
    thread.start()
    thread.join()
"""


def test_the_tests_that_run_the_changed_lines_come_first(tree: Path) -> None:
    room = tree / SERVICE / "jar"
    room.mkdir()
    (tree / SERVICE / "__init__.py").touch()  # one that is installed would be found before a folder without it
    (room / "lid.py").write_text(
        "def open(size):\n    return (\n        size\n    )\n\ndef close(size):\n    size += 1\n"
    )
    (tree / "test_using.py").write_text(USING)
    recorded = record_reach(tree, "jar", ["test_using.py"])
    made = {mutant.change: mutant for mutant in mutants("jar", tree)}
    opens, closes = made["size: None returned"], made["size += 1: deleted"]
    assert reach.order_tests(recorded, "lid.py", opens.lines) == ["test_using.py::test_opened"]
    first = reach.order_tests(recorded, "lid.py", closes.lines)
    assert first == ["test_using.py::test_closed_in_a_thread"]
    assert reach.order_tests(recorded, "other.py", closes.lines) == []
    (tree / "first.json").write_text(json.dumps(first))
    assert run_tests(tree, ["--first", "first.json", "-vv", "test_using.py"])
    ran = re.findall(r"(\w+) PASSED", (tree.parent / "log").read_text())
    assert ran == ["test_closed_in_a_thread", "test_opened", "test_again"]


def test_the_quickest_file_is_first_and_in_it_the_quickest_test() -> None:
    seconds = {"slow.py::a": 9.0, "slow.py::b": 0.1, "quick.py::a": 2.0, "quick.py::b": 1.0, "none.py::a": 0.1}
    lines = {"none.py::a": {"lid.py": [9], "other.py": [1]}}
    reaching = {name: reach.Reach(took, lines.get(name, {"lid.py": [1, 2]})) for name, took in seconds.items()}
    assert reach.order_tests(reaching, "lid.py", [2, 3]) == ["quick.py::b", "quick.py::a", "slow.py::b", "slow.py::a"]


OUTCOME = {("shelf", "a"): False, ("shelf", "b | c"): True, ("shelf", "d"): True, ("shelf", "e"): False}


def test_the_list_excuses_only_what_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = tmp_path / "list.yml"
    listing.write_text("shelf:\n  b | c: the same\n  e: not so\n  gone: not made\n  later: not drawn\n")
    score = Score(OUTCOME, read_reasons(listing), {*OUTCOME, ("shelf", "later")})
    assert score.excused == [("shelf", "b | c")]
    assert score.survivors == [("shelf", "d")]
    assert score.wrong == [("shelf", "e"), ("shelf", "gone")]
    assert (score.killed, score.counted) == (2, 3)
    score.show(listing)
    figures, *named = capsys.readouterr().out.splitlines()
    assert re.findall(r"[\d.]+", figures) == ["4", "1", "2", "3", "66.7"]
    for (room, change), line in zip([*score.survivors, *score.wrong], named, strict=True):
        assert f"{room}: {change}: " in line
    row = table_row("shelf", score)
    assert row == r"| shelf | 4 | 2 | `b \| c`: the same; `d`: **no reason** |"
    assert replace_row("| shelf | not yet |\n| shelves | x |", "shelf", row) == f"{row}\n| shelves | x |"


def test_the_page_has_a_row_for_each_room() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")][1:] == [
        "---",
        *TESTS,
    ]
