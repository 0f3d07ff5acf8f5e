"""Checks of arguments: each error names the argument, what was got, what is needed and how to mend it."""

import math
import numbers
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np


def check_count(name: str, value: Any, least: int = 1, most: int | None = None, mend: str = "") -> int:
    """Returns a whole number within bounds as an `int`.

    Args:
        name: name of the argument.
        value: the given value.
        least: the smallest number that will do.
        most: the largest one, or `None`.
        mend: a sentence with the remedy, if the bounds do not say it.

    Raises:
        ValueError: for anything else.

    Example:
        >>> import numpy as np
        >>> from kerassl.metrics.checks import check_count
        >>> check_count("k", np.int64(3))
        3
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be a whole number {bounds}; got {short(value)}. {mend}".rstrip())
    return int(value)


def check_number(
    name: str,
    value: Any,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    mend: str = "",
) -> float:
    """Returns a finite number within bounds as a `float`.

    Args:
        name: name of the argument.
        value: the given value.
        above: bound that the number must exceed, or `None`.
        least: the smallest number that will do, or `None`.
        below: bound that the number must stay under, or `None`.
        most: the largest number that will do, or `None`.
        mend: a sentence with the remedy, if the bounds do not say it.

    Raises:
        ValueError: for anything else.

    Example:
        >>> from kerassl.metrics.checks import check_number
        >>> check_number("temperature", 1, above=0)
        1.0
    """
    good = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    good = good and (above is None or value > above) and (least is None or value >= least)
    good = good and (below is None or value < below) and (most is None or value <= most)
    if not good:
        words = {"above": above, "of at least": least, "below": below, "of at most": most}
        bounds = " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)
        raise ValueError(
            f"{name} must be a finite number{bounds and ' '}{bounds}; got {short(value)}. {mend}".rstrip()
        )
    return float(value)


def check_sequence(name: str, value: Any, of: str, least: int = 1) -> tuple:
    """Returns a sequence of some entries as a tuple; text is none.

    Args:
        name: name of the argument.
        value: the given value.
        of: its items, in words, such as "whole numbers".
        least: entries that it must have.

    Raises:
        ValueError: for anything else.

    Example:
        >>> from kerassl.metrics.checks import check_sequence
        >>> check_sequence("shots", [1, 5], "whole numbers")
        (1, 5)
    """
    listed = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
    if not listed or len(value) < least:
        few = f", at least {least}" if least else ""
        raise ValueError(f"{name} must be a list or tuple of {of}{few}; got {short(value)}.")
    return tuple(value)


def check_names(name: str, value: Any, known: Collection[str], kind: str) -> tuple[str, ...]:
    """Returns names out of those that are known as a tuple.

    Args:
        name: name of the argument.
        value: the given value.
        known: the names that there are.
        kind: the kind of things that they name, such as "protocol".

    Raises:
        ValueError: for text instead of a list, or an unknown name.

    Example:
        >>> from kerassl.metrics.checks import check_names
        >>> check_names("protocols", ["knn"], ("knn", "linear"), "protocol")
        ('knn',)
    """
    chosen = check_sequence(name, value, f"{kind}s, of {', '.join(known)}", least=0)
    for one in chosen:
        if one not in known:
            raise ValueError(f"{name}: there is no {kind} {one!r}; known: {', '.join(known)}.")
    return chosen


def short(value: Any) -> str:
    """A short description of the given value: arrays by type and shape.

    Example:
        >>> import numpy as np
        >>> from kerassl.metrics.checks import short
        >>> short(np.zeros((2, 3))), short("text"), short(None)
        ('a float64 array of shape (2, 3)', "'text'", 'None')
    """
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 80 else f"a {type(value).__name__}: {text[:60]} ..."
