"""Drives paths, one after the other on the instance that each needs, and looks for what every one left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path as Directory
from tempfile import TemporaryDirectory
from typing import Any

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.settings import load
from sql_synthesizer.webapp import create_app
from sql_synthesizer.wiring import build_rooms
from sql_synthesizer_proof.coverage.derive import derive_paths
from sql_synthesizer_proof.coverage.drivers import find_driver
from sql_synthesizer_proof.coverage.excuses import read_excuses
from sql_synthesizer_proof.coverage.instance import PATIENCE, Instance
from sql_synthesizer_proof.coverage.owed import owed_signals
from sql_synthesizer_proof.coverage.path import Owed, Path, Result
from sql_synthesizer_proof.coverage.setups import run_setup

PLAIN = "main"
"""The setup without servers of its own."""
Tell = Callable[[str], None]


@cache
def find_paths() -> tuple[Path, ...]:
    """The critical paths of the service as it is."""
    with TemporaryDirectory() as place:
        rooms = build_rooms(load(state_dir=Directory(place), auth="required"), logging=False)
        try:
            return tuple(derive_paths(create_app(rooms=rooms)))
        finally:
            rooms.close()


def choose_tenth(paths: Sequence[Path]) -> list[Path]:
    """A tenth of the paths, always the same: of those that need no server beside the service."""
    excuses = read_excuses(paths)
    plain = [path for path in paths if path not in excuses and _setup_of(path) in ("", PLAIN)]
    return sorted(plain, key=lambda path: path.draw)[: -(-len(paths) // 10)]


def _setup_of(path: Path) -> str:
    """The setup that a path needs; empty where nothing is known that drives it."""
    try:
        return find_driver(path).setup
    except LookupError:
        return ""


def group_paths(paths: Sequence[Path]) -> Mapping[str, list[Path]]:
    """Setup -> the paths that need it."""
    by_setup: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_setup[_setup_of(path)].append(path)
    return by_setup


def run_paths(paths: Sequence[Path], home: Directory, tell: Tell = lambda _: None) -> list[Result]:
    """Drives every path that counts, and says what was seen of each, in their order. Raises ConfigurationError."""
    excuses = read_excuses(find_paths())
    results = {path: Result(path, owed_signals(path).signals, excused=excuses.get(path, "")) for path in paths}
    for setup, group in group_paths([path for path in paths if path not in excuses]).items():
        if not setup:
            for path in group:
                results[path].fault = "nothing is known that drives it"
            continue
        tell(f"{setup}: {len(group)} paths")
        try:
            _run_group(setup, [results[path] for path in group], home / setup)
        except ConfigurationError as error:
            for path in group:
                results[path].fault = f"not on this machine: {error.message}"
    return list(results.values())


def _run_group(setup: str, results: Sequence[Result], home: Directory) -> None:
    with run_setup(setup, home) as instance:
        for result in results:
            drive_path(instance, result)
    look_for(instance, results)


def drive_path(instance: Instance, result: Result) -> None:
    """Drives a path, and notes whether its metrics grew."""
    samples = owed_signals(result.path).metric or ()
    before = instance.count(samples)
    try:
        result.trace_id = find_driver(result.path).drive(instance, result.path)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other paths go on
        result.fault = f"not driven: {type(error).__name__}: {error}"[:200]
    if result.path.kind == "level":
        grown = becomes_true(lambda: instance.exists(samples), PATIENCE, 0.2)
    else:
        grown = all(new > old for new, old in zip(instance.count(samples), before, strict=True))
    if samples and grown:
        result.seen.add("metric")


def look_for(instance: Instance, results: Iterable[Result]) -> None:
    """Looks for the other signals, once they are written."""
    lines, records = _by_trace(instance.lines()), _by_trace(instance.stored_records())
    for result in results:
        owed, trace_id = owed_signals(result.path), result.trace_id
        found: Mapping[str, Sequence[Mapping[str, Any]]] = {
            "log": lines[trace_id],
            "audit": records[trace_id],
            "span": instance.spans(trace_id) if owed.span is not None and trace_id else [],
        }
        result.seen |= {name for name, rows in found.items() if _is_among(owed, name, rows)}


def _by_trace(rows: Iterable[Mapping[str, Any]]) -> defaultdict[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[str(row.get("trace_id", ""))].append({**row.get("details", {}), **row})
    return found


def _is_among(owed: Owed, name: str, rows: Iterable[Mapping[str, Any]]) -> bool:
    wanted: Mapping[str, object] | None = getattr(owed, name)
    return wanted is not None and any(
        all(fnmatchcase(str(row.get(key, "")), str(value)) for key, value in wanted.items()) for row in rows
    )
