"""The command `kerassl`. Nothing in it is a backend's."""

import shutil
import subprocess
import sys
import types

import pytest

from recipes import cli, command_line, completion, names
from recipes.names import CLASSIFIERS, DISTILLATION, METHODS, PRETRAINING

pytestmark = pytest.mark.backends("torch")  # Nothing of a backend in it.


def test_help_lists_every_command(capsys):
    for arguments in ([], ["--help"], ["help"]):
        cli.main(arguments)
        text = capsys.readouterr().out
        for name in (*completion.COMMANDS, "methods", "completion"):
            assert f"\n  {name} " in text
        assert max(map(len, text.splitlines())) <= 110


def test_help_of_a_command(capsys):
    cli.main(["fine-tune", "--help"])
    text = capsys.readouterr().out
    assert text.startswith("Usage: kerassl fine-tune --name=value ...\n\nFine-tunes a pretrained encoder")
    assert "kerassl fine-tune --encoder=runs/mae" in text and "--layer_decay=float (default: 0.75)" in text
    cli.main(["report", "--help"])
    assert "--report=str (default: report.html)" in capsys.readouterr().out


def test_unknown_commands_get_the_nearest(capsys):
    with pytest.raises(SystemExit, match="Unknown command 'pretrian'. Did you mean 'pretrain'"):
        cli.main(["pretrian"])
    with pytest.raises(SystemExit, match="Unknown command 'qqq'. There are: pretrain, .*completion"):
        cli.main(["qqq"])
    with pytest.raises(SystemExit, match="Usage: kerassl completion bash"):
        cli.main(["completion", "tcsh"])


def test_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out.startswith("kerassl 0.1.0 (keras 3.")


def test_commands_are_launched_with_their_flags(monkeypatch):
    launched = []
    monkeypatch.setattr(command_line, "launch", lambda *arguments: launched.append(arguments))
    for command, module in completion.COMMANDS.items():
        cli.main([command, "--seed=3"])
        run, program, arguments = launched.pop()
        assert run.__module__ == f"recipes.{module}" and program == f"kerassl {command}"
        assert arguments == ["--seed=3"]


def test_report_is_evaluate_with_a_page(monkeypatch):
    from recipes import evaluate

    seen = types.SimpleNamespace(arguments={})
    monkeypatch.setattr(evaluate.run, "function", lambda **arguments: seen.arguments.update(arguments))
    run = evaluate.run.with_defaults(report="report.html")
    run(encoder="x")
    assert seen.arguments == {"encoder": "x", "report": "report.html"}
    run(encoder="x", report="other.html")
    assert seen.arguments["report"] == "other.html" and evaluate.run.flags["report"].default is None


def test_every_method_has_a_line():
    lines = names.method_lines()
    for name, (_, cls, _) in METHODS.items():
        assert any(line.split()[:2] == [name, cls.family] and len(line.split()) > 3 for line in lines), name
    assert sum(line.endswith("[vit_tiny]") for line in lines) == 9


@pytest.mark.parametrize("module", sorted(set(completion.COMMANDS.values())))
def test_completion_knows_the_flags_of_the_launchers(module):
    import importlib

    run = importlib.import_module(f"recipes.{module}").run
    expected = {"--help", "--config=", "--verbosity="}
    for name, flag in run.flags.items():
        expected |= {f"--{name}", f"--no{name}"} if flag.kind is bool else {f"--{name}="}
    assert set(completion.flags(module)) == expected


def test_completion_knows_the_methods():
    assert completion.methods("pretrain") == list(PRETRAINING)
    assert completion.methods("distill") == list(DISTILLATION)
    assert completion.methods("classify") == list(CLASSIFIERS)
    assert completion.methods("export") == []


@pytest.mark.skipif(not shutil.which("bash"), reason="it asks bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["kerassl", "pre"], ["pretrain"]),
        (["kerassl", "e"], ["evaluate", "embed", "export"]),
        (["kerassl", "pretrain", "--meth"], ["--method=", "--method_args="]),
        (["kerassl", "pretrain", "--nosa"], ["--nosaved_model"]),
        (["kerassl", "pretrain", "--method", "=", "byo"], ["byol"]),
        (["kerassl", "classify", "--method", "=", "pal"], ["palm"]),
        (["kerassl", "pretrain", "--method", "="], completion.methods("pretrain")),
        (["kerassl", "pretrain", "--workdir", "=", "ru"], []),
        (["kerassl", "fine-tune", "--layer"], ["--layer_decay="]),
        (["kerassl", "completion", "f"], ["fish"]),
    ],
)
def test_bash_completes(words, expected):
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"{completion.script('bash')}\nCOMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n"
    code += '_kerassl 2> /dev/null\nprintf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


@pytest.mark.parametrize("shell", ("zsh", "fish"))
def test_other_shells_complete_the_same_words(shell):
    script = completion.script(shell)
    for command, module in completion.COMMANDS.items():
        assert command in script
        for flag in completion.flags(module):
            assert flag.strip("-=") in script
    assert all(name in script for name in METHODS)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m recipes.cli --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "Self-supervised learning for Keras 3.\n" and "Error" not in done.stderr
