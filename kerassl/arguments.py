"""Constructor arguments: their bounds are in the signature, and an object remembers their values.

A bound is part of an annotation, such as `temperature: PositiveFloat`, so the signature says all that a
reader, a check and a test need to know of an argument.
"""

import difflib
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Unpack

import keras
import numpy as np

Function = typing.TypeVar("Function", bound=Callable)


class Bound(typing.NamedTuple):
    """The interval that a number must lie in.

    Attributes:
        low: lower end.
        high: upper end.
        open_low: whether the lower end itself is excluded.
        open_high: whether the upper end itself is excluded.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number lies in the interval."""
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'>' if self.open_low else '>='} {self.low:.10g}"
        if self.low == -math.inf:
            return f"{'<' if self.open_high else '<='} {self.high:.10g}"
        ends = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"in {ends[0]}{self.low:.10g}, {self.high:.10g}{ends[1]}"


PositiveInt = Annotated[int, Bound(1)]
NonNegativeInt = Annotated[int, Bound(0)]
PositiveFloat = Annotated[float, Bound(0, open_low=True)]
NonNegativeFloat = Annotated[float, Bound(0)]
# A share, a probability or a momentum.
Fraction = Annotated[float, Bound(0, 1)]
# A momentum, a rate of dropout.
FractionBelowOne = Annotated[float, Bound(0, 1, open_high=True)]
# A share that leaves something on both sides.
ProperFraction = Annotated[float, Bound(0, 1, open_low=True, open_high=True)]

_KINDS = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a string",
    type(None): "None",
    keras.Model: "a keras.Model",
    keras.layers.Layer: "a Keras layer",
}


