"""What patches of a vision transformer know about objects without training: segmentation by a prompt."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.backbones import ViT
from kerassl.evaluation.pictures import thumbnail, tiles
from kerassl.metrics.checks import check_count, check_number, check_sequence
from kerassl.metrics.features import check_array, l2_normalize
from kerassl.views import Preprocess

THRESHOLDS = tuple(np.round(np.arange(-0.95, 1, 0.05), 2).tolist())


class PromptSegmentation(NamedTuple):
    """How well the patches that are like a prompted one cover its object.

    Attributes:
        thresholds: thresholds on the cosine similarity.
        iou: intersection over union at each threshold, the mean over prompts, then over objects.
        best_threshold: the one with the largest mean, chosen by these masks.
        best_iou: that mean.
    """

    thresholds: tuple[float, ...]
    iou: tuple[float, ...]
    best_threshold: float
    best_iou: float


class ObjectSimilarity(NamedTuple):
    """Similarities of patches of one object and of two objects in the same image.

    Attributes:
        intra: mean cosine of two patches of an object, the mean over objects; 1 is best.
        inter: mean cosine of patches of two objects, the mean over pairs of objects; low is good.
        overlap: share that the histograms of both have in common, in [0, 1]; 0 is best.
    """

    intra: float
    inter: float
    overlap: float


def find_vit(model: keras.Model) -> tuple[ViT | None, keras.layers.Layer | None]:
    """The ViT in a model, and its preprocessing of raw images; `None` for each that is missing.

    Args:
        model: a `ViT`, an `SSLModel` with one as its encoder, or an exported encoder.
    """
    encoder = getattr(model, "embedding_encoder", model)
    if isinstance(encoder, ViT):
        views = getattr(model, "views", None)
        return encoder, None if views is None else views.preprocess
    layers = getattr(model, "layers", ())
    vit = next((x for x in layers if isinstance(x, ViT)), None)
    return vit, next((x for x in layers if isinstance(x, Preprocess)), None)


def patch_features(model: keras.Model, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Returns the features of the patches of each image, after the final norm of a ViT.

    Args:
        model: a `ViT` for normalized images; an `SSLModel` or an exported encoder, with a ViT, for raw ones.
        images: `(number, height, width, channels)`.
        batch_size: images at a time.

    Returns:
        `(number, rows, columns, dim)` float32.

    Raises:
        ValueError: for a model without a ViT.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import vit
        >>> from kerassl.evaluation import patch_features
        >>> encoder = vit((16, 16, 3), patch_size=4, hidden_dim=16, depth=1, num_heads=2)
        >>> patch_features(encoder, np.zeros((2, 16, 16, 3), "float32")).shape
        (2, 4, 4, 16)
    """
    vit, preprocess = find_vit(model)
    if vit is None:
        name = getattr(model, "name", repr(model))
        raise ValueError(f"model must be or hold a ViT of kerassl.backbones; {name} has none.")
    images = check_array("images", images, ("number", "height", "width", "channels"))
    check_count("batch_size", batch_size)
    return _PatchFeatures(vit, preprocess).predict(images, batch_size=batch_size, verbose=0)


