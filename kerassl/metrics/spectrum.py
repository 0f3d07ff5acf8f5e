"""Collapse and rank of features: RankMe, participation ratio, feature standard deviation."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerassl.metrics.checks import check_count, check_number
from kerassl.metrics.features import as_tensor, check_features

# float32 eigenvalues of a Gram matrix are exact to some 1e-7 of the largest.
_EIGENVALUE_FLOOR = 1e-6
# The same for a variance that is a difference of float32 numbers, squared.
_VARIANCE_FLOOR = 1e-11


def rankme(features: np.ndarray, epsilon: float = 1e-7) -> float:
    """Returns RankMe, the exponential of the entropy of the singular values, from an exact float64 SVD.

    With singular values s_k of the features, not centered, p_k = s_k / sum(s) + epsilon and
    RankMe = exp(-sum p_k ln p_k). It is between 1 and min(number, dim), does not change with scale or
    rotation, and can be compared between encoders of one width on one data set only.

    Source: RankMe (arXiv:2210.02885, equation 2).

    Args:
        features: `(number, dim)`, at least as many as dimensions for a meaningful value.
        epsilon: added to each p_k.

    Raises:
        ValueError: features of a wrong shape or not finite.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import rankme
        >>> round(rankme(np.diag([3.0, 1.0])), 4)
        1.7548
    """
    features, _ = check_features(features, None, "features")
    check_number("epsilon", epsilon, least=0)
    singular = np.linalg.svd(features.astype("float64"), compute_uv=False)
    shares = singular / max(singular.sum(), np.finfo("float64").tiny) + epsilon
    return float(np.exp(-np.sum(shares * np.log(shares))))


def effective_rank(features: Any) -> Any:
    """Returns the participation ratio of the features: the number of directions that share their variance.

    With eigenvalues l_k of the covariance, (sum l_k)^2 / sum l_k^2; it needs no eigenvalues, so it is
    cheap enough for every step. Constant features have 0. It is another number than RankMe, which is also
    called effective rank elsewhere.

    Args:
        features: `(batch, dim)` array or tensor.

    Returns:
        Scalar float32 tensor in [0, min(batch - 1, dim)].

    Raises:
        ValueError: for features of another rank.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import effective_rank
        >>> round(float(effective_rank(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))), 4)
        2.0
    """
    features = ops.stop_gradient(ops.cast(as_tensor("features", features, ("batch", "dim")), "float32"))
    # Free of scale first, so that fourth powers neither overflow nor vanish.
    scale = ops.max(ops.abs(features))
    features = features / ops.where(scale > 0, scale, 1.0)
    centered = features - ops.mean(features, axis=0, keepdims=True)
    batch, dim = features.shape
    # Both products have the same eigenvalues other than 0; take the smaller one.
    transposed = ops.transpose(centered)
    gram = centered @ transposed if batch is not None and batch < dim else transposed @ centered
    total = ops.sum(ops.square(centered))
    constant = total <= _VARIANCE_FLOOR * ops.sum(ops.square(features))
    return ops.where(constant, 0.0, ops.square(total) / ops.sum(ops.square(ops.where(constant, 1.0, gram))))


def feature_std(features: Any) -> Any:
    """Returns the standard deviation of L2-normalized features times sqrt(dim), a mean over dimensions.

    1 for features that spread evenly over the sphere, 0 for collapsed ones.

    Source: SimSiam (arXiv:2011.10566, figure 2), in the paper without the factor sqrt(dim).

    Args:
        features: `(batch, dim)` array or tensor.

    Returns:
        Scalar float32 tensor in [0, 1].

    Raises:
        ValueError: for features of another rank.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import feature_std
        >>> round(float(feature_std(np.array([[2.0, 0], [-1, 0], [0, 1], [0, -3]]))), 4)
        1.0
    """
    features = ops.stop_gradient(ops.cast(as_tensor("features", features, ("batch", "dim")), "float32"))
    squares = ops.sum(ops.square(features), axis=1, keepdims=True)
    unit = features * ops.rsqrt(ops.maximum(squares, 1e-24))
    return ops.mean(ops.std(unit, axis=0)) * features.shape[1] ** 0.5


@keras.saving.register_keras_serializable("kerassl")
class RankMe(keras.metrics.Metric):
    """RankMe of all features since the last reset, at the memory of one `(dim, dim)` matrix.

    `update_state` adds the second moment of a batch, not centered, and belongs in a compiled step;
    `result` takes its eigenvalues, which are the squared singular values of the features, so it is to be
    called once an epoch. The moment is float32: eigenvalues below 1e-6 of the largest, i.e. singular values
    below 1e-3 of the largest, are noise and count as zero. A spectrum that reaches further down gets
    a smaller value than from `rankme`: 12.2 instead of 16.8 for s_k = k^-1.5 with 512 dimensions, 114.8
    from both for s_k = 1/k. No features, or only zeros, give 0; NaN among them gives NaN.

    Source: RankMe (arXiv:2210.02885, equation 2).

    Args:
        dim: width of the features.
        name: name of the metric.
        **kwargs: further arguments of `keras.metrics.Metric`.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import RankMe
        >>> metric = RankMe(dim=2)
        >>> metric.update_state(np.array([[3.0, 0.0]]))
        >>> metric.update_state(np.array([[0.0, 1.0]]))
        >>> round(float(metric.result()), 4)
        1.7548
    """

    def __init__(self, dim: int, name: str = "rankme", **kwargs) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.dim = check_count("dim", dim)
        self.moment = self.add_variable(shape=(dim, dim), initializer="zeros", name="moment")

    def update_state(self, features: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            features: `(batch, dim)` array or tensor.
            sample_weight: `(batch,)` weights, or None for 1 each; 0 leaves a row out.
        """
        features = ops.stop_gradient(ops.cast(as_tensor("features", features, ("batch", "dim")), "float32"))
        weighted = features
        if sample_weight is not None:
            weighted = features * ops.cast(ops.convert_to_tensor(sample_weight), "float32")[:, None]
        self.moment.assign_add(ops.transpose(features) @ weighted)

    def result(self) -> Any:
        """Returns RankMe as a scalar float32 tensor."""
        moment = ops.convert_to_tensor(self.moment)
        trace = ops.trace(moment)
        broken = ops.logical_not(ops.all(ops.isfinite(moment)))
        empty = ops.logical_or(trace <= 0, broken)
        # An empty or broken moment becomes a matrix of which every backend takes the eigenvalues.
        moment = ops.where(empty, ops.eye(self.dim, dtype="float32"), moment / ops.where(empty, 1.0, trace))
        eigenvalues, _ = ops.eigh(moment)
        kept = eigenvalues > _EIGENVALUE_FLOOR * ops.max(eigenvalues)
        singular = ops.sqrt(ops.where(kept, eigenvalues, 1.0)) * ops.cast(kept, "float32")
        shares = singular / ops.sum(singular)
        entropy = -ops.sum(shares * ops.log(ops.where(kept, shares, 1.0)))
        return ops.where(broken, float("nan"), ops.where(empty, 0.0, ops.exp(entropy)))

    def get_config(self) -> dict:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "dim": self.dim}
