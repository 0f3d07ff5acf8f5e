"""Prob-PSENN: distances to prototypes drawn from a Gaussian per class, with uncertainty estimates.

"Uncertainty-Aware Explanations Through Probabilistic Self-Explainable Neural Networks", arXiv 2403.13740.
Official code was not found; this class follows the paper's idea with the settings of a third-party
implementation.

- Encoder, latent space, decoder and pictures are those of `PrototypeDL`; the Gaussians are diagonal.
- In training, prototypes are newly drawn in each step, the same on all devices; the cross entropy is the mean
  over the draws. For predictions they are drawn once, so that predictions are repeatable and can be exported;
  the probabilities are means over the draws.
- The reconstruction error is the mean over the pixels of an image in [0, 1].
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.arguments import NonNegativeFloat, PositiveFloat, PositiveInt, RemembersArguments
from kerassl.classifiers.prototype_dl import PrototypeDL
from kerassl.losses import prototype_nll
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack


@keras.saving.register_keras_serializable("kerassl")
class GaussianPrototypes(RemembersArguments, keras.layers.Layer):
    """Squared distances of latents to prototypes drawn from one Gaussian per class.

    Args:
        input_dim: width of a latent.
        num_prototypes: number of Gaussians.
        num_draws: number of prototypes drawn from each Gaussian.
        std: initial standard deviations; > 0.
        seed: integer that keys the draws of predictions.
        name: name of the layer.
        **kwargs: further arguments of `keras.layers.Layer`.

    Attributes:
        prototypes: variable `(input_dim, num_prototypes)` of means.
        log_stds: variable of the same shape.
        draws: the standard normal numbers of predictions, `(num_draws, input_dim, num_prototypes)`.
    """

    def __init__(
        self,
        input_dim: PositiveInt,
        num_prototypes: PositiveInt,
        num_draws: PositiveInt,
        std: PositiveFloat = 0.1,
        seed: int = 0,
        name: str = "prototypes",
        **kwargs,
    ) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        shape, spread = (input_dim, num_prototypes), keras.initializers.Constant(np.log(std))
        uniform = keras.initializers.RandomUniform(0.0, 1.0)
        self.prototypes = self.add_weight(name="prototypes", shape=shape, initializer=uniform)
        self.log_stds = self.add_weight(name="log_stds", shape=shape, initializer=spread)
        engine.mark(self.prototypes, "is_decayed", False)
        engine.mark(self.log_stds, "is_decayed", False)
        drawn = np.random.default_rng(seed).normal(size=(num_draws, *shape)).astype("float32")
        self.draws = self.add_weight(name="draws", shape=drawn.shape, initializer="zeros", trainable=False)
        self.draws.assign(drawn)
        self.built = True

    def call(self, latents: KerasTensor, noise: KerasTensor | None = None) -> KerasTensor:
        """Float32 `(batch, num_draws, num_prototypes)`, at least 0.

        Args:
            latents: `(batch, input_dim)`.
            noise: standard normal numbers shaped as `draws`; `draws` by default.
        """
        noise = ops.cast(self.draws if noise is None else noise, "float32")
        points = ops.cast(self.prototypes, "float32") + ops.exp(ops.cast(self.log_stds, "float32")) * noise
        latents = ops.cast(latents, "float32")
        squares = ops.sum(ops.square(latents), axis=1)[:, None, None] + ops.sum(ops.square(points), axis=1)
        return ops.maximum(squares - 2.0 * ops.einsum("bd,sdk->bsk", latents, points), 0.0)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(batch, num_draws, num_prototypes)`."""
        return (input_shape[0], self.arguments.num_draws, self.arguments.num_prototypes)