class _PatchFeatures(keras.Model):
    def __init__(self, vit: ViT, preprocess: keras.layers.Layer | None) -> None:
        super().__init__(name="patch_features")
        self.vit, self.preprocess = vit, preprocess
        self.built = True

    def call(self, images: KerasTensor):
        if self.preprocess is not None:
            images = self.preprocess(images)
        rows, columns = (side // self.vit.patch_size for side in images.shape[1:3])
        tokens = self.vit.encode_tokens(self.vit.embed_patches(images), training=False)
        tokens = ops.cast(tokens[:, self.vit.num_prefix_tokens :], "float32")
        return ops.reshape(tokens, (-1, rows, columns, tokens.shape[-1]))


def prompt_segmentation(
    features: np.ndarray, masks: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> PromptSegmentation:
    """Returns how well an object is found from one of its patches, by cosine similarity alone.

    Every patch that has more pixels of an object than of anything else is a prompt. All patches whose
    similarity to it is above a threshold are taken for the object, and each pixel goes with its patch.

    Source: the zero-shot protocol of MMC, arXiv 2308.11448. Its threshold is not known to us; this is the
    curve over all of them.

    Args:
        features: `(number, rows, columns, dim)` of patches, as by `patch_features`.
        masks: `(number, height, width)` integers of the same images as the encoder sees them: 0 for the
            background, an object's own number from 1 on in each image, negative for pixels to leave out.
        thresholds: thresholds on the similarity.

    Raises:
        ValueError: for masks that do not fit, or in which no object has a patch.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import prompt_segmentation
        >>> features = np.array([[[[1.0, 0.0], [0.0, 1.0]]]])
        >>> mask = np.array([[[1, 1, 0, 0], [1, 1, 0, 0]]])
        >>> prompt_segmentation(features, mask, thresholds=(-0.5, 0.5)).iou
        (0.5, 1.0)
    """
    features, masks = _check(features, masks)
    for threshold in check_sequence("thresholds", thresholds, "numbers"):
        check_number("thresholds", threshold)
    found = []
    for unit, counts in _images(features, masks):
        own, area = counts.argmax(1), counts.sum(1)
        similarity = unit @ unit.T
        for label in range(1, counts.shape[1]):
            prompts = (own == label) & (area > 0)
            if not prompts.any():
                continue
            row = []
            for threshold in thresholds:
                chosen = (similarity[prompts] > threshold).astype("float64")
                both = chosen @ counts[:, label]
                row.append(np.mean(both / (chosen @ area + counts[:, label].sum() - both)))
            found.append(row)
    if not found:
        raise ValueError("The masks have no object that is the largest thing in some patch.")
    iou = np.mean(found, axis=0)
    best = int(iou.argmax())
    return PromptSegmentation(
        tuple(map(float, thresholds)), tuple(iou.tolist()), float(thresholds[best]), float(iou[best])
    )


def object_similarity(features: np.ndarray, masks: np.ndarray, bins: int = 50) -> ObjectSimilarity:
    """Returns the similarities of patches of one object, and of two objects in the same image.

    A patch belongs to the object with most of its pixels; background patches are left out, and a patch is not
    compared with itself. Each object, and each pair of objects, counts the same.

    Source: MMC, arXiv 2308.11448.

    Args:
        features: `(number, rows, columns, dim)` of patches, as by `patch_features`.
        masks: `(number, height, width)` integers, as of `prompt_segmentation`.
        bins: number of bins of the histograms over [-1, 1].

    Raises:
        ValueError: for masks that do not fit, without an object of two patches or two objects in one image.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import object_similarity
        >>> features = np.array([[[[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]]])
        >>> similarity = object_similarity(features, np.array([[[1, 1, 2, 2]]]))
        >>> round(similarity.intra, 3), round(similarity.inter, 3), similarity.overlap
        (1.0, 0.6, 0.0)
    """
    features, masks = _check(features, masks)
    check_count("bins", bins)
    edges = np.linspace(-1, 1, bins + 1)
    # Of one object and of two: means, and histograms of share one.
    means: tuple[list, list] = ([], [])
    histograms = np.zeros((2, bins))
    for unit, counts in _images(features, masks):
        own = np.where(counts.sum(1) > 0, counts.argmax(1), 0)
        members = [np.flatnonzero(own == label) for label in range(1, counts.shape[1])]
        members = [indices for indices in members if len(indices)]
        similarity = unit @ unit.T
        for first, mine in enumerate(members):
            for second, others in enumerate(members[first:]):
                values = similarity[np.ix_(mine, others)]
                if second == 0:
                    values = values[np.triu_indices(len(mine), 1)]
                if values.size:
                    kind = int(second > 0)
                    means[kind].append(values.mean())
                    counted, _ = np.histogram(np.clip(values, -1, 1), edges)
                    histograms[kind] += counted / values.size
    if not (means[0] and means[1]):
        raise ValueError(
            "The masks must have an object of two patches or more, and an image with two objects. Give the "
            "background a number of its own to compare it with objects."
        )
    shares = histograms / [[len(part)] for part in means]
    return ObjectSimilarity(
        float(np.mean(means[0])), float(np.mean(means[1])), float(np.minimum(*shares).sum())
    )


def prompt_picture(
    images: np.ndarray, features: np.ndarray, prompts: Sequence[tuple[int, int]], size: int = 96
) -> np.ndarray:
    """Each image with a marked patch, next to the similarities of the other patches: white 1, black 0.

    Args:
        images: `(number, height, width, channels)` in [0, 255].
        features: `(number, rows, columns, dim)` of their patches.
        prompts: row and column of the marked patch of each.
        size: side in pixels of each tile.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: for images, features or prompts of other shapes, or of two lengths.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import prompt_picture
        >>> images, features = np.zeros((2, 8, 8, 1)), np.ones((2, 4, 4, 3))
        >>> prompt_picture(images, features, [(0, 0), (2, 1)], size=16).shape
        (34, 34, 3)
    """
    check_count("size", size)
    images = check_array("images", images, ("number", "height", "width", "channels"))
    features = check_array("features", features, ("number", "rows", "columns", "dim"))
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinite values: the encoder diverged or its input is broken.")
    prompts = check_array("prompts", prompts, ("number", "row and column"), kinds="ui")
    if not len(images) == len(features) == len(prompts) or prompts.shape[1] != 2:
        raise ValueError(
            f"prompts must be a row and a column for each of {len(images)} images, and features as many; got "
            f"{prompts.shape} and {features.shape}."
        )
    if (prompts < 0).any() or (prompts >= features.shape[1:3]).any():
        raise ValueError(f"prompts must lie in {features.shape[1]} x {features.shape[2]} patches.")
    pictures = []
    for image, patches, (row, column) in zip(images, features, prompts, strict=True):
        unit = l2_normalize(patches.reshape(-1, patches.shape[-1])).reshape(patches.shape)
        similarity = np.maximum(unit @ unit[row, column], 0)
        shown = thumbnail(image, size)
        rows, columns = patches.shape[:2]
        top, bottom = row * size // rows, (row + 1) * size // rows
        left, right = column * size // columns, (column + 1) * size // columns
        inside = shown[top + 1 : bottom - 1, left + 1 : right - 1].copy()
        shown[top:bottom, left:right] = (255, 60, 0)
        shown[top + 1 : bottom - 1, left + 1 : right - 1] = inside
        pictures += [shown, 255 * similarity[..., None]]
    return tiles(pictures, 2, size)


def _check(features: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features = check_array("features", features, ("number", "rows", "columns", "dim")).astype("float32")
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinite values: the encoder diverged or its input is broken.")
    masks = check_array("masks", masks, ("number", "height", "width"), kinds="ui")
    if len(features) != len(masks):
        raise ValueError(f"masks must be of {len(features)} images, as features; got {len(masks)}.")
    if any(side < count for side, count in zip(masks.shape[1:], features.shape[1:3], strict=True)):
        raise ValueError(
            f"masks must have a pixel or more for each of {features.shape[1]} x {features.shape[2]} patches; "
            f"got shape {masks.shape}."
        )
    return features, masks


def _images(features: np.ndarray, masks: np.ndarray):
    """Of each image the patches' unit features `(n, dim)` and pixels of each object `(n, objects + 1)`."""
    _, rows, columns, dim = features.shape
    row, column = (
        np.arange(side) * count // side for side, count in zip(masks.shape[1:], (rows, columns), strict=True)
    )
    patch = row[:, None] * columns + column
    for image, mask in zip(features, masks, strict=True):
        counted = mask >= 0
        labels = np.where(counted, mask, 0).astype("int64")
        objects = int(labels.max()) + 1
        counts = np.bincount((patch * objects + labels)[counted], minlength=rows * columns * objects).reshape(
            -1, objects
        )
        yield l2_normalize(image.reshape(-1, dim)).astype("float64"), counts
