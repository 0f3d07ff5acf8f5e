"""The single view layers and their functions against NumPy float64 loops and Pillow."""

import keras
import numpy as np
import pytest
from keras import ops

from kerassl import views
from kerassl.engine import StepSeed
from kerassl.views.image.blur import Blur, blur_matrix
from kerassl.views.image.color import apply_affine, color_affine
from kerassl.views.image.resample import (
    from_scanlines,
    interpolation_matrix,
    random_boxes,
    resample,
    to_scanlines,
)

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.random(shape).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x)


def reference_matrix(start, length, size_in, size_out, interpolation):
    """Pillow's resampling weights of a crop, one loop per output pixel, in float64."""

    def kernel(d):
        d = abs(d)
        if interpolation == "bilinear":
            return max(0.0, 1.0 - d)
        if d < 1:
            return 1.5 * d**3 - 2.5 * d**2 + 1
        return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0

    step = length / size_out
    matrix = np.zeros((size_out, size_in))
    for i in range(size_out):
        center = start + (i + 0.5) * step - 0.5
        for j in range(size_in):
            if start <= j + 0.5 <= start + length:
                matrix[i, j] = kernel((j - center) / max(step, 1.0))
        matrix[i] /= matrix[i].sum()
    return matrix


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("start", "length", "size_out"), [(0, 20, 8), (3, 9, 16), (2.3, 11.8, 7), (0, 20, 20)]
)
def test_interpolation_matrix_equals_a_loop(interpolation, start, length, size_out):
    matrix = interpolation_matrix(start, length, 20, size_out, interpolation)
    expected = reference_matrix(start, length, 20, size_out, interpolation)
    np.testing.assert_allclose(to_numpy(matrix), expected, atol=2e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_with_given_boxes_equal_pillow(interpolation):
    image = pytest.importorskip("PIL.Image")
    mode = {"bilinear": image.Resampling.BILINEAR, "bicubic": image.Resampling.BICUBIC}[interpolation]
    x = pixels(3, 24, 30, 2)
    top, left, height, width = np.array([[0, 3, 10], [0, 5, 2], [24, 7, 12], [30, 20, 5]], "float32")
    rows = interpolation_matrix(
        ops.convert_to_tensor(top), ops.convert_to_tensor(height), 24, 12, interpolation
    )
    columns = interpolation_matrix(
        ops.convert_to_tensor(left), ops.convert_to_tensor(width), 30, 16, interpolation
    )
    ours = to_numpy(from_scanlines(resample(to_scanlines(x), rows, columns)))
    for i in range(3):
        box = (int(left[i]), int(top[i]), int(left[i] + width[i]), int(top[i] + height[i]))
        for channel in range(2):
            crop = image.fromarray(x[i, :, :, channel]).crop(box)
            np.testing.assert_allclose(ours[i, :, :, channel], crop.resize((16, 12), mode), atol=1e-5)


def test_the_shortest_box_still_sees_a_pixel():
    for start in np.linspace(0, 1.7, 12):
        matrix = to_numpy(interpolation_matrix(float(start), 0.3, 2, 4))
        np.testing.assert_allclose(matrix.sum(-1), 1, atol=1e-6)


def test_boxes_lie_inside_and_spread_over_scale_and_ratio():
    top, left, height, width = map(
        to_numpy, random_boxes(StepSeed(0, 0), 4000, 40, 60, (0.08, 1.0), (3 / 4, 4 / 3))
    )
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= 40.001 and (left + width).max() <= 60.001
    ratio, share = width / height, height * width / 2400
    assert 0.7499 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.3334
    assert 0.0799 < share.min() < 0.1 and share.max() > 0.8
    assert abs(np.log(ratio).mean()) < 0.05


def test_boxes_of_an_impossible_ratio_are_the_largest_centered_ones():
    top, left, height, width = (
        to_numpy(v)[0] for v in random_boxes(StepSeed(0, 0), 1, 10, 40, (1.0, 1.0), (1.0, 1.0))
    )
    np.testing.assert_allclose([top, left, height, width], [0, 15, 10, 10], atol=1e-4)


def test_the_whole_image_at_its_size_is_the_identity():
    x = pixels(2, 17, 17, 3)
    crop = views.RandomResizedCrop(17, scale=(1, 1), ratio=(1, 1), interpolation="bicubic")
    np.testing.assert_allclose(to_numpy(crop(x)), x, atol=1e-5)


def test_flip_is_exact_alone_and_in_the_crop():
    x = pixels(2, 12, 12, 3)
    np.testing.assert_array_equal(to_numpy(views.RandomHorizontalFlip(1.0)(x)), x[:, :, ::-1])
    crop = views.RandomResizedCrop(12, scale=(1, 1), ratio=(1, 1), flip=1.0)
    np.testing.assert_allclose(to_numpy(crop(x)), x[:, :, ::-1], atol=1e-5)
    half = to_numpy(views.RandomHorizontalFlip(0.5, seed=1)(np.repeat(x[:1], 64, 0)))
    flipped = (half == x[:1, :, ::-1]).all(axis=(1, 2, 3))
    assert 16 < flipped.sum() < 48 and (half[~flipped] == x[:1]).all()


def test_grayscale_has_the_exact_weights():
    x = pixels(3, 5, 5, 3)
    gray = to_numpy(views.RandomGrayscale(1.0)(x))
    expected = x.astype("float64") @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray, np.repeat(expected[..., None], 3, -1), atol=1e-6)


