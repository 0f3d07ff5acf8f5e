"""Momentum SGD with L2 regularization in the gradient."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import FractionBelowOne, NonNegativeFloat, checked
from kerassl.engine.keras_internals import variable_index, variable_key
from kerassl.optimizers.decay import is_decayed
from kerassl.optimizers.per_variable_rates import PerVariableRates


@keras.saving.register_keras_serializable("kerassl")
class SGD(PerVariableRates):
    """Momentum SGD whose weight decay is the L2 penalty of published recipes.

    `g <- g + wd w`; `v <- m v + g`; `w <- w - lr v`, or with Nesterov `w <- w - lr (g + m v)`: PyTorch's
    rule. `keras.optimizers.SGD(weight_decay=...)` is another optimizer: its decay bypasses the momentum,
    and its momentum holds past learning rates.

    Args:
        learning_rate: number or schedule.
        momentum: m, in [0, 1).
        weight_decay: wd, coupled.
        nesterov: look one momentum step ahead.
        decay_bias_and_norm: whether biases and norm parameters are decayed too, as the recipes of SimSiam
            and MoCo do. Variables given to `exclude_from_weight_decay` never are.
        **kwargs: `rate_factors`, as `layerwise_factors` makes them, `constant_rates`, `{path: rate}` of
            variables that no schedule moves, and further arguments of `keras.optimizers.Optimizer`.

    Raises:
        ValueError: for a momentum or decay out of range, or Nesterov without momentum.

    Example:
        >>> import keras
        >>> from kerassl.optimizers import SGD
        >>> weight = keras.Variable([[2.0]])
        >>> optimizer = SGD(learning_rate=1.0, momentum=0.5, weight_decay=0.25)
        >>> optimizer.apply([keras.ops.array([[1.0]])], [weight])
        >>> float(weight[0, 0])
        0.5
    """

    @checked
    def __init__(
        self,
        learning_rate: NonNegativeFloat | keras.optimizers.schedules.LearningRateSchedule = 0.05,
        momentum: FractionBelowOne = 0.9,
        weight_decay: NonNegativeFloat = 0.0,
        nesterov: bool = False,
        decay_bias_and_norm: bool = True,
        **kwargs,
    ) -> None:
        # Keras' own weight decay is decoupled from the gradient.
        super().__init__(learning_rate, weight_decay=None, **kwargs)
        if nesterov and momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0, got momentum=0.")
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay
        self.nesterov = nesterov
        self.decay_bias_and_norm = decay_bias_and_norm

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates one momentum per variable and notes which variables are decayed."""
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")
        # By key: on TensorFlow, `update_step` receives the backend's variables.
        self._decayed = frozenset(
            variable_key(self, v)
            for v in variables
            if (self.decay_bias_and_norm or is_decayed(v)) and self.decays(v)
        )

    def update_step(
        self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor
    ) -> None:
        """Moves one variable."""
        learning_rate = self.rate_of(learning_rate, variable)
        gradient = ops.cast(ops.convert_to_tensor(gradient), variable.dtype)
        if variable_key(self, variable) in self._decayed:
            gradient = gradient + self.coupled_weight_decay * variable
        velocity = self.momentums[variable_index(self, variable)]
        new_velocity = self.momentum * velocity + gradient
        self.assign(velocity, new_velocity)
        step = gradient + self.momentum * new_velocity if self.nesterov else new_velocity
        self.assign_sub(variable, learning_rate * step)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
            "nesterov": self.nesterov,
            "decay_bias_and_norm": self.decay_bias_and_norm,
        }
