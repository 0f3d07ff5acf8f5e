"""Label-free diagnostics of the embedding after each epoch, with a warning when it collapses."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerassl import engine, evaluation
from kerassl.callbacks.advice import what_to_try
from kerassl.data import ImageDataset, LazyImages
from kerassl.evaluation.collapse import Collapse, find_collapse
from kerassl.metrics.checks import check_count
from kerassl.metrics.diagnostics import check_diagnostics

# Fewer than two of the prototypes in effect: one takes nearly all images.
MIN_PROTOTYPE_ENTROPY = float(np.log(2.0))


class Diagnostics(keras.callbacks.Callback):
    """Adds diagnostics of the clean, eval-mode embedding to the epoch's logs, and warns of a collapse.

    Whatever reads the logs gets them: `history`, and a `keras.callbacks.CSVLogger` or `TensorBoard` that
    comes after it. `feature_std` and `effective_rank`, which `fit` logs of its batches, are not overwritten.
    A warning names the kind of collapse as `kerassl.evaluation.find_collapse` sees it, the number that shows
    it and what to try with a method of this family; training continues (`CollapseGuard` stops it).

    Args:
        data: images, `(images, labels)`, a `kerassl.data.ImageDataset` or an iterable of batches; embedded
            without augmentation. The paper of RankMe takes images that the method trains on.
        names: of `kerassl.evaluation.DIAGNOSTICS`; "alignment" and "lidar" are of `num_views` of the
            method's own views of each image, "tolerance" needs labels.
        every: epochs between two evaluations; the first epoch, from whose logs `CSVLogger` takes its columns,
            and the last are always evaluated.
        max_images: images that are looked at, chosen once; more than the features have dimensions.
        num_views: views of each image, where a name needs them; each costs as much as all other
            diagnostics together.
        patience: evaluations in a row that must look collapsed; an untrained encoder may look so at first.
        batch_size: images per embedding step.

    Attributes:
        collapse: the last result of `find_collapse`, or `None`.
        spectrum: `(dim,)` eigenvalues of the last evaluation as shares of their sum, or `None`.
        warned: the kinds of collapse that were warned of.

    Example:
        >>> import numpy as np
        >>> from kerassl.callbacks import Diagnostics
        >>> Diagnostics(np.zeros((8, 8, 8, 1), "uint8"), ["rankme", "lidar"], every=5).names
        ('rankme', 'lidar')
    """

    def __init__(
        self,
        data: object,
        names: Sequence[str] = ("rankme", "alpha_req", "uniformity"),
        every: int = 1,
        max_images: int = 2000,
        num_views: int = 4,
        patience: int = 2,
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("every", every, 1),
            ("max_images", max_images, 2),
            ("num_views", num_views, 2),
            ("patience", patience, 1),
            ("batch_size", batch_size, 1),
        ):
            check_count(name, value, least=least)
        self.names = check_diagnostics(names)
        self.images, self.labels = chosen_images(data, max_images)
        if "tolerance" in self.names and self.labels is None:
            raise ValueError("tolerance needs labels: pass (images, labels), or leave it out of the names.")
        self.every, self.num_views = every, num_views
        self.patience, self.batch_size = patience, batch_size
        self.collapse: Collapse | None = None
        self.spectrum: np.ndarray | None = None
        self.bad, self.warned = 0, set()
        self._viewer = None

    @property
    def log_names(self) -> tuple[str, ...]:
        """The entries for the logs, without alpha_req while the features are collapsed."""
        return self.names

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forgets an earlier run."""
        self.bad, self.warned, self._viewer = 0, set(), None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Embeds the images, adds to `logs` and warns."""
        due = epoch == 0 or (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]
        if logs is None or not due:
            return
        model = self.model
        features, _ = evaluation.embed(model, self.images, batch_size=self.batch_size)
        if not np.isfinite(features).all():
            # `fit` itself reports these.
            return
        views = None
        if {"alignment", "lidar"} & set(self.names):
            views = self._features_of_views(model)
        found = evaluation.diagnose(features, self.names, views, self.labels)
        # NaN stands for values that collapsed features do not have.
        logs.update({n: value for n, value in found.items() if n not in logs and np.isfinite(value)})
        self.collapse = find_collapse(features)
        self.spectrum = evaluation.eigenspectrum(features)
        kind, what = self.collapse.kind, str(self.collapse)
        if kind is None:
            kind, what = prototype_collapse(logs)
        self.bad = self.bad + 1 if kind else 0
        if kind and self.bad >= self.patience and kind not in self.warned:
            self.warned.add(kind)
            text = f"{kind.capitalize()} collapse after epoch {epoch + 1}: {what}. "
            warnings.warn(text + what_to_try(kind, model), stacklevel=2)

    def _features_of_views(self, model: keras.Model) -> np.ndarray:
        """Features `(images, num_views, dim)` of the method's views, the same ones at each evaluation."""
        if getattr(model, "views", None) is None:
            raise ValueError(
                "alignment and lidar need the views of a method, and this model makes none. Leave them out "
                "of the names."
            )
        if self._viewer is None:
            self._viewer = ViewFeatures(model, self.num_views)
        parts = []
        for start in range(0, len(self.images), self.batch_size):
            images = self.images[start : start + self.batch_size]
            parts.append(self._viewer.predict_on_batch((images, np.full(len(images), start, "int32"))))
        return np.concatenate(parts)


