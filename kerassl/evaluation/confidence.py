"""How sure a measured accuracy is."""

import math

from kerassl.metrics.checks import check_count, check_number


def confidence_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval for the accuracy on images of which `count` were tried.

    It speaks of the choice of test images, not of other seeds or runs.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.

    Args:
        accuracy: share of right answers, in [0, 1].
        count: number of answers, at least 1.

    Raises:
        ValueError: for an accuracy outside [0, 1] or no answers.

    Example:
        >>> from kerassl.evaluation import confidence_interval
        >>> [round(bound, 4) for bound in confidence_interval(0.5, 100)]
        [0.4038, 0.5962]
    """
    check_number("accuracy", accuracy, least=0, most=1, mend="A percentage is divided by 100.")
    check_count("count", count)
    z = 1.959964
    center = (accuracy + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(accuracy * (1 - accuracy) / count + z**2 / (4 * count**2))
    return max(center - half, 0.0), min(center + half, 1.0)
