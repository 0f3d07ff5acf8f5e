"""PCL: MoCo v2 plus a contrast with cluster prototypes, in clusterings of several sizes.

"Prototypical Contrastive Learning of Unsupervised Representations", arXiv 2005.04966, equations 11 and 12.
Official code: salesforce/PCL, `main_pcl.py`, `pcl/builder.py`.

1. Before an epoch, once `warmup_epochs` are over, k-means of the teacher's projections of all images gives
   several clusterings, each with a density for every cluster.
2. The loss is InfoNCE (`kerassl/methods/contrastive/moco_v2.py`) and the mean over clusterings of the cross
entropy
   of a query's own prototype among those of the batch and of negatives drawn for the step, every one
   divided by its density.

- As in the official code, two images of a batch in one cluster put its prototype into two columns.
- The columns come from the global batch; in the official code from one device.
- If there are fewer other prototypes than negatives asked for, all are taken; the official code fails.
"""

import numpy as np
from keras import KerasTensor, Model, initializers, ops, random

from kerassl.arguments import NonNegativeInt, PositiveInt, check_at_most
from kerassl.clustering import cluster_densities, kmeans
from kerassl.losses import proto_nce
from kerassl.memory import SampleMemory, rows_of
from kerassl.methods.contrastive.moco_v2 import MOCO_PAPER, SHORT_MOCO, MoCoV2
from kerassl.metrics import PrototypeUsage
from kerassl.training import Batch, Outputs, Recipe


class PCL(MoCoV2):
    """PCL (arXiv 2005.04966).

    `fit` takes images in memory, or batches of `{"inputs", "sample_index"}`, and passes over all images
    before each epoch after the warm-up.

    Args:
        num_examples: number of training examples.
        num_prototypes: number of clusters of each clustering, each at most `num_examples`.
        num_negative_prototypes: maximal number of prototypes drawn as negatives in each step, r in the paper.
        warmup_epochs: number of first epochs with InfoNCE alone.
        kmeans_iterations: k-means iterations of each clustering.
        kmeans_restarts: number of starts of each clustering; the best one is kept.
        temperature: as in `MoCoV2`; also the mean of the densities; > 0.
        momentum: as in `MoCoV2`.
        queue_size: as in `MoCoV2`.
        projection_dim: as in `MoCoV2`.
        symmetric: as in `MoCoV2`.
        hard_fraction: as in `MoCoV2`.
        **kwargs: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for more clusters than images, and as `MoCoV2`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.PCL(encoder, num_examples=500, num_prototypes=(20, 50), queue_size=256)
        >>> [tuple(centroids.shape) for centroids in model.centroids]
        [(20, 128), (50, 128)]
    """

    family = "clustering"
    renamed_arguments = {"num_images": "num_examples"}
    needs_sample_index = True
    terms, default_arguments = ("info_nce", "proto_nce"), {"queue_size": 16_384}

    # As in MoCo v2.
    recipes = {
        "pcl": Recipe(
            paper=MOCO_PAPER,
            short_arguments={
                **SHORT_MOCO,
                "num_prototypes": (50, 100, 200),
                "num_negative_prototypes": 200,
                "warmup_epochs": 4,
                "kmeans_restarts": 1,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_examples: PositiveInt,
        num_prototypes: tuple[PositiveInt, ...] = (25_000, 50_000, 100_000),
        num_negative_prototypes: PositiveInt = 16_384,
        warmup_epochs: NonNegativeInt = 20,
        kmeans_iterations: PositiveInt = 20,
        kmeans_restarts: PositiveInt = 5,
        **kwargs,
    ) -> None:
        num_prototypes = tuple(num_prototypes)
        if not num_prototypes:
            raise ValueError("num_prototypes must be one number of prototypes or more, got ().")
        check_at_most(num_examples=num_examples, num_prototypes=num_prototypes)
        super().__init__(encoder, **kwargs)
        self.step_metrics.usages[None] = PrototypeUsage(num_prototypes[0])

        def state(name: str, shape: tuple, start: float = 0.0):
            initializer = initializers.Constant(start)
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False)

        sizes = list(enumerate(num_prototypes))
        self.centroids = [state(f"centroids{i}", (k, self.arguments.projection_dim)) for i, k in sizes]
        self.densities = [state(f"densities{i}", (k,), self.arguments.temperature) for i, k in sizes]
        self.clusters = [
            SampleMemory(self, f"clusters{i}", num_examples, start=-1, dtype="int32") for i, _ in sizes
        ]

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Clusters the teacher's projections of all images, once the warm-up is over."""
        given = self.arguments
        if self.clock.epoch < given.warmup_epochs:
            return
        z, indices = self.project(data, self.teacher_encoder, self.teacher_projector, verbose)
        known = (indices >= 0) & (indices < given.num_examples)
        z, indices = z[known] / np.linalg.norm(z[known], axis=1, keepdims=True), indices[known]
        for i, number in enumerate(given.num_prototypes):
            centers, found, distances = kmeans(
                z,
                number,
                given.kmeans_iterations,
                given.kmeans_restarts,
                seed=(self.seed, self.clock.epoch, i),
            )
            clusters = np.full(given.num_examples + 1, -1, "int32")
            clusters[indices] = found
            norms = np.linalg.norm(centers, axis=1, keepdims=True)
            self.centroids[i].assign(centers / np.maximum(norms, 1e-12))
            self.densities[i].assign(cluster_densities(distances, found, number, self.arguments.temperature))
            self.clusters[i].values.assign(clusters)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """InfoNCE, and the mean over clusterings of the contrast with prototypes."""
        rows = rows_of(batch, self.arguments.num_examples, training, "PCL")
        outputs = super().loss_terms(views, batch, training)
        contrasts = [
            self.contrast_with_prototypes(q, rows, i, training)
            for q in outputs.state["queries"]
            for i in range(len(self.centroids))
        ]
        terms = {**outputs.terms, "proto_nce": sum(contrasts) / len(self.centroids)}
        return outputs._replace(terms=terms, assignments=self.clusters[0].read(rows))

    def contrast_with_prototypes(
        self, q: KerasTensor, rows: KerasTensor, clustering: int, training: bool
    ) -> KerasTensor:
        """Cross entropy of queries with their prototype, among those of the global batch and drawn ones."""
        centroids, densities = (
            ops.convert_to_tensor(v[clustering]) for v in (self.centroids, self.densities)
        )
        own = self.gather(self.clusters[clustering].read(rows))
        known = own >= 0
        # Every prototype draws a number; those of the batch get one below all others.
        seed = self.clock.seed(f"prototypes {clustering}", training)
        number = centroids.shape[0]
        drawn = random.uniform((number,), seed=seed)
        of_batch = ops.max(ops.one_hot(own, number), axis=0)
        drawn, negatives = ops.top_k(
            drawn - 2 * of_batch, min(self.arguments.num_negative_prototypes, number)
        )
        columns = ops.concatenate([ops.maximum(own, 0), ops.cast(negatives, "int32")])
        batch = ops.shape(rows)[0]
        first = self.row_offset(batch)
        targets = first + ops.arange(batch, dtype="int32")
        mine = ops.take(known, targets)
        each = proto_nce(
            q,
            ops.take(centroids, columns, axis=0),
            ops.take(densities, columns),
            ops.where(mine, targets, -1),
            mask=ops.concatenate([known, drawn >= 0]),
            reduction="none",
        )
        count = ops.sum(ops.cast(known, "float32"))
        return self.mean_over_replicas(ops.sum(each)) * self.num_replicas / ops.maximum(count, 1.0)
