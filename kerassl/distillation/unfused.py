"""UNFUSED: an encoder and branches on its middle layers learn the clusters of another network's features.

"UNFUSED: UNsupervised Finetuning Using SElf supervised Distillation", arXiv 2303.05668.
Official code: Sreyan88/LAPE, `src/upstream/unfused`.

1. Before the first epoch, k-means of a self-supervised network's features, whitened and normalized, gives
   each image a fixed cluster.
2. The encoder's last layer and a branch on each of some middle layers classify images into their clusters;
   the branches also follow the last layer's softmax and logits, and it follows them.

- The paper's encoder takes audio, with mixing and crops of the spectrogram; this class takes images, by
  default with a crop and a flip.
- A branch averages its feature map over locations; the features of the official audio encoder are already
  vectors.
- An image without a sample index is not trained on. In evaluation, an image's cluster is the nearest one.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.backbones.feature_maps import IntermediateFeatures, average_pool, stages_of
from kerassl.clustering import kmeans, pca_whitening
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.heads import mlp
from kerassl.losses import unfused
from kerassl.memory import SampleMemory, rows_of
from kerassl.training import Batch, Common, NonNegativeFloat, Outputs, PositiveInt, Recipe, SSLModel, Unpack


class UNFUSED(SSLModel):
    """UNFUSED (arXiv 2303.05668), on images.

    `fit` takes images in memory, or batches of `{"inputs", "sample_index"}`, and passes over all images
    before the first epoch.

    Args:
        teacher: a trained `SSLModel`, whose embedding and preprocessing are used, or a built `keras.Model`
            from images to features, which are clustered. It is copied and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`, functional or a ViT of
            `kerassl.backbones`; it is trained and exported.
        num_examples: number of training examples.
        num_clusters: number of clusters of the teacher's features; at most `num_examples`.
        layers: names of the student's layers that get a branch, feature maps or tokens; `None` for all stages
            but the last of a ResNet or ViT of `kerassl.backbones`.
        branch_weight: weight of the branches' cross entropies, at least 0.
        divergence_weight: weight of the divergences of the branches' softmaxes from the last layer's, at
            least 0.
        similarity_weight: weight of the distances of their logits' directions, at least 0.
        whitened_dim: maximal number of dimensions of the whitened teacher features that are clustered.
        kmeans_iterations: k-means iterations of the clustering.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into the inputs that the
            teacher was trained on, if that differs from the student's views; an `SSLModel` brings its own.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for more clusters than images, or layers that the student does not have.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.UNFUSED(teacher, student, num_examples=500)
        >>> len(model.branches), tuple(model.centroids.shape)
        (3, (32, 128))
    """

    family, terms, default_views = "distillation", ("unfused",), ("crop_flip", "crop_flip")
    renamed_arguments = {"num_images": "num_examples"}

    needs_sample_index = True
    # Several layers of the encoder are used.
    supports_chunks = False

    # Sreyan88/LAPE, whose 0.03 is for batches of 64.
    recipes = {
        "unfused": Recipe(
            paper={"optimizer": "sgd", "learning_rate": 0.12, "weight_decay": 1e-4, "warmup_epochs": 0},
        )
    }

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        num_examples: PositiveInt,
        num_clusters: PositiveInt = 32,
        layers: tuple[str, ...] | None = None,
        branch_weight: NonNegativeFloat = 0.7,
        divergence_weight: NonNegativeFloat = 0.3,
        similarity_weight: NonNegativeFloat = 0.003,
        whitened_dim: PositiveInt = 128,
        kmeans_iterations: PositiveInt = 20,
        teacher_preprocess: keras.layers.Layer | None = None,
        **common: Unpack[Common],
    ) -> None:
        if not 1 <= num_clusters <= num_examples:
            raise ValueError(
                f"num_clusters={num_clusters} clusters cannot be made of {num_examples} examples."
            )
        super().__init__(student, num_prototypes=num_clusters, **common)
        self.teacher = FrozenTeacher(teacher, teacher_preprocess)
        self.teacher.becomes_argument(self.arguments)
        layers = layers or stages_of(student, "UNFUSED")[:-1]
        self.intermediate = IntermediateFeatures(student, layers, "UNFUSED")
        self.classifier = mlp(self.feature_dim, (), num_clusters, output_bias=True, name="classifier")
        self.branches = [
            mlp(shape[-1], (num_clusters, num_clusters), num_clusters, name=f"branch{i}")
            for i, shape in enumerate(self.intermediate.shapes, start=1)
        ]

        def state(name: str, shape: tuple, initializer: object = "zeros", dtype: str = "float32"):
            return self.add_weight(
                name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False
            )

        dim = self.teacher.dim
        whitened = min(whitened_dim, dim)
        self.mean = state("mean", (dim,))
        self.whitening = state("whitening", (dim, whitened))
        self.centroids = state("centroids", (num_clusters, whitened))
        self.clusters = SampleMemory(self, "clusters", num_examples, start=-1, dtype="int32")

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Clusters the teacher's features of all images, before the first epoch."""
        given = self.arguments
        if (ops.convert_to_numpy(self.clusters.values) >= 0).any():
            return

        def features_of(images: KerasTensor):
            return self.teacher.outputs(self, self.preprocess(images))

        features, indices = self.map_examples(features_of, data, verbose)
        known = (indices >= 0) & (indices < given.num_examples)
        mean, whitening = pca_whitening(features[known], self.whitening.shape[1])
        self.mean.assign(mean)
        self.whitening.assign(whitening)
        rows = (features[known] - mean) @ whitening
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        centroids, found, _ = kmeans(rows, given.num_clusters, given.kmeans_iterations, seed=self.seed)
        clusters = np.full(given.num_examples + 1, -1, "int32")
        clusters[indices[known]] = found
        self.centroids.assign(centroids)
        self.clusters.values.assign(clusters)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy of all layers with pseudo-labels, and agreement of branches and last layer."""
        (view,) = views
        rows = rows_of(batch, self.arguments.num_examples, training, "UNFUSED")
        features, *maps = self.encode_unpooled(self.intermediate, view, training)
        features = average_pool(features)
        logits = self.classifier(features)
        branches = [
            branch(average_pool(each), training=training)
            for branch, each in zip(self.branches, maps, strict=True)
        ]
        clusters = self.clusters.read(rows) if training else self.nearest(view)
        given = self.arguments
        weights = given.branch_weight, given.divergence_weight, given.similarity_weight
        each = unfused(logits, branches, clusters, *weights, reduction="none")
        total = self.mean_over_replicas(ops.sum(each))
        count = self.mean_over_replicas(ops.sum(ops.cast(clusters >= 0, "float32")))
        return Outputs(
            {"unfused": total / ops.maximum(count, 1.0)},
            features=features,
            assignments=clusters,
        )

    def nearest(self, view: KerasTensor) -> KerasTensor:
        """The int32 `(batch,)` clusters whose centers are nearest to the teacher's features of a view."""
        rows = ops.matmul(self.teacher.outputs(self, view) - self.mean, self.whitening)
        rows = rows / ops.maximum(ops.norm(rows, axis=1, keepdims=True), 1e-12)
        centroids = ops.convert_to_tensor(self.centroids)
        scores = ops.matmul(rows, ops.transpose(centroids)) - 0.5 * ops.sum(ops.square(centroids), axis=1)
        return ops.cast(ops.argmax(scores, axis=1), "int32")
