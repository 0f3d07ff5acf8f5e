"""The data that flow through a step: a batch, a method's outputs, and the step's record."""

from typing import Any, NamedTuple

import keras
from keras import KerasTensor

# The reserved key of the examples' indices, next to the inputs.
SAMPLE_INDEX = "sample_index"


class Batch(NamedTuple):
    """A batch of examples from a data set.

    Attributes:
        inputs: raw inputs, or ready views: a tensor, or a tuple or dict of tensors with one first axis.
        labels: int32 `(batch,)`, -1 where unknown; or `None`.
        indices: int32 `(batch,)`, each example's place in the data set, -1 where unknown; or `None`.
        weights: float32 `(batch,)`, by which each example's loss is multiplied; or `None`.
    """

    inputs: Any
    labels: KerasTensor | None = None
    indices: KerasTensor | None = None
    weights: KerasTensor | None = None


class Outputs(NamedTuple):
    """The result of `SSLModel.loss_terms`.

    Attributes:
        terms: `{name: scalar}`, the terms whose sum is minimized, named and ordered as the class's `terms`.
        features: `(batch, dim)` with gradient of each view that the student has encoded, a tuple or one
            tensor: the features that attached objectives learn from. The online probe and the statistics of
            collapse look at the first.
        embedding: `(batch, dim)` features that these use instead, such as a teacher's.
        assignments: integers of any shape, the prototypes that the examples fell to; -1 counts for none.
        logits: `(batch, num_classes)` of a classifier.
        state: the argument of `after_update`.
    """

    terms: dict[str, KerasTensor]
    features: KerasTensor | tuple[KerasTensor, ...] = ()
    embedding: KerasTensor | None = None
    assignments: KerasTensor | None = None
    logits: KerasTensor | None = None
    state: dict[str, Any] = {}


class StepRecord(NamedTuple):
    """The record that the engine passes from the forward pass to the end of a step; a pytree of tensors.

    Attributes:
        loss: scalar, the terms and the penalties together.
        terms: the values of all terms, attached objectives' included, in the order of their names.
        outputs: outputs of the method.
        attached: outputs of the attached objectives, in their order.
        features: float32 `(batch, dim)` without gradient, at which probe and statistics look; or `None`.
        labels: int32 `(batch,)` or `None`.
        inputs: raw inputs of the batch.
        updates: the optimizer's updates before this step; `None` in evaluation.
        hits: float32 `(batch,)`, whether the online probe is right; `None` without probe or labels.
        finite: whether loss and gradients are finite, a boolean scalar; `None` if it was not checked.
        before: `[(variable, value)]` that an update which is left out puts back; `None` unless that may
            happen.
    """

    loss: KerasTensor
    terms: tuple[KerasTensor, ...]
    outputs: Outputs
    attached: tuple[Outputs, ...] = ()
    features: KerasTensor | None = None
    labels: KerasTensor | None = None
    inputs: Any = None
    updates: KerasTensor | None = None
    hits: KerasTensor | None = None
    finite: KerasTensor | None = None
    before: list | None = None


def unpack_batch(data: Any) -> Batch:
    """The parts of a batch as a data set yields it; nothing is cast.

    Args:
        data: `inputs`, `(inputs,)`, `(inputs, labels)` or `(inputs, labels, sample_weight)`. Inputs with
            their indices are `{"inputs": inputs, "sample_index": indices}`, or a dict of inputs with the
            further key "sample_index".

    Example:
        >>> import numpy as np
        >>> from kerassl.batch import unpack_batch
        >>> inputs = {"inputs": np.zeros((2, 5)), "sample_index": np.array([7, 3])}
        >>> batch = unpack_batch((inputs, np.array([0, 1])))
        >>> batch.inputs.shape, batch.indices.tolist(), batch.labels.tolist()
        ((2, 5), [7, 3], [0, 1])
    """
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    indices = None
    if isinstance(inputs, dict) and SAMPLE_INDEX in inputs:
        inputs = dict(inputs)
        indices = inputs.pop(SAMPLE_INDEX)
        if set(inputs) == {"inputs"}:
            inputs = inputs["inputs"]
    return Batch(inputs, labels, indices, weights)


def with_sample_index(inputs: Any, indices: Any) -> dict:
    """Inputs and their indices as one entry of a batch, which `unpack_batch` takes apart again."""
    return {**(inputs if isinstance(inputs, dict) else {"inputs": inputs}), SAMPLE_INDEX: indices}
