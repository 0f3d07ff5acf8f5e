"""Gray files of 16 bits, 32 bits and floats: one stated range for a whole data set, and no level lost."""

import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from kerassl.data import decode_image, find_value_range, load, load_masks, split


def save(folder, name, pixels):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def ramp(low, high, dtype, count=64):
    return np.linspace(low, high, count).reshape(8, 8).astype(dtype)


@pytest.mark.parametrize(
    "suffix, pixels, value_range, rule",
    [
        ("png", ramp(0, 4000, "uint16"), (0, 4095), "12-bit integers"),
        ("tif", ramp(0, 900, "uint16"), (0, 1023), "10-bit integers"),
        ("png", ramp(5, 60000, "uint16"), (0, 65535), "16-bit integers"),
        ("png", ramp(0, 200, "uint16"), (0, 255), "8-bit integers"),
        ("tif", ramp(0, 70000, "int32"), (0, 70000), "smallest and largest value"),
        ("tif", ramp(-100, 3000, "int32"), (-100, 3000), "smallest and largest value"),
        ("tif", ramp(0, 0.9, "float32"), (0, 1), "floats in"),
        ("tif", ramp(0, 180.5, "float32"), (0, 255), "floats in"),
        ("tif", ramp(20, 10000, "float32"), (10, 10000), "smallest and largest value"),
        ("tif", np.full((8, 8), 3e4, "float32"), (30000, 30001), "smallest and largest value"),
    ],
)
def test_values_are_scaled_by_the_range_of_the_data_set(tmp_path, suffix, pixels, value_range, rule):
    dim = (pixels * 0.5).astype(pixels.dtype) if len(np.unique(pixels)) > 1 else pixels
    save(tmp_path, f"a.{suffix}", pixels)
    save(tmp_path, f"b.{suffix}", dim)
    with pytest.warns(UserWarning, match=rf"2 of 2 files .*, e.g. .*\.{suffix}.*{rule}"):
        train, test, info = load(f"folder:{tmp_path}", test_fraction=0.5)
    assert info.value_range == train.value_range == test.value_range == value_range
    assert train.images.dtype == test.images.dtype == np.float32 and train.images.shape == (1, 8, 8, 1)
    low, high = value_range
    found = sorted([train.images[0, ..., 0], test.images[0, ..., 0]], key=np.sum)
    for image, original in zip(found, sorted([dim, pixels], key=np.sum), strict=True):
        expected = (original.astype("float64") - low) * 255 / (high - low)
        np.testing.assert_allclose(image, expected, atol=1e-4)
        assert len(np.unique(image)) == len(np.unique(original)), "no level may be lost"


def test_the_range_can_be_given_and_files_are_read_with_it(tmp_path, monkeypatch):
    for number in range(4):
        save(tmp_path, f"{number}.png", ramp(0, 1000 * (number + 1), "uint16"))
    with pytest.warns(UserWarning, match="from 1000 to 3000 .*rule: as given"):
        held = load(f"folder:{tmp_path}", test_fraction=0, image_size=6, value_range=(1000, 3000))[0]
    monkeypatch.setattr(split, "MAX_BYTES_IN_MEMORY", 0)
    with pytest.warns(UserWarning, match="as given"):
        read = load(f"folder:{tmp_path}", test_fraction=0, image_size=6, value_range=(1000, 3000))[0]
    assert read.images.dtype == np.float32 and read.images.nbytes == held.images.nbytes
    np.testing.assert_array_equal(read.images, held.images)
    assert held.images.min() == 0 and held.images.max() == 255
    with pytest.raises(ValueError, match=r"black < white; got \(5, 5\)"):
        load(f"folder:{tmp_path}", value_range=(5, 5))
    with pytest.raises(ValueError, match="value_range is for image files"):
        load("digits", value_range=(0, 1))


def test_a_range_is_not_used_where_all_files_have_eight_bits(tmp_path):
    save(tmp_path, "a.png", ramp(0, 255, "uint8"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train, _, info = load(f"folder:{tmp_path}", test_fraction=0, value_range=(0, 4095))
    assert train.images.dtype == np.uint8 and info.value_range is None and train.value_range is None


def test_one_file_asks_for_the_range(tmp_path):
    path = save(tmp_path, "scan.png", ramp(0, 4095, "uint16"))
    with pytest.raises(ValueError, match="scan.png holds 16-bit, 32-bit or float values.*Pass value_range"):
        decode_image(path, str(path), None, 1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    assert find_value_range([path, broken]) == (0, 4095)
    image = decode_image(path, str(path), None, 3, find_value_range([path]))
    assert image.shape == (8, 8, 3) and image.dtype == np.float32
    assert image[0, 0].tolist() == [0, 0, 0] and image[-1, -1].tolist() == [255, 255, 255]


def test_unsigned_integers_of_32_bits_stay_positive(tmp_path):
    """Pillow cannot write them; it reads them as signed."""
    pixels = np.full((4, 4), 3_000_000_000, "<u4")
    fields = [(256, 3, 4), (257, 3, 4), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1)]
    fields += [(279, 4, 64), (339, 3, 1)]
    header = b"II*\0" + struct.pack("<IH", 8, len(fields))
    for tag, kind, value in fields:
        header += struct.pack("<HHII", tag, kind, 1, value)
    (tmp_path / "a.tif").write_bytes(header + struct.pack("<I", 0) + pixels.tobytes())
    assert find_value_range([tmp_path / "a.tif"]) == (3e9, 3e9 + 1)
    assert decode_image(tmp_path / "a.tif", "a", None, 1, (0, 6e9)).max() == pytest.approx(127.5)


def test_float_files_with_nan_are_left_out(tmp_path):
    save(tmp_path, "a.tif", ramp(0, 1, "float32"))
    pixels = ramp(0, 1, "float32")
    pixels[2, 2] = np.nan
    save(tmp_path, "b.tif", pixels)
    with pytest.warns(UserWarning, match="1 of 2 files cannot be read.*b.tif"):
        train, _, _ = load(f"folder:{tmp_path}", test_fraction=0)
    assert train.num_examples == 1
    with pytest.raises(ValueError, match="b.tif is a broken image: it holds NaN"):
        decode_image(tmp_path / "b.tif", "b.tif", None, 1, (0, 1))


def test_images_with_masks_are_scaled_too(tmp_path):
    save(tmp_path, "images/a.png", ramp(0, 4095, "uint16"))
    save(tmp_path, "masks/a.png", np.ones((8, 8), "uint8"))
    images, _ = load_masks(tmp_path, (8, 8), channels=1)
    assert images.dtype == np.float32 and images.max() == 255
