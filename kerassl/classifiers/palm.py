"""PALM: each class is a mixture of prototypes on the sphere, for classification and outlier detection.

"Learning with Mixture of Prototypes for Out-of-Distribution Detection", arXiv 2402.02653. Official code:
jeff024/PALM, `util/loss_functions.py`, `trainer.py`, `util/evaluations/mahalanobis.py`.

1. The embeddings of two views of each image are assigned to the prototypes of all classes by Sinkhorn-Knopp;
   within its own class, a row keeps its `top_k` largest assignments.
2. The prototypes move toward the embeddings assigned to them, by a moving average.
3. L_MLE makes the embeddings likely under the moved prototypes of their class, weighted by new assignments; a
   supervised contrast among the moved prototypes keeps those of a class together. Through it, gradients reach
   the embeddings that moved the prototypes.

- Assignments, moving average and loss cover the global batch; in the official code one device.
- As in the official code, step 3 keeps the `top_k` of step 1. The contrast is `sup_con`, in which a single
  prototype of a class adds nothing; in the official code it is pushed away from the others.
- Outliers are scored by Mahalanobis distances; the official code subtracts the mean a second time, after
  dividing by the standard deviations: in one trained network an AUROC of 0.921 instead of 0.916.
- The official code keeps the epoch with the smallest training loss; this class keeps the last one.
- Images of label -1 are ignored. Predictions use the mixtures' likelihood, with equal weights.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import evaluation
from kerassl.arguments import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from kerassl.classifiers.prototype_classifier import PrototypeClassifier
from kerassl.heads import PrototypeHead, plain_mlp
from kerassl.heads.prototypes import start_positive, unit
from kerassl.losses import mixture_weights, moved_prototypes, palm, sinkhorn, sup_con
from kerassl.losses.supervised.palm import nearest_of_class
from kerassl.metrics.features import l2_normalize
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack


class PALM(PrototypeClassifier):
    """PALM (arXiv 2402.02653).

    Args:
        prototypes_per_class: number of prototypes of each class.
        top_k: maximal number of these prototypes that an embedding belongs to.
        temperature: divides the cosines in the loss; > 0.
        sinkhorn_temperature: divides the cosines in the assignment; > 0.
        sinkhorn_iterations: iterations of the assignment, at least 1.
        contrast_temperature: divides the cosines among prototypes; > 0.
        contrast_weight: weight of the contrast among prototypes.
        momentum: EMA momentum of the prototypes, in [0, 1]; 0.999 in the scripts.
        projection_dim: width of the embedding.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.classifiers.PALM(encoder, num_classes=10)
        >>> tuple(model.classifier.prototypes.shape)
        (128, 60)
    """

    terms, default_views = ("palm", "prototype_contrast"), ("supcon_cifar", "simclr_imagenet")
    # jeff024/PALM, whose 0.5 is for batches of 512.
    recipes = {
        "palm": Recipe(
            paper={
                "optimizer": "sgd",
                "learning_rate": 0.25,
                "weight_decay": 1e-6,
                "warmup_epochs": 10,
                "options": {"nesterov": True},
            },
            short_arguments={"momentum": 0.99},
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        prototypes_per_class: PositiveInt = 6,
        top_k: PositiveInt = 5,
        temperature: PositiveFloat = 0.1,
        sinkhorn_temperature: PositiveFloat = 0.05,
        sinkhorn_iterations: PositiveInt = 3,
        contrast_temperature: PositiveFloat = 0.5,
        contrast_weight: NonNegativeFloat = 1.0,
        momentum: Fraction = 0.999,
        projection_dim: PositiveInt = 128,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = plain_mlp(self.feature_dim, (self.feature_dim,), projection_dim)
        self.allocate_prototype_images()

    def make_classifier(self) -> PrototypeHead:
        """The prototypes, one class after the other; they are moved, not trained."""
        number = self.num_classes * self.arguments.prototypes_per_class
        head = PrototypeHead(
            self.arguments.projection_dim,
            number,
            temperature=self.arguments.temperature,
            trainable=False,
            dtype="float32",
        )
        start_positive(head)
        return head

    @property
    def prototype_classes(self) -> np.ndarray:
        """One class after the other."""
        return np.repeat(np.arange(self.num_classes), self.arguments.prototypes_per_class)

    def features_and_embedding(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features and float32 embeddings `(batch, projection_dim)` of normalized images."""
        features = self.encode(self.encoder, images, training)
        return features, ops.cast(self.projector(features, training=training), "float32")

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)` and log likelihoods `(batch, num_classes)` of normalized images."""
        features, z = self.features_and_embedding(images, training)
        return features, self.class_logits(z)

    def class_logits(self, z: KerasTensor) -> KerasTensor:
        """The logarithms of the classes' mixtures at embeddings, up to a constant."""
        shape = (-1, self.num_classes, self.arguments.prototypes_per_class)
        return ops.logsumexp(ops.reshape(self.classifier(z), shape), axis=2)

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """The cosines with the prototypes."""
        _, z = self.features_and_embedding(images, False)
        return (self.arguments.temperature * self.classifier(z))[:, None, None]

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Likelihood of both views under the moved prototypes, and the contrast among these."""
        view1, view2 = views
        given, labels = self.arguments, self.needed(batch.labels)
        features, z = self.features_and_embedding(ops.concatenate([view1, view2]), training)
        logits = self.class_logits(z[: ops.shape(labels)[0]])
        everyone, labels = self.gather(z), self.gather(ops.concatenate([labels, labels]))

        prototypes = ops.transpose(ops.convert_to_tensor(self.classifier.prototypes))
        assignments = self.assign(everyone, prototypes, labels)
        chosen = nearest_of_class(assignments, labels, self.prototype_classes, given.top_k)
        weights = mixture_weights(assignments, chosen)
        moved = moved_prototypes(prototypes, everyone, weights, given.momentum)
        weights = mixture_weights(self.assign(everyone, moved, labels), chosen)
        contrast = sup_con(moved, self.prototype_classes, given.contrast_temperature)
        return Outputs(
            {
                "palm": palm(everyone, weights, moved, given.temperature),
                "prototype_contrast": given.contrast_weight * contrast,
            },
            features=ops.split(features, 2),
            logits=logits,
            state={"moved": ops.stop_gradient(moved)},
        )

    def assign(self, z: KerasTensor, prototypes: KerasTensor, labels: KerasTensor) -> KerasTensor:
        """Sinkhorn-Knopp assignments of the labeled rows to the prototypes of all classes."""
        scores = ops.matmul(unit(z, axis=-1), ops.transpose(prototypes))
        how = self.arguments.sinkhorn_temperature, self.arguments.sinkhorn_iterations
        return sinkhorn(scores, *how, mask=labels >= 0)

    def after_update(self, state: dict) -> None:
        """Stores the moved prototypes."""
        self.classifier.prototypes.assign(ops.transpose(state["moved"]))

    def outlier_scores(self, train: object, images: np.ndarray, normalize: bool = True) -> np.ndarray:
        """Outlier scores `(n,)` of raw images relative to the training images; larger is less similar.

        The squared Mahalanobis distance of the features. See `kerassl.evaluation.auroc` and `fpr_at_tpr`.

        Args:
            train: the training images, as `kerassl.embed` takes them.
            images: `(n, height, width, channels)` in [0, 255].
            normalize: whether features are normalized first, as in the official code. A network that has
                learned little may detect outliers by the features' norm alone (docs/classifiers.md).
        """
        features = [evaluation.embed(self, x)[0] for x in (train, images)]
        if normalize:
            features = [l2_normalize(x) for x in features]
        return evaluation.mahalanobis(*features)
