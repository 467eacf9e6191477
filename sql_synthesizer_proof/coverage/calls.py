"""The calls by which the service reports, replaced while it is imported, so that each can be noted and left out."""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import CodeType, ModuleType
from typing import Any

SERVICE = "sql_synthesizer."
CALLS = ("emit", "operation", "report", "report_error", "read")
"""Methods of the facade that report."""


class Calls:
    """Stands between the service and its facade: notes each call, and leaves out the one that is ``removed``."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.reached: set[str] = set()
        self.removed = ""

    def call(self, site: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the service calls in the place of ``function``."""
        self.reached.add(site)
        if site != self.removed:
            return function(*args, **kwargs)
        if function.__name__ == "operation":
            operation = function(*args, **kwargs)
            operation.type = replace(operation.type, name="removed", event=None)
            return operation
        return None


class _Replacing(ast.NodeTransformer):
    """Puts ``Calls.call`` in the place of every call that reports."""

    def __init__(self, file: str, known: set[str]) -> None:
        self._file = file
        self._known = known
        self._function = ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Notes where a call stands."""
        before, self._function = self._function, node.name
        self.generic_visit(node)
        self._function = before
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replaces the call, if it is one."""
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in CALLS or not _reports(node):
            return node
        about = re.sub(r"vocabulary\.|SECURITY_EVENTS|[^\w, ]", "", ast.unparse(node.args[0]))[:60] if node.args else ""
        name = f"{self._file}, {self._function}: {node.func.attr} {about}".rstrip()
        number = sum(known == name or known.startswith(f"{name} (") for known in self._known)
        site = f"{name} ({number + 1})" if number else name
        self._known.add(site)
        inserted = ast.Call(
            ast.Name("_instrument", ast.Load()), [ast.Constant(site), node.func, *node.args], node.keywords
        )
        return ast.copy_location(inserted, node)


def _reports(node: ast.Call) -> bool:
    """Whether it is a method of the facade, and not one of a file: a level is read with its type."""
    assert isinstance(node.func, ast.Attribute)  # noqa: S101 - as the caller knows
    first = ast.unparse(node.args[0]) if node.args else ""
    return node.func.attr != "read" or first.startswith("vocabulary.")


class _Loader(importlib.machinery.SourceFileLoader):
    calls: Calls

    def get_code(self, fullname: str) -> CodeType:
        """Compiles the changed source, whatever was compiled before."""
        file = self.get_filename(fullname)
        tree = ast.parse(self.get_data(file), file)
        changed = _Replacing(file.partition("/sql_synthesizer/")[2], self.calls.known).visit(tree)
        return compile(ast.fix_missing_locations(changed), file, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, calls: Calls) -> None:
        self._loader = type("_CallsLoader", (_Loader,), {"calls": calls})

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The service's modules, with the loader that changes them."""
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        if found is not None and found.origin and name.startswith(SERVICE) and found.origin.endswith(".py"):
            found.loader = self._loader(name, found.origin)
        return found


def install_calls() -> Calls:
    """Has everything of the service that is imported from now on report through the calls that are returned."""
    calls = Calls()
    setattr(builtins, "_instrument", calls.call)  # noqa: B010 - a name that no module has
    sys.meta_path.insert(0, _Finder(calls))
    return calls