class ViewFeatures(keras.Model):
    """Features `(batch, num_views, dim)` of a method's views of images, in eval mode.

    Args:
        method: an `SSLModel` with views.
        num_views: views of each image; the method's views are drawn as often as that needs.
    """

    def __init__(self, method: keras.Model, num_views: int) -> None:
        super().__init__()
        self.method, self.num_views = method, num_views
        self.built = True

    def call(self, inputs: tuple) -> Any:
        """The features of `(images, key)`: `(batch,)` integers of which the first keys the views' numbers."""
        images, key = inputs
        found = []
        while len(found) < self.num_views:
            seed = engine.StepSeed(f"diagnostics/{len(found)}", key[0])
            made = self.method.views(images, seed=seed)
            made = made if isinstance(made, (tuple, list)) else (made,)
            # Others may be smaller crops, masks or positions.
            made = [view for view in made if view.shape == made[0].shape]
            found += [
                self.method.encode(self.method.embedding_encoder, view, training=False) for view in made
            ]
        return ops.cast(ops.stack(found[: self.num_views], axis=1), "float32")


def chosen_images(data: object, limit: int) -> tuple[np.ndarray, np.ndarray | None]:
    """At most `limit` images and their labels: a fixed choice of those in memory, else the first ones."""
    if isinstance(data, ImageDataset):
        data = (data.images, data.labels)
    arrays = data if isinstance(data, (tuple, list)) else (data,)
    if hasattr(arrays[0], "shape"):
        chosen = np.sort(np.random.default_rng(0).permutation(len(arrays[0]))[:limit])
        # Of files only those that are chosen are read.
        parts: list[Any] = [
            part if part is None or isinstance(part, LazyImages) else np.asarray(part) for part in arrays
        ]
        parts = [None if part is None else part[chosen] for part in parts[:2]]
        return parts[0], parts[1] if len(parts) > 1 else None
    batches, count = [], 0
    for batch in data:
        batches.append(keras.utils.unpack_x_y_sample_weight(batch)[:2])
        count += len(batches[-1][0])
        if count >= limit:
            break
    joined: list[Any] = [
        None if column[0] is None else np.concatenate([np.asarray(part) for part in column])[:limit]
        for column in zip(*batches, strict=True)
    ]
    return joined[0], joined[1]


def prototype_collapse(logs: dict) -> tuple[str | None, str]:
    """The kind of collapse in the usage of prototypes of an epoch's logs, and its description.

    Example:
        >>> from kerassl.callbacks.diagnostics import prototype_collapse
        >>> prototype_collapse({"prototype_entropy": 0.1})
        ('cluster', 'nearly all images fall to one prototype: prototype_entropy is 0.1, below ln 2')
    """
    for name, value in logs.items():
        if name.endswith("prototype_entropy") and not float(value) >= MIN_PROTOTYPE_ENTROPY:
            what = "nearly all images fall to one prototype"
            return "cluster", f"{what}: {name} is {float(value):.2g}, below ln 2"
    return None, ""