def test_solarize_is_exact():
    x = pixels(3, 5, 5, 3)
    np.testing.assert_allclose(to_numpy(views.Solarize(1.0)(x)), np.where(x >= 0.5, 1 - x, x), atol=1e-7)
    np.testing.assert_allclose(to_numpy(views.Solarize(1.0, 0.0)(x)), 1 - x, atol=1e-7)


def test_color_affine_equals_a_loop():
    x = pixels(2, 4, 6, 3)
    brightness, contrast, saturation = (np.array(v, "float32") for v in ([0.7, 1.3], [0.5, 1.6], [0.2, 1.9]))
    factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    factors = {k: ops.convert_to_tensor(v) for k, v in factors.items()}
    scanlines = to_scanlines(x)
    ours = to_numpy(from_scanlines(apply_affine(scanlines, *color_affine(scanlines, **factors))))
    weights = np.array([0.299, 0.587, 0.114])
    for i in range(2):
        image = x[i].astype("float64") * brightness[i]
        image = contrast[i] * image + (1 - contrast[i]) * (image @ weights).mean()
        gray = (image @ weights)[..., None]
        image = saturation[i] * image + (1 - saturation[i]) * gray
        np.testing.assert_allclose(ours[i], image, atol=1e-5)


def test_hue_turns_red_to_green_and_a_whole_turn_is_nothing():
    red = np.zeros((1, 1, 1, 3), "float32")
    red[..., 0] = 1
    scanlines = to_scanlines(red)

    def turned(hue):
        affine = color_affine(scanlines, hue=ops.convert_to_tensor([hue], "float32"))
        return to_numpy(apply_affine(scanlines, *affine)).ravel()

    np.testing.assert_allclose(turned(1.0), [1, 0, 0], atol=1e-5)
    assert turned(1 / 3).argmax() == 1 and turned(-1 / 3).argmax() == 2
    np.testing.assert_allclose(turned(0.2) @ np.array([0.299, 0.587, 0.114]), 0.299, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel_size"), [(9, 3), (12, 7), (5, 9)])
def test_blur_equals_a_convolution(size, kernel_size):
    x = pixels(2, size, size, 2)
    sigma = np.array([0.4, 1.7], "float32")
    matrix = blur_matrix(Blur(ops.convert_to_tensor(sigma), None, kernel_size), size)
    ours = to_numpy(from_scanlines(resample(to_scanlines(x), matrix, matrix)))
    radius = kernel_size // 2
    for i in range(2):
        taps = np.exp(-(np.arange(-radius, radius + 1.0) ** 2) / (2 * float(sigma[i]) ** 2))
        taps /= taps.sum()
        padded = np.pad(x[i].astype("float64"), ((radius, radius), (radius, radius), (0, 0)), "reflect")
        expected = np.zeros((size, size, 2))
        for a in range(kernel_size):
            for b in range(kernel_size):
                expected += taps[a] * taps[b] * padded[a : a + size, b : b + size]
        np.testing.assert_allclose(ours[i], expected, atol=1e-5)


def test_blur_draws_a_sigma_per_image_and_skips_the_others():
    x = np.repeat(pixels(1, 16, 16, 1), 32, 0)
    out = to_numpy(views.GaussianBlur(0.5, seed=3)(x))
    kept = np.isclose(out, x, atol=1e-6).all(axis=(1, 2, 3))
    assert 6 < kept.sum() < 26
    assert len(np.unique(out[~kept].reshape(-1, 256).round(6), axis=0)) == (~kept).sum()


@pytest.mark.parametrize(
    "layer",
    [
        views.RandomHorizontalFlip(0.0),
        views.ColorJitter(0.4, 0.4, 0.4, 0.1, probability=0.0),
        views.ColorJitter(),
        views.RandomGrayscale(0.0),
        views.GaussianBlur(0.0),
        views.Solarize(0.0),
    ],
    ids=lambda layer: layer.name,
)
def test_probability_zero_is_the_identity(layer):
    x = pixels(3, 8, 8, 3)
    np.testing.assert_array_equal(to_numpy(layer(x)), x)


def test_jitter_stays_in_range_and_differs_per_sample():
    x = np.repeat(pixels(1, 8, 8, 3), 16, 0)
    out = to_numpy(views.ColorJitter(0.8, 0.8, 0.8, 0.2)(x))
    assert out.min() >= 0 and out.max() <= 1
    assert len(np.unique(out.reshape(16, -1).round(5), axis=0)) == 16


@pytest.mark.parametrize("channels", [1, 4])
def test_chroma_changes_leave_other_channel_numbers_alone(channels):
    x = pixels(2, 6, 6, channels)
    np.testing.assert_allclose(to_numpy(views.ColorJitter(saturation=0.9, hue=0.4)(x)), x, atol=1e-6)
    np.testing.assert_array_equal(to_numpy(views.RandomGrayscale(1.0)(x)), x)
    assert not np.allclose(to_numpy(views.ColorJitter(brightness=0.5, seed=1)(x)), x)


def test_permutations_are_valid_uniform_and_differ_per_sample():
    rows = to_numpy(views.random_patch_permutation(3000, 6, StepSeed(0, 0)))
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(np.sort(rows, axis=-1), np.tile(np.arange(6), (3000, 1)))
    counts = np.stack([(rows == patch).mean(axis=0) for patch in range(6)])
    np.testing.assert_allclose(counts, 1 / 6, atol=0.03)
    layer = views.RandomPatchMask(6)
    assert tuple(layer(np.zeros((4, 8, 8, 1), "uint8")).shape) == (4, 6)


@pytest.mark.parametrize(("size_in", "size_out"), [((20, 12), (8, 8)), ((8, 9), (16, 12))])
def test_preprocess_resizes_as_pillow_and_normalizes(size_in, size_out):
    image = pytest.importorskip("PIL.Image")
    x = pixels(2, *size_in, 3) * 255
    ours = to_numpy(views.Preprocess(size_out, mean=(0.1, 0.2, 0.3), std=0.5)(x))
    for i in range(2):
        for channel, mean in enumerate((0.1, 0.2, 0.3)):
            plane = image.fromarray(x[i, :, :, channel])
            plane = np.asarray(plane.resize(size_out[::-1], image.Resampling.BILINEAR))
            np.testing.assert_allclose(ours[i, :, :, channel], (plane / 255 - mean) / 0.5, atol=1e-5)


def test_preprocess_at_its_size_only_normalizes_and_inverts():
    x = RNG.integers(0, 256, (2, 8, 8, 3), dtype="uint8")
    layer = views.Preprocess(8)
    out = layer(x)
    expected = (x / 255.0 - views.IMAGENET_MEAN) / np.array(views.IMAGENET_STD)
    np.testing.assert_allclose(to_numpy(out), expected, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer.normalize.invert(out)), x / 255.0, atol=1e-5)


