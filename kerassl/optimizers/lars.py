"""Layer-wise adaptive rate scaling."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import FractionBelowOne, NonNegativeFloat, PositiveFloat, checked
from kerassl.engine.keras_internals import variable_index, variable_key
from kerassl.optimizers.decay import is_decayed
from kerassl.optimizers.per_variable_rates import PerVariableRates


@keras.saving.register_keras_serializable("kerassl")
class LARS(PerVariableRates):
    """Momentum SGD whose step on each weight matrix is scaled by the norm of the matrix.

    For each kernel `g <- g + wd w`; `g <- eta (|w| / |g|) g` (factor 1 where a norm is zero); then
    `v <- m v + g`, `w <- w - lr v`. Biases and norm parameters skip the decay and the scaling and receive
    plain momentum SGD, unless `decay_bias_and_norm`; so do variables given to `exclude_from_weight_decay`.
    The decay is coupled: it enters the norm and the momentum.

    Paper: You et al., Large Batch Training of Convolutional Networks, arXiv 1708.03888. Official code of
    this form: google-deepmind/deepmind-research (byol/utils/optimizers.py) and
    facebookresearch/barlowtwins (main.py); of `lr_in_momentum=True`: google-research/simclr
    (tf2/lars_optimizer.py).

    Args:
        learning_rate: number or schedule, usually proportional to batch / 256.
        momentum: m, in [0, 1).
        weight_decay: wd, coupled.
        trust_coefficient: eta.
        lr_in_momentum: SimCLR's TensorFlow form, `v <- m v + lr g`, `w <- w - v`, which differs while the
            rate changes.
        decay_bias_and_norm: whether all variables are decayed and scaled, prototypes, too: the LARC of
            NVIDIA's apex, which SwAV takes.
        clip: whether the factor is `min(eta |w| / (lr |g|), 1)`: at most a step of plain SGD, and otherwise
            one that does not depend on the learning rate, as in solo-learn, which has an eta of 0.02.
        **kwargs: `rate_factors`, as `layerwise_factors` makes them, `constant_rates`, `{path: rate}` of
            variables that no schedule moves, and further arguments of `keras.optimizers.Optimizer`.

    Raises:
        ValueError: for a momentum, decay or coefficient out of range.

    Example:
        >>> import keras
        >>> from kerassl.optimizers import LARS
        >>> weight = keras.Variable([[3.0, 4.0]])
        >>> optimizer = LARS(learning_rate=1.0, trust_coefficient=0.1)
        >>> optimizer.apply([keras.ops.array([[10.0, 0.0]])], [weight])
        >>> [float(w) for w in weight[0]]
        [2.5, 4.0]
    """

    @checked
    def __init__(
        self,
        learning_rate: NonNegativeFloat | keras.optimizers.schedules.LearningRateSchedule = 0.2,
        momentum: FractionBelowOne = 0.9,
        weight_decay: NonNegativeFloat = 0.0,
        trust_coefficient: PositiveFloat = 1e-3,
        lr_in_momentum: bool = False,
        decay_bias_and_norm: bool = False,
        clip: bool = False,
        **kwargs,
    ) -> None:
        # Keras' own weight decay is decoupled from the gradient.
        super().__init__(learning_rate, weight_decay=None, **kwargs)
        self.momentum = momentum
        self.coupled_weight_decay = weight_decay
        self.trust_coefficient = trust_coefficient
        self.lr_in_momentum = lr_in_momentum
        self.decay_bias_and_norm = decay_bias_and_norm
        self.clip = clip

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates one momentum per variable and notes which variables are decayed and scaled."""
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")
        # By key: on TensorFlow, `update_step` receives the backend's variables.
        self._scaled = frozenset(
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
        if variable_key(self, variable) in self._scaled:
            gradient = gradient + self.coupled_weight_decay * variable
            ratio = self._trust_ratio(variable, gradient)
            if self.clip:
                rate = ops.cast(learning_rate, "float32")
                ratio = ops.minimum(ratio / ops.maximum(rate, 1e-30), 1.0)
            gradient = gradient * ops.cast(ratio, variable.dtype)
        velocity = self.momentums[variable_index(self, variable)]
        if self.lr_in_momentum:
            gradient, learning_rate = learning_rate * gradient, 1.0
        new_velocity = self.momentum * velocity + gradient
        self.assign(velocity, new_velocity)
        self.assign_sub(variable, learning_rate * new_velocity)

    def _trust_ratio(self, weight: KerasTensor, gradient: KerasTensor):
        weight_norm, gradient_norm = _norm(weight), _norm(gradient)
        # A zero tensor has no scale to keep: without the guard it would never move.
        both = ops.logical_and(weight_norm > 0, gradient_norm > 0)
        ratio = self.trust_coefficient * weight_norm / ops.where(gradient_norm > 0, gradient_norm, 1.0)
        return ops.where(both, ratio, 1.0)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
            "trust_coefficient": self.trust_coefficient,
            "lr_in_momentum": self.lr_in_momentum,
            "decay_bias_and_norm": self.decay_bias_and_norm,
            "clip": self.clip,
        }


def _norm(x: KerasTensor):
    return ops.sqrt(ops.sum(ops.square(ops.cast(x, "float32"))))
