"""What the steps of the backends share: by default XLA wraps the whole step."""

from collections.abc import Callable


class WholeStep:
    """A step that XLA compiles whole, or not at all; a backend overrides what it cannot do."""

    def resolve_jit(self, jit_compile: bool | str, steps_per_execution: int) -> bool | str:
        """The `jit_compile` that Keras is to use for the step; raises for a combination that cannot run."""
        return jit_compile

    def compile_part(self, function: Callable) -> Callable:
        """A part of the step, compiled by itself where the whole step is not."""
        return function
