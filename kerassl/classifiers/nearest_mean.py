"""The nearest class mean of frozen features: learned in one pass, in parts, on several machines."""

import keras
import numpy as np
from keras import ops

from kerassl.classifiers.explanation import Explanation
from kerassl.evaluation import embed
from kerassl.metrics.features import check_features, drop_unlabeled, l2_normalize

TRANSFORMS = ("l2", "centered_l2", "none")
# Sums are integers, so that their order does not matter: multiples of this step are exact.
_GRID = 2.0**-24
_LARGEST = 2.0**15


class ClassMeans:
    """Class means of features, from parts in any order: merged parts equal a single pass.

    Features are rounded to multiples of 2**-24 and summed as integers, so equality is to the bit.

    Source: SimpleShot, arXiv 1911.04623, section 3, for the transforms; Prototypical Networks, arXiv
    1703.05175, equation 1, for the means. UNI's class prototypes are these on its features.

    Args:
        dim: width of a feature.
        transform: "l2" normalizes each feature; "centered_l2" first subtracts `center` ("CL2N"); "none"
            changes nothing.
        center: `(dim,)` mean of the features of base data, never of the data to classify; for "centered_l2"
            only.

    Raises:
        ValueError: for a missing or superfluous center.

    Example:
        >>> import numpy as np
        >>> from kerassl.classifiers import ClassMeans
        >>> here = ClassMeans(2, "none").add(np.array([[0.0, 1.0], [0.0, 3.0]]), np.array([7, 7]))
        >>> there = ClassMeans(2, "none").add(np.array([[4.0, 0.0]]), np.array([2]))
        >>> together = here.merged(there)
        >>> together.classes.tolist(), together.means.tolist()
        ([2, 7], [[4.0, 0.0], [0.0, 2.0]])
    """

    def __init__(self, dim: int, transform: str = "l2", center: np.ndarray | None = None) -> None:
        if transform not in TRANSFORMS:
            raise ValueError(f"transform={transform!r} is unknown; use one of {TRANSFORMS}.")
        if (center is not None) != (transform == "centered_l2"):
            raise ValueError(
                'transform="centered_l2" needs center=, the mean of base features; no other takes one.'
            )
        self.dim, self.transform = dim, transform
        self.center = None if center is None else np.asarray(center, "float32").reshape(dim)
        self._sums: dict[int, np.ndarray] = {}
        self._counts: dict[int, int] = {}

    @property
    def classes(self) -> np.ndarray:
        """The classes seen, in order, int64."""
        return np.array(sorted(self._counts), "int64")

    @property
    def counts(self) -> np.ndarray:
        """Number of features of each class that were seen."""
        return np.array([self._counts[c] for c in sorted(self._counts)], "int64")

    @property
    def means(self) -> np.ndarray:
        """`(num_classes, dim)` float32 means of the transformed features."""
        rows = [self._sums[c] * (_GRID / self._counts[c]) for c in sorted(self._counts)]
        return np.array(rows, "float32").reshape(-1, self.dim)

    def transformed(self, features: np.ndarray) -> np.ndarray:
        """Transformed features `(n, dim)`."""
        features, _ = check_features(features, None, "features")
        if features.shape[1] != self.dim:
            raise ValueError(f"The features must have {self.dim} dimensions, got {features.shape[1]}.")
        if self.transform == "none":
            return features
        return l2_normalize(features if self.center is None else features - self.center)

    def add(self, features: np.ndarray, labels: np.ndarray) -> "ClassMeans":
        """Adds features `(n, dim)` with their labels `(n,)`; features of label -1 are left out.

        Returns:
            Itself.

        Raises:
            ValueError: for shapes that do not fit, or features beyond 32768.
        """
        features, labels = drop_unlabeled(*check_features(features, labels, "features"))
        features = self.transformed(features)
        if np.abs(features).max() >= _LARGEST:
            raise ValueError(
                f"A feature of {np.abs(features).max():g} is too large to be summed exactly; scale the "
                'features, or take transform="l2".'
            )
        exact = np.rint(features.astype("float64") / _GRID).astype("int64")
        for label in np.unique(labels):
            chosen = exact[labels == label]
            key = int(label)
            self._sums[key] = self._sums.get(key, 0) + chosen.sum(axis=0)
            self._counts[key] = self._counts.get(key, 0) + len(chosen)
        return self

    def merged(self, *others: "ClassMeans") -> "ClassMeans":
        """The union of these and other means; only sums and counts leave a machine.

        Raises:
            ValueError: for other transforms, centers or widths.
        """
        result = ClassMeans(self.dim, self.transform, self.center)
        for part in (self, *others):
            same_center = (part.center is None) == (self.center is None) and (
                self.center is None or np.array_equal(part.center, self.center)
            )
            if (part.dim, part.transform) != (self.dim, self.transform) or not same_center:
                raise ValueError(
                    "Means can be merged only where width, transform and center are the same; got "
                    f"{(part.dim, part.transform)} and {(self.dim, self.transform)}."
                )
            for label, count in part._counts.items():
                result._sums[label] = result._sums.get(label, 0) + part._sums[label]
                result._counts[label] = result._counts.get(label, 0) + count
        return result

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Minus the squared distance of each feature to each mean, `(n, num_classes)` float32.

        Their softmax is the prediction of Prototypical Networks (equation 2).

        Raises:
            ValueError: before any class was seen.
        """
        if not self._counts:
            raise ValueError("No class has been seen yet: call add(features, labels) first.")
        features, means = self.transformed(features), self.means
        squares = np.sum(features**2, axis=1, keepdims=True) + np.sum(means**2, axis=1)
        return -np.maximum(squares - 2 * features @ means.T, 0).astype("float32")

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The class of the nearest mean, `(n,)` int64."""
        return self.classes[self.logits(features).argmax(axis=1)]


