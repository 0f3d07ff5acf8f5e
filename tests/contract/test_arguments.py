"""What every class makes of odd arguments: a `ValueError` that names the argument, nothing built."""

import math
import re
from typing import Any

import pytest
from tiny import METHODS, make, method_class

from kerassl.arguments import RemembersArguments, check_arguments, parameters

pytestmark = pytest.mark.backends("torch")

ODD = (None, "text", 0, -1, math.nan, math.inf, 2.5, [1])


def subclasses(base):
    for cls in base.__subclasses__():
        if cls.__module__.startswith("kerassl."):
            yield cls
            yield from subclasses(cls)


CLASSES = sorted(set(subclasses(RemembersArguments)), key=lambda cls: cls.__name__)
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def test_every_method_remembers_its_arguments():
    assert {method_class(name) for name in METHODS} < set(CLASSES)


@every_class
def test_what_does_not_fit_the_signature_is_named(cls):
    for name, parameter in parameters(cls).items():
        refused = 0
        for odd in ODD:
            try:
                check_arguments(cls, {name: odd})
            except ValueError as error:
                refused += 1
                assert re.match(rf"{name} must be .*, got {re.escape(repr(odd)[:1])}", str(error)), error
        # Keras checks its own, such as `dtype`.
        assert refused >= 2 or parameter.annotation is Any, f"{name}: {parameter.annotation} says little"


@every_class
def test_an_unknown_argument_is_refused_with_the_nearest(cls):
    for name in list(parameters(cls))[:2]:
        with pytest.raises(TypeError, match=f"{cls.__name__} takes no argument '{name}z'. Did you mean "):
            check_arguments(cls, {f"{name}z": 1})


@pytest.mark.parametrize("name", METHODS)
def test_what_fits_the_signature_is_taken_or_named_too(name):
    cls = method_class(name)
    for argument, parameter in parameters(cls).items():
        if argument == "name" or parameter.kind is not parameter.KEYWORD_ONLY:
            # Networks come without a name.
            continue
        for odd in ODD:
            # An unknown preset of views is named as such.
            if odd is parameter.default or (argument, odd) == ("views", "text"):
                continue
            try:
                check_arguments(cls, {argument: odd})
            except ValueError:
                continue
            try:
                make(name, **{"views": None, argument: odd})
            except ValueError as error:
                assert re.search(rf"\b{argument}\b", str(error)), f"{argument}={odd}: {error}"
