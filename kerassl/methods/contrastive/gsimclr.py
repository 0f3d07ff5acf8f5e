"""G-SimCLR: SimCLR in batches of images from different clusters, so that few negatives are alike.

"G-SimCLR: Self-Supervised Contrastive Learning with Guided Projection via Pseudo Labeling", arXiv
2009.12007, section 3. Official code: ariG23498/G-SimCLR, `CIFAR10/Autoencoder.ipynb`,
`CIFAR10/SimCLR_Pseudo_Labels/SimCLR_Pseudo_Labels_Training.ipynb`.

1. A denoising autoencoder is trained on the images.
2. k-means finds clusters of its average-pooled codes, one cluster per image of a batch.
3. SimCLR (`kerassl/methods/contrastive/simclr.py`) is trained in batches of about one image of each cluster.

- Clusters are of unequal size: each is spread evenly over an epoch, in a new random order every epoch. The
  official code has one fixed order, at whose end only the largest clusters are left.
- Views are SimCLR's; the official code does not crop, and its conversion to gray returns its input.
- The head is the official one, 256, 128 and 50 wide, without batch norm.
"""

import os
import pathlib

import numpy as np
from keras import Model, Sequential, callbacks

from kerassl import engine
from kerassl.data import GuidedBatches, ImageDataset, as_dataset, is_array
from kerassl.heads import plain_mlp
from kerassl.methods.contrastive.gsimclr_clusters import cluster_images
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER, SimCLR
from kerassl.training import Annotated, Bound, Common, PositiveFloat, PositiveInt, Recipe, Unpack, resume
from kerassl.training.feed import checked, inputs_and_labels


class GSimCLR(SimCLR):
    """G-SimCLR (arXiv 2009.12007).

    `fit` clusters images in memory before it trains; `guide` does so once for several calls of `fit`.

    Args:
        num_clusters: k of the k-means, at least 2; `None` for as many as a batch has images, as in the paper.
        autoencoder_epochs: passes of the autoencoder over the images, at least 1.
        temperature: divides the cosines; > 0.
        projection_dim: width of the embedding that the loss sees.
        block_size: as in `SimCLR`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> kerassl.methods.GSimCLR(encoder).projector.output_shape
        (None, 50)
    """

    # As in SimCLR.
    recipes = {
        "g_simclr": Recipe(paper=SIMCLR_PAPER, short_arguments={"temperature": 0.2, "autoencoder_epochs": 5})
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_clusters: Annotated[int, Bound(2)] | None = None,
        autoencoder_epochs: PositiveInt = 100,
        temperature: PositiveFloat = 0.1,
        projection_dim: PositiveInt = 50,
        block_size: PositiveInt | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            encoder, temperature=temperature, projection_dim=projection_dim, block_size=block_size, **common
        )

    def make_projector(self) -> Sequential:
        """Projection head of three layers."""
        return plain_mlp(self.feature_dim, (256, 128), self.arguments.projection_dim)

    def fit(
        self, x: object = None, y: object = None, *, batch_size: int | None = None, **kwargs
    ) -> callbacks.History:
        """Trains as `SSLModel.fit` does, after clustering images that are not guided yet.

        With a `kerassl.callbacks.Checkpoint` among the callbacks, the clusters are kept in its folder for the
        resumed run.

        Args:
            x: images in memory: an array, a `kerassl.data.ImageDataset` or `GuidedBatches`; ready views if
                the model was made with `views=None`.
            y: labels, as in `SSLModel.fit`.
            batch_size: images per step if `x` is an array (32 by default).
            **kwargs: the other arguments of `SSLModel.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            ValueError: for data that is not in memory, for several processes without guided batches, and as
                `SSLModel.fit` and `guide`.
            ImportError: if scikit-learn is missing.
        """
        if self.views is not None and not isinstance(x, GuidedBatches):
            x, y = inputs_and_labels(self, x, y)
            x = checked(self, x, y, batch_size)
            if is_array(x):
                x, kwargs = as_dataset(x, y, batch_size or 32, self.seed, kwargs, ImageDataset)
            if not isinstance(x, ImageDataset):
                raise ValueError(
                    f"GSimCLR clusters all images before it trains, so it needs them in memory, not a "
                    f"{type(x).__name__}: pass an array or a kerassl.data.ImageDataset."
                )
            if engine.process_index_and_count()[1] > 1:
                raise ValueError(
                    "Each of several processes would cluster the images separately. Call guide(dataset, "
                    "file) in one process beforehand, then pass the result of guide(dataset, file) to fit "
                    "in each."
                )
            _, checkpoint = resume.split_callbacks(kwargs.get("callbacks"))
            file = checkpoint and checkpoint.folder / "clusters.npy"
            x, y, batch_size = self.guide(x, file, kwargs.get("verbose", "auto")), None, None
        return super().fit(x, y, batch_size=batch_size, **kwargs)

    def guide(
        self, dataset: ImageDataset, file: str | os.PathLike | None = None, verbose: str | int = "auto"
    ) -> GuidedBatches:
        """Guided batches of images: trains the autoencoder and clusters its codes.

        Args:
            dataset: images in memory; labels are not used.
            file: `.npy` file of the clusters: written after the clustering, and read instead of clustering
                again if it exists, so that a resumed run repeats itself.
            verbose: as in `fit`, for the autoencoder.

        Returns:
            The same images, labels and batch size in the order of `kerassl.data.GuidedBatches`.

        Raises:
            ValueError: for more clusters than images, or a file of other images.
            ImportError: if scikit-learn is missing.
        """
        file = None if file is None else pathlib.Path(file)
        if file is not None and file.exists():
            clusters = np.load(file)
            if len(clusters) != dataset.num_examples:
                raise ValueError(
                    f"{file} holds the clusters of {len(clusters)} images; got {dataset.num_examples}. "
                    "Pass the same images, or another file."
                )
        else:
            num_clusters = self.arguments.num_clusters or min(dataset.batch_size, dataset.num_examples)
            clusters = cluster_images(
                dataset, num_clusters, self.arguments.autoencoder_epochs, self.seed, verbose
            )
            if file is not None and engine.is_chief():
                file.parent.mkdir(parents=True, exist_ok=True)
                # Renamed when complete, so that a kill leaves no partial file.
                partial = file.with_suffix(".partial")
                with partial.open("wb") as stream:
                    np.save(stream, clusters)
                partial.replace(file)
        return GuidedBatches(
            dataset.images,
            clusters,
            dataset.labels,
            dataset.batch_size,
            seed=self.seed,
            drop_remainder=dataset.drop_remainder,
        )
