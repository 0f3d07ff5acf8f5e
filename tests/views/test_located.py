"""Views that say where they were cropped."""

import keras
import numpy as np
import pytest

from kerassl.views import Compose, FusedAugmentation, LocatedViews, cell_centers


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_what_a_cell_shows_lies_at_its_centre():
    # The colors of a pixel are its row and its column, so that a view shows where it was cropped.
    rows, columns = np.meshgrid(np.arange(40) + 0.5, np.arange(48) + 0.5, indexing="ij")
    image = np.stack([rows, columns, 0 * rows], axis=-1).astype("float32")
    view = FusedAugmentation((32, 24), scale=(0.2, 0.8), jitter_probability=0.0, mean=0.0, std=1 / 255)
    views = LocatedViews(view)
    view1, view2, *boxes = views(np.stack([image] * 8), seed=keras.random.SeedGenerator(0))
    assert set(np.unique(np.concatenate([numpy(box)[:, 4] for box in boxes]))) == {0.0, 1.0}
    for made, box in zip((view1, view2), boxes, strict=True):
        cells = numpy(made).reshape(8, 4, 8, 3, 8, 3).mean(axis=(2, 4))[..., :2].reshape(8, 12, 2)
        # The kernel sees no pixel beyond a crop's edge, which moves the edge cells a little inwards.
        np.testing.assert_allclose(numpy(cell_centers(box, 4, 3)), cells, atol=0.1)
    assert np.abs(numpy(boxes[0]) - numpy(boxes[1])).max() > 1


def test_the_views_are_those_without_boxes():
    view = FusedAugmentation(16, brightness=0.4, blur_probability=0.5)
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3)).astype("uint8")
    alone = view(images, seed=keras.random.SeedGenerator(3))
    np.testing.assert_array_equal(
        numpy(LocatedViews(view)(images, seed=keras.random.SeedGenerator(3))[0]), numpy(alone)
    )


def test_a_view_that_does_not_say_is_refused():
    with pytest.raises(ValueError, match="Compose does not say where it cropped"):
        LocatedViews(FusedAugmentation(16), Compose([], 16))
