"""The common base of classifiers with prototypes: pictures of prototypes, and explanations."""

import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.classifiers.classifier import Classifier
from kerassl.classifiers.explanation import Explanation
from kerassl.data import is_array, labeled_batches, num_batches
from kerassl.evaluation.pictures import captioned, resized, thumbnail

# Largest side of the pictures that are kept with the weights.
PICTURE_SIZE = 64


class PrototypeClassifier(Classifier):
    """A `Classifier` that compares images with prototypes and explains its predictions by them.

    A subclass writes `prototype_classes` and `similarity_maps`. Its prototypes are shown by the training
    images nearest to them, which `fit` finds when it ends; a subclass that can draw its prototypes overrides
    `pictures`.
    """

    # Its subclasses have losses of their own.
    supports_sample_weight = False
    # Whether `similarity_maps` tells places in an image apart.
    has_spatial_maps = False

    @property
    def prototype_classes(self) -> np.ndarray:
        """The class of each prototype, `(num_prototypes,)` integers."""
        raise NotImplementedError(f"{type(self).__name__} must define `prototype_classes`.")

    @property
    def kept(self) -> np.ndarray:
        """Boolean mask `(num_prototypes,)` of the prototypes in use."""
        return np.ones(len(self.prototype_classes), bool)

    def similarity_maps(self, images: KerasTensor) -> KerasTensor:
        """Similarities of normalized images and prototypes, in eval mode; larger is more similar.

        Returns:
            Float32 `(batch, rows, columns, num_prototypes)`; one row and one column without spatial maps. The
            largest entry of a map is the image's similarity.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `similarity_maps(images)`.")

    def allocate_prototype_images(self) -> None:
        """Allocates a picture of each prototype in the weights."""
        height, width, channels = self.encoder.input_shape[1:]
        size = min(PICTURE_SIZE, max(height or PICTURE_SIZE, width or PICTURE_SIZE))
        self.kept_pictures = self.add_weight(
            name="pictures",
            shape=(len(self.prototype_classes), size, size, channels),
            dtype="uint8",
            initializer="zeros",
            trainable=False,
        )

    def fit(self, x: object = None, y: object = None, **kwargs) -> keras.callbacks.History:
        """Trains as `SSLModel.fit` does, and then `finalize_prototypes`s on the training images.

        Call `finalize_prototypes` yourself if the data holds ready views, can be read only once, or has no
        known length.

        Args:
            x: as in `SSLModel.fit`.
            y: as in `SSLModel.fit`.
            **kwargs: the other arguments of `SSLModel.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            ValueError: as `SSLModel.fit`, and for data without labels.
        """
        history = super().fit(x, y, **kwargs)
        again = not hasattr(x, "__next__") and num_batches(x) is not None
        if self.views is not None and again:
            if is_array(x):
                # Without what was kept for validation.
                used = int(len(x) * (1 - (kwargs.get("validation_split") or 0)))
                x, y = x[:used], None if y is None else y[:used]
            self.finalize_prototypes(x, y)
        return history

    def finalize_prototypes(self, data: object, labels: np.ndarray | None = None) -> None:
        """Called with clean training images after training: finds the prototypes' pictures.

        Args:
            data: an array of raw images, an `ImageDataset` or other batches of `(images, labels)`.
            labels: `(n,)` labels of an array.

        Raises:
            ValueError: for data without labels, or data that can be read only once.
        """
        self.show(*self.nearest_places(data, labels)[1:])

    def show(self, images: np.ndarray, cells: np.ndarray, grid: tuple[int, int]) -> None:
        """Stores the surroundings of a cell of an image as the picture of each prototype.

        Args:
            images: raw `(num_prototypes, height, width, channels)`.
            cells: `(num_prototypes, 2)` row and column in the grid.
            grid: rows and columns of the grid that the similarity maps lay over an image.
        """
        size = self.kept_pictures.shape[1]
        pictures = [resized(around(*pair, grid), size) for pair in zip(images, cells, strict=True)]
        self.kept_pictures.assign(np.stack(pictures))

    def nearest_places(
        self, data: object, labels: np.ndarray | None = None, batch_size: int = 256
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
        """The location most similar to each prototype among all images of its class, over all processes.

        Args:
            data: as in `finalize_prototypes`.
            labels: as in `finalize_prototypes`.
            batch_size: number of images at a time.

        Returns:
            The similarities `(num_prototypes,)`, minus infinity if a class has no image; the raw images
            `(num_prototypes, height, width, channels)`; their cells `(num_prototypes, 2)`; and the grid,
            `(rows, columns)`.
        """
        classes = self.prototype_classes
        every = np.arange(len(classes))
        best = np.full(len(classes), -np.inf, "float32")
        images, cells, grid = None, np.zeros((len(classes), 2), "int64"), (1, 1)
        for batch, batch_labels in labeled_batches(data, labels, batch_size):
            maps = self.call_locally(lambda x: self.similarity_maps(self.preprocess(x)), batch)
            grid, count = maps.shape[1:3], maps.shape[1] * maps.shape[2]
            if images is None:
                images = np.zeros((len(classes), *batch.shape[1:]), batch.dtype)
            own = (batch_labels[:, None] == classes)[:, None]
            places = np.where(own, maps.reshape(len(batch), count, -1), -np.inf).reshape(-1, len(classes))
            place = places.argmax(axis=0)
            better = np.flatnonzero(places[place, every] > best)
            image, cell = np.divmod(place[better], count)
            best[better] = places[place[better], better]
            images[better] = batch[image]
            cells[better] = np.stack(np.divmod(cell, grid[1]), axis=1)
        if images is None:
            raise ValueError("There are no images: the data gave no batch.")
        best, images, cells = (engine.gather_from_processes(x[None]) for x in (best, images, cells))
        first = best.argmax(axis=0)
        return best[first, every], images[first, every], cells[first, every], grid

    def pictures(self) -> np.ndarray:
        """A picture of each prototype, uint8 `(num_prototypes, height, width, channels)`.

        Raises:
            ValueError: if there are no pictures yet.
        """
        pictures = ops.convert_to_numpy(self.kept_pictures)
        if not pictures.any():
            raise ValueError(
                f"This {type(self).__name__} has no pictures of its prototypes yet: fit raw images, or call "
                "settle(images, labels)."
            )
        return pictures

    def save_pictures(
        self, path: str | os.PathLike, size: int = 96, class_names: Sequence[str] | None = None
    ) -> pathlib.Path:
        """Writes the prototypes in use as a PNG, one row per class under its name.

        Args:
            path: the file to write.
            size: side of each picture with its frame in pixels, at least 3.
            class_names: names of the classes; their numbers by default.

        Raises:
            ValueError: if there are no pictures yet.
            ImportError: if Pillow is missing.
        """
        path, pictures = pathlib.Path(path), self.pictures()
        classes = np.where(self.kept, self.prototype_classes, -1)
        # A white frame of one pixel separates neighbors.
        frame = ((1, 1), (1, 1), (0, 0))
        tiles = np.stack([np.pad(thumbnail(x, size - 2), frame, constant_values=255) for x in pictures])
        labels = np.unique(classes[classes >= 0])
        rows = [np.concatenate(tiles[classes == label], axis=1) for label in labels]
        width = max(row.shape[1] for row in rows)
        sheet = []
        for label, row in zip(labels, rows, strict=True):
            name = class_names[label] if class_names else f"class {label}"
            row = np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
            sheet.append(captioned(row, [str(name)]))
        keras.utils.save_img(str(path), np.concatenate(sheet), scale=False)
        return path

    def explain(self, image: np.ndarray, count: int = 5) -> Explanation:
        """The explanation of a prediction: the most similar prototypes, and where they match.

        Args:
            image: raw `(height, width, channels)`, in [0, 255].
            count: maximal number of prototypes to return.

        Raises:
            ValueError: if there are no pictures yet.
        """
        image, pictures = np.asarray(image), self.pictures()
        maps = self.call_locally(lambda x: self.similarity_maps(self.preprocess(x)), image[None])[0]
        similarities = np.where(self.kept, maps.max(axis=(0, 1)), -np.inf)
        order = np.argsort(-similarities, kind="stable")[: min(count, int(self.kept.sum()))]
        probabilities = self.classify(image[None])[0]
        predicted = int(probabilities.argmax())
        shares = self.logit_shares(similarities, predicted)
        return Explanation(
            image=np.clip(image, 0, 255).round().astype("uint8"),
            predicted=predicted,
            shares=None if shares is None else shares[order],
            probability=float(probabilities[predicted]),
            classes=self.prototype_classes[order],
            similarities=similarities[order],
            prototypes=pictures[order],
            maps=np.moveaxis(maps[..., order], -1, 0) if self.has_spatial_maps else None,
        )

    def logit_shares(self, similarities: np.ndarray, predicted: int) -> np.ndarray | None:
        """Each prototype's share of a class's logit; `None` if the logit is not a sum over prototypes."""
        return None


def around(image: np.ndarray, cell: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """A cell of an image under a grid, with half a cell more on each side within the image."""
    parts = []
    for at, cells, side in zip(cell, grid, image.shape[:2], strict=True):
        low, high = (at - 0.5) * side / cells, (at + 1.5) * side / cells
        parts.append(slice(max(int(low), 0), max(int(np.ceil(high)), 1)))
    return image[tuple(parts)]