class ProbPSENN(PrototypeDL):
    """Prob-PSENN (arXiv 2403.13740).

    Args:
        encoder: as in `PrototypeDL`.
        num_draws: prototypes drawn from each Gaussian.
        initial_std: standard deviation of the Gaussians at the start; > 0.
        latent_dim: width of the latent space.
        decoder_width: channels in the decoder.
        classification_weight: weight of the cross entropy.
        reconstruction_weight: weight of the mean squared error of the autoencoder.
        latent_weight: weight of the negative log likelihood of an image under its class's Gaussian.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `PrototypeDL`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4, pool=None)
        >>> model = kerassl.classifiers.ProbPSENN(encoder, num_classes=10)
        >>> model.pictures().shape, model.sampled_pictures(3).shape
        ((10, 32, 32, 3), (10, 3, 32, 32, 3))
    """

    terms = ("cross_entropy", "reconstruction", "prototype_nll")

    # As in PrototypeDL.
    recipes = {
        "prob_psenn": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0},
            backbone_args={"pool": None},
            digits_views="default",
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        num_draws: PositiveInt = 10,
        initial_std: PositiveFloat = 0.1,
        latent_dim: PositiveInt = 40,
        decoder_width: PositiveInt = 32,
        classification_weight: NonNegativeFloat = 1.0,
        reconstruction_weight: NonNegativeFloat = 10.0,
        latent_weight: NonNegativeFloat = 0.05,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            encoder,
            num_prototypes=common.get("num_classes") or 1,
            latent_dim=latent_dim,
            decoder_width=decoder_width,
            classification_weight=classification_weight,
            reconstruction_weight=reconstruction_weight,
            latent_weight=latent_weight,
            **common,
        )

    def make_prototypes(self) -> GaussianPrototypes:
        """The Gaussians."""
        return GaussianPrototypes(
            self.arguments.latent_dim,
            self.num_classes,
            self.arguments.num_draws,
            self.arguments.initial_std,
            seed=self.seed,
        )

    def make_classifier(self) -> keras.layers.Dense:
        """A linear layer without bias from distances to logits, minus one half of the identity at first."""
        layer = super().make_classifier()
        layer.kernel.assign(-0.5 * np.eye(self.num_classes, dtype="float32"))
        return layer

    @property
    def prototype_classes(self) -> np.ndarray:
        """One Gaussian per class."""
        return np.arange(self.num_classes)

    def logits_of_draws(self, latents: KerasTensor, noise: KerasTensor | None = None) -> KerasTensor:
        """Float32 logits `(batch, num_draws, num_classes)` of latents."""
        return ops.cast(self.classifier(self.prototypes(latents, noise)), "float32")

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)`, and the logarithms of the mean probabilities of normalized images."""
        features, latents = self.features_and_latents(images, training)
        return features, log_mean_probabilities(self.logits_of_draws(latents))

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """Minus the squared distances to the prototypes, the mean over the draws."""
        _, latents = self.features_and_latents(images, False)
        return -ops.mean(self.prototypes(latents), axis=1)[:, None, None]

    def draw_noise(self, training: bool) -> KerasTensor | None:
        """The standard normal numbers of this step's prototypes; fixed ones in evaluation."""
        if not training:
            return None
        shape = self.prototypes.draws.shape
        return keras.random.normal(shape, seed=self.clock.seed("prototypes", training))

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy, averaged over the draws; reconstruction; likelihood under the class's Gaussian."""
        (view,) = views
        given, labels = self.arguments, self.needed(batch.labels)
        features, latents = self.features_and_latents(view, training)
        logits = self.logits_of_draws(latents, self.draw_noise(training))
        each_draw = ops.reshape(logits, (-1, self.num_classes))
        cross_entropy = self.cross_entropy(each_draw, ops.repeat(labels, self.arguments.num_draws))
        pixels = int(np.prod(self.encoder.input_shape[1:]))
        parts = (self.prototypes.prototypes, self.prototypes.log_stds)
        nll = prototype_nll(self.gather(latents), self.gather(labels), *map(ops.transpose, parts))
        return Outputs(
            {
                "cross_entropy": given.classification_weight * cross_entropy,
                "reconstruction": given.reconstruction_weight
                * self.reconstruction_error(view, latents)
                / pixels,
                "prototype_nll": given.latent_weight * nll,
            },
            features=features,
            logits=log_mean_probabilities(logits),
        )

    def uncertainty(self, images: np.ndarray, batch_size: int = 256) -> dict[str, np.ndarray]:
        """Uncertainty of predictions in nats, split by its source.

        Args:
            images: raw `(n, height, width, channels)`, in [0, 255].
            batch_size: number of images at a time.

        Returns:
            `{"total", "aleatoric", "epistemic"}`, `(n,)` each: the entropy of the mean probabilities; the
            mean entropy of the draws' probabilities, which more data would not remove; and their difference,
            the disagreement of the draws.
        """

        def probabilities(batch: KerasTensor):
            _, latents = self.features_and_latents(self.preprocess(batch), False)
            return ops.softmax(self.logits_of_draws(latents))

        starts = range(0, len(images), batch_size)
        p = np.concatenate([self.call_locally(probabilities, images[i : i + batch_size]) for i in starts])
        total, aleatoric = entropy(p.mean(axis=1)), entropy(p).mean(axis=1)
        return {"total": total, "aleatoric": aleatoric, "epistemic": np.maximum(total - aleatoric, 0)}

    def sampled_pictures(self, count: int = 8, seed: int = 0) -> np.ndarray:
        """Prototypes drawn from each Gaussian, uint8 `(num_classes, count, height, width, channels)`.

        Args:
            count: number of prototypes of each class.
            seed: keys the draws.
        """
        mean, log_std = (
            ops.convert_to_numpy(v).T[:, None] for v in (self.prototypes.prototypes, self.prototypes.log_stds)
        )
        noise = np.random.default_rng(seed).normal(size=(self.num_classes, count, mean.shape[-1]))
        points = (mean + np.exp(log_std) * noise).astype("float32")
        drawn = self.draw(points.reshape(-1, mean.shape[-1]))
        return drawn.reshape(self.num_classes, count, *drawn.shape[1:])


def log_mean_probabilities(logits: KerasTensor) -> KerasTensor:
    """`(batch, num_classes)` of logits `(batch, num_draws, num_classes)`."""
    return ops.logsumexp(ops.log_softmax(logits, axis=-1), axis=1) - float(np.log(logits.shape[1]))


def entropy(p: np.ndarray) -> np.ndarray:
    """The entropy of probabilities along the last axis, in nats."""
    p = p.astype("float64")
    return -np.sum(p * np.log(np.maximum(p, 1e-30)), axis=-1).astype("float32")
