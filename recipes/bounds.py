"""What the values of flags must be, beyond the bounds of `kerassl.arguments`.

>>> from typing import Annotated
>>> from recipes.bounds import one_of
>>> Side = Annotated[str, one_of(("left", "right"))]
"""

import dataclasses
import os
from collections.abc import Iterable
from typing import Annotated, Any

from kerassl.arguments import Bound

from .names import check_name


@dataclasses.dataclass(frozen=True)
class Choice:
    """A value out of some.

    Attributes:
        names: all there are.
    """

    names: tuple

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.names))}"

    def checked(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Returns the value of a flag.

        Raises:
            ValueError: if it is none of them, with the nearest name.
        """
        if value not in self.names and not isinstance(value, str):
            raise ValueError(f"--{name} must be {self}, got {value!r}.")
        return check_name(name, value, self.names)


@dataclasses.dataclass(frozen=True)
class Home:
    """A path, or several separated by commas, in which `~` is the user's home."""

    several: bool = False

    def checked(self, name: str, value: str) -> str:
        """Returns the value with the home's path."""
        return (
            ",".join(map(os.path.expanduser, value.split(","))) if self.several else os.path.expanduser(value)
        )


def one_of(names: Iterable) -> Choice:
    """One of some names or numbers."""
    return Choice(tuple(names))


# Above 0 and at most 1.
Share = Annotated[float, Bound(0, 1, open_low=True)]
Seed = Annotated[int, Bound(0, 2**32 - 1)]
Verbosity = Annotated[int, one_of((0, 1, 2))]
Path = Annotated[str, Home()]
Paths = Annotated[str, Home(several=True)]
