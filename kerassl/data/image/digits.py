"""The digits that scikit-learn carries: 1,797 gray images of 8x8 pixels, no download."""

import numpy as np

from kerassl.data.split import Arrays, split_arrays


def load_digits(test_fraction: float) -> Arrays:
    """Returns scikit-learn's digits, rescaled from [0, 16] to uint8 [0, 255].

    Args:
        test_fraction: share of each class for the test part, in [0, 1).

    Raises:
        ImportError: scikit-learn is missing.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError('"digits" needs scikit-learn: pip install "kerassl[data]"') from error
    digits = datasets.load_digits()
    images = np.round(digits.images[..., None] * (255 / 16)).astype("uint8")
    return split_arrays(images, digits.target, test_fraction, tuple(str(name) for name in range(10)))
