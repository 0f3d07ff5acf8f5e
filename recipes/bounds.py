"""What the values of flags must be, for the annotations of the launchers' arguments.

>>> from typing import Annotated
>>> from recipes.bounds import at_least
>>> Epochs = Annotated[int, at_least(1)]
"""

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from .names import check_name


@dataclasses.dataclass(frozen=True)
class Bound:
    """A condition on a value.

    Attributes:
        need: the condition in words, after "must be".
        holds: whether a value meets it.
    """

    need: str
    holds: Callable[[Any], bool]

    def checked(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Returns the value of a flag.

        Raises:
            ValueError: if it does not meet the condition.
        """
        if not self.holds(value):
            raise ValueError(f"--{name} must be {self.need}, got {value!r}.")
        return value


@dataclasses.dataclass(frozen=True)
class Choice:
    """A value out of some.

    Attributes:
        names: all there are.
    """

    names: tuple

    @property
    def need(self) -> str:
        """The condition in words."""
        return f"one of {', '.join(map(str, self.names))}"

    def checked(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Returns the value of a flag.

        Raises:
            ValueError: if it is none of them, with the nearest name.
        """
        if value not in self.names and not isinstance(value, str):
            raise ValueError(f"--{name} must be {self.need}, got {value!r}.")
        return check_name(name, value, self.names)


@dataclasses.dataclass(frozen=True)
class Home:
    """A path, or several separated by commas, in which `~` is the user's home."""

    several: bool = False
    need: str = ""

    def checked(self, name: str, value: str) -> str:
        """Returns the value with the home's path."""
        return (
            ",".join(map(os.path.expanduser, value.split(","))) if self.several else os.path.expanduser(value)
        )


def at_least(low: float) -> Bound:
    """A number not below `low`."""
    return Bound(f"at least {low}", lambda value: value >= low)


def between(low: float, high: float) -> Bound:
    """A number from `low` to `high`, both included."""
    return Bound(f"from {low} to {high}", lambda value: low <= value <= high)


def above(low: float, high: float) -> Bound:
    """A number above `low` and not above `high`."""
    return Bound(f"above {low} and at most {high}", lambda value: low < value <= high)


def one_of(names: Iterable) -> Choice:
    """One of some names or numbers."""
    return Choice(tuple(names))


Count = Annotated[int, at_least(1)]
NotNegative = Annotated[float, at_least(0)]
Seed = Annotated[int, between(0, 2**32 - 1)]
Verbosity = Annotated[int, one_of((0, 1, 2))]
Path = Annotated[str, Home()]
Paths = Annotated[str, Home(several=True)]
