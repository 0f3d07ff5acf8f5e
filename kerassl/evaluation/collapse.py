"""Whether features have collapsed, and in which way."""

from typing import NamedTuple

import numpy as np

from kerassl.metrics.features import check_features, l2_normalize
from kerassl.metrics.power_law import eigenspectrum

# 1 for features that spread over the sphere. A healthy run stays far above, one that collapses falls through
# any such number (SimSiam, arXiv 2011.10566, figure 2).
MIN_STD = 0.01
# Of the directions that the images could fill. Trained and random networks fill 94 % of them and more on the
# digits; dimensional collapse leaves many at zero (Jing et al., arXiv 2110.09348, figure 2).
MIN_RANK_SHARE = 0.5
# A direction counts if its standard deviation is a thousandth of the widest one's: far above the rounding of
# float32, below a spectrum that decays as fast as 1 / rank^2 over 1000 directions.
EIGENVALUE_FLOOR = 1e-6
# Distances to the nearest image outside an image's group and to the farthest inside: groups ten times
# narrower than the gaps between them hold little besides the group. Pixels, random encoders and encoders
# trained with and without labels have 1.05 on the digits.
MAX_GROUP_GAP = 10.0
# Fewer neighbors are no group: an image may have copies, or stand among frames of a video.
_SMALLEST_GROUP = 5


class Collapse(NamedTuple):
    """The kind of collapse of features, and the numbers behind the verdict.

    Attributes:
        kind: "complete" (every image has nearly the same feature), "dimensional" (they fill few of the
            directions), "cluster" (they fall to a few points), or `None`.
        feature_std: as of `kerassl.evaluation.feature_std`.
        numerical_rank: directions whose standard deviation is above 1/1000 of the widest one's.
        largest_rank: upper bound of `numerical_rank`: the number of dimensions, or of images minus one.
        group_gap: ratio of the median image's distances to other images and to images of its own group.
    """

    kind: str | None
    feature_std: float
    numerical_rank: int
    largest_rank: int
    group_gap: float

    def __str__(self) -> str:
        if self.kind == "complete":
            what = "every image gets nearly the same embedding"
            return f"{what}: feature_std is {self.feature_std:.3g}, below {MIN_STD:g}"
        if self.kind == "dimensional":
            filled = f"{self.numerical_rank} of {self.largest_rank} directions"
            return f"the embeddings fill {filled}, less than {MIN_RANK_SHARE:.0%}"
        if self.kind == "cluster":
            what = "the embeddings fall to a few points"
            return (
                f"{what}: the next group is {self.group_gap:.3g} times as far away as an image's own is wide"
            )
        return "no collapse"


def find_collapse(features: np.ndarray) -> Collapse:
    """Says whether L2-normalized features have collapsed, and in which way.

    Checked in this order, the first that holds being named:

    * complete: `feature_std` below 0.01;
    * cluster: for half of the images, the nearest image outside a group of six or more is more than ten
      times as far away as the farthest one of the group;
    * dimensional: less than half of the directions that the images could fill have a standard deviation of a
      thousandth of the widest one's.

    Features that were computed in half precision hide the last one: their rounding fills all directions.

    Source: for the kinds, Jing et al., arXiv 2110.09348, and Sansone et al., arXiv 2410.04959; the thresholds
    are this library's, chosen far from the values of trained and random networks.

    Args:
        features: `(number, dim)`, a few hundred to a few thousand.

    Raises:
        ValueError: fewer than two features, or of a wrong shape or not finite.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import find_collapse
        >>> features = np.random.default_rng(0).normal(size=(300, 16))
        >>> print(find_collapse(features))
        no collapse
        >>> print(find_collapse(features[:, :4] @ features[:4]))
        the embeddings fill 4 of 16 directions, less than 50%
    """
    unit = l2_normalize(check_features(features, None, "features")[0]).astype("float64")
    number, dim = unit.shape
    if number < 2:
        raise ValueError(f"features must be of two images or more for a collapse to show; got {number}.")
    std = float(np.mean(unit.std(axis=0)) * dim**0.5)
    largest = min(number - 1, dim)
    shares = eigenspectrum(unit)
    rank = int(np.sum(shares > EIGENVALUE_FLOOR * shares[0])) if shares[0] > 0 else 0
    gap = group_gap(unit)
    if not std >= MIN_STD:
        kind = "complete"
    elif gap > MAX_GROUP_GAP:
        kind = "cluster"
    elif rank < MIN_RANK_SHARE * largest:
        kind = "dimensional"
    else:
        kind = None
    return Collapse(kind, std, rank, largest, gap)


def group_gap(unit: np.ndarray, chunk: int = 1024) -> float:
    """Ratio of the median image's distances to other images and to images of its own group.

    The distances of an image to all others are sorted; from the sixth on, the largest ratio of one to the one
    before is where its group ends. Evenly spread features have ratios near 1.

    Args:
        unit: `(number, dim)` rows.
        chunk: rows whose distances are held at a time.

    Returns:
        The median over rows of the largest ratio; 1 for too few rows or if all rows are equal.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation.collapse import group_gap
        >>> line = np.concatenate([np.arange(10), 200 + np.arange(10)])[:, None] * 1.0
        >>> group_gap(line) > 10, group_gap(np.arange(20.0)[:, None]) < 1.5
        (True, True)
    """
    if len(unit) < _SMALLEST_GROUP + 2:
        return 1.0
    lengths = np.sum(np.square(unit), axis=1)
    ratios = []
    for start in range(0, len(unit), chunk):
        rows = unit[start : start + chunk]
        squared = lengths[start : start + chunk, None] + lengths - 2 * rows @ unit.T
        # Itself comes first. What float32 features leave of a distance of zero is rounding.
        squared = np.maximum(np.sort(squared, axis=1)[:, _SMALLEST_GROUP:], 1e-12 * lengths.max())
        ratios.append(np.max(squared[:, 1:] / squared[:, :-1], axis=1))
    return float(np.sqrt(np.median(np.concatenate(ratios))))
