"""Flags made from a function's keywords, a JSON file beneath them, plain answers to mistakes."""

import inspect
import json
import pathlib
import re
import sys
import textwrap
import typing
from collections.abc import Callable

from absl import app, flags, logging

from .names import check_name


class _JSONParser(flags.ArgumentParser):
    """Parses a JSON object."""

    syntactic_help = 'a JSON object, such as {"name": 1}'

    def parse(self, argument: str | dict) -> dict:
        """Returns the object."""
        try:
            value = json.loads(argument) if isinstance(argument, str) else argument
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error})") from error
        if not isinstance(value, dict):
            raise ValueError(f"{self.syntactic_help} is needed")
        return value

    def flag_type(self) -> str:
        """What the help calls it."""
        return "JSON object"


_PARSERS = {str: flags.ArgumentParser, int: flags.IntegerParser, float: flags.FloatParser, dict: _JSONParser}


def launch(run: Callable) -> None:
    """Runs a recipe from the command line; only here are flags read.

    Args:
        run: the recipe; its keywords, their defaults and the `Args` of its docstring are the flags.
    """

    def main(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: {argv[1]!r} is not a flag; write --name=value.")
        if logging.get_verbosity() == logging.INFO:
            # What TensorFlow and its converters tell of their insides by default.
            logging.set_verbosity(logging.WARNING)
        try:
            run(**arguments(run, flags.FLAGS))
        except (ValueError, ImportError, OSError, FloatingPointError) as error:
            if logging.get_verbosity() > 0:
                raise
            sys.exit(f"error: {error}\n(--verbosity=1 shows where.)")
        except KeyboardInterrupt:
            sys.exit("\nInterrupted. The same command continues from the last checkpoint.")

    define(run, flags.FLAGS)
    app.run(main)


def define(run: Callable, flag_values: flags.FlagValues) -> None:
    """Defines `--config` and a flag for each keyword of `run`."""
    helps = argument_help(run)
    holders = {}
    for name, parameter in inspect.signature(run).parameters.items():
        default = None if parameter.default is parameter.empty else parameter.default
        kind = _kind(run, name)
        if kind is bool:
            holders[name] = flags.BooleanFlag(name, default, helps[name])
        else:
            serializer = flags.ArgumentSerializer()
            holders[name] = flags.Flag(_PARSERS[kind](), serializer, name, default, helps[name])
    text = "JSON file of these flags, {name: value}; flags on the command line win over it."
    holders["config"] = flags.Flag(flags.ArgumentParser(), flags.ArgumentSerializer(), "config", None, text)
    for flag in holders.values():
        # The main module's own flags are what --help shows.
        flags.DEFINE_flag(flag, flag_values, module_name=sys.argv[0])


def arguments(run: Callable, flag_values: flags.FlagValues) -> dict:
    """The keywords for `run` that the `--config` file and the command line give, the latter winning.

    Raises:
        ValueError: for an unknown name or a wrong type in the file, or a needed flag that is missing.
    """
    parameters = inspect.signature(run).parameters
    values = {} if flag_values["config"].value is None else read_config(flag_values["config"].value, run)
    values |= {name: flag_values[name].value for name in parameters if flag_values[name].present}
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and values.get(name) is None:
            raise ValueError(f"--{name} is needed: {argument_help(run)[name]}")
    return values


def read_config(path: str | pathlib.Path, run: Callable) -> dict:
    """Keywords for `run` from a JSON file, such as the `config.json` of a workdir.

    Args:
        path: the file. Its `about` entry, which a workdir's file has, is left out.
        run: the recipe.

    Raises:
        ValueError: for a missing file, a file that is no JSON object, an unknown name, a wrong type.
    """
    if not pathlib.Path(path).is_file():
        raise ValueError(f"--config={path}: there is no such file.")
    try:
        config = json.loads(pathlib.Path(path).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"--config={path} is not JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ValueError(
            f"--config={path} must hold an object {{name: value}}, not a {type(config).__name__}."
        )
    config.pop("about", None)
    for name, value in config.items():
        check_name(f"flag in {path}", name, inspect.signature(run).parameters)
        kind = _kind(run, name)
        number = kind is float and isinstance(value, int) and not isinstance(value, bool)
        if value is not None and type(value) is not kind and not number:
            raise ValueError(f"{path}: {name} must be of type {kind.__name__}, but {value!r} came.")
    return config


def argument_help(run: Callable) -> dict[str, str]:
    """The `Args` of a Google-style docstring, {name: text}."""
    section = inspect.getdoc(run).split("\nArgs:\n")[1].split("\n\n")[0]
    entries = re.split(r"^(\w+): ", textwrap.dedent(section), flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(entries[::2], entries[1::2], strict=True)}


def _kind(run: Callable, name: str):
    hint = typing.get_type_hints(run)[name]
    return next((kind for kind in typing.get_args(hint) if kind is not type(None)), hint)
