"""Annotations as bounds, and constructors that remember what they were given."""

import inspect
import math
from typing import Literal, TypedDict, Unpack

import keras
import numpy as np
import pytest
from tiny import make

from kerassl.arguments import (
    Bound,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ProperFraction,
    RemembersArguments,
    check_value,
    parameters,
)

pytestmark = pytest.mark.backends("torch")


@pytest.mark.parametrize(
    ("annotation", "fit", "misfit", "needed"),
    [
        (PositiveInt, (1, np.int64(3)), (0, 1.0, True, None, "1"), ">= 1"),
        (NonNegativeInt, (0, 7), (-1, 0.5), ">= 0"),
        (PositiveFloat, (1e-9, 2, np.float32(1)), (0, -1, math.nan, math.inf, "1", False), "> 0"),
        (NonNegativeFloat, (0, 0.5), (-1e-9, None), ">= 0"),
        (Fraction, (0, 1, 0.5), (-0.1, 1.1), r"in \[0, 1\]"),
        (ProperFraction, (0.5,), (0, 1), r"in \(0, 1\)"),
        (int, (-3,), (2.5, False), "an integer"),
        (bool, (True, np.False_), (0, 1, "yes"), "True or False"),
        (str, ("a",), (1, None), "a string"),
        (PositiveInt | None, (None, 2), (0, "2"), ">= 1.* or None"),
        (tuple[PositiveInt, ...], ((), (1, 2), [3]), (1, (0,), (1.5,)), "a tuple"),
        (tuple[float, float], ((0, 1.5),), ((1,), (1, 2, 3), 4), "a tuple of 2"),
        (Literal["a", "b"], ("a",), ("c", 1), "'a' or 'b'"),
        (keras.Model, (), ("model", None), "a keras.Model"),
        (object, (1, None, "a"), (), ""),
    ],
)
def test_values_fit_an_annotation_or_are_told_what_is_needed(annotation, fit, misfit, needed):
    for value in fit:
        check_value("width", value, annotation)
    for value in misfit:
        with pytest.raises(ValueError, match=f"^width must be .*{needed}.*, got "):
            check_value("width", value, annotation)


def test_the_message_ends_with_the_default_and_cuts_long_values():
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\], got 2. The default is 0.9.$"):
        check_value("momentum", 2, Fraction, default=0.9)
    with pytest.raises(ValueError) as error:
        check_value("width", list(range(1000)), PositiveInt)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (Bound(2), ">= 2"),
        (Bound(high=3, open_high=True), "< 3"),
        (Bound(0, 1, open_high=True), "in [0, 1)"),
        (Bound(0, 0.5, open_low=True), "in (0, 0.5]"),
    ],
)
def test_a_bound_says_itself(bound, text):
    assert str(bound) == text
    assert bound.holds(bound.low) == (not bound.open_low)
    assert bound.holds(bound.high) == (not bound.open_high)


class Shared(TypedDict, total=False):
    size: PositiveInt
    name: str | None


class Base(RemembersArguments, keras.layers.Layer):
    def __init__(self, *, size: PositiveInt = 4, rate: float = 0.5, name: str | None = None) -> None:
        super().__init__(name=name)
        self.size = size


@keras.saving.register_keras_serializable("test_arguments")
class Derived(Base):
    renamed_arguments = {"widths": "dims"}

    def __init__(self, dims: tuple[PositiveInt, ...] = (2,), **common: Unpack[Shared]) -> None:
        super().__init__(rate=0.25, **common)


def test_a_class_knows_all_of_its_arguments_with_bounds_and_defaults():
    found = parameters(Derived)
    assert list(found) == ["dims", "size", "name"]
    assert found["size"].annotation == PositiveInt and found["size"].default == 4


def test_an_object_remembers_what_it_was_given_and_what_its_base_was():
    made = Derived(np.array([3, 5]).tolist(), size=np.int64(6))
    assert made.arguments.dims == (3, 5) and type(made.arguments.size) is int
    # The base class's own argument is found, and no part of the config.
    assert made.arguments.rate == 0.25 and "rate" not in made.get_config()
    again = Derived.from_config(made.get_config())
    assert vars(again.arguments) == {**vars(made.arguments), "name": made.name}


class OtherDefaults(Base):
    default_arguments = {"size": 6}


class FurtherDefaults(OtherDefaults):
    default_arguments = {"rate": 0.1}

    def __init__(self, *, depth: PositiveInt = 2, **base) -> None:
        super().__init__(**base)


def test_a_class_changes_defaults_without_a_constructor():
    assert str(inspect.signature(OtherDefaults)).startswith("(*, size: ")
    assert {name: p.default for name, p in parameters(OtherDefaults).items()} == {
        "size": 6,
        "rate": 0.5,
        "name": None,
    }
    made = OtherDefaults()
    assert made.size == made.arguments.size == made.get_config()["size"] == 6
    assert OtherDefaults(size=3).size == 3
    with pytest.raises(ValueError, match="size must be >= 1, got 0. The default is 6"):
        OtherDefaults(size=0)


def test_changed_defaults_meet_further_arguments_and_are_inherited():
    defaults = {name: p.default for name, p in parameters(FurtherDefaults).items()}
    assert defaults == {"depth": 2, "size": 6, "rate": 0.1, "name": None}
    made = FurtherDefaults()
    assert (made.size, made.arguments.rate, made.arguments.depth) == (6, 0.1, 2)
    assert made.get_config()["rate"] == 0.1 and FurtherDefaults(rate=0.3, size=1).size == 1


def test_files_with_older_names_of_arguments_load():
    config = Derived(dims=(7,)).get_config()
    config["widths"] = config.pop("dims")
    assert Derived.from_config(config).arguments.dims == (7,)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("MAE", "decoder_heads", "decoder_num_heads"),
        ("All4One", "num_neighbours", "num_neighbors"),
        ("FST", "look_ahead", "num_virtual_steps"),
    ],
)
def test_methods_whose_arguments_were_renamed_load_from_older_files(name, old, new):
    model = make(name)
    config = model.get_config()
    config[old] = config.pop(new)
    assert getattr(type(model).from_config(config).arguments, new) == getattr(model.arguments, new)


def test_wrong_names_and_values_are_refused_before_the_constructor_runs():
    with pytest.raises(TypeError, match="Derived takes no argument 'sizes'. Did you mean 'size'"):
        Derived(sizes=3)
    with pytest.raises(ValueError, match="size must be an integer >= 1, got 2.5. The default is 4"):
        Derived(size=2.5)
    with pytest.raises(TypeError, match="Derived: .* It takes: dims, size, name."):
        Derived((1,), 3)
    # No part of a base class that a subclass fills by itself.
    with pytest.raises(TypeError, match="takes no argument 'rate'"):
        Derived(rate=0.1)
