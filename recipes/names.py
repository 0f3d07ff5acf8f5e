"""Choices by name, and the nearest one where the name is unknown."""

import difflib
from collections.abc import Iterable

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
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of the known ones.

    Args:
        kind: what is named, for the message.
        name: what came.
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
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"Unknown {kind} {name!r}; there are: {', '.join(known)}.{hint}")
