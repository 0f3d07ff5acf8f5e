"""ProtoPNet: classification by patch similarities; each prototype is a patch of a training image.

"This Looks Like That: Deep Learning for Interpretable Image Recognition", arXiv 1806.10574, section 2.
Official code: cfchen-duke/ProtoPNet, `model.py`, `train_and_test.py`, `push.py`, `prune.py`.

1. The cells of the encoder's feature map pass two 1 x 1 convolutions and become patches in the latent space,
   in which the prototypes of the classes lie. `fit` trains all but the last layer, and freezes the encoder
   for `warmup_epochs`.
2. Push: each prototype becomes the nearest patch of all clean training images of its class.
3. The last layer is fitted to the similarities of all clean training images, with sparse connections to other
   classes.

- 2 and 3 come before epochs `push_start_epoch`, `push_start_epoch + push_every` and so on, and when `fit`
  ends; they are a function of weights and data, so a resumed run repeats them.
- 3 is solved as a convex problem, each time from the initial weights; the official code makes 20 passes of
  Adam.
- There is one learning rate; the official encoder has a thirtieth of the others'. When the official code
  unfreezes the encoder, it restarts Adam; this class restarts only the encoder's moments, with
  `kerassl.optimizers.AdamW`.
- Pushes come before the named epochs; in the official code after them, and so one epoch later.
- A prototype's picture is its cell in the source image with half a cell more on each side; in the official
  code, the box of the 5 % most similar pixels. A pruned prototype stays in the weights without a connection.
"""

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from kerassl import engine
from kerassl.arguments import NonNegativeFloat, NonNegativeInt, PositiveInt
from kerassl.backbones.feature_maps import average_pool, check_feature_map
from kerassl.classifiers.last_layer import fit_last_layer
from kerassl.classifiers.prototype_classifier import PrototypeClassifier
from kerassl.data import ImageDataset, is_array, labeled_batches
from kerassl.heads import PrototypeDistances
from kerassl.losses import cluster_cost, separation_cost
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack


