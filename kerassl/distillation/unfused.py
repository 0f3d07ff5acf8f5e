"""UNFUSED: an encoder and branches on its middle layers learn the clusters of another network's features.

"UNFUSED: UNsupervised Finetuning Using SElf supervised Distillation", arXiv 2303.05668.
Official code: Sreyan88/LAPE, `src/upstream/unfused`.

1. Before the first epoch, k-means of a self-supervised network's features, whitened and brought to length
   one, gives each image a cluster for good.
2. The encoder's last layer and a branch on each of some middle layers classify images into their clusters;
   the branches also follow the last layer's softmax and logits, and it follows them.

- The paper's encoder hears audio, with mixing and crops of the spectrogram; ours sees images, by default with
  a crop and a flip.
- A branch averages its feature map over places; there the features of the audio encoder are vectors already.
- An image of unknown position is not trained on. In evaluation an image's cluster is the nearest.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.clustering import kmeans, pca_whitening
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.backbones.feature_maps import IntermediateFeatures, average_pool, mean_of_places, stages_of
from kerassl.heads import mlp
from kerassl.losses import unfused
from kerassl.training.model import SSLModel


@keras.saving.register_keras_serializable("kerassl")
class UNFUSED(SSLModel):
    """UNFUSED (arXiv 2303.05668), on images.

    `fit` takes images in memory, or batches of `{"images", "positions"}`, and passes over all images before
    the first epoch.

    Args:
        teacher: a trained `SSLModel`, whose embedding and preprocessing are used, or a built `keras.Model`
            from images to features, which are clustered. It is copied and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`, functional or a ViT of
            `kerassl.backbones`: what is trained and exported.
        views: `"default"` (random crop and flip), a recipe's name, a one-view layer, or `None` for data
            that holds one ready view and the positions, as `((view, positions), labels)`.
        num_classes: number of classes for the online probe; `None` for none.
        num_images: size of the training set.
        num_clusters: clusters of the teacher's features; at most `num_images`.
        layers: names of the student's layers that get a branch, feature maps or tokens; `None` for the stages
            but the last of a ResNet or ViT of `kerassl.backbones`.
        branch_weight: of the branches' cross entropies, at least 0.
        divergence_weight: of the divergences of the branches' softmaxes from the last layer's, at least 0.
        similarity_weight: of the distances of their logits' directions, at least 0.
        whitened_dim: directions of the teacher's features that are whitened and clustered, at most.
        kmeans_iterations: of the clustering.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into what the teacher was
            trained on, if that differs from the student's views; that of an `SSLModel` need not be given.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a negative weight, more clusters than images, or layers that are not there.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.UNFUSED(teacher, student, num_images=500)
        >>> len(model.branches), tuple(model.centroids.shape)
        (3, (32, 64))
    """

    takes_positions = True
    # Several layers of the encoder are looked at.
    encodes_in_chunks = False

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_images: int,
        num_clusters: int = 32,
        layers: tuple[str, ...] | None = None,
        branch_weight: float = 0.7,
        divergence_weight: float = 0.3,
        similarity_weight: float = 0.003,
        whitened_dim: int = 128,
        kmeans_iterations: int = 20,
        teacher_preprocess: keras.layers.Layer | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if min(branch_weight, divergence_weight, similarity_weight) < 0:
            raise ValueError(
                f"Weights must be at least 0; got {branch_weight}, {divergence_weight}, {similarity_weight}."
            )
        if not 1 <= num_clusters <= num_images:
            raise ValueError(
                f"num_clusters={num_clusters} clusters cannot be made of num_images={num_images} images."
            )
        super().__init__(
            student,
            views=views,
            default_views=("crop_flip", "crop_flip"),
            terms=("unfused",),
            num_classes=num_classes,
            num_prototypes=num_clusters,
            seed=seed,
            name=name,
        )
        self.options = {
            "num_images": num_images,
            "num_clusters": num_clusters,
            "layers": layers and tuple(layers),
            "branch_weight": branch_weight,
            "divergence_weight": divergence_weight,
            "similarity_weight": similarity_weight,
            "whitened_dim": whitened_dim,
            "kmeans_iterations": kmeans_iterations,
        }
        self.teacher = FrozenTeacher(teacher, teacher_preprocess)
        layers = self.options["layers"] or stages_of(student, "UNFUSED")[:-1]
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
        # The last entry is that of images of unknown position.
        self.clusters = state("clusters", (num_images + 1,), keras.initializers.Constant(-1), "int32")

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Clusters the teacher's features of all images, before the first epoch."""
        options = self.options
        if (ops.convert_to_numpy(self.clusters) >= 0).any():
            return

        def features_of(images: KerasTensor):
            images = images if self.views is None else self.views.preprocess(images)
            return self.teacher.outputs(self, images)

        features, positions = self.map_images(features_of, data, verbose)
        known = (positions >= 0) & (positions < options["num_images"])
        mean, whitening = pca_whitening(features[known], self.whitening.shape[1])
        self.mean.assign(mean)
        self.whitening.assign(whitening)
        rows = (features[known] - mean) @ whitening
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        centroids, found, _ = kmeans(
            rows, options["num_clusters"], options["kmeans_iterations"], seed=self.seed
        )
        clusters = np.full(options["num_images"] + 1, -1, "int32")
        clusters[positions[known]] = found
        self.centroids.assign(centroids)
        self.clusters.assign(clusters)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Pseudo-labels for all layers, and the agreement of the branches with the last."""
        (view,), rows = self.split_rows(views, self.options["num_images"], training)
        features, *maps = self.encode_unpooled(self.intermediate, view, training)
        features = average_pool(features)
        logits = self.classifier(features)
        branches = [
            branch(mean_of_places(each), training=training)
            for branch, each in zip(self.branches, maps, strict=True)
        ]
        clusters = ops.take(self.clusters, rows) if training else self.nearest(view)
        weights = [self.options[f"{name}_weight"] for name in ("branch", "divergence", "similarity")]
        each = unfused(logits, branches, clusters, *weights, reduction="none")
        total = self.mean_over_replicas(ops.sum(each))
        count = self.mean_over_replicas(ops.sum(ops.cast(clusters >= 0, "float32")))
        return {"unfused": total / ops.maximum(count, 1.0)}, {"features": features, "assignments": clusters}

    def nearest(self, view: KerasTensor) -> KerasTensor:
        """The int32 `(batch,)` clusters whose centres are nearest to the teacher's features of a view."""
        rows = ops.matmul(self.teacher.outputs(self, view) - self.mean, self.whitening)
        rows = rows / ops.maximum(ops.norm(rows, axis=1, keepdims=True), 1e-12)
        centroids = ops.convert_to_tensor(self.centroids)
        scores = ops.matmul(rows, ops.transpose(centroids)) - 0.5 * ops.sum(ops.square(centroids), axis=1)
        return ops.cast(ops.argmax(scores, axis=1), "int32")

    def get_config(self) -> dict:
        """The constructor's arguments; the teacher's weights are in the weights file."""
        config, teacher = super().get_config(), self.teacher.get_config()
        config["student"] = config.pop("encoder")
        parts = {"teacher": teacher["network"], "teacher_preprocess": teacher["preprocess"]}
        return {**config, **parts, **self.options}
