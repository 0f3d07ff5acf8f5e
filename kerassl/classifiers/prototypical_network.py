"""Prototypical Networks: an encoder in whose space images lie nearest to their class's mean.

"Prototypical Networks for Few-shot Learning", arXiv 1703.05175, equations 1 and 2. Official code:
jakesnell/prototypical-networks, `protonets/models/few_shot.py`.

- A batch is an episode. The first `shots` images of each class in the global batch are the support, whose
  mean embedding is the prototype; all others are queries. A class with `shots` images or fewer has a
  prototype and no query, so learning needs more than `shots` images of a class in a batch. Any labeled data
  works; `kerassl.data.Episodes` draws balanced episodes.
- The number of classes is fixed, so that the network is also a classifier: it keeps a mean of each class, a
  moving one during training (over some 1 / (1 - momentum) batches) and the mean of all images once `fit`
  ends. For classes that training did not see, use `NearestMean(model, "none").add(images, labels)`.
- As in the official code, distances are squared Euclidean, without a temperature; support and queries go
  through batch norm together, in training mode.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.classifiers.prototype_classifier import PrototypeClassifier
from kerassl.data import labeled_batches
from kerassl.heads import PrototypeDistances
from kerassl.losses import class_means, prototypical
from kerassl.losses.supervised.prototypical import prototype_logits
from kerassl.training import Batch, Common, Fraction, FractionBelowOne, Outputs, PositiveInt, Recipe, Unpack


@keras.saving.register_keras_serializable("kerassl")
class RunningMeans(PrototypeDistances):
    """Minus the squared distances of features to the mean of each class, which is moved, not trained.

    Args:
        input_dim: width of the features.
        num_prototypes: number of classes.
        momentum: EMA momentum of the means, in [0, 1).
        **kwargs: as in `PrototypeDistances`.
    """

    def __init__(self, input_dim: int, num_prototypes: int, momentum: Fraction = 0.9, **kwargs) -> None:
        super().__init__(
            input_dim,
            num_prototypes,
            **{"initializer": "zeros", **kwargs, "trainable": False},
        )
        # The total weight of each mean; 0 until its class is seen.
        self.mass = self.add_weight(
            name="mass", shape=(num_prototypes,), initializer="zeros", trainable=False
        )

    def call(self, features: KerasTensor) -> KerasTensor:
        """Float32 logits `(batch, num_prototypes)`; -1e30 for classes that have not been seen."""
        return ops.where(ops.cast(self.mass, "float32") > 0, -super().call(features), -1e30)

    def move(self, means: KerasTensor, seen: KerasTensor) -> None:
        """Adds means `(num_prototypes, input_dim)` of a batch; classes outside the batch are unchanged."""
        before, prototypes = (ops.convert_to_tensor(v) for v in (self.mass, self.prototypes))
        mass = ops.where(seen, self.arguments.momentum * before + 1.0, before)
        step = ops.where(seen, 1.0 / ops.maximum(mass, 1.0), 0.0)
        self.prototypes.assign(prototypes + step * (ops.transpose(means) - prototypes))
        self.mass.assign(mass)


class PrototypicalNetwork(PrototypeClassifier):
    """Prototypical Networks (arXiv 1703.05175).

    In training, `accuracy` covers the queries; in evaluation, all images, by the stored means.

    Args:
        shots: number of images of each class in a batch that form its prototype; the others are queries.
        momentum: EMA momentum of the stored means, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `Classifier`.

    Example:
        >>> import kerassl
        >>> train, test, info = kerassl.data.load("digits")
        >>> encoder = kerassl.backbones.resnet18(info.image_shape, stem="small", width=4)
        >>> model = kerassl.classifiers.PrototypicalNetwork(encoder, num_classes=info.num_classes, shots=5)
        >>> episodes = kerassl.data.Episodes(train.images, train.labels, ways=5, queries=5, episodes=2)
        >>> history = model.fit(episodes, verbose=0)
        >>> model.explain(test.images[0], count=3).prototypes.shape
        (3, 8, 8, 1)
    """

    terms = ("prototypical",)

    # arXiv 1703.05175 section 3.1; jakesnell/prototypical-networks, with Adam.
    recipes = {
        "prototypical_network": Recipe(
            paper={"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0},
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        shots: PositiveInt = 5,
        momentum: FractionBelowOne = 0.9,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.allocate_prototype_images()

    def make_classifier(self) -> RunningMeans:
        """The stored class means."""
        return RunningMeans(self.feature_dim, self.num_classes, self.arguments.momentum, name="class_means")

    @property
    def prototype_classes(self) -> np.ndarray:
        """One prototype per class."""
        return np.arange(self.num_classes)

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """Minus the squared distance to each mean."""
        return self.features_and_logits(images, False)[1][:, None, None]

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The loss of the queries in the global batch's episode."""
        (view,) = views
        features = self.encode(self.encoder, view, training)
        labels = self.gather(self.needed(batch.labels))
        z = self.gather(ops.cast(features, "float32"))
        support = first_of_each_class(labels, self.num_classes, self.arguments.shots)
        prototypes, seen = class_means(z, ops.where(support, labels, -1), self.num_classes)
        queries = ops.where(support, -1, labels)
        loss = prototypical(z, queries, prototypes, seen)
        here = ops.shape(features)[0]
        own = self.row_offset(here) + ops.arange(here, dtype="int32")
        means, in_batch = class_means(ops.stop_gradient(z), labels, self.num_classes)
        return Outputs(
            {"prototypical": loss},
            features=features,
            logits=prototype_logits(features, prototypes, seen),
            state={"counted": ops.take(queries, own) >= 0, "means": means, "in_batch": in_batch},
        )

    def after_update(self, state: dict) -> None:
        """Updates the means of the classes in the global batch."""
        self.classifier.move(state["means"], state["in_batch"])

    def finalize_prototypes(self, data: object, labels: np.ndarray | None = None) -> None:
        """Makes each prototype the mean of all images of its class, and finds the image nearest to it.

        Args:
            data: as in `PrototypeClassifier.finalize_prototypes`.
            labels: as in `PrototypeClassifier.finalize_prototypes`.
        """

        def features(images: KerasTensor):
            return ops.cast(self.encode(self.encoder, self.preprocess(images), training=False), "float32")

        sums, counts = np.zeros((self.num_classes, self.feature_dim)), np.zeros(self.num_classes)
        for images, batch_labels in labeled_batches(data, labels):
            member = batch_labels == np.arange(self.num_classes)[:, None]
            sums += member @ self.call_locally(features, images).astype("float64")
            counts += member.sum(axis=1)
        sums, counts = (engine.gather_from_processes(part[None]).sum(axis=0) for part in (sums, counts))
        seen = counts > 0
        means = (sums / np.maximum(counts, 1)[:, None]).T.astype("float32")
        before, mass = (ops.convert_to_numpy(v) for v in (self.classifier.prototypes, self.classifier.mass))
        self.classifier.prototypes.assign(np.where(seen, means, before))
        self.classifier.mass.assign(np.where(seen, np.maximum(mass, 1.0), mass))
        super().finalize_prototypes(data, labels)


def first_of_each_class(labels: KerasTensor, num_classes: int, count: int) -> KerasTensor:
    """Boolean `(batch,)`: whether a labeled row is among the first `count` rows of its class."""
    member = labels[:, None] == ops.arange(num_classes, dtype="int32")
    place = ops.cumsum(ops.cast(member, "int32"), axis=0)
    return ops.any(ops.logical_and(member, place <= count), axis=1)
