"""Clusters of images without labels: a denoising autoencoder and k-means of its codes, as in G-SimCLR."""

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from kerassl.data import ImageDataset
from kerassl.engine import batch_norm


def cluster_images(
    dataset: ImageDataset, num_clusters: int, epochs: int = 100, seed: int = 0, verbose: str | int = "auto"
) -> np.ndarray:
    """Clusters images by the codes of a denoising autoencoder that is trained on them.

    Source: G-SimCLR, arXiv 2009.12007, section 3; ariG23498/G-SimCLR, `CIFAR10/Autoencoder.ipynb`: mean
    squared error, Adam at 1e-3, k-means of the average-pooled codes.

    Args:
        dataset: images in memory; labels are not used. Its batch size is the autoencoder's.
        num_clusters: k of the k-means.
        epochs: passes of the autoencoder over the images.
        seed: non-negative integer that keys the autoencoder's weights, noise and batches, and k-means.
        verbose: as in `keras.Model.fit`.

    Returns:
        int32 `(num_examples,)`, the cluster of each image in the order of `dataset.images`.

    Raises:
        ValueError: for more clusters than images.
        ImportError: if scikit-learn is missing.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise ImportError('cluster_images needs scikit-learn: pip install "kerassl[data]"') from error
    images = dataset.images
    if num_clusters > len(images):
        raise ValueError(
            f"{len(images)} images cannot make {num_clusters} clusters; pass num_clusters={len(images)} or "
            "less."
        )
    size = min(dataset.batch_size, len(images))
    batches = ImageDataset(images, None, size, shuffle=True, seed=seed, drop_remainder=True)
    autoencoder, encoder = denoising_autoencoder(images.shape[1:], seed=seed)
    autoencoder.compile(keras.optimizers.Adam(1e-3), loss=_reconstruction_error)
    autoencoder.fit(_Pairs(batches), epochs=epochs, shuffle=False, verbose=verbose)
    # Batches of one size, the last one filled with the first images.
    wrapped = [images[np.arange(i, i + size) % len(images)] for i in range(0, len(images), size)]
    codes = np.concatenate([encoder.predict_on_batch(batch) for batch in wrapped])[: len(images)]
    means = KMeans(num_clusters, n_init=1, random_state=seed).fit(codes.astype("float32"))
    return means.labels_.astype("int32")


def denoising_autoencoder(
    image_shape: tuple[int, int, int], noise: float = 0.01, seed: int = 0
) -> tuple[keras.Model, keras.Model]:
    """A denoising autoencoder of images, and its encoder.

    Three convolutions with batch norm, 32, 64 and 128 channels wide, each followed by a pooling that halves
    the image while its sides are even; the decoder mirrors them.

    Args:
        image_shape: (height, width, channels).
        noise: standard deviation of the noise, for pixels in [0, 1].
        seed: integer that keys the weights and the noise.

    Returns:
        A model from images in [0, 255] to images in [0, 1], and one to their average-pooled codes
        `(batch, 128)`, which shares its layers.

    Example:
        >>> from kerassl.methods.contrastive.gsimclr_clusters import denoising_autoencoder
        >>> autoencoder, encoder = denoising_autoencoder((28, 28, 1))
        >>> autoencoder.output_shape, encoder.output_shape
        ((None, 28, 28, 1), (None, 128))
    """
    seeds = iter(range(seed, seed + 9))

    def convolve(x: KerasTensor, channels: int, activation: str | None = None):
        initializer = keras.initializers.GlorotUniform(next(seeds))
        convolution = layers.Conv2D(
            channels,
            3,
            padding="same",
            data_format="channels_last",
            activation=activation,
            kernel_initializer=initializer,
        )
        return convolution(x)

    def block(x: KerasTensor, channels: int):
        return layers.ReLU()(batch_norm()(convolve(x, channels)))

    images = keras.Input(tuple(image_shape))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.GaussianNoise(noise, seed=next(seeds))(x)
    steps = []
    for channels in (32, 64, 128):
        x = block(x, channels)
        steps.append(2 if x.shape[1] % 2 == x.shape[2] % 2 == 0 else 1)
        x = layers.MaxPooling2D(steps[-1], data_format="channels_last")(x)
    codes = layers.GlobalAveragePooling2D(data_format="channels_last")(x)
    for channels, step in zip((128, 64, 32), reversed(steps), strict=True):
        x = block(layers.UpSampling2D(step, data_format="channels_last")(x), channels)
    made = convolve(x, image_shape[-1], "sigmoid")
    return keras.Model(images, made, name="autoencoder"), keras.Model(images, codes, name="autoencoder_codes")


class _Pairs(keras.utils.PyDataset):
    """Batches of images that are their own targets."""

    def __init__(self, dataset: ImageDataset) -> None:
        super().__init__()
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        (images,) = self.dataset[index]
        return images, images

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()


def _reconstruction_error(images: KerasTensor, made: KerasTensor):
    return ops.mean(ops.square(ops.cast(images, "float32") / 255 - ops.cast(made, "float32")))
