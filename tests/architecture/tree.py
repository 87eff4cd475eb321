"""The checkout as the rules see it: files that are tracked or about to be, and Python files parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("edge_agent", "cloud", "shared", "firmware_sim")


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, its dotted name, and its tree."""

    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")


@cache
def files() -> tuple[str, ...]:
    """All files of the project from the root: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()}))


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """The Python files below `folders`, by default those of the product."""
    return tuple(
        parse(path) for path in files() if path.endswith(".py") and path.split("/", 1)[0] in (folders or PACKAGES)
    )


def parse(path: str) -> Module:
    """Read one Python file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Module(path, name, text, ast.parse(text, path))


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that `module` imports, also inside functions and for type checking only.

    `from a import b` gives `a.b` when that is one of our modules and `a` otherwise.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if exists(inner) else base


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """The dotted name that `from ... import` names, with leading dots resolved."""
    if node.level == 0:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def exists(name: str) -> bool:
    """True when `name` is a module or a package of ours."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def calls(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted text) of every call, e.g. 'asyncio.create_task' or 'group.create_task'."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def below(name: str, prefix: str) -> bool:
    """True when the dotted `name` is `prefix` or lies below it."""
    return name == prefix or name.startswith(prefix + ".")
