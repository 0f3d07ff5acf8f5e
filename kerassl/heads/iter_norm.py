"""Iterative normalization: whitening by Newton's iteration."""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import Fraction, PositiveFloat, PositiveInt, RemembersArguments
from kerassl.engine import num_replicas, replica_sum


@keras.saving.register_keras_serializable("kerassl")
class IterNorm(RemembersArguments, keras.layers.Layer):
    """Whitens groups of dimensions over the batch: `Sigma^(-1/2) (x - mean)`, the root by Newton's iteration.

    `Sigma = X^T X / N + epsilon I` of the centered rows of a group; with `S = Sigma / tr(Sigma)` and `P = I`,
    `P <- (3 P - P^3 S) / 2` is repeated, and `P / sqrt(tr(Sigma))` is close to `Sigma^(-1/2)`: after few
    iterations for the large eigenvalues, later for the small ones, so that directions of little variance are
    not amplified. Statistics cover the global batch, in float32 under any precision policy. Evaluation uses
    the running means of both the mean and the whitening matrix.

    Source: arXiv 1904.03441, algorithm 1; huangleiBuaa/IterNorm.

    Args:
        dim: width of the input.
        num_groups: number of groups of dimensions, each whitened separately; must divide `dim`. A group
            should be much smaller than the batch. As many as `dim` where that is less.
        iterations: iterations of Newton's method, T in the paper.
        epsilon: added to the variances.
        momentum: EMA momentum of the moving statistics.
        name: name of the layer, the prefix of its variable paths.

    Raises:
        ValueError: if the groups do not divide `dim`, or for fewer than one group or iteration.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerassl.heads import IterNorm
        >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
        >>> y = IterNorm(4, num_groups=2)(x @ np.triu(np.ones((4, 4), "float32")), training=True)
        >>> print(np.abs(np.round(np.cov(keras.ops.convert_to_numpy(y).T, bias=True)[:2, :2], 1)))
        [[1. 0.]
         [0. 1.]]
    """

    def __init__(
        self,
        dim: PositiveInt,
        num_groups: PositiveInt = 64,
        iterations: PositiveInt = 5,
        epsilon: PositiveFloat = 1e-5,
        momentum: Fraction = 0.9,
        name: str = "iter_norm",
    ) -> None:
        super().__init__(name=name, dtype="float32")
        num_groups = min(num_groups, dim)
        if dim % num_groups:
            raise ValueError(f"num_groups={num_groups} must divide the width {dim}.")
        self.num_groups, self.group_size = num_groups, dim // num_groups

        def identities(shape: tuple, dtype: str):
            # Tiled: a broadcast matrix lies in memory once, and could not be assigned to on PyTorch.
            return ops.tile(ops.eye(shape[-1], dtype=dtype)[None], (shape[0], 1, 1))

        def weight(name: str, shape: tuple, initializer: object, trainable: bool):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=trainable)

        self.gamma = weight("gamma", (dim,), "ones", True)
        self.beta = weight("beta", (dim,), "zeros", True)
        square = (num_groups, self.group_size, self.group_size)
        self.moving_mean = weight("moving_mean", (dim,), "zeros", False)
        self.moving_whitening = weight("moving_whitening", square, identities, False)
        self.built = True

    def call(self, x: KerasTensor, training: bool = False) -> KerasTensor:
        """Whitened rows `(batch, dim)`, scaled and shifted; training moves the running statistics."""
        if not training:
            return self._whiten(x - self.moving_mean, self.moving_whitening)
        replicas = num_replicas()
        mean = replica_sum(ops.mean(x, axis=0)) / replicas
        centered = x - mean
        groups = self._grouped(centered)
        share = ops.matmul(ops.swapaxes(groups, 1, 2), groups) / ops.cast(ops.shape(x)[0], "float32")
        whitening = self._inverse_root(replica_sum(share) / replicas)
        momentum = self.arguments.momentum
        for running, new in ((self.moving_mean, mean), (self.moving_whitening, whitening)):
            running.assign(momentum * running + (1 - momentum) * ops.stop_gradient(new))
        return self._whiten(centered, whitening)

    def _inverse_root(self, covariance: KerasTensor) -> KerasTensor:
        identity = ops.eye(self.group_size, dtype="float32")
        covariance = covariance + self.arguments.epsilon * identity
        trace = ops.sum(covariance * identity, axis=(1, 2), keepdims=True)
        # P is iterated together with S P: as one formula P it grows away from its limit by rounding.
        product, root = covariance / trace, ops.broadcast_to(identity, ops.shape(covariance))
        for _ in range(self.arguments.iterations):
            step = 1.5 * identity - 0.5 * ops.matmul(root, product)
            product, root = ops.matmul(product, step), ops.matmul(step, root)
        return root * ops.rsqrt(trace)

    def _grouped(self, x: KerasTensor) -> KerasTensor:
        """`(groups, batch, group_size)`."""
        return ops.transpose(ops.reshape(x, (-1, self.num_groups, self.group_size)), (1, 0, 2))

    def _whiten(self, centered: KerasTensor, whitening: KerasTensor) -> KerasTensor:
        # The matrices are symmetric.
        white = ops.transpose(ops.matmul(self._grouped(centered), whitening), (1, 0, 2))
        return self.gamma * ops.reshape(white, (-1, self.arguments.dim)) + self.beta
