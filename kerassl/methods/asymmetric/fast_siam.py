"""FastSiam: SimSiam with several views, each predicting the mean embedding of all others.

"FastSiam: Resource-Efficient Self-supervised Learning on a Single GPU", DAGM GCPR 2022, Springer
978-3-031-16788-1_4. The authors' code is not public; details as in lightly-ai/lightly, which has a benchmark
of it.

- Every view predicts in turn, so with two views the method is exactly SimSiam.
- The embeddings are averaged without normalization.
- Everything but the target is SimSiam's (`kerassl/methods/asymmetric/simsiam.py`): each view goes through
  batch norm separately. In the launcher the predictor's rate falls, as in lightly.
"""

from keras import Model, ops

from kerassl.losses import negative_cosine
from kerassl.methods.asymmetric.simsiam import SIMSIAM_PAPER, SimSiam
from kerassl.training import Batch, Outputs, PositiveInt, Recipe


class FastSiam(SimSiam):
    """FastSiam (GCPR 2022): SimSiam with the mean of several views as the target.

    Args:
        num_views: views of each image that a named preset makes; each predicts the mean of the others.
        **kwargs: the other arguments of `SimSiam`: `projection_dim`, `projection_layers`,
            `prediction_hidden_dim`, `seed`, `name`.

    Raises:
        ValueError: in training, for fewer than two views; and as `SimSiam`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.FastSiam(encoder, projection_dim=64, prediction_hidden_dim=16)
        >>> model.views.num_views
        4
    """

    # As in SimSiam.
    recipes = {
        "fast_siam": Recipe(
            paper=SIMSIAM_PAPER, short_arguments={"projection_dim": 512, "prediction_hidden_dim": 128}
        )
    }

    def __init__(self, encoder: Model, *, num_views: PositiveInt = 4, **kwargs) -> None:
        super().__init__(encoder, num_views=num_views, **kwargs)  # type: ignore[call-arg]

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Negative cosine of each prediction with the detached mean of the other views' projections."""
        if len(views) < 2:
            raise ValueError(f"FastSiam predicts other views, so it needs at least two; got {len(views)}.")
        features = [self.encode(self.encoder, view, training) for view in views]
        z = [ops.cast(self.projector(f, training=training), "float32") for f in features]
        total, loss = sum(z), 0.0
        for z_v in z:
            target = (total - z_v) / (len(z) - 1)
            loss += negative_cosine(self.predictor(z_v, training=training), target) / len(z)
        return Outputs({"negative_cosine": loss}, features=features)
