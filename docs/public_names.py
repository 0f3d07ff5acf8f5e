"""Writes the public names of `kerassl.methods` and `kerassl.losses` from their files; `make docs` runs it.

A method is public if it has recipes, a loss if its docstring has an example.
"""

import ast
import pathlib
from collections.abc import Callable

ROOT = pathlib.Path(__file__).parents[1] / "kerassl"
END = """

def __dir__() -> list[str]:
    return sorted(__all__)
"""


def is_method(node: ast.stmt) -> bool:
    """Whether a statement defines a class with recipes."""
    return isinstance(node, ast.ClassDef) and any(
        isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "recipes"
        for statement in node.body
    )


def is_loss(node: ast.stmt) -> bool:
    """Whether a statement defines a function with an example."""
    return isinstance(node, ast.FunctionDef) and "Example:" in (ast.get_docstring(node) or "")


ROOMS: dict[str, Callable[[ast.stmt], bool]] = {"methods": is_method, "losses": is_loss}


def package(room: str) -> str:
    """The text of a room's `__init__.py`: its docstring, imports by file, `__all__`."""
    folder = ROOT / room
    docstring = ast.get_docstring(
        ast.parse((folder / "__init__.py").read_text(encoding="utf-8")), clean=False
    )
    imports, names = [], []
    for path in sorted(folder.glob("*/*.py")):
        found = [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if ROOMS[room](node)]
        if found:
            names += found
            imports.append((f"kerassl.{room}.{path.parent.name}.{path.stem}", sorted(found, key=_order)))
    lines = [_statement(module, found) for module, found in imports]
    listed = "".join(f'    "{name}",\n' for name in sorted(names))
    return f'"""{docstring}"""\n\n{"".join(lines)}\n__all__ = [\n{listed}]\n{END}'


def _order(name: str) -> tuple[bool, bool, str]:
    """Sorts names as ruff sorts imports: constants, classes, functions."""
    return (not name.isupper(), not name[0].isupper(), name)


def _statement(module: str, names: list[str]) -> str:
    """An import on one line, or with a line for each name."""
    line = f"from {module} import {', '.join(names)}\n"
    if len(line) <= 111:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")", ""])


if __name__ == "__main__":
    for room in ROOMS:
        (ROOT / room / "__init__.py").write_text(package(room), encoding="utf-8")
