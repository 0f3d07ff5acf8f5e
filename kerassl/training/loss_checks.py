"""Checks of a method's loss: what the class declares, and what `loss_terms` returns."""

import difflib
from typing import Any

from kerassl.batch import Outputs

# Names in the logs that terms may not have.
_RESERVED = ("loss", "feature_std", "effective_rank", "probe_accuracy", "rankme", "skipped_updates")


def check_declared_terms(name: str, terms: Any) -> None:
    """Raises unless a class declares the names of its loss terms.

    Args:
        name: of the class.
        terms: what it declares.

    Raises:
        ValueError: for no terms, a string, names that occur twice, or one that the logs have for another
            number.
    """
    example = 'such as terms = ("contrast",)'
    if isinstance(terms, str) or not isinstance(terms, (tuple, list)):
        raise ValueError(f"{name}.terms must be a tuple of names, {example}; got {terms!r}.")
    if not terms or not all(isinstance(term, str) and term for term in terms):
        raise ValueError(
            f"{name} must declare the names of its loss terms in the class, {example}; got terms={terms!r}."
        )
    twice = sorted({term for term in terms if terms.count(term) > 1})
    if twice:
        raise ValueError(f"{name}.terms has {twice[0]!r} twice: give each term a name of its own.")
    reserved = [term for term in terms if term in _RESERVED]
    if reserved:
        raise ValueError(
            f"{name}.terms has {reserved[0]!r}, which is the logs' name of another number: rename the term."
        )


def check_outputs(name: str, terms: tuple[str, ...], outputs: Any) -> None:
    """Raises unless `loss_terms` returned `Outputs` with the declared terms, each a scalar.

    Args:
        name: of the method's or objective's class.
        terms: that the class declares.
        outputs: what `loss_terms` returned.

    Raises:
        ValueError: says what to return.
    """
    wanted = ", ".join(f'"{term}": ...' for term in terms)
    wanted = f"return kerassl.Outputs({{{wanted}}}, features=features), with a scalar for each term"
    if not isinstance(outputs, Outputs):
        raise ValueError(f"{name}.loss_terms returned {_in_words(outputs)}: {wanted}.")
    if not isinstance(outputs.terms, dict):
        raise ValueError(
            f"{name}.loss_terms returned Outputs whose terms are {_in_words(outputs.terms)}: {wanted}."
        )
    if tuple(outputs.terms) != tuple(terms):
        unknown = [term for term in outputs.terms if term not in terms]
        near = difflib.get_close_matches(str(unknown[0]), terms, n=1) if unknown else []
        hint = f" {unknown[0]!r} may be {near[0]!r}." if near else ""
        raise ValueError(
            f"{name}.loss_terms returned the terms {tuple(outputs.terms)}, but the class declares "
            f"terms={tuple(terms)}. Give both the same names in the same order.{hint}"
        )
    for term, value in outputs.terms.items():
        if shape := tuple(getattr(value, "shape", ())):
            raise ValueError(
                f"{name}.loss_terms returned the term {term!r} with the shape {shape}: a "
                "term is a scalar, such as keras.ops.mean(...) of one number for each example."
            )
    if not isinstance(outputs.state, dict):
        raise ValueError(
            f"{name}.loss_terms returned Outputs whose state is {_in_words(outputs.state)}: give "
            "after_update a dict, or leave the state out."
        )


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict with the keys {tuple(value)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None:
        return "None"
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"a tensor of the shape {tuple(shape)}"
