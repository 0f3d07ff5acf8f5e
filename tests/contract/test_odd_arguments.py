"""What every class makes of odd arguments: a `ValueError` that names the argument, nothing built."""

import inspect
import math
import re
from typing import Any

import pytest
from tiny import METHODS, make, method_class

import kerassl
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


# What optimizers, schedules and augmentations cannot do without.
NEEDED = {
    "size": 8,
    "total_steps": 9,
    "num_patches": 4,
    "start": 0.0,
    "end": 1.0,
    "peak": 1.0,
    "constant": 0.5,
    "final": 0.1,
}


def parts():
    for room in (kerassl.optimizers, kerassl.schedules, kerassl.callbacks, kerassl.views):
        for name, cls in vars(room).items():
            if inspect.isclass(cls) and cls.__module__.startswith("kerassl.") and not name.startswith("_"):
                given = inspect.signature(cls).parameters.values()
                if all(
                    p.name in NEEDED for p in given if p.default is p.empty and p.kind is not p.VAR_KEYWORD
                ):
                    yield cls


@pytest.mark.parametrize("cls", dict.fromkeys(parts()), ids=lambda cls: cls.__name__)
def test_parts_name_the_argument_that_does_not_fit(cls):
    known = inspect.signature(cls).parameters
    needed = {name: value for name, value in NEEDED.items() if name in known}
    for name in known:
        for odd in (None, "text", math.nan, {}):
            try:
                cls(**{**needed, name: odd})
            except (TypeError, ValueError) as error:
                assert re.search(rf"\b{name}\b", str(error)), f"{name}={odd}: {error}"
