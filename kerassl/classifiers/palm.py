"""PALM: each class a mixture of prototypes on the sphere, for classification and to tell what is of none.

"Learning with Mixture of Prototypes for Out-of-Distribution Detection", arXiv 2402.02653. Official code:
jeff024/PALM, `util/loss_functions.py`, `trainer.py`, `util/evaluations/mahalanobis.py`.

1. The embeddings of two views of each image are assigned to the prototypes of all classes by
   Sinkhorn-Knopp; of its own class a row keeps the `top_k` it is most assigned to.
2. The prototypes move towards the embeddings assigned to them, by a moving average.
3. L_MLE makes the embeddings likely under the moved prototypes of their class, weighed by new assignments;
   a supervised contrast among the moved prototypes keeps those of a class together. Through it a gradient
   reaches the embeddings that moved them.

- Assignments, moving average and loss see the global batch; there one device.
- As there, the `top_k` of step 1 are kept in step 3. The contrast is `sup_con`, by which a prototype alone in
  its class adds nothing; there it is pushed from the others.
- Outliers are scored by Mahalanobis distances; the official code takes the mean away a second time, after it
  has divided by the standard deviations: in one trained network an AUROC of 0.921 instead of 0.916.
- There the epoch of the smallest training loss is kept, here the last.
- Images of label -1 take no part. A label is predicted by the mixtures' likelihood, with equal weights.
"""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import evaluation
from kerassl.classifiers.prototype_classifier import PrototypeClassifier
from kerassl.metrics.features import l2_normalize
from kerassl.heads import PrototypeHead, mlp
from kerassl.heads.prototypes import start_positive, unit
from kerassl.losses import mixture_weights, moved_prototypes, palm, sinkhorn, sup_con
from kerassl.losses.palm import nearest_of_class


