"""Prints what of the tests reaches a changed file through imports: `make test-changed`.

Nothing is run: names are followed through the files as they stand, `kerassl.losses.dcl` to the file that
defines it, and the name of a method in a test to its class. What is reached by other ways, such as a
registry, is not seen; `make test` before a merge runs all.

Usage: changed.py files|methods [REVISION]: the files of tests, or the names of methods to ask
`tests/contract` for, that reach what differs from a revision, by default from the last commit.
"""

import ast
import functools
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = "kerassl", "recipes", "benchmarks"
HELPERS = {path.stem: path for path in (ROOT / "tests").rglob("*.py") if not path.stem.startswith("test_")}
ROOMS = "kerassl.methods", "kerassl.classifiers", "kerassl.distillation", "kerassl.losses"


def module(name):
    """The file of a module, or `None`."""
    if name in HELPERS:
        return HELPERS[name]
    path = ROOT / name.replace(".", "/")
    if name.split(".")[0] in PACKAGES:
        return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)
    return None


@functools.cache
def imported(path):
    """What the names of a file stand for: `{"nt_xent": "kerassl.losses.nt_xent"}`."""
    package = path.relative_to(ROOT).parent.parts
    found = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, [above, node.module]))
            found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
    return found


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


@functools.cache
def files_of(name):
    """The files that a dotted name leads through: those that hand it on, and the one that defines it."""
    whole = module(name)
    if whole:
        return {whole}
    head, _, last = name.rpartition(".")
    if not head:
        return set()
    outer = module(head)
    if outer is None:
        return files_of(head)
    origin = imported(outer).get(last)
    return {outer} | (files_of(origin) if origin and origin != name else set())


@functools.cache
def uses(path):
    """The files whose names a file uses."""
    names, found = imported(path), set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node).split(".")
            if chain[0] in names:
                found |= files_of(".".join([names[chain[0]], *chain[1:]]))
        elif path.name.startswith("test_") and isinstance(node, ast.Constant):
            for room in ROOMS:
                if node.value in imported(module(room)):
                    found |= files_of(f"{room}.{node.value}")
    for origin in names.values():
        if origin not in PACKAGES:
            found |= files_of(origin)
    return found - {path}


def reached(path):
    """A file and all that it uses, directly or not."""
    seen, left = set(), [path]
    while left:
        at = left.pop()
        if at not in seen:
            seen.add(at)
            # A package hands on what its modules define, and uses none of it.
            left += () if at.name == "__init__.py" else uses(at)
    return seen


def main(what, revision="HEAD"):
    lists = ["diff", "--name-only", revision], ["ls-files", "--others", "--exclude-standard"]
    lines = [subprocess.check_output(["git", *each], cwd=ROOT, text=True).split() for each in lists]
    changed = {ROOT / line for line in sum(lines, []) if line.endswith(".py")}
    if what == "files":
        for path in sorted((ROOT / "tests").rglob("test_*.py")):
            if changed & reached(path):
                print(path.relative_to(ROOT))
    else:
        names = [name for room in ROOMS[:-1] for name in imported(module(room))]
        files = {name: set().union(*(files_of(f"{room}.{name}") for room in ROOMS[:-1])) for name in names}
        print(",".join(name for name in names if changed & set().union(*map(reached, files[name]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
