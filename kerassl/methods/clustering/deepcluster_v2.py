"""DeepCluster v2: classify images into clusters of the previous epoch's embeddings.

Introduced in "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", arXiv
2006.09882, section 4 and appendix D, after DeepCluster, arXiv 1807.05520. Official code:
facebookresearch/swav, `main_deepclusterv2.py`.

1. During an epoch, the embeddings of each image's large crops are remembered.
2. Before the next epoch, spherical k-means of one crop's remembered embeddings gives each head its centers
   and each image a cluster.
3. All crops of an image are classified into its cluster; the centers are the classifier and are not trained.

- Before the first epoch, the embeddings come from un-augmented images in eval mode; the official code takes
  one pass over the views in training mode.
- Each device holds the full memory; the official code shards it.
- An image without a sample index is not trained on. In evaluation, an image's cluster is the one nearest to
  its first crop.
"""

import numpy as np
from keras import Model, initializers, ops

from kerassl.arguments import check_at_most
from kerassl.clustering import kmeans
from kerassl.heads import mlp
from kerassl.heads.prototypes import unit
from kerassl.losses import deepcluster_v2
from kerassl.memory import SampleMemory, rows_of
from kerassl.methods.clustering.swav import SWAV_PAPER
from kerassl.training import Batch, Common, Outputs, PositiveFloat, PositiveInt, Recipe, SSLModel, Unpack


class DeepClusterV2(SSLModel):
    """DeepCluster v2 (arXiv 2006.09882, appendix D).

    `fit` takes images in memory, or batches of `{"inputs", "sample_index"}`, and passes over all images
    before the first epoch.

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)` that accepts the sizes of
            all crops.
        num_examples: number of training examples.
        num_prototypes: number of clusters of each head; at most `num_examples`.
        num_heads: number of clusterings, each from a different start.
        temperature: divides the cosines; > 0.
        kmeans_iterations: k-means iterations of each clustering.
        num_global_crops: number of views that are remembered; head h is clustered on crop `h %
            num_global_crops`.
        hidden_dims: widths of the head's hidden layers.
        projection_dim: width of the embedding.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for more clusters than images.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.DeepClusterV2(encoder, num_examples=500, num_prototypes=20)
        >>> tuple(model.centroids.shape), tuple(model.clusters.shape)
        ((3, 128, 20), (3, 501))
    """

    family, terms, default_views = "clustering", ("deepcluster_v2",), ("swav_cifar", "swav")
    renamed_arguments = {"num_images": "num_examples"}

    needs_sample_index = True
    # Each batch is remembered as it comes.
    supports_gradient_accumulation = False

    # As in SwAV.
    recipes = {
        "deepcluster_v2": Recipe(
            paper=SWAV_PAPER, short_arguments={"num_prototypes": 100, "hidden_dims": (512,)}
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_examples: PositiveInt,
        num_prototypes: PositiveInt = 3000,
        num_heads: PositiveInt = 3,
        temperature: PositiveFloat = 0.1,
        kmeans_iterations: PositiveInt = 10,
        num_global_crops: PositiveInt = 2,
        hidden_dims: tuple[PositiveInt, ...] = (2048,),
        projection_dim: PositiveInt = 128,
        **common: Unpack[Common],
    ) -> None:
        check_at_most(num_examples=num_examples, num_prototypes=num_prototypes)
        super().__init__(encoder, num_prototypes=num_prototypes * num_heads, **common)
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
        unknown = initializers.Constant(-1)
        # The last column belongs to images of unknown index.
        self.clusters = state("clusters", (num_heads, num_examples + 1), unknown, "int32")
        self.memory = SampleMemory(self, "memory", num_examples, (num_global_crops, projection_dim))

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Clusters the remembered embeddings: the previous epoch's or, at first, the untrained network's."""
        given, memory = self.arguments, ops.convert_to_numpy(self.memory.values)
        if not memory.any():
            z, indices = self.project(data, self.encoder, self.projector, verbose)
            known = (indices >= 0) & (indices < given.num_examples)
            z = z[known] / np.linalg.norm(z[known], axis=1, keepdims=True)
            memory = np.zeros(memory.shape, "float32")
            memory[indices[known]] = z[:, None]
            self.memory.values.assign(memory)
        step = int(ops.convert_to_numpy(self.clock.step))
        centroids = np.zeros(self.centroids.shape, "float32")
        clusters = np.full(self.clusters.shape, -1, "int32")
        for head in range(given.num_heads):
            of_crop = memory[:, head % given.num_global_crops]
            seen = np.flatnonzero(of_crop.any(axis=1))
            centers, clusters[head, seen], _ = kmeans(
                of_crop[seen],
                given.num_prototypes,
                given.kmeans_iterations,
                spherical=True,
                seed=(self.seed, step, head),
            )
            centroids[head] = centers.T
        self.centroids.assign(centroids)
        self.clusters.assign(clusters)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy of all crops with the cluster of their image, in each head."""
        given = self.arguments
        rows = rows_of(batch, given.num_examples, training, "DeepClusterV2")
        if len(views) < given.num_global_crops:
            raise ValueError(
                f"DeepClusterV2 remembers num_global_crops={given.num_global_crops} crops of an image; got "
                f"{len(views)}."
            )
        features = self.encode_views(self.encoder, views, training)
        z = unit(ops.cast(self.projector(features, training=training), "float32"), axis=-1)
        scores = ops.einsum("nd,hdk->hnk", z, ops.convert_to_tensor(self.centroids))
        num_heads, num_prototypes = given.num_heads, given.num_prototypes
        scores = ops.reshape(scores, (num_heads, len(views), -1, num_prototypes))
        if training:
            clusters = ops.take(self.clusters, rows, axis=1)
        else:
            clusters = ops.cast(ops.argmax(scores[:, 0], axis=-1), "int32")
        each = deepcluster_v2(scores, clusters, given.temperature, reduction="none")
        count = ops.sum(ops.cast(clusters[0] >= 0, "float32"))
        total, count = self.mean_over_replicas(ops.sum(each)), self.mean_over_replicas(count)
        remembered = ops.split(z, len(views))[: given.num_global_crops]
        offsets = num_prototypes * ops.arange(num_heads, dtype="int32")[:, None]
        return Outputs(
            {"deepcluster_v2": total / ops.maximum(count, 1.0)},
            features=ops.split(features, len(views)),
            assignments=ops.where(clusters < 0, -1, clusters + offsets),
            state={"embeddings": ops.stop_gradient(ops.stack(remembered, axis=1)), "rows": rows},
        )

    def after_update(self, state: dict) -> None:
        """Remembers the embeddings of the global batch; the row of unknown images is unchanged."""
        self.memory.write(self.gather(state["rows"]), self.gather(state["embeddings"]))
