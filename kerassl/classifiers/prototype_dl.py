"""PrototypeDL: distances to prototypes in the latent space of an autoencoder, which can draw them.

"Deep Learning for Case-Based Reasoning through Prototypes: A Neural Network that Explains Its Predictions",
arXiv 1710.04806, section 3. Official code: OscarcarLi/PrototypeDL, `CAE_MNIST.py`.

- Any encoder works: a linear layer and a sigmoid map its output to the latent vector, from all cells of a
  feature map (`pool=None`, which draws better) or from pooled features. In the official code the last
  convolution does so, also with a sigmoid.
- The decoder repeats pixels and convolves; the official one has transposed convolutions of stride 2.
- The decoder ends in a linear map; the official one ends in a sigmoid, which keeps pixels in [0, 1].
- The squared error of the reconstruction is summed over the pixels of an image in [0, 1], as in the official
  code.
- R1 covers the global batch. Reconstruction, R1 and R2 also use images without a label.
- Images are not augmented by default; the official code deforms its digits elastically.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.backbones.feature_maps import average_pool
from kerassl.classifiers.prototype_classifier import PrototypeClassifier
from kerassl.heads import PrototypeDistances, image_decoder
from kerassl.losses import nearest_image, nearest_prototype
from kerassl.training import Batch, Common, NonNegativeFloat, Outputs, PositiveInt, Recipe, Unpack


class PrototypeDL(PrototypeClassifier):
    """PrototypeDL (arXiv 1710.04806).

    The class of a prototype is the one whose logit falls fastest with the distance from it.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` or to a feature map.
        num_prototypes: number of prototypes.
        latent_dim: width of the latent space.
        decoder_width: channels in the decoder.
        classification_weight: weight of the cross entropy.
        reconstruction_weight: weight of the squared error of the autoencoder.
        prototype_weight: weight of R1, the distance of each prototype to the nearest image.
        latent_weight: weight of R2, the distance of each image to the nearest prototype.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for an encoder whose output has no known shape, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4, pool=None)
        >>> model = kerassl.classifiers.PrototypeDL(encoder, num_classes=10)
        >>> model.pictures().shape
        (15, 32, 32, 3)
    """

    terms = ("cross_entropy", "reconstruction", "nearest_image", "nearest_prototype")
    default_views = ("unaugmented", "unaugmented")
    # arXiv 1710.04806; OscarcarLi/PrototypeDL, with Adam.
    recipes = {
        "prototype_dl": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.0, "warmup_epochs": 0},
            # The decoder draws better from a feature map.
            backbone_args={"pool": None},
            digits_views="default",
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        num_prototypes: PositiveInt = 15,
        latent_dim: PositiveInt = 40,
        decoder_width: PositiveInt = 32,
        classification_weight: NonNegativeFloat = 20.0,
        reconstruction_weight: NonNegativeFloat = 1.0,
        prototype_weight: NonNegativeFloat = 1.0,
        latent_weight: NonNegativeFloat = 1.0,
        **common: Unpack[Common],
    ) -> None:
        if None in encoder.output_shape[1:]:
            raise ValueError(
                f"{type(self).__name__} needs an encoder of known output shape, got {encoder.output_shape}: "
                "give its input a fixed size."
            )
        super().__init__(encoder, **common)
        with keras.name_scope("latent"):
            parts = [
                keras.Input(encoder.output_shape[1:]),
                keras.layers.Flatten(),
                keras.layers.Dense(latent_dim, activation="sigmoid"),
            ]
            self.to_latent = keras.Sequential(parts, name="latent")
        self.prototypes = self.make_prototypes()
        self.decoder = image_decoder(latent_dim, encoder.input_shape[1:], decoder_width)

    def make_prototypes(self) -> keras.layers.Layer:
        """The layer that computes the distances of latents to prototypes."""
        return PrototypeDistances(self.arguments.latent_dim, self.arguments.num_prototypes)

    def make_classifier(self) -> keras.layers.Dense:
        """A linear layer without bias from distances to logits, its weights uniform in [0, 1] at first."""
        initializer = keras.initializers.RandomUniform(0.0, 1.0)
        layer = keras.layers.Dense(
            self.num_classes, use_bias=False, kernel_initializer=initializer, name="classifier"
        )
        layer.build((None, self.arguments.num_prototypes))
        return layer

    @property
    def prototype_classes(self) -> np.ndarray:
        """The class whose logit falls fastest with the distance from a prototype."""
        return ops.convert_to_numpy(self.classifier.kernel).argmin(axis=1)

    def features_and_latents(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)` and latents `(batch, latent_dim)` of normalized images."""
        encoded = self.encode_unpooled(self.encoder, images, training)
        return average_pool(encoded), self.to_latent(encoded)

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)` and float32 logits `(batch, num_classes)` of normalized images."""
        features, latents = self.features_and_latents(images, training)
        return features, ops.cast(self.classifier(self.prototypes(latents)), "float32")

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """Minus the squared distances to the prototypes."""
        _, latents = self.features_and_latents(images, False)
        return -self.prototypes(latents)[:, None, None]

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy, reconstruction, R1 and R2."""
        (view,) = views
        given = self.arguments
        features, latents = self.features_and_latents(view, training)
        distances = self.prototypes(latents)
        logits = ops.cast(self.classifier(distances), "float32")
        everywhere = self.gather(distances)
        return Outputs(
            {
                "cross_entropy": given.classification_weight * self.cross_entropy(logits, batch.labels),
                "reconstruction": given.reconstruction_weight * self.reconstruction_error(view, latents),
                "nearest_image": given.prototype_weight * nearest_image(everywhere),
                "nearest_prototype": given.latent_weight * nearest_prototype(everywhere),
            },
            features=features,
            logits=logits,
        )

    def reconstruction_error(self, view: KerasTensor, latents: KerasTensor) -> KerasTensor:
        """The squared error of an image in [0, 1], summed over its pixels; the mean over the global batch."""
        difference = self.in_unit_range(self.decoder(latents)) - self.in_unit_range(view)
        return self.mean_over_replicas(ops.mean(ops.sum(ops.square(difference), axis=(1, 2, 3))))

    def in_unit_range(self, normalized: KerasTensor) -> KerasTensor:
        """The images in [0, 1] before normalization; ready views are returned unchanged."""
        if self.views is None:
            return ops.cast(normalized, "float32")
        return self.views.preprocess.normalize.invert(normalized)

    def finalize_prototypes(self, data: object, labels: np.ndarray | None = None) -> None:
        """Does nothing: the prototypes draw themselves."""

    def pictures(self) -> np.ndarray:
        """The prototypes as the decoder draws them, uint8 `(num_prototypes, height, width, channels)`."""
        return self.draw(ops.convert_to_numpy(self.prototypes.prototypes).T)

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """Latents as uint8 images; without views stretched from their darkest to their brightest pixel.

        Args:
            latents: `(number, latent_dim)`.
        """
        made = self.call_locally(lambda z: self.in_unit_range(self.decoder(z, training=False)), latents)
        if self.views is None:
            made = (made - made.min()) / max(np.ptp(made), 1e-12)
        return np.clip(255 * made, 0, 255).round().astype("uint8")