def check_value(
    name: str, value: object, annotation: object, default: object = inspect.Parameter.empty
) -> None:
    """Raises `ValueError` unless a value fits an annotation and its bounds.

    Args:
        name: name of the argument.
        value: the given value.
        annotation: a type, a union, `tuple[...]`, `Literal[...]` or `Annotated[type, Bound]`; other
            annotations accept everything.
        default: default of the argument, for the message.

    Raises:
        ValueError: with the name, the requirement and the value.

    Example:
        >>> from kerassl.arguments import PositiveFloat, check_value
        >>> check_value("temperature", 0.5, PositiveFloat)
        >>> check_value("temperature", 0, PositiveFloat)
        Traceback (most recent call last):
        ValueError: temperature must be > 0, got 0.
    """
    needed = _misfit(value, annotation)
    if needed:
        got = repr(value) if len(repr(value)) <= 200 else f"{type(value).__name__} {repr(value)[:200]}..."
        usual = (
            "" if default is inspect.Parameter.empty or default == value else f" The default is {default!r}."
        )
        near = difflib.get_close_matches(str(value), _choices(annotation), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be {needed}, got {got}.{hint}{usual}")


def _choices(annotation: object) -> list[str]:
    """The strings among which an annotation lets choose."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return [choice for choice in inner if isinstance(choice, str)]
    return [choice for option in inner for choice in _choices(option)]


def _misfit(value: object, annotation: object) -> str | None:
    """The requirement that a value violates, in words, or `None` if it fits."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        kind, *notes = inner
        bounds = [note for note in notes if isinstance(note, Bound)]
        if _misfit(value, kind):
            return " ".join([_describe(kind), *map(str, bounds)])
        return next((str(bound) for bound in bounds if not bound.holds(value)), None)
    if origin in (typing.Union, types.UnionType):
        misfits = [_misfit(value, option) for option in inner]
        return None if None in misfits else _join(misfits)
    if origin is Literal:
        return None if value in inner and type(value) in map(type, inner) else _join([repr(v) for v in inner])
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return _describe(annotation)
        many = len(inner) == 2 and inner[1] is Ellipsis
        if not many and len(value) != len(inner):
            return _describe(annotation)
        options = [inner[0]] * len(value) if many else inner
        misfits = [_misfit(entry, option) for entry, option in zip(value, options, strict=True)]
        return next((f"a tuple whose entries are {misfit}" for misfit in misfits if misfit), None)
    if inspect.isclass(origin):
        return None if isinstance(value, origin) else _describe(origin)
    if annotation is list:
        return None if isinstance(value, (list, tuple)) else "a list"
    if annotation is bool:
        return None if isinstance(value, (bool, np.bool_)) else _KINDS[bool]
    if annotation is int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return None if whole else _KINDS[int]
    if annotation is float:
        real = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
        return None if real and math.isfinite(value) else "a finite number" if real else _KINDS[float]
    if annotation in (None, type(None)):
        return None if value is None else "None"
    if inspect.isclass(annotation) and annotation not in (object, Any):
        return None if isinstance(value, annotation) else _describe(annotation)
    return None


def _describe(annotation: object) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return " ".join([_describe(inner[0]), *(str(note) for note in inner[1:] if isinstance(note, Bound))])
    if origin is tuple:
        many = len(inner) == 2 and inner[1] is Ellipsis
        return f"a tuple, each entry {_describe(inner[0])}" if many else f"a tuple of {len(inner)}"
    return _KINDS.get(annotation) or f"a {getattr(annotation, '__name__', annotation)}"


def _join(options: list[str]) -> str:
    """Joins options, each once, by commas and a final or."""
    options = list(dict.fromkeys(options))
    return options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"


@functools.cache
def parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    """All keyword arguments of a class by name; `**common: Unpack[...]` and `**options` are spelled out.

    A parameter's annotation is resolved, with its bounds. A class whose constructor ends in `**keywords` also
    takes those of the next class.

    Args:
        cls: a class.
    """
    found: dict[str, inspect.Parameter] = {}
    changed: dict[str, object] = {}
    for owner in cls.__mro__:
        if "__init__" not in vars(owner):
            continue
        init = inspect.unwrap(vars(owner)["__init__"])
        if not inspect.isfunction(init):
            break
        for name, default in vars(owner).get("default_arguments", {}).items():
            if name not in found:
                changed.setdefault(name, default)
        hints = typing.get_type_hints(init, include_extras=True)
        own = [p for p in inspect.signature(init).parameters.values() if p.kind is not p.VAR_POSITIONAL][1:]
        open_ended = False
        for parameter in own:
            if parameter.kind is parameter.VAR_KEYWORD:
                open_ended = True
                continue
            annotation = hints.get(parameter.name, Any)
            found.setdefault(parameter.name, parameter.replace(annotation=annotation))
        named = [p for p in own if p.kind is p.VAR_KEYWORD]
        if named and typing.get_origin(hints.get(named[0].name)) is Unpack:
            # The keywords are spelled out: these and no others.
            (spelled,) = typing.get_args(hints[named[0].name])
            shared = _constructor_defaults(cls, owner)
            for name, annotation in typing.get_type_hints(spelled, include_extras=True).items():
                default = shared.get(name, inspect.Parameter.empty)
                found.setdefault(
                    name,
                    inspect.Parameter(
                        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
                    ),
                )
            break
        if not open_ended:
            break
    return types.MappingProxyType(
        {name: entry.replace(default=changed.get(name, entry.default)) for name, entry in found.items()}
    )


def _constructor_defaults(cls: type, below: type) -> dict[str, object]:
    """Defaults of the constructors of the classes after `below`, by the argument's name."""
    defaults: dict[str, object] = {}
    for owner in cls.__mro__[cls.__mro__.index(below) + 1 :]:
        init = vars(owner).get("__init__")
        init = inspect.unwrap(init) if init is not None else None
        if not inspect.isfunction(init):
            continue
        for name, parameter in inspect.signature(init).parameters.items():
            if parameter.default is not parameter.empty:
                defaults.setdefault(name, parameter.default)
    return defaults


def check_at_most(**numbers: float | tuple[float, ...]) -> None:
    """Raises unless the second of two arguments is at most as large as the first.

    Args:
        **numbers: the limit by its name, then what it limits, a number or some numbers.

    Raises:
        ValueError: with both names and values.

    Example:
        >>> from kerassl.arguments import check_at_most
        >>> check_at_most(queue_size=64, num_neighbors=100)
        Traceback (most recent call last):
        ValueError: num_neighbors must be at most queue_size=64, got 100.
    """
    (limit_name, limit), (name, value) = numbers.items()
    if max(value if isinstance(value, tuple) else (value,)) > limit:
        raise ValueError(f"{name} must be at most {limit_name}={limit}, got {value}.")


def check_arguments(cls: type, arguments: Mapping[str, object]) -> None:
    """Raises unless a class takes some arguments: their names, types and bounds.

    Args:
        cls: the class.
        arguments: by name.

    Raises:
        TypeError: for a name that the class does not take, with the nearest that it does.
        ValueError: for a value that does not fit.
    """
    known = parameters(cls)
    for name, value in arguments.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{cls.__name__} takes no argument {name!r}.{hint} It takes: {', '.join(known)}.")
        default = known[name].default
        if value is not default:
            check_value(name, value, known[name].annotation, default)


def checked(function: Function) -> Function:
    """Decorates a function so that its arguments are checked by their annotations.

    Raises:
        ValueError: in the function's calls, for a value that does not fit.

    Example:
        >>> from kerassl.arguments import PositiveInt, checked
        >>> @checked
        ... def head(units: PositiveInt = 8) -> int:
        ...     return units
        >>> head(0)
        Traceback (most recent call last):
        ValueError: units must be >= 1, got 0. The default is 8.
    """
    signature = inspect.signature(function)
    hints = functools.cache(lambda: typing.get_type_hints(function, include_extras=True))

    @functools.wraps(function)
    def check(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            default = signature.parameters[name].default
            if value is not default and name in hints():
                check_value(name, _plain(value), hints()[name], default)
        return function(*args, **kwargs)

    return check  # type: ignore[return-value]


def _plain(value: object) -> object:
    """NumPy's scalars as Python's, lists as tuples; everything else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    return (
        tuple(map(_plain, value))
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple)
        else value
    )


class RemembersArguments:
    """Checks the arguments of a constructor by their annotations, and keeps them as `self.arguments`.

    `self.arguments.temperature` is the constructor's argument, or its default; a class whose constructor is
    called by a subclass finds its own there, too. The config that Keras saves is written from the arguments
    that the object's own class takes. A class that only changes defaults says so in `default_arguments`, and
    needs no constructor. Where a constructor resolves an argument to something else that is to be saved, it
    puts that in the argument's place, as in `self.arguments.views = self.views`.

    Example:
        >>> import keras
        >>> from kerassl.arguments import PositiveInt, RemembersArguments
        >>> class Head(RemembersArguments, keras.layers.Layer):
        ...     def __init__(self, units: PositiveInt = 8, name: str | None = None) -> None:
        ...         super().__init__(name=name)
        >>> head = Head(units=4)
        >>> head.arguments.units, head.get_config()["units"]
        (4, 4)
        >>> Head(units=2.5)
        Traceback (most recent call last):
        ValueError: units must be an integer >= 1, got 2.5. The default is 8.
    """

    # Arguments of the base classes whose defaults are others in this class: `{name: default}`.
    default_arguments: typing.ClassVar[dict[str, Any]] = {}
    # Arguments that had another name in older files: `{old: new}`.
    renamed_arguments: typing.ClassVar[dict[str, str]] = {}
    arguments: types.SimpleNamespace

    def __init_subclass__(cls, **keywords) -> None:
        super().__init_subclass__(**keywords)
        own, changed = vars(cls).get("__init__"), vars(cls).get("default_arguments", {})
        if own is not None or changed:
            signature = _with_defaults(inspect.signature(own or cls.__init__), changed)
            cls.__init__ = _remembering(own or _base_constructor(cls), signature)

    @classmethod
    def prepared_arguments(cls, given: Mapping[str, object]) -> dict[str, object]:
        """The arguments that the constructor is to get in another form; most classes have none.

        Args:
            given: all arguments by name, checked.
        """
        return {}

    def get_config(self) -> dict:
        """The constructor's arguments, serialized."""
        known, kept = parameters(type(self)), vars(self.arguments)
        own = {name: keras.saving.serialize_keras_object(kept[name]) for name in known if name in kept}
        # Keras knows the name, and of a layer its dtype, as they were resolved.
        return own | {name: value for name, value in super().get_config().items() if name in known}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """Rebuilds an object; serialized values are deserialized first."""
        return cls(**cls.arguments_of(config))

    @classmethod
    def arguments_of(cls, config: Mapping[str, object]) -> dict[str, object]:
        """The constructor's arguments in a config, also in one that an older version wrote."""
        return {cls.renamed_arguments.get(name, name): value for name, value in deserialized(config).items()}


def deserialized(config: Mapping[str, object]) -> dict[str, object]:
    """A config whose serialized entries are objects again."""

    def read(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return tuple(map(read, value))
        is_object = isinstance(value, dict) and "class_name" in value
        return keras.saving.deserialize_keras_object(value) if is_object else value

    return {name: read(value) for name, value in config.items()}


def _base_constructor(cls: type) -> Callable:
    """A constructor that calls that of the base class."""

    def construct(self: RemembersArguments, *args, **kwargs):
        super(cls, self).__init__(*args, **kwargs)

    return construct


def _with_defaults(signature: inspect.Signature, changed: Mapping[str, object]) -> inspect.Signature:
    """A constructor's signature with other defaults, also of arguments that its keywords hand on."""
    named = {
        name: p.replace(default=changed.get(name, p.default)) for name, p in signature.parameters.items()
    }
    further = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in changed.items()
        if name not in named
    ]
    keywords = [p for p in named.values() if p.kind is p.VAR_KEYWORD]
    own = [p for p in named.values() if p.kind is not p.VAR_KEYWORD]
    return signature.replace(parameters=[*own, *further, *keywords])


def _remembering(init: Callable, signature: inspect.Signature) -> Callable:
    """The constructor `init` of a class, with its arguments checked and kept before it runs."""
    keywords = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]

    @functools.wraps(init)
    def remember(self: RemembersArguments, *args, **kwargs):
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            known = parameters(type(self))
            takes = f"It takes: {', '.join(known)}."
            raise TypeError(f"{type(self).__name__}: {error}. {takes}") from None
        bound.apply_defaults()
        given = {
            name: {key: _plain(entry) for key, entry in value.items()} if name in keywords else _plain(value)
            for name, value in list(bound.arguments.items())[1:]
        }
        bound.arguments.update(given)
        for name in keywords:
            given |= given.pop(name)
        if "arguments" not in vars(self):
            # The object's own class comes first; the arguments that it passes to its base class are its own
            # affair.
            check_arguments(type(self), given)
            for name, value in self.prepared_arguments(given).items():
                given[name] = value
                (bound.arguments if name in bound.arguments else bound.arguments[keywords[0]])[name] = value
            object.__setattr__(self, "arguments", types.SimpleNamespace())
        for name, value in given.items():
            vars(self.arguments).setdefault(name, value)
        init(*bound.args, **bound.kwargs)

    # Keras looks at the signature without following `__wrapped__`.
    remember.__signature__ = signature
    return remember
