"""What views of images say of raw images."""

import numpy as np
import pytest
from keras import ops

from kerassl import views

VIEWS = views.preset("simclr_cifar", 8)


def images(low=0, high=255, dtype="float32", number=2):
    x = np.random.default_rng(0).uniform(low, high, (number, 8, 8, 3))
    x[0, 0, 0, 0], x[0, 0, 0, 1] = low, high
    return x.astype(dtype)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (images()[..., 0], r"got shape \(2, 8, 8\). Add the missing axis"),
        ((images(), images()), "must be one array .*got a tuple"),
        (images()[:0], "The images are empty"),
        (images().astype("complex64"), "got dtype complex64"),
        (np.full((2, 4, 4, 3), np.nan), "2 of 2 images hold NaN or infinite values"),
        (images(0, 300, "int32"), r"Integer images must be in \[0, 255\]; got values from 0 to 300"),
        (
            images(0, 10200),
            r"Float images must be in \[0, 255\]; got values from 0 to 10200. Rescale",
        ),
    ],
)
def test_bad_images_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        VIEWS.check(x)


def test_tensors_are_checked_too():
    VIEWS.check(ops.convert_to_tensor(images()))


@pytest.mark.parametrize("x", [images(0, 1), images(-2, 2)])
def test_images_that_look_normalized_are_warned_of(x):
    with pytest.warns(UserWarning, match="looks as if they were normalized already"):
        VIEWS.check(x)


@pytest.mark.filterwarnings("error")
def test_the_range_is_that_of_the_views():
    VIEWS.check(images(dtype="uint8"), np.zeros(2))
    VIEWS.check(images(-0.0, 258.0))
    unit = views.preset("simclr_cifar", 8, value_range=(0, 1))
    unit.check(images(0, 1))
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]; got values from 0 to 255"):
        unit.check(images())
    with pytest.raises(ValueError, match=r"Integer images must be in \[0, 1\]"):
        unit.check(images(dtype="uint8"))


def test_describe_is_the_format_of_the_images():
    assert VIEWS.describe(images(dtype="uint8")) == {
        "size": (8, 8), "channels": 3, "values": "0 to 255", "resize": None
    }  # fmt: skip
    assert VIEWS.describe(images(0, 1))["values"] == "0 to 1"
    assert VIEWS.describe(images(-2, 2))["values"] == "normalized"
    wide = views.preset("simclr_cifar", 8, value_range=(-100, 4000))
    assert wide.describe(images(-100, 4000))["values"] == "-100 to 4000"
    assert wide.describe(images(0, 4000, "uint16"))["values"] == "-100 to 4000"


def test_raw_inputs_are_floats_of_any_size():
    class Encoder:
        input_shape = (None, 8, 8, 3)

    spec = VIEWS.raw_input_spec(Encoder)
    assert (spec.shape, spec.dtype) == ((None, None, None, 3), "float32")
    assert VIEWS.raw_input_spec(Encoder, (4, 6)).shape == (None, 4, 6, 3)


def test_image_views_of_ones_own():
    class Plain(views.ImageViews):
        def augment(self, images, seed):
            return self.preprocess(images)

    layer = Plain(4, mean=0.0, std=1.0, value_range=(0, 1))
    first, second = layer(images(0, 1))
    assert tuple(first.shape) == tuple(second.shape) == (2, 4, 4, 3)
    assert layer.get_config()["size"] == (4, 4)
    with pytest.raises(ValueError, match="Images must have shape"):
        layer(np.zeros((2, 4, 4)))


def test_a_format_of_an_older_file_is_read():
    old = {"size": [8, 6], "channels": 3, "values": "normalised", "resize": "centre crop"}
    assert views.InputFormat.get(old) == views.InputFormat((8, 6), 3, "normalized", "center crop")
