"""SwAV's prototypes and swapped prediction, for any method."""

from typing import Any

import keras
from keras import KerasTensor, ops

from kerassl import losses
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
        weight: of the term in the loss.
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
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.SimCLR(encoder)
        >>> model = model.attach(kerassl.objectives.SwappedPrototypes(num_prototypes=64, weight=0.5))
        >>> [mean.name for mean in model.term_means]
        ['nt_xent', 'swapped_prototypes']
    """

    def __init__(
        self,
        num_prototypes: int = 3000,
        weight: float = 1.0,
        projection_dim: int = 128,
        temperature: float = 0.1,
        sinkhorn_temperature: float = 0.05,
        sinkhorn_iterations: int = 3,
        freeze_prototypes_updates: int = 0,
        name: str = "swapped_prototypes",
    ) -> None:
        super().__init__(terms=(name,), num_prototypes=num_prototypes, name=name)
        check_prototype_settings(temperature, sinkhorn_temperature, sinkhorn_iterations)
        if weight < 0:
            raise ValueError(f"weight must be at least 0, got {weight}.")
        self.weight = weight
        self.projection_dim = projection_dim
        self.temperature = temperature
        self.sinkhorn_temperature = sinkhorn_temperature
        self.sinkhorn_iterations = sinkhorn_iterations
        self.freeze_prototypes_updates = freeze_prototypes_updates

    def attach_to(self, model: Any) -> None:
        """Makes the head."""
        self.projector = mlp(
            model.feature_dim,
            (model.feature_dim,),
            self.projection_dim,
            hidden_bias=True,
            output_bias=True,
            name=f"{self.name}_projector",
        )
        self.prototypes = PrototypeHead(self.projection_dim, self.num_prototypes)

    def loss_terms(
        self, model: Any, features: tuple[KerasTensor, ...], labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """How well the views predict each other's assignment."""
        frozen = model.updates < self.freeze_prototypes_updates
        z = self.projector(ops.concatenate(features), training=training)
        scores = ops.split(self.prototypes(z, frozen=frozen), len(features))
        assignments = [
            losses.sinkhorn(view, self.sinkhorn_temperature, self.sinkhorn_iterations, gather=model.gather)
            for view in scores[:2]
        ]
        # A pair of different views is needed: a single one stands for both.
        views = ops.stack(scores if len(scores) > 1 else scores * 2)
        loss = losses.swav(views, ops.stack(assignments), self.temperature)
        return {self.name: self.weight * loss}, {"assignments": ops.argmax(assignments[0], axis=1)}

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            "name": self.name,
            "num_prototypes": self.num_prototypes,
            "weight": self.weight,
            "projection_dim": self.projection_dim,
            "temperature": self.temperature,
            "sinkhorn_temperature": self.sinkhorn_temperature,
            "sinkhorn_iterations": self.sinkhorn_iterations,
            "freeze_prototypes_updates": self.freeze_prototypes_updates,
        }


def check_prototype_settings(
    temperature: float, sinkhorn_temperature: float, sinkhorn_iterations: int
) -> None:
    """Raises a ValueError for a temperature <= 0 or no iterations."""
    for label, value in (("temperature", temperature), ("sinkhorn_temperature", sinkhorn_temperature)):
        if value <= 0:
            raise ValueError(f"{label} must be > 0, got {value}.")
    if sinkhorn_iterations < 1:
        raise ValueError(f"sinkhorn_iterations must be at least 1, got {sinkhorn_iterations}.")
