"""Images with masks of objects, from a folder."""

import numpy as np
import pytest
from PIL import Image

from kerassl.data import load_masks

# Files are read by NumPy and Pillow.
pytestmark = pytest.mark.backends("torch")


def save(path, pixels, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, "uint8"))
    if palette:
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.save(path)


def two_objects():
    mask = np.zeros((6, 9))
    mask[1:3, 3:5], mask[3:, 4:8], mask[0] = 1, 2, 255
    return mask


def test_an_image_and_its_mask_are_cut_alike(tmp_path):
    mask = two_objects()
    # Every pixel of the image says where it lies.
    rows, columns = np.indices(mask.shape)
    save(tmp_path / "images/sub/a.b.png", np.stack([30 * rows, 25 * columns, 0 * rows], -1))
    save(tmp_path / "masks/sub/a.b.png", mask)
    images, masks = load_masks(tmp_path, (6, 6))
    assert images.shape == (1, 6, 6, 3) and images.dtype == "uint8"
    assert masks.shape == (1, 6, 6) and masks.dtype == "int32"
    kept = (images[0, ..., 0] // 30, np.rint(images[0, ..., 1] / 25).astype(int))
    np.testing.assert_array_equal(masks[0][1:], mask[kept][1:])
    # What is left out.
    assert (masks[0][0] == -1).all()


def test_pascal_voc_and_the_first_of_them(tmp_path):
    for index in range(3):
        save(tmp_path / f"JPEGImages/{index}.jpg", np.full((4, 4, 3), 40 * index))
        save(tmp_path / f"JPEGImages/without_mask_{index}.jpg", np.zeros((4, 4, 3)))
        save(tmp_path / f"SegmentationObject/{index}.png", np.full((4, 4), index), palette=True)
    images, masks = load_masks(tmp_path, (2, 2), channels=1, limit=2)
    np.testing.assert_array_equal(masks, np.stack([np.zeros((2, 2)), np.ones((2, 2))]))
    np.testing.assert_allclose(images[:, 0, 0, 0], [0, 40], atol=2)


def test_a_palette_keeps_255_for_what_is_left_out_and_grey_may_have_it_for_an_object(tmp_path):
    pixels = np.array([[0, 255], [255, 0]])
    for name, palette in (("gray", False), ("palette", True)):
        save(tmp_path / f"images/{name}.png", pixels)
        save(tmp_path / f"masks/{name}.png", pixels, palette)
    _, masks = load_masks(tmp_path, (2, 2), channels=1)
    np.testing.assert_array_equal(masks, [[[0, 1], [1, 0]], [[0, -1], [-1, 0]]])


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match="images and masks or JPEGImages and SegmentationObject"):
        load_masks(tmp_path, (4, 4))
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="There is no mask in"):
        load_masks(tmp_path, (4, 4))
    save(tmp_path / "masks/cat.png", np.zeros((4, 4)))
    with pytest.raises(ValueError, match="cat.png' has no image"):
        load_masks(tmp_path, (4, 4))
    save(tmp_path / "images/cat.JPG", np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match="cat.JPG' is 4 x 5 pixels, its mask 4 x 4"):
        load_masks(tmp_path, (4, 4))
    save(tmp_path / "masks/cat.png", np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match="cat.png' has 3 channels; an object's number"):
        load_masks(tmp_path, (4, 4))
