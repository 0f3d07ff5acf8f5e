"""Writes the tables of methods in docs/methods.md from the classes; `make docs` runs it."""

import inspect
import pathlib
import re
import sys

import kerassl

DOCS = pathlib.Path(__file__).parent
PAGE = DOCS / "methods.md"
BEGIN, END = "<!-- Made by make docs, from here -->", "<!-- to here -->"
# The page of a family that is not called like it.
PAGES = {"clustering": "prototypes", "masked": "masked_modeling", "supervised": "classifiers"}
HEADER = """| class | launch name | paper | encoder gives | labels | how it learns |
|---|---|---|---|---|---|"""


def methods() -> dict[str, list[type[kerassl.SSLModel]]]:
    """The public classes that have recipes, by family."""
    families: dict[str, list] = {}
    for room in (kerassl.methods, kerassl.distillation, kerassl.classifiers):
        for cls in (getattr(room, name) for name in room.__all__):
            if vars(cls).get("recipes"):
                families.setdefault(cls.family, []).append(cls)
    return families


def tables() -> str:
    """A heading and a table for each family."""
    parts = []
    for family, classes in methods().items():
        family_page = f"{PAGES.get(family, family)}.md"
        title = (DOCS / family_page).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        rows = [_row(cls, family_page) for cls in sorted(classes, key=lambda cls: cls.__name__.lower())]
        parts.append("\n".join([f"### {title}", "", HEADER, *rows]))
    return "\n\n".join(parts)


def page() -> str:
    """The text of the page with new tables."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


def _row(cls: type[kerassl.SSLModel], family_page: str) -> str:
    room = cls.__module__.split(".")[1]
    cells = [
        f"[`{room}.{cls.__name__}`]({family_page}{_section(cls.__name__, DOCS / family_page)})",
        ", ".join(f"`{name}`" for name in cls.recipes),
        _paper(cls),
        cls.wants,
        "needed" if cls.needs_labels else "",
        inspect.cleandoc(sys.modules[cls.__module__].__doc__).splitlines()[0],
    ]
    return f"| {' | '.join(cells)} |"


def _paper(cls: type[kerassl.SSLModel]) -> str:
    """A link to the paper that a class names first, else its module, else the words in parentheses."""
    texts = inspect.getdoc(cls), sys.modules[cls.__module__].__doc__
    for text in texts:
        for number in re.findall(r"arXiv (\d{4}\.\d{5})", text)[:1]:
            return f"[{number}](https://arxiv.org/abs/{number})"
    named = re.search(r"\(([^()]+)\)", texts[0].splitlines()[0])
    return named[1] if named else ""


def _section(name: str, path: pathlib.Path) -> str:
    """The anchor of the first section of a page that names a class; nothing if none does."""
    anchor = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            anchor = "#" + re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-")
        elif anchor and re.search(rf"\b{name}\b", line):
            return anchor
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
