"""A linear classifier that learns alongside the method and never affects it."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import (
    Annotated,
    Bound,
    FractionBelowOne,
    PositiveFloat,
    PositiveInt,
    RemembersArguments,
)
from kerassl.engine import replica_mean


@keras.saving.register_keras_serializable("kerassl")
class OnlineProbe(RemembersArguments, keras.layers.Layer):
    """Softmax regression on standardized features, trained by its own Adam step inside the train step.

    Its gradient has a closed form, so that it needs no tape: the method's optimizer, weight decay and
    gradient clipping never see it, and no gradient can reach the encoder. Features are standardized
    by running moments, so that one learning rate serves every encoder.

    Args:
        feature_dim: width of the features.
        num_classes: number of classes.
        learning_rate: learning rate of Adam.
        momentum: EMA momentum of the features' moving mean and variance.
        name: name of the layer.

    Example:
        >>> import numpy as np
        >>> from kerassl.heads import OnlineProbe
        >>> probe = OnlineProbe(feature_dim=4, num_classes=3)
        >>> tuple(probe(np.ones((2, 4), "float32")).shape)
        (2, 3)
    """

    def __init__(
        self,
        feature_dim: PositiveInt,
        num_classes: Annotated[int, Bound(2)],
        learning_rate: PositiveFloat = 3e-3,
        momentum: FractionBelowOne = 0.99,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype="float32")

        def weight(name: str, shape: tuple, initializer: str | keras.initializers.Initializer = "zeros"):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False)

        self.kernel = weight("kernel", (feature_dim + 1, num_classes))
        self.first_moment = weight("first_moment", (feature_dim + 1, num_classes))
        self.second_moment = weight("second_moment", (feature_dim + 1, num_classes))
        self.mean = weight("mean", (feature_dim,))
        self.variance = weight("variance", (feature_dim,))
        self.updates = weight("updates", ())
        self.built = True

    def call(self, features: KerasTensor) -> KerasTensor:
        """Logits `(batch, num_classes)` of features `(batch, feature_dim)`."""
        return ops.matmul(self._inputs(features, self.mean, self.variance), self.kernel)

    def update(self, features: KerasTensor, labels: KerasTensor | None) -> None:
        """One Adam step on the mean cross entropy of the labeled rows.

        Args:
            features: `(batch, feature_dim)` float32, without gradient.
            labels: `(batch,)` int32; rows with a negative label are ignored.
        """
        updates, momentum = self.updates + 1, self.arguments.momentum
        # Debiased like Adam's moments: the first batch alone determines the first statistics.
        rate = (1 - momentum) / (1 - momentum**updates)
        mean = replica_mean(ops.mean(features, axis=0))
        mean = self.mean + rate * (mean - self.mean)
        variance = replica_mean(ops.mean(ops.square(features - mean), axis=0))
        variance = self.variance + rate * (variance - self.variance)

        inputs = self._inputs(features, mean, variance)
        labeled = ops.cast(labels >= 0, "float32")[:, None]
        target = ops.one_hot(ops.maximum(labels, 0), self.arguments.num_classes, dtype="float32")
        error = (ops.softmax(ops.matmul(inputs, self.kernel)) - target) * labeled
        count = replica_mean(ops.sum(labeled))
        gradient = replica_mean(ops.matmul(ops.transpose(inputs), error)) / ops.maximum(count, 1.0)

        first = 0.9 * self.first_moment + 0.1 * gradient
        second = 0.999 * self.second_moment + 0.001 * ops.square(gradient)
        direction = (first / (1 - 0.9**updates)) / (ops.sqrt(second / (1 - 0.999**updates)) + 1e-8)
        self.kernel.assign(self.kernel - self.arguments.learning_rate * direction)
        self.first_moment.assign(first)
        self.second_moment.assign(second)
        self.mean.assign(mean)
        self.variance.assign(variance)
        self.updates.assign(updates)

    def _inputs(self, features: KerasTensor, mean: KerasTensor, variance: KerasTensor):
        """Standardized features and a column of ones for the bias."""
        standard = (features - mean) * ops.rsqrt(variance + 1e-6)
        return ops.concatenate([standard, ops.ones_like(standard[:, :1])], axis=1)
