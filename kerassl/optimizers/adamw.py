"""AdamW with a scheduled weight decay that leaves biases and norms alone."""

from typing import TypeAlias

import keras
from keras import KerasTensor, ops

from kerassl.arguments import FractionBelowOne, NonNegativeFloat, checked
from kerassl.engine.keras_internals import batches_seen, marked, variable_key
from kerassl.optimizers.decay import is_decayed
from kerassl.optimizers.per_variable_rates import PerVariableRates

_Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("kerassl")
class AdamW(PerVariableRates, keras.optimizers.AdamW):
    """AdamW: decoupled decay `w <- w - lr wd w`, then a step of Adam.

    Differs from Keras' in three ways: the decay may be a schedule, evaluated at the same step as the
    learning rate's inside the compiled step (DINO's goes from 0.04 to 0.4), and biases and norm
    parameters are not decayed, as in DINO, MAE and their like. Further variables are left out with
    `exclude_from_weight_decay(var_list=[...])`. Where gradients are zero at first, as those of DINO's
    prototypes, the bias of the moments is corrected from the first gradient on, as in PyTorch; otherwise the
    first steps would be several times too long. A layer says so of its variables with
    `kerassl.engine.mark(variable, "starts_late", True)`.

    Paper: Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv 1711.05101.

    Args:
        learning_rate: number or schedule.
        weight_decay: number or schedule.
        beta_1: decay of the first moment.
        beta_2: decay of the second moment; 0.95 in MAE.
        epsilon: added to the root of the second moment. PyTorch's default, not Keras' 1e-7.
        decay_bias_and_norm: whether biases and norm parameters are decayed too.
        **kwargs: `rate_factors`, as `layerwise_factors` makes them, `constant_rates`, `{path: rate}` of
            variables that no schedule moves, and further arguments of `keras.optimizers.AdamW`.

    Raises:
        ValueError: for an argument out of its bounds.

    Example:
        >>> import keras
        >>> from kerassl.optimizers import AdamW
        >>> from kerassl.schedules import Cosine
        >>> optimizer = AdamW(learning_rate=1e-3, weight_decay=Cosine(0.04, 0.4, total_steps=1000))
        >>> optimizer.build([keras.Variable([[1.0]])])
        >>> print(f"{float(optimizer.weight_decay):.2f}")
        0.04
    """

    # Of the variables that are being decayed.
    _decay_factor = 1.0

    @checked
    def __init__(
        self,
        learning_rate: NonNegativeFloat | _Schedule = 1e-3,
        weight_decay: NonNegativeFloat | _Schedule = 0.05,
        beta_1: FractionBelowOne = 0.9,
        beta_2: FractionBelowOne = 0.999,
        epsilon: NonNegativeFloat = 1e-8,
        decay_bias_and_norm: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            **kwargs,
        )
        self.decay_bias_and_norm = decay_bias_and_norm

    @property
    def weight_decay(self) -> float | KerasTensor:
        """The decay of this step: a number, or a tensor where a schedule gives it."""
        if isinstance(self._weight_decay, _Schedule):
            return self._weight_decay(batches_seen(self)) * self._decay_factor
        return self._weight_decay * self._decay_factor

    @weight_decay.setter
    def weight_decay(self, value: float | _Schedule) -> None:
        self._weight_decay = value

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the moments and notes which variables are decayed."""
        if self.built:
            return
        super().build(variables)
        self._idle_steps = {
            variable_key(self, v): self.add_variable(
                shape=(), initializer="zeros", dtype="int32", name="idle_steps"
            )
            for v in variables
            if marked(v, "starts_late", default=False)
        }
        # By key: on TensorFlow, the decay is asked of the backend's variables.
        self._decayed = frozenset(
            variable_key(self, v)
            for v in variables
            if (self.decay_bias_and_norm or is_decayed(v)) and super(AdamW, self).decays(v)
        )

    def decays(self, variable: object) -> bool:
        """Whether decay moves a variable: of Keras or, on TensorFlow, of the backend."""
        return variable_key(self, variable) in self._decayed

    def update_step(
        self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor
    ) -> None:
        """Moves one variable by a step of Adam."""
        learning_rate = self.rate_of(learning_rate, variable)
        idle_steps = self._idle_steps.get(variable_key(self, variable))
        if idle_steps is not None:
            learning_rate *= ops.cast(self._late_correction(gradient, idle_steps), variable.dtype)
        super().update_step(gradient, variable, learning_rate)

    def _late_correction(self, gradient: KerasTensor, idle_steps: keras.Variable) -> KerasTensor:
        """Adam's bias correction by the steps since the first gradient, over that by all steps."""
        step = ops.cast(self.iterations, "int32")
        idle = ops.logical_and(idle_steps >= step, ops.all(ops.equal(gradient, 0)))
        self.assign_add(idle_steps, ops.cast(idle, "int32"))

        def correction(steps: KerasTensor):
            steps = ops.cast(steps, "float32")
            return ops.sqrt(1 - ops.power(self.beta_2, steps)) / (1 - ops.power(self.beta_1, steps))

        return correction(ops.maximum(step + 1 - idle_steps, 1)) / correction(step + 1)

    def decay(self, variables: list[keras.Variable]) -> None:
        """Decays the variables of a step, each by its own rate."""
        # Only variables that are decayed: Keras on torch fails on an empty list.
        for factor, group in self.by_factor([v for v in variables if self.decays(v)]):
            # The decay is multiplied by the rate, and it makes no difference which of both has the factor.
            self._decay_factor = factor
            super().decay(group)
        self._decay_factor = 1.0

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        decay = self._weight_decay
        if isinstance(decay, _Schedule):
            decay = keras.optimizers.schedules.serialize(decay)
        return {
            **super().get_config(),
            "weight_decay": decay,
            "decay_bias_and_norm": self.decay_bias_and_norm,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "AdamW":
        """Rebuilds the optimizer from `get_config`, with its schedules."""
        if isinstance(config.get("weight_decay"), dict):
            decay = keras.optimizers.schedules.deserialize(config["weight_decay"], custom_objects)
            config = {**config, "weight_decay": decay}
        return super().from_config(config, custom_objects)
