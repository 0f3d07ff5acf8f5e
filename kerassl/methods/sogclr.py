"""SogCLR: contrast with normalisers that are remembered for each image, so that batches may be small.

"Provable Stochastic Optimization for Global Contrastive Learning: Small Batch Does Not Harm Performance",
arXiv 2202.12387, algorithm 1. Official code: Optimization-AI/SogCLR, `sogclr/builder.py`.

- What is remembered of an image is the mean of its two views' normalisers, as in that code; the code of
  iSogCLR keeps their sum in its own class SogCLR.
- An image that was never seen takes the normaliser of its batch. The official code asks whether all images of
  a batch are new.
- Normalisers are kept as logarithms, which no temperature makes overflow.
- Both views go through the encoder together, and so through batch norm; there each by itself.
- An embedding also gets its gradients as a negative of anchors on other devices; the official gather drops
  those.
"""

import math

import keras
from keras import KerasTensor, ops

from kerassl.heads import mlp
from kerassl.losses import log_mean_similarities, sogclr
from kerassl.training.model import SSLModel

# The logarithm of a normaliser that was never set.
NEVER = -1e30


@keras.saving.register_keras_serializable("kerassl")
class SogCLR(SSLModel):
    """SogCLR (arXiv 2202.12387).

    The step must know which image it sees. `fit` gives it the positions of arrays and of a
    `kerassl.data.ImageDataset`; other data yield `{"images": images, "positions": positions}` in place of
    images, ready views `(view1, view2, positions)`. A position outside of `0..num_images - 1`, such as -1, is
    unknown: that image takes the normaliser of its batch, and nothing of it is remembered. Evaluation needs
    no positions.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`simclr_cifar` up to 64 pixels, else `sogclr`), a recipe's name, a views layer, or
            `None` for data that holds two views and the positions.
        num_classes: number of classes for the online probe; `None` for none.
        num_images: images of the training set, one remembered number each.
        temperature: divides the cosines in the weights of the negatives; > 0. A change of it makes what is
            remembered wrong.
        gamma: weight of the batch's own normaliser against the remembered one, in (0, 1].
        projection_dim: width of the embedding that the loss sees.
        hidden_dim: width of the projector's hidden layer.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0, gamma outside of (0, 1], no images, and, in training, for data
            without positions.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.SogCLR(encoder, num_images=50_000)
        >>> tuple(model.log_normalizers.shape)
        (50001,)
    """

    takes_positions = True
    loss_name = "sogclr"
    # The weights that hold a number for each image.
    memories = ("log_normalizers",)

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_images: int,
        temperature: float = 0.1,
        gamma: float = 0.9,
        projection_dim: int = 128,
        hidden_dim: int = 2048,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the papers use 0.07 to 0.1.")
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma must lie in (0, 1], got {gamma}; the papers use 0.8 and 0.9.")
        if num_images < 1:
            raise ValueError(f"num_images must be the size of the training set, got {num_images}.")
        super().__init__(
            encoder,
            views=views,
            default_views=("simclr_cifar", "sogclr"),
            terms=(self.loss_name,),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.num_images = num_images
        self.temperature = temperature
        self.gamma = gamma
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(
            self.feature_dim, (hidden_dim,), projection_dim, output_batch_norm="plain", name="projector"
        )
        self.log_normalizers = self.memory("log_normalizers", NEVER)

    def memory(self, name: str, start: float) -> keras.Variable:
        """A number for each image, in the order of the training set; the last is that of unknown images."""
        return self.add_weight(
            name=name,
            shape=(self.num_images + 1,),
            initializer=keras.initializers.Constant(start),
            trainable=False,
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """The contrast under the remembered normalisers, moved towards those of the batch."""
        (view1, view2), rows = self.split_rows(views, self.num_images, training)
        features = self.encode(self.encoder, ops.concatenate([view1, view2]), training)
        z1, z2 = ops.split(self.projector(features, training=training), 2)
        # Each replica compares its own rows with the whole batch.
        candidates, first_row = self.gather_candidates(z1, z2)
        share = {"candidates": candidates, "first_row": first_row}
        temperature = self.temperature_of(rows)
        moved = self.moved_normalizers(rows, log_mean_similarities(z1, z2, temperature, **share))
        loss = self.mean_over_replicas(sogclr(z1, z2, moved, temperature, **share))
        news = self.news(rows, z1, z2, moved, temperature, share)
        return {self.loss_name: loss}, {"features": ops.split(features, 2), "rows": rows, **news}

    def temperature_of(self, rows: KerasTensor) -> float | KerasTensor:
        """The temperature of the images: one for all."""
        return self.temperature

    def moved_normalizers(self, rows: KerasTensor, own: KerasTensor) -> KerasTensor:
        """Logarithms `(batch, 2)`: gamma of the batch's own mean and the rest of what is remembered."""
        old = ops.take(self.log_normalizers, rows)[:, None]
        if self.gamma == 1:
            return own
        mixed = ops.logaddexp(old + math.log(1 - self.gamma), own + math.log(self.gamma))
        return ops.where(old > NEVER / 2, mixed, own)

    def news(
        self,
        rows: KerasTensor,
        z1: KerasTensor,
        z2: KerasTensor,
        log_normalizers: KerasTensor,
        temperature: float | KerasTensor,
        share: dict,
    ) -> dict:
        """What is to be remembered of the images of this batch, by the name of the memory."""
        return {"log_normalizers": ops.logsumexp(log_normalizers, axis=1) - math.log(2)}

    def after_update(self, aux: dict) -> None:
        """Remembers the images of the global batch; the row of unknown ones stays as it began."""
        rows = self.gather(aux["rows"])
        for name in self.memories:
            memory = getattr(self, name)
            unknown = ops.equal(rows, self.num_images)
            values = ops.where(unknown, memory[self.num_images], self.gather(aux[name]))
            memory.assign(ops.scatter_update(ops.convert_to_tensor(memory), rows[:, None], values))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_images": self.num_images,
            "temperature": self.temperature,
            "gamma": self.gamma,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