def test_preprocess_in_a_model_of_unknown_image_size():
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, views.Preprocess(8)(inputs))
    assert model.output_shape == (None, 8, 8, 3)
    x = RNG.integers(0, 256, (2, 11, 14, 3), dtype="uint8")
    np.testing.assert_allclose(to_numpy(model(x)), to_numpy(views.Preprocess(8)(x)), atol=1e-6)


@pytest.mark.backends("tensorflow")  # The ONNX export of a dynamic image size is TensorFlow's.
def test_preprocess_exports_to_onnx_with_unknown_image_size(tmp_path):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, views.Preprocess(8)(inputs))
    model(np.zeros((1, 9, 9, 3), "uint8"))
    path = str(tmp_path / "preprocess.onnx")
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    for size in ((11, 14), (8, 8), (5, 30)):
        x = RNG.integers(0, 256, (3, *size, 3), dtype="uint8")
        out = session.run(None, {session.get_inputs()[0].name: x})[0]
        np.testing.assert_allclose(out, to_numpy(views.Preprocess(8)(x)), atol=1e-5)


def test_statistics_that_do_not_fit_the_channels_are_an_error():
    with pytest.raises(ValueError, match="mean has 3 values for images of 1 channels"):
        views.Normalize(views.IMAGENET_MEAN)(np.zeros((1, 2, 2, 1), "float32"))
    gray = to_numpy(views.Normalize()(np.ones((1, 1, 1, 12), "float32")))
    np.testing.assert_allclose(gray, 2.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: views.RandomResizedCrop(8, scale=(0.0, 1.0)), r"scale must be a pair .* got \(0.0, 1.0\)"),
        (lambda: views.RandomResizedCrop(8, scale=(0.5, 1.5)), "scale must be a pair"),
        (lambda: views.RandomResizedCrop(8, ratio=(2, 1)), "ratio must be a pair"),
        (lambda: views.RandomResizedCrop(0), "size must be a positive integer"),
        (lambda: views.RandomResizedCrop(8, interpolation="nearest"), "interpolation must be one of"),
        (lambda: views.RandomHorizontalFlip(1.5), r"probability must lie in \[0, 1\]; got 1.5"),
        (lambda: views.ColorJitter(brightness=-0.1), "brightness must lie in"),
        (lambda: views.ColorJitter(hue=0.6), r"hue must lie in \[0, 0.5\]; got 0.6"),
        (lambda: views.GaussianBlur(sigma=(0.0, 1.0)), "sigma must be a pair"),
        (lambda: views.GaussianBlur(kernel_size=4), "kernel_size must be odd"),
        (lambda: views.GaussianBlur(kernel_size=9)(np.zeros((1, 4, 4, 1), "float32")), "needs an image of"),
        (lambda: views.Preprocess(8, std=0.0), "std must be positive"),
        (lambda: views.RandomPatchMask(0), "num_patches must be >= 1"),
        (
            lambda: views.FusedAugmentation(8)(np.zeros((8, 8, 3), "uint8")),
            r"Images must have shape .*got shape \(8, 8, 3\)",
        ),
        (lambda: views.Preprocess(8)(np.zeros((8, 8), "uint8")), "Images must have shape"),
    ],
)
def test_bad_settings_are_value_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
