"""Flags made from a function's arguments, a JSON file beneath them, plain answers to mistakes."""

import copy
import dataclasses
import functools
import inspect
import json
import os
import pathlib
import re
import sys
import textwrap
import typing
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from absl import app, flags, logging

from kerassl.arguments import Bound, check_value

from .bounds import Choice, Home
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
NEEDED = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Flag:
    """An argument of a launcher.

    Attributes:
        name: the argument's name.
        kind: its type: bool, int, float, str or dict.
        optional: whether it may be `None`.
        default: its default, or `NEEDED`.
        about: what its docstring says.
        bounds: what its annotation demands.
        group: the argument of the launcher's function whose field it is, or `None`.
    """

    name: str
    kind: type
    optional: bool
    default: object
    about: str
    bounds: tuple[Bound | Choice | Home, ...] = ()
    group: str | None = None

    @property
    def help(self) -> str:
        """What the flag is and which values it takes."""
        needs = [bound for bound in self.bounds if not isinstance(bound, Home)]
        return " ".join([self.about, *(f"Must be {need}." for need in needs)])

    @property
    def annotation(self) -> object:
        """Its type with its bounds."""
        return Annotated[self.kind, *self.bounds] if self.bounds else self.kind

    def checked(self, value: Any) -> Any:  # noqa: ANN401
        """Returns a value as the launcher takes it.

        Raises:
            ValueError: for a value of another type or outside of the bounds.
        """
        if value is None and self.optional:
            return None
        if value is None and self.default is NEEDED:
            raise ValueError(f"--{self.name} is needed: {self.help}")
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, np.generic):
            value = value.item()
        check_value(f"--{self.name}", value, self.annotation)
        if value == "":
            raise ValueError(f"--{self.name} must be a string that is not empty, got {value!r}.")
        for bound in self.bounds:
            value = value if isinstance(bound, Bound) else bound.checked(self.name, value)
        return value


class Launcher:
    """A function whose arguments are flags, checked in the shell and in Python alike.

    Its arguments have types, of `kerassl.arguments` or `recipes.bounds` where they have bounds, and are
    described in its docstring. An argument whose type is a dataclass stands for the fields of that; callers
    pass them one by one.

    Args:
        function: what is launched.

    Attributes:
        flags: all flags by name.
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.flags: dict[str, Flag] = {}
        self._groups: dict[str, type] = {}
        functools.update_wrapper(self, function)
        about, hints = described(function), typing.get_type_hints(function, include_extras=True)
        for name, parameter in inspect.signature(function).parameters.items():
            if dataclasses.is_dataclass(hints[name]):
                self._groups[name] = hints[name]
                self._add_fields(name, hints[name])
            else:
                self.flags[name] = _flag(name, hints[name], parameter.default, about[name])

    def _add_fields(self, group: str, fields: type) -> None:
        hints = typing.get_type_hints(fields, include_extras=True)
        about = {}
        for base in reversed(fields.__mro__[:-1]):
            about |= described(base)
        for field in dataclasses.fields(fields):
            flag = _flag(field.name, hints[field.name], field.default, about[field.name])
            self.flags[field.name] = dataclasses.replace(flag, group=group)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """Checks the arguments and runs the function.

        Raises:
            ValueError: for one that is missing, of another type or outside of its bounds.
        """
        values = self.checked({**dict(zip(self.flags, arguments, strict=False)), **keywords})
        groups = {name: {} for name in self._groups}
        own = {}
        for name, value in values.items():
            group = self.flags[name].group
            (own if group is None else groups[group])[name] = value
        return self.function(**own, **{name: self._groups[name](**groups[name]) for name in groups})

    def with_defaults(self, **defaults: Any) -> "Launcher":  # noqa: ANN401
        """The same launcher with other defaults for some of its function's own arguments."""
        other = copy.copy(self)
        other.function = functools.partial(self.function, **defaults)
        changed = {n: dataclasses.replace(self.flags[n], default=value) for n, value in defaults.items()}
        other.flags = {**self.flags, **changed}
        return other

    def checked(self, values: dict) -> dict:
        """Arguments as the function takes them.

        Raises:
            ValueError: for one that is missing or unknown, of another type or outside of its bounds.
        """
        for name in values:
            check_name("flag", name, self.flags)
        for name, flag in self.flags.items():
            if flag.default is NEEDED and name not in values:
                flag.checked(None)
        return {name: self.flags[name].checked(value) for name, value in values.items()}