@keras.saving.register_keras_serializable("kerassl")
class PALM(PrototypeClassifier):
    """PALM (arXiv 2402.02653).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`supcon_cifar` up to 64 pixels, else `simclr_imagenet`), a recipe's name, a
            two-view layer, or `None` for data that holds two views.
        num_classes: number of classes.
        prototypes_per_class: prototypes of each class.
        top_k: of these, how many an embedding belongs to, at most.
        temperature: divides the cosines in the loss; > 0.
        sinkhorn_temperature: divides them in the assignment; > 0.
        sinkhorn_iterations: of the assignment, at least 1.
        contrast_temperature: divides the cosines among prototypes; > 0.
        contrast_weight: of the contrast among prototypes.
        momentum: what a prototype keeps of itself in each update, in [0, 1]; 0.999 in the scripts.
        projection_dim: width of the embedding.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0, a number below 1, a momentum outside of [0, 1], a negative weight,
            and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.classifiers.PALM(encoder, num_classes=10)
        >>> tuple(model.classifier.prototypes.shape)
        (128, 60)
    """

    term_names = ("palm", "prototype_contrast")
    default_views = ("supcon_cifar", "simclr_imagenet")

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        prototypes_per_class: int = 6,
        top_k: int = 5,
        temperature: float = 0.1,
        sinkhorn_temperature: float = 0.05,
        sinkhorn_iterations: int = 3,
        contrast_temperature: float = 0.5,
        contrast_weight: float = 1.0,
        momentum: float = 0.999,
        projection_dim: int = 128,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        # Before the prototypes are made, which take them.
        self.options = {
            "prototypes_per_class": prototypes_per_class,
            "top_k": top_k,
            "temperature": temperature,
            "sinkhorn_temperature": sinkhorn_temperature,
            "sinkhorn_iterations": sinkhorn_iterations,
            "contrast_temperature": contrast_temperature,
            "contrast_weight": contrast_weight,
            "momentum": momentum,
            "projection_dim": projection_dim,
        }
        for label, value in self.options.items():
            if label.endswith("temperature") and value <= 0:
                raise ValueError(f"{label} must be > 0, got {value}.")
        if min(prototypes_per_class, top_k, sinkhorn_iterations) < 1:
            raise ValueError(
                "prototypes_per_class, top_k and sinkhorn_iterations must be at least 1; got "
                f"{prototypes_per_class}, {top_k} and {sinkhorn_iterations}."
            )
        if not 0 <= momentum <= 1 or contrast_weight < 0:
            raise ValueError(
                "momentum must be in [0, 1] and contrast_weight at least 0; got "
                f"{momentum} and {contrast_weight}."
            )
        super().__init__(encoder, views, num_classes, seed=seed, name=name)
        self.projector = mlp(
            self.feature_dim,
            (self.feature_dim,),
            projection_dim,
            hidden_bias=True,
            hidden_batch_norm=False,
            output_bias=True,
            name="projector",
        )
        self.keep_pictures()

    def make_classifier(self) -> PrototypeHead:
        """The prototypes, one class after the other, which are moved and not learned."""
        number = self.num_classes * self.options["prototypes_per_class"]
        head = PrototypeHead(
            self.options["projection_dim"],
            number,
            temperature=self.options["temperature"],
            trainable=False,
            dtype="float32",
        )
        start_positive(head)
        return head

    @property
    def prototype_classes(self) -> np.ndarray:
        """One class after the other."""
        return np.repeat(np.arange(self.num_classes), self.options["prototypes_per_class"])

    def features_and_embedding(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features and float32 embeddings `(batch, projection_dim)` of normalised images."""
        features = self.encode(self.encoder, images, training)
        return features, ops.cast(self.projector(features, training=training), "float32")

    def features_and_logits(self, images: KerasTensor, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Features `(batch, dim)` and log likelihoods `(batch, num_classes)` of normalised images."""
        features, z = self.features_and_embedding(images, training)
        return features, self.class_logits(z)

    def class_logits(self, z: KerasTensor) -> KerasTensor:
        """The logarithms of the classes' mixtures at embeddings, up to a constant."""
        shape = (-1, self.num_classes, self.options["prototypes_per_class"])
        return ops.logsumexp(ops.reshape(self.classifier(z), shape), axis=2)

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """The cosines with the prototypes."""
        _, z = self.features_and_embedding(images, False)
        return (self.options["temperature"] * self.classifier(z))[:, None, None]

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Likelihood of both views under the moved prototypes, and the contrast among these."""
        view1, view2 = views
        options, labels = self.options, self.needed(labels)
        features, z = self.features_and_embedding(ops.concatenate([view1, view2]), training)
        logits = self.class_logits(z[: ops.shape(labels)[0]])
        everyone, labels = self.gather(z), self.gather(ops.concatenate([labels, labels]))

        prototypes = ops.transpose(ops.convert_to_tensor(self.classifier.prototypes))
        assignments = self.assign(everyone, prototypes, labels)
        chosen = nearest_of_class(assignments, labels, self.prototype_classes, options["top_k"])
        weights = mixture_weights(assignments, chosen)
        moved = moved_prototypes(prototypes, everyone, weights, options["momentum"])
        weights = mixture_weights(self.assign(everyone, moved, labels), chosen)
        contrast = sup_con(moved, self.prototype_classes, options["contrast_temperature"])
        return {
            "palm": palm(everyone, weights, moved, options["temperature"]),
            "prototype_contrast": options["contrast_weight"] * contrast,
        }, {
            "features": ops.split(features, 2),
            "logits": logits,
            "moved": ops.stop_gradient(moved),
        }

    def assign(self, z: KerasTensor, prototypes: KerasTensor, labels: KerasTensor) -> KerasTensor:
        """Sinkhorn-Knopp assignments of the labelled rows to the prototypes of all classes."""
        scores = ops.matmul(unit(z, axis=-1), ops.transpose(prototypes))
        how = self.options["sinkhorn_temperature"], self.options["sinkhorn_iterations"]
        return sinkhorn(scores, *how, mask=labels >= 0)

    def after_update(self, aux: dict) -> None:
        """Keeps the moved prototypes."""
        self.classifier.prototypes.assign(ops.transpose(aux["moved"]))

    def outlier_scores(self, train: object, images: np.ndarray, normalize: bool = True) -> np.ndarray:
        """How unlike raw images are to the training images: `(n,)`, larger is less alike.

        The squared Mahalanobis distance of the features. See `kerassl.evaluation.auroc` and `fpr_at_tpr`.

        Args:
            train: the training images, as `kerassl.embed` takes them.
            images: `(n, height, width, channels)` in [0, 255].
            normalize: whether features are brought to length one first, as in the official code. A network
                that has learned little may tell strange images by their length alone (docs/classifiers.md).
        """
        features = [evaluation.embed(self, x)[0] for x in (train, images)]
        if normalize:
            features = [l2_normalize(x) for x in features]
        return evaluation.mahalanobis(*features)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {**super().get_config(), **self.options}
