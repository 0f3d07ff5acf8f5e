"""DeepCluster v2: images are classified into clusters of the embeddings of the epoch before.

Introduced in "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", arXiv
2006.09882, section 4 and appendix D, after DeepCluster, arXiv 1807.05520. Official code:
facebookresearch/swav, `main_deepclusterv2.py`.

1. While an epoch trains, each image's embedding in each of the large crops is remembered.
2. Before the next, spherical k-means of the remembered embeddings of one crop gives each head its centres and
   each image a cluster.
3. All crops of an image are classified into its cluster; the centres are the classifier and do not learn.

- Before the first epoch the embeddings are those of the images without views, in eval mode; there those of
  one pass over the views in training mode.
- Every device holds all of the memory, there a part of it.
- An image of unknown position is not trained on. In evaluation an image's cluster is the nearest to its first
  crop.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.clustering import kmeans
from kerassl.heads import mlp
from kerassl.heads.prototypes import unit
from kerassl.losses import deepcluster_v2
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class DeepClusterV2(SSLModel):
    """DeepCluster v2 (arXiv 2006.09882, appendix D).

    `fit` takes images in memory, or batches of `{"images", "positions"}`, and passes over all images before
    the first epoch.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of
            all crops.
        views: `"default"` (`swav_cifar` up to 64 pixels, else `swav`), a recipe's name, a
            `kerassl.views.MultiCrop`, or `None` for data that holds the crops, global ones first, and then
            the positions.
        num_classes: number of classes for the online probe; `None` for none.
        num_images: size of the training set.
        num_prototypes: clusters of each head; at most `num_images`.
        num_heads: clusterings, each from other starts.
        temperature: divides the cosines; > 0.
        kmeans_iterations: of each clustering.
        num_global_crops: how many of the views are remembered; head h is clustered on crop h modulo that.
        hidden_dims: widths of the head's hidden layers.
        projection_dim: width of the embedding.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0, more clusters than images, or no heads.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.DeepClusterV2(encoder, num_images=500, num_prototypes=20)
        >>> tuple(model.centroids.shape), tuple(model.clusters.shape)
        ((3, 128, 20), (3, 501))
    """

    takes_positions = True
    # Each batch is remembered as it comes.
    accumulates = False

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_images: int,
        num_prototypes: int = 3000,
        num_heads: int = 3,
        temperature: float = 0.1,
        kmeans_iterations: int = 10,
        num_global_crops: int = 2,
        hidden_dims: tuple[int, ...] = (2048,),
        projection_dim: int = 128,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the paper uses 0.1.")
        if not 1 <= num_prototypes <= num_images:
            raise ValueError(
                f"num_prototypes={num_prototypes} clusters cannot be made of num_images={num_images} images."
            )
        if num_heads < 1:
            raise ValueError(f"num_heads must be at least 1, got {num_heads}.")
        super().__init__(
            encoder,
            views=views,
            default_views=("swav_cifar", "swav"),
            terms=("deepcluster_v2",),
            num_classes=num_classes,
            num_prototypes=num_prototypes * num_heads,
            seed=seed,
            name=name,
        )
        self.options = {
            "num_images": num_images,
            "num_prototypes": num_prototypes,
            "num_heads": num_heads,
            "temperature": temperature,
            "kmeans_iterations": kmeans_iterations,
            "num_global_crops": num_global_crops,
            "hidden_dims": tuple(hidden_dims),
            "projection_dim": projection_dim,
        }
        self.projector = mlp(
            self.feature_dim,
            tuple(hidden_dims),
            projection_dim,
            hidden_bias=True,
            output_bias=True,
            name="projector",
        )

        def state(name: str, shape: tuple, initializer: object = "zeros", dtype: str = "float32"):
            return self.add_weight(
                name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False
            )

        self.centroids = state("centroids", (num_heads, projection_dim, num_prototypes))
        unknown = keras.initializers.Constant(-1)
        # The last row is that of images of unknown position.
        self.clusters = state("clusters", (num_heads, num_images + 1), unknown, "int32")
        self.memory = state("memory", (num_images + 1, num_global_crops, projection_dim))

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Clusters what is remembered: of the epoch before, or of the untrained network at first."""
        options, memory = self.options, ops.convert_to_numpy(self.memory)
        if not memory.any():
            z, positions = self.project(data, self.encoder, self.projector, verbose)
            known = (positions >= 0) & (positions < options["num_images"])
            z = z[known] / np.linalg.norm(z[known], axis=1, keepdims=True)
            memory = np.zeros(self.memory.shape, "float32")
            memory[positions[known]] = z[:, None]
            self.memory.assign(memory)
        step = int(ops.convert_to_numpy(self.step))
        centroids = np.zeros(self.centroids.shape, "float32")
        clusters = np.full(self.clusters.shape, -1, "int32")
        for head in range(options["num_heads"]):
            of_crop = memory[:, head % options["num_global_crops"]]
            seen = np.flatnonzero(of_crop.any(axis=1))
            centres, clusters[head, seen], _ = kmeans(
                of_crop[seen],
                options["num_prototypes"],
                options["kmeans_iterations"],
                spherical=True,
                seed=(self.seed, step, head),
            )
            centroids[head] = centres.T
        self.centroids.assign(centroids)
        self.clusters.assign(clusters)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Cross entropy of all crops with the cluster of their image, in each head."""
        options = self.options
        crops, rows = self.split_rows(views, options["num_images"], training)
        if len(crops) < options["num_global_crops"]:
            raise ValueError(
                f"DeepClusterV2 remembers {options['num_global_crops']} crops of an image; {len(crops)} came."
            )
        features = self.encode_views(self.encoder, crops, training)
        z = unit(ops.cast(self.projector(features, training=training), "float32"), axis=-1)
        scores = ops.einsum("nd,hdk->hnk", z, ops.convert_to_tensor(self.centroids))
        num_heads, num_prototypes = options["num_heads"], options["num_prototypes"]
        scores = ops.reshape(scores, (num_heads, len(crops), -1, num_prototypes))
        if training:
            clusters = ops.take(self.clusters, rows, axis=1)
        else:
            clusters = ops.cast(ops.argmax(scores[:, 0], axis=-1), "int32")
        each = deepcluster_v2(scores, clusters, options["temperature"], reduction="none")
        count = ops.sum(ops.cast(clusters[0] >= 0, "float32"))
        total, count = self.mean_over_replicas(ops.sum(each)), self.mean_over_replicas(count)
        remembered = ops.split(z, len(crops))[: options["num_global_crops"]]
        offsets = num_prototypes * ops.arange(num_heads, dtype="int32")[:, None]
        return {"deepcluster_v2": total / ops.maximum(count, 1.0)}, {
            "features": ops.split(features, len(crops)),
            "embeddings": ops.stop_gradient(ops.stack(remembered, axis=1)),
            "rows": rows,
            "assignments": ops.where(clusters < 0, -1, clusters + offsets),
        }

    def after_update(self, aux: dict) -> None:
        """Remembers the embeddings of the global batch; the row of unknown images stays as it is."""
        rows, z = self.gather(aux["rows"]), self.gather(aux["embeddings"])
        memory = ops.convert_to_tensor(self.memory)
        known = (rows < self.options["num_images"])[:, None, None]
        self.memory.assign(ops.scatter_update(memory, rows[:, None], ops.where(known, z, memory[-1])))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {**super().get_config(), **self.options}
