"""The local loss of VICRegL: VICReg between the matching cells of two views' feature maps."""

from keras import KerasTensor, ops

from kerassl.losses.common import check_rank, check_same_shape, squared_distances, to_float32
from kerassl.losses.redundancy.vicreg import off_diagonal_covariance, variance_hinge


def vicregl_local(
    maps1: KerasTensor,
    maps2: KerasTensor,
    centers1: KerasTensor,
    centers2: KerasTensor,
    num_matches: int = 20,
    invariance: float | KerasTensor = 25.0,
    variance: float | KerasTensor = 25.0,
    covariance: float | KerasTensor = 1.0,
) -> KerasTensor:
    """VICReg between cells of one view and their matches in the other, by features and by location.

    For the pairs of `matched_cells`, `l = invariance * mean((x - y)^2) + variance * (v(x) + v(y)) / 2 +
    covariance * (c(x) + c(y)) / 2`, v and c those of `variance_hinge` and `off_diagonal_covariance`, which
    take the statistics of each cell over the batch. The two directions are averaged, and the loss of the
    cells matched by features is added to the loss of the cells matched by location. Symmetric in the views.
    The matching is not differentiated; the matched embeddings are, on both sides. There is no per-sample
    value, hence no `reduction`.

    Paper: Bardes et al., VICRegL: Self-Supervised Learning of Local Visual Features, arXiv 2210.01571,
    section 3. Official code: facebookresearch/VICRegL, main_vicregl.py, which reports half of this for
    two views: it divides the last ordered pair of views by the number of pairs. lightly takes the statistics
    of the matches in the order of their distance, and keeps as many by features as by location.

    Args:
        maps1: `(batch, cells, dim)` embeddings of the first views' cells, not normalized.
        maps2: `(batch, cells, dim)` embeddings of the second views' cells.
        centers1: `(batch, cells, 2)` their centers in the image, for the first views, in any unit.
        centers2: `(batch, cells, 2)` their centers for the second views.
        num_matches: number of nearest pairs of cells that are kept per image in the matching by location,
            gamma in the paper: 20 of 49.
        invariance: weight of the invariance term; >= 0.
        variance: weight of the variance terms; >= 0.
        covariance: weight of the covariance terms; >= 0.

    Returns:
        A float32 scalar; `2 * 0.99 * variance` for constant, equal embeddings.

    Raises:
        ValueError: for shapes that do not fit or fewer than one match.

    Example:
        >>> import numpy as np
        >>> from kerassl.losses import vicregl_local
        >>> maps, centers = np.ones((8, 4, 16)), np.ones((8, 4, 2))
        >>> round(float(vicregl_local(maps, maps, centers, centers)), 2)
        49.5
    """
    return (
        sum(
            invariance * ops.mean(ops.square(x - y))
            + variance * (variance_hinge(x) + variance_hinge(y)) / 2
            + covariance * (off_diagonal_covariance(x) + off_diagonal_covariance(y)) / 2
            for x, y in matched_cells(maps1, maps2, centers1, centers2, num_matches)
        )
        / 2
    )


def matched_cells(
    maps1: KerasTensor,
    maps2: KerasTensor,
    centers1: KerasTensor,
    centers2: KerasTensor,
    num_matches: int = 20,
) -> tuple[tuple[KerasTensor, KerasTensor], ...]:
    """The pairs of cells that VICRegL compares.

    Each cell of one view goes with the cell of the other whose embedding is nearest; and each of the
    `num_matches` cells that lie nearest to a cell of the other view goes with that one. Each image is matched
    separately. Source: as `vicregl_local`.

    Args:
        maps1: `(batch, cells, dim)`, as in `vicregl_local`.
        maps2: `(batch, cells, dim)`.
        centers1: `(batch, cells, 2)`.
        centers2: `(batch, cells, 2)`.
        num_matches: number of cells that are kept in the matching by location; all if a map has fewer.

    Returns:
        Four pairs `(x, y)` of float32 `(batch, matches, dim)`, row j of y the match of row j of x: by
        features from the first view to the second and back, by location from the first to the second and
        back.

    Raises:
        ValueError: for shapes that do not fit or fewer than one match.

    Example:
        >>> from kerassl.losses import matched_cells
        >>> maps1, maps2 = [[[0.0], [1.0]]], [[[1.1], [0.2]]]
        >>> places = [[[0.0, 0.0], [0.0, 1.0]]]
        >>> for x, y in matched_cells(maps1, maps2, places, places, num_matches=1):
        ...     print([[round(float(v), 1) for v in side[0, :, 0]] for side in (x, y)])
        [[0.0, 1.0], [0.2, 1.1]]
        [[1.1, 0.2], [1.0, 0.0]]
        [[0.0], [1.1]]
        [[1.1], [0.0]]
    """
    maps1, maps2, centers1, centers2 = map(to_float32, (maps1, maps2, centers1, centers2))
    for name, maps in (("maps1", maps1), ("maps2", maps2)):
        check_rank(name, maps, ("batch", "cells", "dim"))
    check_same_shape("maps1", maps1, "maps2", maps2)
    for name, centers in (("centers1", centers1), ("centers2", centers2)):
        check_rank(name, centers, ("batch", "cells", "2"))
    check_same_shape("centers1", centers1, "centers2", centers2)
    check_same_shape("centers1[..., 0]", centers1[..., 0], "maps1[..., 0]", maps1[..., 0])
    if num_matches < 1:
        raise ValueError(f"num_matches must be at least 1, got {num_matches}; the paper uses 20.")
    cells = maps1.shape[1]
    by_features = ops.stop_gradient(squared_distances(maps1, maps2))
    # Differences, not products as above: locations must stay distinct at any distance from the origin.
    by_place = ops.sum(ops.square(centers1[:, :, None] - centers2[:, None, :]), axis=-1)
    return (
        _nearest(maps1, maps2, by_features, cells),
        _nearest(maps2, maps1, ops.swapaxes(by_features, 1, 2), cells),
        _nearest(maps1, maps2, by_place, min(num_matches, cells)),
        _nearest(maps2, maps1, ops.swapaxes(by_place, 1, 2), min(num_matches, cells)),
    )


def _nearest(maps: KerasTensor, others: KerasTensor, distances: KerasTensor, kept: int) -> tuple:
    """The `kept` cells of `maps` nearest to a cell of `others`, in order, and their matches."""
    matches = ops.argmin(distances, axis=2)
    if kept < maps.shape[1]:
        # In the map's order, since statistics over the batch are taken cell by cell.
        rows = ops.sort(ops.argsort(ops.min(distances, axis=2), axis=1)[:, :kept], axis=1)
        matches = ops.take_along_axis(matches, ops.cast(rows, matches.dtype), axis=1)
        maps = ops.take_along_axis(maps, rows[:, :, None], axis=1)
    return maps, ops.take_along_axis(others, matches[:, :, None], axis=1)
