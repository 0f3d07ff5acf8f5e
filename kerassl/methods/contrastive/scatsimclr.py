"""ScatSimCLR: SimCLR with a pretext task: predict an image's rotation or the order of its pieces.

"ScatSimCLR: self-supervised contrastive learning with pretext task regularization for small-scale
datasets", arXiv 2108.13939, section 3. Official code: vkinakh/scatsimclr,
`src/trainer/pretext_task_trainer.py`, `src/models/scatnet_simclr.py`.

- The paper's encoder is `kerassl.backbones.scatnet`; the method takes any.
- The images of the pretext task are made from the first view. The official code augments the image once more
  for each rotation, and cuts pieces from the original image. Its views of small images have a jitter twice as
  strong, and blur.
- The views go through the encoder together, the images of the pretext task separately.
- The official permutations of the pieces are in a file; these are computed to be as far from each other as
  possible.
- Dropout in the pretext head is drawn for the global batch, so that it does not depend on the devices.
"""

from keras import KerasTensor, Model, Sequential, ops, random

from kerassl.arguments import Annotated, Bound, FractionBelowOne, Literal, NonNegativeFloat
from kerassl.heads import mlp, plain_mlp
from kerassl.methods.contrastive.simclr import SimCLR
from kerassl.training import Batch, Outputs, Recipe
from kerassl.views import distant_permutations, nine_pieces, quarter_turns


class ScatSimCLR(SimCLR):
    """ScatSimCLR (arXiv 2108.13939).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`; the paper's is
            `kerassl.backbones.scatnet`.
        pretext: "rotation": predict which of four quarter turns each image shows (four more images for each);
            or "jigsaw": predict which of `num_permutations` orders its 3 x 3 pieces have (nine more).
        pretext_weight: weight of the cross entropy of the pretext task, lambda in the paper; >= 0.
        num_permutations: number of orders of the jigsaw, from 2 to 72.
        dropout: dropout rate of the pretext head's hidden units, in [0, 1).
        temperature: divides the cosines; > 0.
        **kwargs: the other arguments of `SimCLR`: `projection_dim`, `projection_layers`, `block_size`,
            `seed`, `name`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.scatnet((16, 16, 3), num_orientations=4, width=16)
        >>> model = kerassl.methods.ScatSimCLR(encoder)
        >>> model.pretext_classifier.output_shape
        (None, 4)
    """

    terms, default_arguments = ("nt_xent", "pretext"), {"temperature": 0.5}

    # vkinakh/scatsimclr, which uses Adam.
    recipes = {
        "scat_simclr": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 3e-4, "weight_decay": 1e-5, "warmup_epochs": 0},
            short_arguments={"temperature": 0.2},
            backbone="scatnet",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        pretext: Literal["rotation", "jigsaw"] = "rotation",
        pretext_weight: NonNegativeFloat = 0.3,
        num_permutations: Annotated[int, Bound(2, 72)] = 35,
        dropout: FractionBelowOne = 0.5,
        **kwargs,
    ) -> None:
        super().__init__(encoder, **kwargs)

        def layer(input_dim: int, output_dim: int, name: str):
            return mlp(input_dim, (), output_dim, output_bias=True, name=f"pretext_{name}")

        # The pretext question concerns each image separately, or nine pieces together.
        joint, hidden, answers = (1, 128, 4) if pretext == "rotation" else (9, 4096, num_permutations)
        self.pretext_hidden1 = layer(self.feature_dim, 512, "hidden1")
        self.pretext_hidden2 = layer(joint * 512, hidden, "hidden2")
        self.pretext_classifier = layer(hidden, answers, "classifier")

    def make_projector(self) -> Sequential:
        """The head, as wide as the features, with biases and without batch norm."""
        return plain_mlp(
            self.feature_dim,
            (self.feature_dim,) * (self.arguments.projection_layers - 1),
            self.arguments.projection_dim,
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The contrast of two views and the cross entropy of the pretext task."""
        outputs = super().loss_terms(views, batch, training)
        rng = self.clock.seed("pretext", training)
        task = self.rotation if self.arguments.pretext == "rotation" else self.jigsaw
        logits, answers = task(views[0], training, rng)
        logits = ops.cast(logits, "float32")
        cross_entropy = ops.sparse_categorical_crossentropy(answers, logits, from_logits=True)
        terms = {**outputs.terms, "pretext": self.arguments.pretext_weight * ops.mean(cross_entropy)}
        return outputs._replace(terms=terms)

    def rotation(self, view: KerasTensor, training: bool, rng: random.SeedGenerator) -> tuple:
        """Logits `(4 * batch, 4)` of the turns of each image, and the true turns."""
        batch = ops.shape(view)[0]
        features = self.encode_each(quarter_turns(view), training)
        hidden = self.drop(self.pretext_hidden1(features), batch, training, rng)
        hidden = self.drop(self.pretext_hidden2(hidden), batch, training, rng)
        return self.pretext_classifier(hidden), ops.tile(ops.arange(4, dtype="int32"), (batch,))

    def jigsaw(self, view: KerasTensor, training: bool, rng: random.SeedGenerator) -> tuple:
        """Logits `(batch, num_permutations)` of the order of each image's pieces, and the true orders."""
        batch = ops.shape(view)[0]
        # Drawn for the global batch, so that an image's order does not depend on the number of devices.
        drawn = random.randint((batch * self.num_replicas,), 0, self.arguments.num_permutations, seed=rng)
        orders = ops.take(drawn, self.own_rows(batch))
        features = ops.reshape(self.encode_each(nine_pieces(view), training), (batch, 9, self.feature_dim))
        # Pieces are encoded separately, so reordering their features equals reordering the pieces.
        places = ops.take(distant_permutations(self.arguments.num_permutations), orders, axis=0)
        features = ops.take_along_axis(features, places[:, :, None], axis=1)
        features = ops.reshape(features, (batch * 9, self.feature_dim))
        hidden = self.drop(self.pretext_hidden1(features), batch, training, rng)
        hidden = self.pretext_hidden2(ops.reshape(hidden, (batch, 9 * 512)))
        return self.pretext_classifier(self.drop(hidden, batch, training, rng)), orders

    def encode_each(self, images: KerasTensor, training: bool) -> KerasTensor:
        """Features `(batch * n, dim)` of `(batch, n, height, width, channels)` images."""
        return self.encode(self.encoder, ops.reshape(images, (-1, *images.shape[2:])), training)

    def drop(
        self, hidden: KerasTensor, batch: int | KerasTensor, training: bool, rng: random.SeedGenerator
    ) -> KerasTensor:
        """ReLU and, in training, dropout of hidden units `(n * batch, width)`, n rows an image."""
        hidden = ops.relu(hidden)
        if not training or not self.arguments.dropout:
            return hidden
        rows, width = ops.shape(hidden)
        shape = (batch * self.num_replicas, rows // batch * width)
        kept = (
            ops.take(random.uniform(shape, seed=rng), self.own_rows(batch), axis=0) >= self.arguments.dropout
        )
        return ops.where(ops.reshape(kept, (rows, width)), hidden / (1 - self.arguments.dropout), 0.0)

    def own_rows(self, batch: int | KerasTensor) -> KerasTensor:
        """Indices of this replica's rows in the global batch."""
        return self.row_offset(batch) + ops.arange(batch, dtype="int32")
