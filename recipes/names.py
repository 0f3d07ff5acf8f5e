"""Choices by name, and the nearest one where the name is unknown."""

import difflib
import inspect
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import kerassl
from kerassl.arguments import parameters

BACKBONES = {
    "resnet18": kerassl.backbones.resnet18,
    "resnet34": kerassl.backbones.resnet34,
    "resnet50": kerassl.backbones.resnet50,
    "scatnet": kerassl.backbones.scatnet,
    "vit_tiny": kerassl.backbones.vit,
    "vit_small": kerassl.backbones.vit,
    "vit_base": kerassl.backbones.vit,
}
OPTIMIZERS = kerassl.training.OPTIMIZERS
STRATEGIES = tuple(kerassl.engine.STRATEGIES)
VIEWS = ("default", *kerassl.views.PRESETS)
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Arguments of a method that a launcher gives it by flags of their own.
OWN_FLAGS = ("encoder", "teacher", "student", "views", "num_classes", "seed", "name")


class Method(NamedTuple):
    """A method as a launcher knows it.

    Attributes:
        name: its launch name.
        cls: its class.
        recipe: how it is trained.
    """

    name: str
    cls: type[kerassl.SSLModel]
    recipe: kerassl.Recipe

    @property
    def learns_from_itself(self) -> bool:
        """Whether a method of distillation has no teacher."""
        return "teacher" not in parameters(self.cls)

    def check_labels(self, dataset: str, num_classes: int | None) -> None:
        """Raises `ValueError` if the method needs labels and the data has none."""
        if self.cls.needs_labels and num_classes is None:
            raise ValueError(f"--method={self.name} learns from labels, and {dataset} has none.")

    def arguments(self, num_updates: int, num_examples: int, given: Mapping | None) -> dict:
        """The constructor's arguments for a run.

        Args:
            num_updates: optimizer steps of the whole run.
            num_examples: training examples, for a method that remembers each of them.
            given: arguments that take the place of the recipe's; older names are read, too.
        """
        indexed = {"num_examples": num_examples} if self.cls.needs_sample_index else {}
        return {**self.recipe.for_length(num_updates).arguments, **indexed, **self.renamed(given or {})}

    def renamed(self, arguments: Mapping) -> dict:
        """Arguments by their present names, such as those in the `config.json` of an older version."""
        return {self.cls.renamed_arguments.get(name, name): value for name, value in arguments.items()}


def methods_in(room: types.ModuleType) -> dict[str, Method]:
    """The methods of a module such as `kerassl.methods`, by launch name."""
    public = [getattr(room, name) for name in room.__all__]
    found = [
        Method(name, cls, recipe) for cls in public for name, recipe in vars(cls).get("recipes", {}).items()
    ]
    return {method.name: method for method in sorted(found, key=lambda method: method.name)}


PRETRAINING = methods_in(kerassl.methods)
DISTILLATION = methods_in(kerassl.distillation)
CLASSIFIERS = methods_in(kerassl.classifiers)
METHODS = {**PRETRAINING, **DISTILLATION, **CLASSIFIERS}


def method_lines() -> list[str]:
    """What `kerassl methods` prints: the methods of each launcher, a line each."""
    tables = {"pretrain": PRETRAINING, "distill": DISTILLATION, "classify": CLASSIFIERS}
    lines = []
    for command, table in tables.items():
        title = f"kerassl {command} --method="
        lines += ["", title] if lines else [title]
        for name, (_, cls, recipe) in table.items():
            about = sys.modules[cls.__module__].__doc__.splitlines()[0]
            backbone = "" if recipe.backbone == "resnet18" else f" [{recipe.backbone}]"
            lines.append(f"  {name:<21} {cls.family:<18} {about}{backbone}")
    return lines


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of the known ones.

    Args:
        kind: what is named, for the message.
        name: what was given.
        known: all names there are.

    Raises:
        ValueError: for an unknown name, with the nearest known one.

    Example:
        >>> from recipes.names import METHODS, check_name
        >>> check_name("method", "byol", METHODS)
        'byol'
    """
    known = list(known)
    if name in known:
        return name
    raise ValueError(f"Unknown {kind} {name!r}; there are: {', '.join(known)}.{nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: a question for the nearest one, or nothing."""
    near = difflib.get_close_matches(str(name).lower(), list(known), n=1, cutoff=0.4)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_arguments(
    flag: str, given: Mapping, of: str, made: Callable, own: Collection[str] = OWN_FLAGS
) -> None:
    """Checks that what is made by name takes the arguments that a flag gives it.

    Args:
        flag: its name, for the message.
        given: the arguments.
        of: the name by which `made` was chosen.
        made: the class or function.
        own: arguments that are not the flag's to give.

    Raises:
        ValueError: for a name that it does not take, with the nearest one, or a missing argument.
    """
    names = parameters(made) if inspect.isclass(made) else inspect.signature(made).parameters
    known = [
        name for name in names if name not in own and names[name].kind is not inspect.Parameter.VAR_KEYWORD
    ]
    for name in given:
        if name not in known:
            raise ValueError(
                f"--{flag}={dict(given)} do not fit {of}, which has no {name!r}; it takes: "
                f"{', '.join(known) or 'nothing'}.{nearest(name, known)}"
            )
    missing = [name for name in known if names[name].default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ValueError(f"{of} needs {', '.join(missing)}: pass --{flag}={{{missing[0]!r}: ...}}.")
