"""Choices by name, and the nearest one where the name is unknown."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping

import kerassl

BACKBONES = {
    "resnet18": kerassl.backbones.resnet18,
    "resnet34": kerassl.backbones.resnet34,
    "resnet50": kerassl.backbones.resnet50,
    "scatnet": kerassl.backbones.scatnet,
    "vit_tiny": kerassl.backbones.vit,
    "vit_small": kerassl.backbones.vit,
    "vit_base": kerassl.backbones.vit,
}
OPTIMIZERS = ("default", "adamw", "lars", "sgd")
STRATEGIES = tuple(kerassl.engine.STRATEGIES)
VIEWS = ("default", *kerassl.views.PRESETS)
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of the known ones.

    Args:
        kind: what is named, for the message.
        name: what was given.
        known: all names there are.

    Raises:
        ValueError: for an unknown name, with the nearest known one.

    Example:
        >>> from recipes.methods import METHODS
        >>> from recipes.names import check_name
        >>> check_name("method", "byol", METHODS)
        'byol'
    """
    known = list(known)
    if name in known:
        return name
    raise ValueError(f"Unknown {kind} {name!r}; there are: {', '.join(known)}.{nearest(name, known)}")


def method_lines() -> list[str]:
    """What `kerassl methods` prints: the methods of each launcher, a line each."""
    from .methods import CLASSIFIERS, DISTILLATION, METHODS, SELF_DISTILLATION

    tables = {
        "kerassl pretrain --method=": METHODS,
        "kerassl distill --method=": {**DISTILLATION, **SELF_DISTILLATION},
        "kerassl classify --method=": CLASSIFIERS,
    }
    lines = []
    for command, table in tables.items():
        lines += ["", command] if lines else [command]
        for name, recipe in table.items():
            lines.append(f"  {name:<21} {inspect.getdoc(recipe.method).splitlines()[0]}")
    return lines


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: a question for the nearest one, or nothing."""
    near = difflib.get_close_matches(str(name).lower(), list(known), n=1, cutoff=0.4)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_arguments(flag: str, given: Mapping, of: str, made: Callable, num_positional: int) -> None:
    """Checks that what is made by name takes the arguments that a flag gives it.

    Args:
        flag: its name, for the message.
        given: the arguments.
        of: the name by which `made` was chosen.
        made: the class or function.
        num_positional: its first arguments that are not the flag's to give, as `name` and `seed` are not.

    Raises:
        ValueError: for a name that it does not take, with the nearest one, or a missing argument.
    """
    names = parameters(made)
    own = {*list(names)[:num_positional], "name", "seed"}
    known = [name for name in names if name not in own]
    for name in given:
        if name not in known:
            raise ValueError(
                f"--{flag}={dict(given)} do not fit {of}, which has no {name!r}; it takes: "
                f"{', '.join(known) or 'nothing'}.{nearest(name, known)}"
            )
    missing = [name for name in known if names[name].default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ValueError(f"{of} needs {', '.join(missing)}: pass --{flag}={{{missing[0]!r}: ...}}.")


def parameters(made: Callable) -> dict[str, inspect.Parameter]:
    """The parameters of a function or class, those that a class hands on to its base with the rest."""
    layers = [c.__init__ for c in made.__mro__ if "__init__" in vars(c)] if inspect.isclass(made) else [made]
    found = {}
    for layer in layers:
        several = False
        for name, parameter in inspect.signature(layer).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                several = True
            elif name not in ("self", *found):
                # A base's arguments that have no default are the class's to give.
                inner = parameter.default is parameter.empty and layer is not layers[0]
                found[name] = parameter.replace(default=None) if inner else parameter
        if not several:
            break
    return found
