"""The base class of objectives that can be attached to methods."""

from typing import Any

import keras
from keras import KerasTensor

from kerassl.arguments import PositiveInt, RemembersArguments
from kerassl.batch import Batch, Outputs


class Objective(RemembersArguments, keras.layers.Layer):
    """Terms that are added to the loss of a method, computed from its student's features.

    A subclass names its `terms`, makes its heads in `attach_to` and writes `loss_terms` and, where it has
    state, `after_update`, under the rules of `kerassl.SSLModel`.

    Args:
        terms: names of the loss terms that `loss_terms` returns.
        num_prototypes: number of prototypes, for an objective whose `Outputs.assignments` says to which an
            example fell; their usage is then a metric of `fit`.
        name: name of the objective; no two of a model have the same.

    Example:
        >>> from keras import ops
        >>> import kerassl
        >>> class SmallFeatures(kerassl.objectives.Objective):
        ...     def __init__(self):
        ...         super().__init__(terms=("size",), name="small_features")
        ...     def loss_terms(self, model, features, batch, training):
        ...         return kerassl.Outputs({"size": 1e-3 * ops.mean(ops.square(features[0]))})
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SimCLR(encoder).attach(SmallFeatures())
        >>> model.step_metrics.terms
        ('nt_xent', 'size')
    """

    def __init__(
        self, terms: tuple[str, ...], num_prototypes: PositiveInt | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.terms = tuple(terms)
        self.num_prototypes = num_prototypes
        self.built = True

    def attach_to(self, model: Any) -> None:
        """Builds the parts that depend on the method, such as heads of `model.feature_dim`; called once."""

    def loss_terms(
        self, model: Any, features: tuple[KerasTensor, ...], batch: Batch, training: bool
    ) -> Outputs:
        """The named terms and other outputs of the step; every objective implements it.

        Args:
            model: the method, for `gather` and `clock`.
            features: `(batch, dim)` of the student, with gradient, for each view that it has encoded.
            batch: the raw inputs, labels and indices.
            training: whether this is a step of training.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `loss_terms`.")

    def after_update(self, model: Any, state: dict) -> None:
        """Moves the objective's state after an optimizer update; one without state has none to move."""
