"""Runs the Python of the pages in docs/ and of README.md, and checks their commands, names and links."""

import importlib
import pathlib
import re

import keras
import pytest

import kerassl
from recipes.completion import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.exists()]
# A block after `<!-- not run: why -->` is for reading only, such as one that downloads.
BLOCK = re.compile(r"(<!-- not run: [^>]+-->\n+)?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

# What is TensorFlow's, and the commands of the README; torch is quicker with the others.
ON_TENSORFLOW = ("README", "data", "devices", "export")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_python_runs(page, tmp_path, monkeypatch):
    usual = "tensorflow" if page.stem in ON_TENSORFLOW else "torch"
    if keras.backend.backend() != usual and page.stem != "writing_a_method":
        pytest.skip(f"The page runs on {usual}, and the method written by the reader on every backend.")
    blocks = [match[2] for match in BLOCK.finditer(page.read_text()) if not match[1]]
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    namespace = {"__name__": "docs"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


@pages
def test_commands_have_the_flags_they_use(page):
    text = page.read_text().replace("\\\n", " ")
    commands = re.findall(r"python -m recipes\.(\w+)([^\n`]*)", text)
    for command, flags in re.findall(rf"kerassl ({'|'.join(COMMANDS)})\b([^\n`]*)", text):
        commands.append((COMMANDS[command], flags))
    for module, flags in commands:
        known = importlib.import_module(f"recipes.{module}").run.flags
        unknown = [
            flag for flag in re.findall(r"--(?:no)?(\w+)", flags) if flag not in (*known, "help", "config")
        ]
        assert not unknown, f"{page.name}: {module} has no flag {unknown}"


@pages
def test_names_exist(page):
    for name in set(re.findall(r"\bkerassl((?:\.[A-Za-z_]\w*)+)", page.read_text())):
        found = kerassl
        for part in name.split(".")[1:]:
            assert hasattr(found, part), f"{page.name} names kerassl{name}"
            found = getattr(found, part)


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!\w+:)([^)#]*)(#[^)]*)?\)", page.read_text()):
        path = (page.parent / target[0]) if target[0] else page
        assert path.exists(), f"{page.name} links to {target[0]}"
        if target[1]:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert target[1][1:] in anchors, f"{page.name} links to {target[0]}{target[1]}"


@pytest.mark.parametrize("room", ["methods", "losses"])
def test_public_names_are_those_of_the_files(room):
    from docs import public_names

    text = (ROOT / "kerassl" / room / "__init__.py").read_text()
    assert text == public_names.package(room), "Run make docs."


def test_tables_of_methods_are_those_of_the_classes():
    from docs import tables

    assert (ROOT / "docs" / "methods.md").read_text() == tables.page(), "Run make docs."
    public = {
        name
        for room in (kerassl.methods, kerassl.distillation, kerassl.classifiers)
        for name in room.__all__
        if "recipes" in vars(getattr(room, name))
    }
    assert public == {cls.__name__ for classes in tables.methods().values() for cls in classes}


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [page.name for page in PAGES if f"]({page.name})" not in index and page.name != "README.md"]
    assert not missing, f"docs/README.md does not link to {missing}"