class ProtoPNet(PrototypeClassifier):
    """ProtoPNet (arXiv 1806.10574).

    Args:
        encoder: built `keras.Model` from images to a feature map `(batch, h, w, dim)`.
        prototypes_per_class: number of prototypes of each class.
        prototype_dim: width of a prototype.
        cluster_weight: weight of the distance to the nearest prototype of the image's class.
        separation_weight: weight of the distance to the nearest prototype of another class, which should
            grow.
        l1_weight: weight of the last layer's weights between a prototype and other classes.
        warmup_epochs: number of first epochs with a frozen encoder.
        push_start_epoch: the first epoch before which prototypes are pushed, counted from 0.
        push_every: number of epochs between two pushes.
        last_layer_iterations: iterations of the last layer's fit after each push.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for an encoder without a feature map, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4, pool=None)
        >>> model = kerassl.classifiers.ProtoPNet(encoder, num_classes=10, prototypes_per_class=2)
        >>> tuple(model.prototypes[0].prototypes.shape)
        (128, 20)
    """

    terms, wants = ("cross_entropy", "cluster", "separation"), "feature map"
    has_spatial_maps = True
    # Each branch has its own convolutions, prototypes and last layer.
    branches = ("prototypes",)

    # arXiv 1806.10574; cfchen-duke/ProtoPNet, with Adam, 1e-4 for the encoder and 3e-3 for the rest.
    recipes = {
        "proto_pnet": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-3, "warmup_epochs": 0},
            short_arguments={"prototypes_per_class": 5, "prototype_dim": 64, "warmup_epochs": 1},
            backbone_args={"pool": None},
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        prototypes_per_class: PositiveInt = 10,
        prototype_dim: PositiveInt = 128,
        cluster_weight: NonNegativeFloat = 0.8,
        separation_weight: NonNegativeFloat = 0.08,
        l1_weight: NonNegativeFloat = 1e-4,
        warmup_epochs: NonNegativeFloat = 5,
        push_start_epoch: NonNegativeInt = 10,
        push_every: PositiveInt = 10,
        last_layer_iterations: NonNegativeInt = 100,
        **common: Unpack[Common],
    ) -> None:
        check_feature_map(encoder, type(self).__name__)
        super().__init__(encoder, **common)
        for variable in self.encoder.trainable_variables:
            engine.mark(variable, "starts_late", True)
        self.add_ons = [self.make_add_on(f"{branch}_add_on") for branch in self.branches]
        self.prototypes = [self.make_prototypes(branch) for branch in self.branches]
        self.in_use = self.add_weight(
            name="in_use", shape=(len(self.prototype_classes),), initializer="ones", trainable=False
        )
        self.allocate_prototype_images()

    @property
    def num_prototypes(self) -> int:
        """Number of prototypes of a branch."""
        return self.num_classes * self.arguments.prototypes_per_class

    @property
    def prototype_classes(self) -> np.ndarray:
        """One class after the other, in each branch."""
        of_branch = np.repeat(np.arange(self.num_classes), self.arguments.prototypes_per_class)
        return np.tile(of_branch, len(self.branches))

    @property
    def kept(self) -> np.ndarray:
        """Mask of the prototypes that are not pruned."""
        return ops.convert_to_numpy(self.in_use) > 0

    def make_add_on(self, name: str) -> keras.Sequential:
        """Maps the cells of the feature map to patches in the latent space, in [0, 1]."""
        width = self.arguments.prototype_dim

        with keras.name_scope(name):
            parts = [convolution_1x1(width, activation=activation) for activation in ("relu", "sigmoid")]
            return keras.Sequential([keras.Input(self.encoder.output_shape[1:]), *parts], name=name)

    def make_prototypes(self, name: str) -> keras.layers.Layer:
        """The layer that compares patches with the prototypes of a branch."""
        return PrototypeDistances(self.arguments.prototype_dim, self.num_prototypes, name=name)

    def make_classifier(self) -> list[keras.layers.Dense]:
        """The last layer of each branch: 1 from a prototype to its class, -0.5 to the others at first."""
        made = []
        for branch in self.branches:
            layer = layers.Dense(
                self.num_classes, use_bias=False, trainable=False, dtype="float32", name=f"{branch}_last"
            )
            layer.build((None, self.num_prototypes))
            layer.kernel.assign(self.first_weights)
            made.append(layer)
        return made

    @property
    def own_class(self) -> np.ndarray:
        """Mask `(num_prototypes, num_classes)` of the weights from a prototype to its class."""
        return self.prototype_classes[: self.num_prototypes, None] == np.arange(self.num_classes)

    @property
    def first_weights(self) -> np.ndarray:
        """The weights of a last layer before it is fitted."""
        return np.where(self.own_class, 1.0, -0.5).astype("float32")

    def latents(self, branch: int, encoded: KerasTensor) -> KerasTensor:
        """The patches of a feature map in a branch, `(batch, rows, columns, prototype_dim)`."""
        return self.add_ons[branch](encoded)

    def patch_distances(self, branch: int, encoded: KerasTensor) -> KerasTensor:
        """Distances to prototypes, `(batch, rows, columns, num_prototypes)`."""
        return self.prototypes[branch](self.latents(branch, encoded))

    def similarity(self, distances: KerasTensor) -> KerasTensor:
        """`log((d + 1) / (d + 1e-4))` of squared distances: 9.21 at 0, falling to 0."""
        return ops.log((distances + 1.0) / (distances + 1e-4))

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """The similarities of all patches to the prototypes of all branches."""
        encoded = self.encode_unpooled(self.encoder, images, False)
        maps = [self.similarity(self.patch_distances(i, encoded)) for i in range(len(self.branches))]
        return ops.concatenate(maps, axis=-1)

    def features_and_distances(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, list]:
        """Features, and for each branch the distances of the nearest patch, `(batch, num_prototypes)`."""
        encoded = self.encode_unpooled(self.encoder, images, training)
        features = average_pool(encoded)
        if training and self.arguments.warmup_epochs:
            warming_up = self.clock.before_epoch(self.arguments.warmup_epochs)
            encoded = ops.where(warming_up, ops.stop_gradient(encoded), encoded)
        return features, [
            ops.min(self.patch_distances(i, encoded), axis=(1, 2)) for i in range(len(self.branches))
        ]

    def branch_logits(self, distances: list[KerasTensor]) -> list[KerasTensor]:
        """The logits of each branch: the last layer applied to the similarities, clipped at 0."""
        pairs = zip(self.classifier, distances, strict=True)
        return [last(ops.relu(self.similarity(nearest))) for last, nearest in pairs]

    def logit_shares(self, similarities: np.ndarray, predicted: int) -> np.ndarray:
        """Each prototype's share of a class's logit, for all branches."""
        weights = [ops.convert_to_numpy(last.kernel)[:, predicted] for last in self.classifier]
        added = np.concatenate(weights) * np.maximum(similarities, 0.0)
        total = added.sum()
        return added / (total if total else 1.0)

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)` and float32 logits `(batch, num_classes)` of normalized images."""
        features, distances = self.features_and_distances(images, training)
        return features, sum(self.branch_logits(distances))

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy, and the costs of distances to own and other prototypes."""
        (view,) = views
        features, distances = self.features_and_distances(view, training)
        logits = self.branch_logits(distances)
        terms = {"cross_entropy": sum(self.cross_entropy(of_branch, batch.labels) for of_branch in logits)}
        labels = self.gather(self.needed(batch.labels))
        terms |= self.prototype_costs([self.gather(nearest) for nearest in distances], labels)
        return Outputs(terms, features=features, logits=sum(logits))

    def prototype_costs(self, distances: list[KerasTensor], labels: KerasTensor) -> dict:
        """The terms besides the cross entropy, from the distances and labels of the global batch."""
        pair = self.cluster_and_separation(0, distances[0], labels)
        cluster, separation = self.arguments.cluster_weight, self.arguments.separation_weight
        return {"cluster": cluster * pair[0], "separation": -separation * pair[1]}

    def cluster_and_separation(
        self, branch: int, distances: KerasTensor, labels: KerasTensor
    ) -> tuple[KerasTensor, KerasTensor]:
        """The mean distances to a branch's nearest prototype in the image's class, and in other classes."""
        part = slice(branch * self.num_prototypes, (branch + 1) * self.num_prototypes)
        mask = ops.convert_to_tensor(self.in_use)[part] > 0
        arguments = distances, labels, self.prototype_classes[part], mask
        return cluster_cost(*arguments), separation_cost(*arguments)

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Pushes the prototypes, if this epoch starts with a push."""
        since = self.clock.epoch - self.arguments.push_start_epoch
        if self.views is not None and since >= 0 and since % self.arguments.push_every == 0:
            self.push(data)

    def finalize_prototypes(self, data: object, labels: np.ndarray | None = None) -> None:
        """Pushes the prototypes, so that each is a patch of a training image."""
        self.push(data, labels)

    def push(self, data: object, labels: np.ndarray | None = None) -> None:
        """Makes each prototype the nearest patch of its class, keeps its picture, and fits the last layer.

        Args:
            data: as in `finalize_prototypes`.
            labels: as in `finalize_prototypes`.

        Raises:
            ValueError: as `finalize_prototypes`.
        """
        found, images, cells, grid = self.nearest_places(data, labels)
        found = np.isfinite(found)
        for branch, head in enumerate(self.prototypes):
            part = slice(branch * self.num_prototypes, (branch + 1) * self.num_prototypes)
            patches = self.patches_at(branch, images[part], cells[part])
            before = ops.convert_to_numpy(head.prototypes)
            head.prototypes.assign(np.where(found[part], patches.T, before))
        self.show(images, cells, grid)
        self.fit_last_layers(*self.similarities(data, labels))

    def patches_at(
        self, branch: int, images: np.ndarray, cells: np.ndarray, batch_size: int = 256
    ) -> np.ndarray:
        """The patch at a cell of each raw image, `(n, prototype_dim)`."""

        def latents(batch: KerasTensor):
            encoded = self.encode_unpooled(self.encoder, self.preprocess(batch), False)
            return ops.cast(self.latents(branch, encoded), "float32")

        parts = []
        for start in range(0, len(images), batch_size):
            rows, columns = cells[start : start + batch_size].T
            maps = self.call_locally(latents, images[start : start + batch_size])
            parts.append(maps[np.arange(len(maps)), rows, columns])
        return np.concatenate(parts)

    def similarities(self, data: object, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The similarities `(n, all prototypes)` of clean images and their labels, of all processes."""

        def largest(batch: KerasTensor):
            return ops.max(self.similarity_maps(self.preprocess(batch)), axis=(1, 2))

        parts = [
            (self.call_locally(largest, images), batch_labels)
            for images, batch_labels in labeled_batches(data, labels)
        ]
        similarities, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        if is_array(data) or isinstance(data, ImageDataset):
            # Every process has read all of them.
            return similarities, labels
        return engine.gather_from_processes(similarities), engine.gather_from_processes(labels)

    def fit_last_layers(self, similarities: np.ndarray, labels: np.ndarray) -> None:
        """Fits the last layer of each branch to the outputs of `similarities`."""
        given, kept = self.arguments, self.kept
        inputs = np.maximum(similarities, 0) * kept
        for branch, last in enumerate(self.classifier):
            part = slice(branch * self.num_prototypes, (branch + 1) * self.num_prototypes)
            start = self.first_weights * kept[part, None]
            how = given.l1_weight, given.last_layer_iterations
            last.kernel.assign(fit_last_layer(inputs[:, part], labels, start, self.own_class, *how))

    def prune(
        self,
        data: object,
        labels: np.ndarray | None = None,
        neighbors: int = 6,
        at_least: int = 3,
    ) -> int:
        """Removes prototypes that are most similar to images of other classes, and fits the last layer.

        Args:
            data: as in `finalize_prototypes`.
            labels: as in `finalize_prototypes`.
            neighbors: number of most similar images to check for each prototype.
            at_least: number of them that must be of its class.

        Returns:
            The number of removed prototypes.

        Raises:
            ValueError: as `finalize_prototypes`.
        """
        similarities, labels = self.similarities(data, labels)
        similarities, labels = similarities[labels >= 0], labels[labels >= 0]
        nearest = np.argsort(-similarities, axis=0, kind="stable")[:neighbors]
        right = np.sum(labels[nearest] == self.prototype_classes, axis=0) >= at_least
        before = self.kept
        self.in_use.assign((before & right).astype("float32"))
        self.fit_last_layers(similarities, labels)
        return int(before.sum() - self.kept.sum())


def convolution_1x1(width: int, activation: str | None = None) -> layers.Conv2D:
    """A linear map of each cell of a feature map, which keeps the variance in the backward pass."""
    initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    return layers.Conv2D(
        width, 1, activation=activation, kernel_initializer=initializer, data_format="channels_last"
    )
