"""How prototypes are used: entropy of their shares, and those that no image falls to."""

from typing import Any

import keras
from keras import ops

from kerassl.metrics.checks import check_count
from kerassl.metrics.features import as_tensor, check_array


def prototype_entropy(counts: Any) -> Any:
    """Returns the entropy of the shares of images that fall to each prototype, in nats.

    log(num_prototypes) if all get the same number, 0 if one gets all.

    Args:
        counts: `(num_prototypes,)` numbers of images.

    Returns:
        Scalar float32 tensor.

    Raises:
        ValueError: for counts that are no vector of numbers.

    Example:
        >>> from kerassl.evaluation import prototype_entropy
        >>> round(float(prototype_entropy([5, 5, 0, 0])), 4)
        0.6931
    """
    counts = ops.cast(as_tensor("counts", counts, ("num_prototypes",)), "float32")
    shares = counts / ops.maximum(ops.sum(counts), 1.0)
    return -ops.sum(shares * ops.log(ops.where(shares > 0, shares, 1.0)))


def dead_prototypes(counts: Any) -> Any:
    """Returns the number of prototypes to which no image falls.

    Args:
        counts: `(num_prototypes,)` numbers of images.

    Returns:
        Scalar float32 tensor.

    Raises:
        ValueError: for counts that are no vector of numbers.

    Example:
        >>> from kerassl.evaluation import dead_prototypes
        >>> int(dead_prototypes([5, 5, 0, 0]))
        2
    """
    return ops.sum(ops.cast(ops.equal(as_tensor("counts", counts, ("num_prototypes",)), 0), "float32"))


def assigned_prototypes(probabilities: Any) -> Any:
    """Returns the index of each row's likeliest prototype, one head after the other.

    Args:
        probabilities: `(batch, num_prototypes)`, or `(batch, num_heads, num_prototypes)`, of whose heads the
            first has the prototypes 0 to num_prototypes - 1, the second the next ones.

    Returns:
        int32 `(batch,)` or `(batch, num_heads)`.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import assigned_prototypes
        >>> np.array(assigned_prototypes(np.array([[[0.9, 0.1], [0.2, 0.8]]]))).tolist()
        [[0, 3]]
    """
    if len(getattr(probabilities, "shape", ())) != 3:
        probabilities = as_tensor("probabilities", probabilities, ("batch", "num_prototypes"))
    assigned = ops.cast(ops.argmax(probabilities, axis=-1), "int32")
    if len(probabilities.shape) == 2:
        return assigned
    num_heads, num_prototypes = probabilities.shape[1:]
    return assigned + num_prototypes * ops.arange(num_heads, dtype="int32")


def count_assignments(assignments: Any, num_prototypes: int) -> Any:
    """Returns the count of each prototype in an integer tensor, `(num_prototypes,)` float32.

    Args:
        assignments: integers of any shape in [0, num_prototypes); negative ones count for none.
        num_prototypes: number of prototypes.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import count_assignments
        >>> np.array(count_assignments(np.array([0, 2, 2, -1]), 3)).tolist()
        [1.0, 0.0, 2.0]
    """
    check_count("num_prototypes", num_prototypes)
    if not hasattr(assignments, "shape"):
        assignments = check_array("assignments", assignments, ("number",), kinds="ui")
    flat = ops.cast(ops.reshape(ops.convert_to_tensor(assignments), (-1,)), "int32")
    known = ops.cast(flat >= 0, "float32")
    return ops.segment_sum(known, ops.maximum(flat, ops.zeros_like(flat)), num_segments=num_prototypes)


@keras.saving.register_keras_serializable("kerassl")
class PrototypeUsage(keras.metrics.Metric):
    """Usage of prototypes since the last reset: `prototype_entropy` and `dead_prototypes`.

    Args:
        num_prototypes: number of prototypes.
        prefix: put before the names of both results.
        name: name of the metric.
        **kwargs: further arguments of `keras.metrics.Metric`.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import PrototypeUsage
        >>> usage = PrototypeUsage(4)
        >>> usage.update_state(np.array([3.0, 0.0, 0.0, 0.0]))
        >>> usage.update_state(np.array([0.0, 3.0, 0.0, 0.0]))
        >>> {name: round(float(value), 4) for name, value in usage.result().items()}
        {'prototype_entropy': 0.6931, 'dead_prototypes': 2.0}
    """

    def __init__(
        self, num_prototypes: int, prefix: str = "", name: str = "prototype_usage", **kwargs
    ) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.num_prototypes, self.prefix = check_count("num_prototypes", num_prototypes), prefix
        self.counts = self.add_variable(shape=(num_prototypes,), initializer="zeros", name="counts")

    def update_state(self, counts: Any, sample_weight: Any = None) -> None:
        """Adds `(num_prototypes,)` numbers of images; `sample_weight` is not used."""
        self.counts.assign_add(ops.cast(ops.convert_to_tensor(counts), "float32"))

    def result(self) -> dict:
        """Returns both numbers, by name."""
        counts = ops.convert_to_tensor(self.counts)
        return {
            f"{self.prefix}prototype_entropy": prototype_entropy(counts),
            f"{self.prefix}dead_prototypes": dead_prototypes(counts),
        }

    def get_config(self) -> dict:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "num_prototypes": self.num_prototypes, "prefix": self.prefix}
