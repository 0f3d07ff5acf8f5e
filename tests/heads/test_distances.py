import keras
import numpy as np
import pytest

from kerassl.heads import PrototypeDistances, image_decoder


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def test_distances_are_squared_euclidean_wherever_the_points_lie():
    rng = np.random.default_rng(0)
    head = PrototypeDistances(4, 3)
    points, places = rng.normal(size=(4, 3)), rng.normal(size=(2, 5, 5, 4))
    expected = np.sum((places[..., None] - points) ** 2, axis=-2)
    for shift in (0.0, 300.0):
        head.prototypes.assign(points + shift)
        found = numpy(head((places + shift).astype("float32")))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    at_a_prototype = numpy(head((points.T + 300).astype("float32")))
    assert np.abs(np.diag(at_a_prototype)).max() < 1e-4


def test_bad_widths_are_named():
    with pytest.raises(ValueError, match="image_shape must be a tuple"):
        image_decoder(4, (None, 8, 3))


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (33, 20, 3), (5, 7, 2)])
def test_a_decoder_makes_images_of_any_size(shape):
    made = numpy(
        image_decoder(3, shape, width=4)(np.random.default_rng(0).normal(size=(2, 3)).astype("float32"))
    )
    assert made.shape == (2, *shape) and np.abs(made[0] - made[1]).max() > 0
