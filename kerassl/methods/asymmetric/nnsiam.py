"""NNSiam: SimSiam whose targets are the nearest neighbors of the projections in a queue.

Named along with NNCLR ("With a Little Help from My Friends", arXiv 2104.14548); as in vturrisi/solo-learn,
`solo/methods/nnsiam.py`, the only public code.

- Everything but the target is SimSiam's (`kerassl/methods/asymmetric/simsiam.py`): the projector is as wide
  as the features; solo-learn's is 2048 wide.
- The queue takes the first view's projections, after the loss.
"""

from keras import KerasTensor, Model

from kerassl.memory import FeatureQueue
from kerassl.methods.asymmetric.simsiam import SIMSIAM_PAPER, SimSiam
from kerassl.training import PositiveInt, Recipe


class NNSiam(SimSiam):
    """NNSiam: SimSiam with nearest neighbors as targets (arXiv 2104.14548).

    Args:
        queue_size: number of projections that are searched for neighbors.
        prediction_hidden_dim: width of the predictor's hidden layer.
        **kwargs: the other arguments of `SimSiam`: `projection_dim`, `projection_layers`, `seed`, `name`.

    Raises:
        ValueError: as `SimSiam`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.NNSiam(encoder, queue_size=1024, projection_dim=64)
        >>> tuple(model.queue.features.shape)
        (1024, 64)
    """

    default_views, default_arguments = ("byol_cifar", "byol"), {"prediction_hidden_dim": 4096}
    # As in SimSiam.
    recipes = {
        "nnsiam": Recipe(
            paper=SIMSIAM_PAPER,
            constant_rate="predictor",
            short_arguments={"projection_dim": 512, "prediction_hidden_dim": 512, "queue_size": 4096},
        )
    }

    def __init__(self, encoder: Model, *, queue_size: PositiveInt = 65536, **kwargs) -> None:
        super().__init__(encoder, **kwargs)
        self.queue = FeatureQueue(queue_size, self.arguments.projection_dim, seed=self.seed)

    def target(self, z: KerasTensor) -> KerasTensor:
        """Row of the queue nearest to a projection."""
        return self.queue.nearest(z)

    def after_update(self, state: dict) -> None:
        """Puts the first view's projections of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["targets"]))
