"""The figures of the house, a column for each checkout: ``python -m tests.figures [ROOT ...]``."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.house import ROOT, arrows, climb, sources, tree

GIVEN_NAMES = frozenset(
    (
        *("get_metrics", "log_event", "create_app"),  # the specification
        *("setup", "format", "emit", "dumps", "loads", "response", "collect", "convert", "invoke"),  # base classes
    )
)
"""Names of functions that this project did not choose."""


def function_names(root: Path) -> Iterator[str]:
    """The names of all functions and methods but those of the language and ``GIVEN_NAMES``."""
    for path in sources(root):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                special = node.name.startswith("__") and node.name.endswith("__")
                if not special and node.name not in GIVEN_NAMES:
                    yield node.name


def word_count(name: str) -> int:
    """How many words a name has."""
    return len([word for word in name.split("_") if word])


def wheel_names(root: Path) -> tuple[int, list[str]]:
    """Size in bytes of the service's wheel, built now, and the names of the files in it."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", place]
        subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=120)
        (wheel,) = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return wheel.stat().st_size, archive.namelist()


def measure(root: Path) -> dict[str, str]:
    """Figure -> its value, for one checkout."""
    below = arrows(root)
    floors, upward = climb(below)
    texts = [path.read_text(encoding="utf-8") for path in sources(root)]
    counts = [word_count(name) for name in function_names(root)]
    size, names = wheel_names(root)
    proof = [name for name in names if re.search(r"(^|/)(proof|mixin|drill|sql_synthesizer_proof)/", name)]
    return {
        "rooms": f"{len(below)}",
        "floors": f"{max(floors.values())}",
        "arrows": f"{sum(map(len, below.values()))}",
        "arrows upward": f"{len(upward)}",
        "dict[str, Any]": f"{sum(text.count('dict[str, Any]') for text in texts)}",
        "import_module": f"{sum(len(re.findall(r'import_module[(]', text)) for text in texts)}",
        "files": f"{len(texts)}",
        "lines": f"{sum(text.count(chr(10)) for text in texts):,}",
        "functions": f"{len(counts):,}",
        "of one word": f"{sum(count == 1 for count in counts) / len(counts):.1%}",
        "bytes of the wheel": f"{size:,}",
        "proof files in the wheel": f"{len(proof)}",
    }


def main() -> None:
    """Prints the table; without arguments, of this checkout."""
    roots = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT]
    columns = [measure(root) for root in roots]
    for figure in columns[0]:
        print(f"{figure:<26}" + "".join(f"{column[figure]:>12}" for column in columns))


if __name__ == "__main__":
    main()
