"""Segmentation by a prompted patch, and similarity within and between objects."""

import keras
import numpy as np
import pytest

import kerassl
from kerassl.evaluation import object_similarity, patch_features, prompt_picture, prompt_segmentation

# Two objects and the background in 4 x 6 patches of 2 x 2 pixels.
OBJECTS = np.array([[0, 1, 1, 0, 2, 2], [0, 1, 1, 0, 2, 2], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
MASK = np.repeat(np.repeat(OBJECTS, 2, axis=0), 2, axis=1)[None]
VECTORS = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])


def test_constant_objects_are_found_at_any_threshold_between():
    result = prompt_segmentation(5 * VECTORS[OBJECTS][None], MASK, thresholds=(-1.5, 0.3, 0.7, 0.9, 1.5))
    areas = {1: 24, 2: 16}
    # Everything; both objects; each alone; nothing.
    everything = np.mean([area / 96 for area in areas.values()])
    both = np.mean([area / 40 for area in areas.values()])
    np.testing.assert_allclose(result.iou, [everything, both, 1, 1, 0], atol=1e-6)
    assert (result.best_threshold, result.best_iou) == (0.7, 1.0)


def test_similarity_in_closed_form():
    result = object_similarity(5 * VECTORS[OBJECTS][None], MASK)
    assert result.intra == pytest.approx(1) and result.inter == pytest.approx(0.6) and result.overlap == 0
    same = object_similarity(np.ones((1, 4, 6, 3)), MASK)
    assert same == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_are_the_loops_over_pixels_and_pairs(seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(3, 3, 4, 5))
    # Sides that the patches do not divide, and pixels that are left out.
    masks = rng.integers(-1, 4, (3, 8, 13))
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    prompted, intra, inter = [], [], []
    for image, mask in zip(unit, masks, strict=True):
        place = {(y, x): (y * 3 // 8, x * 4 // 13) for y in range(8) for x in range(13)}
        own = {}
        for patch in np.ndindex(3, 4):
            inside = [mask[pixel] for pixel, where in place.items() if where == patch and mask[pixel] >= 0]
            own[patch] = np.bincount(inside, minlength=4).argmax() if inside else 0
        for label in range(1, 4):
            truth = {pixel for pixel in place if mask[pixel] == label}
            scores = []
            for prompt in (patch for patch in own if own[patch] == label):
                chosen = {p for p in place if mask[p] >= 0 and image[place[p]] @ image[prompt] > 0.2}
                scores.append(len(chosen & truth) / len(chosen | truth))
            if scores:
                prompted.append(np.mean(scores))
            mine = [patch for patch in own if own[patch] == label]
            pairs = [image[a] @ image[b] for i, a in enumerate(mine) for b in mine[:i]]
            if pairs:
                intra.append(np.mean(pairs))
            for other in range(label + 1, 4):
                pairs = [image[a] @ image[b] for a in mine for b in own if own[b] == other]
                if pairs:
                    inter.append(np.mean(pairs))
    assert prompt_segmentation(features, masks, (0.2,)).iou[0] == pytest.approx(np.mean(prompted), abs=1e-6)
    found = object_similarity(features, masks)
    assert found.intra == pytest.approx(np.mean(intra), abs=1e-6)
    assert found.inter == pytest.approx(np.mean(inter), abs=1e-6)
    assert 0 < found.overlap < 1


def test_patches_of_a_vit_an_exported_encoder_and_a_method():
    keras.utils.set_random_seed(0)
    vit = kerassl.backbones.vit((8, 8, 1), patch_size=4, hidden_dim=8, depth=1, num_heads=2)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1)).astype("uint8")
    model = kerassl.classifiers.Classifier(vit, views="unaugmented", num_classes=2)
    normalized = keras.ops.convert_to_numpy(model.views.preprocess(images))
    found = patch_features(vit, normalized, batch_size=2)
    tokens = keras.ops.convert_to_numpy(vit.encode_tokens(vit.embed_patches(normalized)))
    assert found.shape == (3, 2, 2, 8)
    np.testing.assert_allclose(found, tokens[:, 1:].reshape(3, 2, 2, 8), atol=1e-5)
    for raw in (model, kerassl.export.exportable_encoder(model)):
        np.testing.assert_allclose(patch_features(raw, images), found, atol=1e-5)
    with pytest.raises(ValueError, match="model must be or hold a ViT of kerassl.backbones; mine has none"):
        patch_features(keras.Sequential([keras.Input((4,))], name="mine"), images)


def test_the_picture_marks_the_prompt():
    picture = prompt_picture(np.zeros((1, 8, 12, 1)), VECTORS[OBJECTS][None], [(0, 4)], size=48)
    shown, similarity = picture[:, :48], picture[:, 50:]
    assert (shown[0, 32:40] == (255, 60, 0)).all() and (shown[5, 34:38] == 0).all()
    # Of the same object, of the other, of the background.
    assert similarity[18, 36, 0] == 255 and similarity[6, 10, 0] == 153 and similarity[40, 40, 0] == 0


@pytest.mark.parametrize(
    "masks, text",
    [
        (np.zeros((1, 8, 12), int), "no object that is the largest thing in some patch"),
        (np.zeros((2, 8, 12), int), "masks must be of 1 images"),
        (np.zeros((1, 3, 12), int), "a pixel or more for each of 4 x 6 patches"),
        (np.zeros((1, 8, 12)), "masks must hold integers"),
    ],
)
def test_masks_that_do_not_fit(masks, text):
    with pytest.raises(ValueError, match=text):
        prompt_segmentation(VECTORS[OBJECTS][None], masks)
    with pytest.raises(ValueError, match="an image with two objects"):
        object_similarity(VECTORS[OBJECTS][None], np.minimum(MASK, 1))
