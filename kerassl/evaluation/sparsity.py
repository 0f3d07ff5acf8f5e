"""Essential sparsity: the share of an encoder's weights that can be zero without loss of accuracy."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from kerassl.engine.keras_internals import layers_of
from kerassl.metrics.checks import check_number, check_sequence


class SparsityCurve(NamedTuple):
    """A score over the share of pruned weights.

    Attributes:
        sparsities: shares of the weights that are zero, in order.
        scores: scores of the pruned encoder.
        essential: the largest of the shares up to which no score is lower than the dense one by more than
            the tolerance.
    """

    sparsities: tuple[float, ...]
    scores: tuple[float, ...]
    essential: float


def essential_sparsity(
    encoder: keras.Model,
    score: Callable[[keras.Model], float],
    sparsities: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    tolerance: float = 0.01,
) -> SparsityCurve:
    """Scores an encoder whose smallest weights are zero, for growing shares of them.

    Weights are pruned once for each share, by their size among those of all layers together, without training
    in between. Kernels of linear layers and convolutions are pruned; the first layer of these, biases, norms,
    tokens and positions are not. The encoder's weights are restored at the end.

    Source: The Emergence of Essential Sparsity in Large Pre-trained Models, arXiv 2306.03805, which prunes
    the linear layers of transformers and fine-tunes each pruned model. That a drop of 1 % of the dense score
    is still none is our choice; in the paper the point is read from the curve.

    Args:
        encoder: a built model.
        score: function of the encoder, such as its kNN accuracy on held-out images; higher is better.
        sparsities: shares in [0, 1), growing, the first of them 0.
        tolerance: share of the dense score that may be lost.

    Returns:
        A `SparsityCurve`.

    Raises:
        ValueError: for shares that do not grow from 0, or an encoder with nothing to prune.

    Example:
        >>> import numpy as np
        >>> import kerassl
        >>> from kerassl.evaluation import essential_sparsity
        >>> encoder = kerassl.backbones.resnet18((8, 8, 1), stem="small", width=4)
        >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
        >>> def mean(model):
        ...     return float(np.mean(model.predict(images, verbose=0)))
        >>> curve = essential_sparsity(encoder, mean, (0.0, 0.5))
        >>> len(curve.scores)
        2
    """
    shares = check_sequence("sparsities", sparsities, "shares in [0, 1)")
    shares = tuple(check_number("sparsities", share, least=0, below=1) for share in shares)
    check_number("tolerance", tolerance, least=0, below=1)
    if not isinstance(encoder, keras.Model) or not callable(score):
        raise ValueError(
            f"encoder must be a keras.Model and score a function of it; got {encoder!r} and {score!r}."
        )
    if shares[0] != 0 or list(shares) != sorted(set(shares)) or shares[-1] >= 1:
        raise ValueError(f"sparsities must grow from 0 and stay below 1, got {shares}.")
    kernels = prunable(encoder)
    dense = [keras.ops.convert_to_numpy(kernel) for kernel in kernels]
    sizes = np.concatenate([np.abs(value).ravel() for value in dense])
    order = np.sort(sizes)
    scores = []
    try:
        for share in shares:
            count = round(share * len(order))
            # Of weights of one size all stay or all go; where none goes nothing is below.
            threshold = order[count] if count else 0.0
            for kernel, value in zip(kernels, dense, strict=True):
                kernel.assign(np.where(np.abs(value) >= threshold, value, 0.0))
            scores.append(float(score(encoder)))
    finally:
        for kernel, value in zip(kernels, dense, strict=True):
            kernel.assign(value)
    essential = 0.0
    for share, value in zip(shares, scores, strict=True):
        if value < (1 - tolerance) * scores[0]:
            break
        essential = share
    return SparsityCurve(shares, tuple(scores), essential)


def prunable(encoder: keras.Model) -> list[keras.Variable]:
    """The kernels of an encoder's linear layers and convolutions but the first, in order.

    Raises:
        ValueError: if there is none.
    """
    kinds = (keras.layers.Dense, keras.layers.Conv2D)
    layers = [layer for layer in layers_of(encoder) if isinstance(layer, kinds)]
    found = [layer.kernel for layer in layers[1:]]
    if not found:
        raise ValueError(f"{encoder.name} has no linear layer or convolution beyond its first to prune.")
    return found