def launch(run: Launcher, program: str | None = None, arguments: list[str] | None = None) -> None:
    """Runs a recipe from the command line; only here are flags read.

    Args:
        run: the recipe.
        program: what the command is called, by default `python -m` and the module.
        arguments: what follows it, by default those of this process.
    """
    program = program or f"python -m recipes.{pathlib.Path(sys.argv[0]).stem}"
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"--help", "-h", "-help", "-?"} & set(arguments):
        print(usage(run, program))
        return

    def main(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: {argv[1]!r} is not a flag; write --name=value.")
        if logging.get_verbosity() == logging.INFO:
            # What TensorFlow and its converters tell of their insides by default.
            logging.set_verbosity(logging.WARNING)
        try:
            run(**given(run, flags.FLAGS))
        except (ValueError, ImportError, OSError, FloatingPointError) as error:
            if logging.get_verbosity() > 0:
                raise
            sys.exit(f"error: {error}\n(--verbosity=1 shows where.)")
        except KeyboardInterrupt:
            sys.exit("\nInterrupted. The same command continues from the last checkpoint.")

    define(run, flags.FLAGS)
    app.run(main, [program, *arguments])


def usage(run: Launcher, program: str) -> str:
    """The text of `--help`: what the command does, its flags, their defaults and bounds."""
    text = inspect.getdoc(sys.modules[run.__module__])
    if not program.startswith("python"):
        text = re.sub(r"python -m recipes\.(\w+)", lambda found: f"kerassl {dashed(found[1])}", text)
    lines = [f"Usage: {program} --name=value ...", "", text, "", "Flags:"]
    for flag in run.flags.values():
        default = "needed" if flag.default is NEEDED else f"default: {_shown(flag.default)}"
        name = f"[no]{flag.name}" if flag.kind is bool else f"{flag.name}={flag.kind.__name__}"
        lines += [f"  --{name} ({default})", *_wrapped(flag.help)]
    lines += ["  --config=str (default: none)", *_wrapped(CONFIG_HELP)]
    lines += ["  --verbosity=int (default: 0)", *_wrapped("1 shows where in the code an error was found.")]
    return "\n".join(lines)


CONFIG_HELP = "JSON file of these flags, {name: value}; flags on the command line win over it."


def dashed(name: str) -> str:
    """The name of a module as that of a command."""
    return name.replace("_", "-")


def _shown(default: object) -> str:
    return "none" if default is None else json.dumps(default) if isinstance(default, bool) else str(default)


def _wrapped(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent)


def define(run: Launcher, flag_values: flags.FlagValues) -> None:
    """Defines `--config` and a flag for each argument of `run`."""
    holders = {}
    for name, flag in run.flags.items():
        default = None if flag.default is NEEDED else flag.default
        if flag.kind is bool:
            holders[name] = flags.BooleanFlag(name, default, flag.help)
        else:
            serializer = flags.ArgumentSerializer()
            holders[name] = flags.Flag(_PARSERS[flag.kind](), serializer, name, default, flag.help)
    holders["config"] = flags.Flag(
        flags.ArgumentParser(), flags.ArgumentSerializer(), "config", None, CONFIG_HELP
    )
    for holder in holders.values():
        flags.DEFINE_flag(holder, flag_values, module_name=sys.argv[0])


def given(run: Launcher, flag_values: flags.FlagValues) -> dict:
    """The arguments for `run` that the `--config` file and the command line give, the latter winning.

    Raises:
        ValueError: for an unknown name, a value outside of its bounds, or a needed flag that is missing.
    """
    file = flag_values["config"].value
    values = {} if file is None else read_config(os.path.expanduser(file), run)
    values |= {name: flag_values[name].value for name in run.flags if flag_values[name].present}
    return run.checked(values)


def read_config(path: str | pathlib.Path, run: Launcher) -> dict:
    """Arguments for `run` from a JSON file, such as the `config.json` of a workdir.

    Args:
        path: the file. Its `about` entry, which a workdir's file has, is left out.
        run: the recipe.

    Raises:
        ValueError: for a missing file, a file that is no JSON object, an unknown name, a wrong value.
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
        check_name(f"flag in {path}", name, run.flags)
        try:
            config[name] = run.flags[name].checked(value)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return config


def described(documented: Callable) -> dict[str, str]:
    """The `Args` of a Google-style docstring, {name: text}."""
    section = inspect.getdoc(documented).split("\nArgs:\n")[1].split("\n\n")[0]
    entries = re.split(r"^(\w+): ", textwrap.dedent(section), flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(entries[::2], entries[1::2], strict=True)}


def _flag(name: str, hint: Any, default: object, about: str) -> Flag:  # noqa: ANN401
    """A flag of an annotation such as `int`, `Annotated[int, Bound(1)]` or `PositiveInt | None`."""
    bounds, optional = (), False
    while not isinstance(hint, type) or typing.get_origin(hint):
        if typing.get_origin(hint) is typing.Annotated:
            hint, *more = typing.get_args(hint)
            bounds += tuple(more)
        else:
            (hint,) = (kind for kind in typing.get_args(hint) if kind is not type(None))
            optional = True
    return Flag(name, hint, optional, default, about, bounds)
