"""SwAV's prototypes and swapped prediction, for any method."""

from typing import Any

import keras
from keras import KerasTensor, ops

from kerassl import losses
from kerassl.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from kerassl.batch import Batch, Outputs
from kerassl.heads import PrototypeHead, mlp
from kerassl.objectives.base import Objective


@keras.saving.register_keras_serializable("kerassl")
class SwappedPrototypes(Objective):
    """A prototype head whose assignment of one view the other views predict, as in SwAV.

    The features pass through a head of two layers; Sinkhorn-Knopp over the global batch assigns the first
    two views to prototypes, and each view predicts the assignment of the others. Of a method that encodes
    one view, such as MoCo v2 or MAE, that view predicts its own assignment, as in SeLa.

    Args:
        num_prototypes: number of prototypes K.
        weight: weight of the term in the loss.
        projection_dim: width of the embedding that meets the prototypes.
        temperature: divides the cosines in the prediction; > 0.
        sinkhorn_temperature: divides them in the assignment, the paper's epsilon; > 0.
        sinkhorn_iterations: iterations of Sinkhorn-Knopp, at least 1.
        freeze_prototypes_updates: updates in which the prototypes do not move.
        name: name of the objective.

    Raises:
        ValueError: for a negative weight, a temperature <= 0, no prototypes or iterations.

    Source: SwAV, arXiv 2006.09882; facebookresearch/swav. SeLa, arXiv 1911.05371.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SimCLR(encoder)
        >>> model = model.attach(kerassl.objectives.SwappedPrototypes(num_prototypes=64, weight=0.5))
        >>> model.step_metrics.terms
        ('nt_xent', 'swapped_prototypes')
    """

    def __init__(
        self,
        num_prototypes: PositiveInt = 3000,
        weight: NonNegativeFloat = 1.0,
        projection_dim: PositiveInt = 128,
        temperature: PositiveFloat = 0.1,
        sinkhorn_temperature: PositiveFloat = 0.05,
        sinkhorn_iterations: PositiveInt = 3,
        freeze_prototypes_updates: NonNegativeInt = 0,
        name: str = "swapped_prototypes",
    ) -> None:
        super().__init__(terms=(name,), num_prototypes=num_prototypes, name=name)

    def attach_to(self, model: Any) -> None:
        """Makes the head."""
        self.projector = mlp(
            model.feature_dim,
            (model.feature_dim,),
            self.arguments.projection_dim,
            hidden_bias=True,
            output_bias=True,
            name=f"{self.name}_projector",
        )
        self.prototypes = PrototypeHead(self.arguments.projection_dim, self.num_prototypes)

    def loss_terms(
        self, model: Any, features: tuple[KerasTensor, ...], batch: Batch, training: bool
    ) -> Outputs:
        """How well the views predict each other's assignment."""
        given = self.arguments
        frozen = model.clock.update < given.freeze_prototypes_updates
        z = self.projector(ops.concatenate(features), training=training)
        scores = ops.split(self.prototypes(z, frozen=frozen), len(features))
        assignments = [
            losses.sinkhorn(view, given.sinkhorn_temperature, given.sinkhorn_iterations, gather=model.gather)
            for view in scores[:2]
        ]
        # A pair of different views is needed: a single one stands for both.
        views = ops.stack(scores if len(scores) > 1 else scores * 2)
        loss = losses.swav(views, ops.stack(assignments), given.temperature)
        return Outputs({self.name: given.weight * loss}, assignments=ops.argmax(assignments[0], axis=1))