class NearestMean:
    """A classifier of images: an encoder and the means of its features, with pictures of the classes.

    Args:
        transform: as in `ClassMeans`. For "centered_l2" the center is the mean of the first data added.

    Attributes:
        means: the `ClassMeans`.

    Source: as `ClassMeans`.

    Example:
        >>> import kerassl
        >>> train, test, info = kerassl.data.load("digits", batch_size=256)
        >>> encoder = kerassl.backbones.resnet18(info.image_shape, stem="small", width=16)
        >>> model = kerassl.methods.SimCLR(encoder, views="digits")
        >>> classifier = kerassl.classifiers.NearestMean(model).add(train)
        >>> classifier.predict(test.images[:3]).shape
        (3,)
        >>> explanation = classifier.explain(test.images[0], count=2)
        >>> explanation.prototypes.shape, explanation.maps.shape
        ((2, 8, 8, 1), (2, 1, 1))
    """

    def __init__(self, encoder: keras.Model, transform: str = "centered_l2") -> None:
        if transform not in TRANSFORMS:
            raise ValueError(f"transform={transform!r} is unknown; use one of {TRANSFORMS}.")
        self.encoder, self.transform = encoder, transform
        self.means: ClassMeans | None = None
        # The image nearest to each class's mean so far: its distance and its pixels.
        self._pictures: dict[int, tuple[float, np.ndarray]] = {}

    def add(self, images: object, labels: np.ndarray | None = None) -> "NearestMean":
        """Adds labeled images, of new or of known classes.

        Args:
            images: `(n, height, width, channels)` in [0, 255], or a `kerassl.data.ImageDataset` with labels.
            labels: `(n,)` integers if `images` is an array; -1 is left out.

        Returns:
            Itself.

        Raises:
            ValueError: for images without labels.
        """
        if labels is None:
            images, labels = getattr(images, "images", images), getattr(images, "labels", None)
        if labels is None:
            raise ValueError("A class mean needs labels: pass add(images, labels) or a labeled ImageDataset.")
        images, labels = np.asarray(images), np.asarray(labels)
        features, _ = embed(self.encoder, images)
        if self.means is None:
            center = features.mean(axis=0) if self.transform == "centered_l2" else None
            self.means = ClassMeans(features.shape[1], self.transform, center)
        self.means.add(features, labels)
        logits = self.means.logits(features)
        for column, label in enumerate(self.means.classes):
            members = np.flatnonzero(labels == label)
            if len(members):
                nearest = members[logits[members, column].argmax()]
                distance = -float(logits[nearest, column])
                if distance < self._pictures.get(int(label), (np.inf,))[0]:
                    self._pictures[int(label)] = distance, np.asarray(images[nearest])
        return self

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The class of each image, `(n,)` int64."""
        return self._seen().predict(embed(self.encoder, images)[0])

    def pictures(self) -> np.ndarray:
        """A picture of each class, in order: the seen image whose features are nearest to the mean."""
        return np.stack([self._pictures[int(label)][1] for label in self._seen().classes])

    def explain(self, image: np.ndarray, count: int = 5) -> Explanation:
        """The explanation of a prediction: the nearest means, and each location's contribution.

        A map splits the product of feature and mean, on which the squared distance depends, among the cells
        of the feature map that the encoder averages; for other encoders there is none.

        Args:
            image: `(height, width, channels)` in [0, 255].
            count: maximal number of prototypes to return.
        """
        means = self._seen()
        image = np.asarray(image)
        features, _ = embed(self.encoder, image[None])
        logits = means.logits(features)[0]
        order = np.argsort(-logits, kind="stable")[:count]
        maps = None
        cells = _cells(self.encoder, image[None])
        if cells is not None:
            vectors = cells[0] if means.center is None else cells[0] - means.center
            length = 1.0 if means.transform == "none" else np.linalg.norm(vectors.mean(axis=(0, 1)))
            maps = np.moveaxis(vectors @ means.means[order].T / max(length, 1e-12), -1, 0)
            maps = (maps / (vectors.shape[0] * vectors.shape[1])).astype("float32")
        return Explanation(
            image=np.clip(image, 0, 255).round().astype("uint8"),
            predicted=int(means.classes[order[0]]),
            classes=means.classes[order],
            similarities=logits[order],
            prototypes=np.clip(self.pictures()[order], 0, 255).round().astype("uint8"),
            maps=maps,
        )

    def _seen(self) -> ClassMeans:
        if self.means is None:
            raise ValueError("No class has been seen yet: call add(images, labels) first.")
        return self.means


def _cells(encoder: keras.Model, images: np.ndarray) -> np.ndarray | None:
    """The feature map `(n, rows, columns, dim)` whose mean is the embedding; `None` without one."""
    preprocess = getattr(getattr(encoder, "views", None), "preprocess", None)
    network = getattr(encoder, "embedding_encoder", encoder)
    x = images if preprocess is None else preprocess(images)
    if len(getattr(network, "output_shape", ()) or ()) == 4:
        return ops.convert_to_numpy(ops.cast(network(x, training=False), "float32"))
    last = network.layers[-1] if getattr(network, "layers", None) else None
    if not isinstance(last, keras.layers.GlobalAveragePooling2D):
        return None
    before = keras.Model(network.inputs, last.input)
    return ops.convert_to_numpy(ops.cast(before(ops.cast(x, "float32"), training=False), "float32"))
