"""All4One: contrast with nearest neighbors and their transformer centroids, and decorrelated features.

"All4One: Symbiotic Neighbour Contrastive Learning via Self-Attention and Redundancy Reduction", arXiv
2303.09417, section 3. Official code: ImaGonEs/all4one, `solo/methods/all4one.py`.

- Neighbors are looked up with the teacher's projections; the queue takes those of the first view, after the
  loss.
- Each contrast has one direction and is N-way, over the predictions of the other view alone, as in NNCLR.
- In the shifted sequence, the prediction takes the first position and the neighbors follow. The output at the
  first position is the centroid. Gradients reach the transformer from both sides of the contrast.
- Position embeddings are the usual sinusoids over the positions of a sequence; the official code uses
  sinusoids over the features, one for each position, and defines only five.
- The feature correlations are computed over the global batch; the official code computes them per device.
- The official training gives the transformer its own learning rate; this implementation has one rate.
- Each view goes through batch norm separately, in the teacher too.
"""

from keras import KerasTensor, Model, ops

from kerassl import losses
from kerassl.arguments import (
    Fraction,
    FractionBelowOne,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    check_at_most,
)
from kerassl.heads import mlp, sinusoidal_positions, transformer
from kerassl.memory import FeatureQueue
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class All4One(SSLModel):
    """All4One (arXiv 2303.09417).

    Args:
        temperature: divides the cosines of neighbors; > 0.
        centroid_temperature: divides the cosines of centroids; > 0.
        neighbor_weight: weight of the contrast with the nearest neighbor; >= 0.
        centroid_weight: weight of the contrast of centroids; >= 0.
        feature_weight: weight of `kerassl.losses.feature_redundancy`; >= 0.
        num_neighbors: number of neighbors that form a centroid.
        momentum: teacher momentum at the first update, in [0, 1]; it rises to 1 along a half cosine.
        queue_size: number of projections that are searched for neighbors.
        projection_dim: width of projections and predictions.
        hidden_dim: width of the projector's two hidden layers.
        prediction_hidden_dim: width of the hidden layer of both predictors.
        transformer_depth: blocks of the transformer.
        num_heads: attention heads of the transformer; must divide `projection_dim`.
        dropout: dropout rate of the transformer, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for more neighbors than the queue has rows, or heads that do not divide the width.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> small = {"projection_dim": 16, "hidden_dim": 64, "prediction_hidden_dim": 64, "queue_size": 1024}
        >>> kerassl.methods.All4One(encoder, **small).transformer.output_shape
        (None, 5, 16)
    """

    family, terms, default_views = "contrastive", ("neighbor", "centroid", "feature"), ("byol_cifar", "byol")
    renamed_arguments = {"num_neighbours": "num_neighbors", "neighbour_weight": "neighbor_weight"}

    # ImaGonEs/all4one, `scripts/pretrain/cifar`.
    recipes = {
        "all4one": Recipe(
            # For small images.
            paper={
                **SIMCLR_PAPER,
                "learning_rate": 1.0,
                "weight_decay": 1e-5,
                "options": {"trust_coefficient": 0.02, "clip": True},
            },
            short_arguments={
                "hidden_dim": 512,
                "projection_dim": 128,
                "prediction_hidden_dim": 512,
                "queue_size": 4096,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        temperature: PositiveFloat = 0.2,
        centroid_temperature: PositiveFloat = 0.1,
        neighbor_weight: NonNegativeFloat = 0.5,
        centroid_weight: NonNegativeFloat = 0.5,
        feature_weight: NonNegativeFloat = 5.0,
        num_neighbors: PositiveInt = 5,
        momentum: Fraction = 0.99,
        queue_size: PositiveInt = 98304,
        projection_dim: PositiveInt = 256,
        hidden_dim: PositiveInt = 2048,
        prediction_hidden_dim: PositiveInt = 4096,
        transformer_depth: PositiveInt = 3,
        num_heads: PositiveInt = 8,
        dropout: FractionBelowOne = 0.1,
        **common: Unpack[Common],
    ) -> None:
        check_at_most(queue_size=queue_size, num_neighbors=num_neighbors)
        super().__init__(encoder, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim, hidden_dim),
            projection_dim,
            output_batch_norm="affine",
            name="projector",
        )

        def predictor(name: str):
            return mlp(projection_dim, (prediction_hidden_dim,), projection_dim, output_bias=True, name=name)

        self.predictor = predictor("predictor")
        self.centroid_predictor = predictor("centroid_predictor")
        self.transformer = transformer(
            num_neighbors, projection_dim, depth=transformer_depth, num_heads=num_heads, dropout=dropout
        )
        self.positions = sinusoidal_positions(num_neighbors, projection_dim)
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        self.queue = FeatureQueue(queue_size, projection_dim, seed=self.seed)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Contrast of neighbors, contrast of centroids, redundancy of features."""
        given = self.arguments

        def teacher(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return ops.stop_gradient(self.teacher_projector(features, training=training))

        def shifted(z: KerasTensor, neighbors: KerasTensor):
            prediction = ops.cast(self.centroid_predictor(z, training=training), "float32")
            return ops.concatenate([prediction[:, None], neighbors[:, :-1]], axis=1)

        def contrast(targets: list, predictions: list, temperature: float):
            loss = 0.0
            for target, prediction in zip(targets, reversed(predictions), strict=True):
                everyone = self.gather(prediction)
                loss += losses.info_nce(target, prediction, temperature=temperature, candidates=everyone) / 2
            return self.mean_over_replicas(loss)

        features = [self.encode(self.encoder, view, training) for view in views]
        z = [self.projector(f, training=training) for f in features]
        predictions = [self.predictor(z_v, training=training) for z_v in z]
        keys = [teacher(view) for view in views]
        neighbors = [self.queue.neighbors(k, given.num_neighbors) for k in keys]
        nearest = [rows[:, 0] for rows in neighbors]

        sequences = ops.concatenate([*neighbors, *map(shifted, z, neighbors)])
        tokens = self.transformer(ops.add(sequences, self.positions), training=training)
        centroids = ops.split(tokens[:, 0], 4)

        of_neighbors = contrast(nearest, predictions, given.temperature)
        of_centroids = contrast(centroids[:2], centroids[2:], given.centroid_temperature)
        of_features = losses.feature_redundancy(*map(self.gather, (*z, *keys)))
        terms = {
            "neighbor": given.neighbor_weight * of_neighbors,
            "centroid": given.centroid_weight * of_centroids,
            "feature": given.feature_weight * of_features,
        }
        return Outputs(terms, features=features, state={"keys": keys[0]})

    def teacher_momentum(self) -> KerasTensor:
        """Rises to 1 by a half cosine over the run."""
        return self.clock.cosine(self.arguments.momentum, 1.0)

    def after_update(self, state: dict) -> None:
        """Puts the first view's keys of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["keys"]))
