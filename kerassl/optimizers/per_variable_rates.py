"""Learning rates per variable: the common base of kerassl's optimizers."""

from collections.abc import Iterator, Mapping

import keras
from keras import KerasTensor, ops

from kerassl.engine.keras_internals import DecayHooks, variable_key


class PerVariableRates(DecayHooks):
    """A factor of the scheduled learning rate, or a constant in its place, for some of the variables.

    Both also apply to the decoupled weight decay.

    Args:
        *args: of the optimizer.
        rate_factors: `{path of a variable: factor}`, as `layerwise_factors` makes them; 1 for all others.
        constant_rates: `{path of a variable: rate}`, of variables that no schedule moves, such as the
            predictor of SimSiam.
        **kwargs: of the optimizer.

    Raises:
        ValueError: for a factor or rate below 0; on `build`, if no variable has one of the paths.
    """

    def __init__(
        self,
        *args,
        rate_factors: Mapping[str, float] | None = None,
        constant_rates: Mapping[str, float] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rate_factors = dict(rate_factors or {})
        self.constant_rates = dict(constant_rates or {})
        for name in ("rate_factors", "constant_rates"):
            wrong = {path: rate for path, rate in getattr(self, name).items() if not rate >= 0}
            if wrong:
                raise ValueError(f"{name} must be at least 0, got {wrong}.")

    def build(self, variables: list[keras.Variable]) -> None:
        """Notes the factor or rate of each variable."""
        if self.built:
            return
        super().build(variables)
        for name in ("rate_factors", "constant_rates"):
            paths = getattr(self, name)
            if paths and not any(v.path in paths for v in variables):
                raise ValueError(
                    f"{name} name none of the variables that are trained, such as {variables[0].path!r}, "
                    f"but {next(iter(paths))!r} and the like. Make them of the network that is trained."
                )
        # By key: on TensorFlow, `update_step` receives the backend's variables.
        self._rates = {
            variable_key(self, v): (self.constant_rates.get(v.path), self.rate_factors.get(v.path, 1.0))
            for v in variables
        }

    def rate_of(self, learning_rate: KerasTensor, variable: keras.Variable) -> KerasTensor:
        """The learning rate of a variable, in its dtype."""
        constant, factor = self._rates[variable_key(self, variable)]
        if constant is not None:
            return ops.cast(constant, variable.dtype)
        return ops.cast(learning_rate, variable.dtype) * factor

    def by_factor(
        self, variables: list[keras.Variable]
    ) -> Iterator[tuple[float | KerasTensor, list[keras.Variable]]]:
        """The factors of the scheduled rate, each with its variables."""
        groups: dict[tuple, list] = {}
        for variable in variables:
            groups.setdefault(self._rates[variable_key(self, variable)], []).append(variable)
        for (constant, factor), group in groups.items():
            # Where the schedule has come to 0, no factor makes it another rate: that step does without.
            yield factor if constant is None else constant / ops.maximum(self.learning_rate, 1e-30), group

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        rates = {"rate_factors": dict(self.rate_factors), "constant_rates": dict(self.constant_rates)}
        return {**super().get_config(), **rates}
