"""The command `kerassl`, whose commands are the launchers."""

import difflib
import importlib
import os
import sys

from . import completion
from .completion import COMMANDS
from .quiet import import_quietly

HELP = """Self-supervised learning for Keras 3.

Usage: kerassl COMMAND --name=value ...

{commands}
  {methods}
  {completion}

kerassl COMMAND --help lists the flags of a command, kerassl --version the versions. The environment's
KERAS_BACKEND chooses tensorflow, jax or torch."""


def main(arguments: list[str] | None = None) -> None:
    """Runs a command.

    Args:
        arguments: the command and its flags, by default those of this process.
    """
    try:
        _run(*((sys.argv[1:] if arguments is None else arguments) or ["--help"]))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has enough; Python's own flush at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(name: str, *rest: str) -> None:
    if name in ("--help", "-h", "help"):
        print(help_text())
    elif name == "--version":
        print(version())
    elif name == "completion":
        _exit_unless(len(rest) == 1 and rest[0] in completion.SCRIPTS, completion.USAGE)
        print(completion.script(rest[0]))
    elif name == "methods":
        _exit_unless(not rest, "Usage: kerassl methods")
        import_quietly("keras")
        from . import names

        print("\n".join(names.method_lines()))
    elif name in COMMANDS:
        import_quietly("keras")
        from . import command_line

        run = importlib.import_module(f".{COMMANDS[name]}", __package__).run
        if name == "report":
            run = run.with_defaults(report="report.html")
        command_line.launch(run, f"kerassl {name}", list(rest))
    else:
        known = (*COMMANDS, "methods", "completion")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
        sys.exit(f"error: Unknown command {name!r}. {hint}")


def help_text() -> str:
    """The text of `kerassl --help`, with the first line of each launcher."""

    def line(name: str, about: str) -> str:
        return f"{name:<16} {about}"

    about = {name: completion.summary(module) for name, module in COMMANDS.items()}
    about["report"] = "Writes what evaluate finds as a page of numbers and pictures, report.html."
    return HELP.format(
        commands="\n".join(f"  {line(name, text)}" for name, text in about.items()),
        methods=line("methods", "Lists all methods, a line each."),
        completion=line("completion", "Prints the completion of bash, zsh or fish."),
    )


def version() -> str:
    """The text of `kerassl --version`."""
    from importlib.metadata import version as installed

    import kerassl

    python = ".".join(map(str, sys.version_info[:3]))
    return f"kerassl {kerassl.__version__} (keras {installed('keras')}, Python {python})"


def _exit_unless(right: bool, usage: str) -> None:
    if not right:
        sys.exit(usage)


if __name__ == "__main__":
    main()
