"""Code lines of the methods, without docstrings, comments and blank lines, and how many of them are ceremony.

    python -m benchmarks.code_lines
    python -m benchmarks.code_lines --output=benchmarks/results/code_lines.json

Ceremony is what says nothing of the method: imports, class constants but the recipes, the constructor's
signature but the method's own arguments, checks that raise, the call of the base class, `self.x = x` and
`get_config`.
"""

import ast
import io
import pathlib
import tokenize

from absl import app, flags

from benchmarks.results_file import describe_run, write

OUTPUT = flags.DEFINE_string("output", None, "JSON file for the numbers; they are only printed if not given.")
ROOT = pathlib.Path(__file__).parents[1] / "kerassl"
NOT_CODE = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
)  # fmt: skip


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and ast.get_docstring(node) is not None
        ):
            lines -= lines_of(node.body[0])
    return lines


def lines_of(node: ast.AST) -> set[int]:
    """The numbers of the lines of a statement."""
    return set(range(node.lineno, node.end_lineno + 1))


def ceremony(source: str) -> set[int]:
    """The numbers of the lines that say nothing of the method."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= lines_of(node)
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) != "recipes":
                    found |= lines_of(statement)
        if isinstance(node, ast.FunctionDef) and node.name == "get_config":
            found |= lines_of(node)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            own = {argument.lineno for argument in node.args.kwonlyargs}
            found |= set(range(node.lineno, node.body[0].lineno)) - own
            for statement in node.body:
                if is_ceremony(statement):
                    found |= lines_of(statement)
    return found & code_lines(source)


def is_ceremony(statement: ast.stmt) -> bool:
    """Whether a statement of a constructor checks, hands on or stores what was given."""
    if isinstance(statement, ast.If):
        return all(isinstance(each, ast.Raise) for each in statement.body)
    if isinstance(statement, ast.Expr):
        return ast.unparse(statement).startswith("super().__init__")
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
        return ast.unparse(statement.value) == statement.targets[0].attr
    return False


def measure() -> dict[str, tuple[int, int]]:
    """Code lines of each method's file, and how many of them are ceremony."""
    files = sorted(path for path in ROOT.glob("methods/*/*.py") if path.stem != "__init__")
    sources = {path.stem: path.read_text() for path in files}
    return {name: (len(code_lines(text)), len(ceremony(text))) for name, text in sources.items()}


def main(_) -> None:  # noqa: ANN001
    """Prints a line for each method, and the share of all."""
    measured = measure()
    width = max(map(len, measured))
    for name, (lines, of_ceremony) in measured.items():
        print(f"{name:<{width}}  {lines:4d} code lines, {of_ceremony:3d} of them ceremony")
    total, idle = (sum(column) for column in zip(*measured.values(), strict=True))
    print(f"{'all':<{width}}  {total:4d} code lines, {idle:3d} of them ceremony: {idle / total:.1%}")
    if OUTPUT.value:
        write(
            OUTPUT.value,
            {
                "run": describe_run(),
                "methods": measured,
                "total": total,
                "ceremony": idle,
                "share": idle / total,
            },
        )


if __name__ == "__main__":
    app.run(main)
