"""NNBYOL: BYOL whose targets are the nearest neighbors of the teacher's projections in a queue.

Named along with NNCLR ("With a Little Help from My Friends", arXiv 2104.14548); as in vturrisi/solo-learn,
`solo/methods/nnbyol.py`, the only public code.

- Everything but the target is BYOL's (`kerassl/methods/asymmetric/byol.py`).
- The queue takes the first view's teacher projections, after the loss.
"""

from keras import KerasTensor, Model

from kerassl.memory import FeatureQueue
from kerassl.methods.asymmetric.byol import BYOL, BYOL_PAPER
from kerassl.training import PositiveInt, Recipe


class NNBYOL(BYOL):
    """NNBYOL: BYOL with nearest neighbors as targets (arXiv 2104.14548).

    Args:
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 over the run.
        queue_size: number of projections that are searched for neighbors.
        **kwargs: the other arguments of `BYOL`: `projection_dim`, `hidden_dim`, `seed`, `name`.

    Raises:
        ValueError: as `BYOL`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.NNBYOL(encoder, queue_size=1024, hidden_dim=64, projection_dim=16)
        >>> tuple(model.queue.features.shape)
        (1024, 16)
    """

    default_arguments = {"momentum": 0.99}
    # As in BYOL.
    recipes = {
        "nnbyol": Recipe(
            paper=BYOL_PAPER,
            short_arguments={"momentum": 0.97, "hidden_dim": 512, "projection_dim": 128, "queue_size": 4096},
        )
    }

    def __init__(self, encoder: Model, *, queue_size: PositiveInt = 65536, **kwargs) -> None:
        super().__init__(encoder, **kwargs)
        self.queue = FeatureQueue(queue_size, self.arguments.projection_dim, seed=self.seed)

    def target(self, z: KerasTensor) -> KerasTensor:
        """Row of the queue nearest to a teacher projection."""
        return self.queue.nearest(z)

    def after_update(self, state: dict) -> None:
        """Puts the first view's targets of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["targets"]))
