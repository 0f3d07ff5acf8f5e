import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DINOv2": {
        "encoder": "tokens",
        "arguments": {
            "num_prototypes": 16,
            "hidden_dim": 16,
            "bottleneck_dim": 8,
            "freeze_last_layer_epochs": 0,
        },
        "views": ("ibot_cifar", {"num_local_crops": 1}),
        "sizes": (16, 16, 8, 8),
        "with": "masks",
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sinkhorn(logits, iterations=3):
    q = np.exp(logits.astype("float64") / 0.04)
    for _ in range(iterations):
        q = q / q.sum(axis=0)
        q = q / q.sum(axis=1, keepdims=True)
    return q


def cross_entropy(targets, logits):
    return -np.sum(targets * np.log(softmax(logits.astype("float64") / 0.1)), axis=-1)


def outputs(model, views):
    """Features of all crops, logits of their images, logits of the global crops' patches, teacher's last."""
    crops, masks = views[:4], views[4:]
    embed = model.encoder.embed_patches
    tokens = [
        numpy(model.encoder.encode_tokens(embed(crop, mask=mask, mask_token=model.mask_token)))
        for crop, mask in zip(crops, masks, strict=False)
    ]
    features = [t[:, 0] for t in tokens] + [numpy(model.encoder(crop)) for crop in crops[2:]]
    teacher = [
        numpy(model.teacher_encoder.encode_tokens(model.teacher_encoder.embed_patches(crop)))
        for crop in crops[:2]
    ]

    def patches(head, all_tokens):
        return numpy(head(np.concatenate([t[:, 1:] for t in all_tokens]).reshape(-1, 16))).reshape(16, 16, -1)

    return (
        features,
        [numpy(model.head(f)) for f in features],
        [numpy(model.teacher_head(t[:, 0])) for t in teacher],
        patches(model.patch_head, tokens),
        patches(model.teacher_patch_head, teacher),
        np.concatenate(masks),
    )


@pytest.mark.parametrize(("centering", "share_head"), [("sinkhorn", False), ("softmax", True)])
def test_the_terms(centering, share_head):
    model = make("DINOv2", views=None, centering=centering, share_head=share_head, mask_ratio=(0.1, 1.0))
    model.compile()
    views = ready_views("DINOv2")
    features, logits, teacher, patches, teacher_patches, mask = outputs(model, views)
    if centering == "sinkhorn":
        targets = np.split(sinkhorn(np.concatenate(teacher)), 2)
        of_hidden = sinkhorn(teacher_patches[mask])
    else:
        targets, of_hidden = softmax(np.array(teacher) / 0.04), softmax(teacher_patches[mask] / 0.04)

    # The official weights: pairs with local crops and the two pairs of global crops, over all pairs.
    pairs = 2 + 2 * 2
    local = sum(np.mean(cross_entropy(t, s)) for t in targets for s in logits[2:]) / pairs
    both = np.concatenate([cross_entropy(targets[1], logits[0]), cross_entropy(targets[0], logits[1])])
    dino = local + both.mean() * 2 / pairs
    patch_targets = np.zeros(patches.shape)
    patch_targets[mask] = of_hidden
    each = [cross_entropy(patch_targets[b], patches[b])[mask[b]] for b in range(16)]
    ibot = np.mean([e.mean() if len(e) else 0.0 for e in each])
    koleo = 0.0
    for f in features[:2]:
        z = f / np.linalg.norm(f, axis=1, keepdims=True)
        distances = np.linalg.norm(z[:, None] - z, axis=-1) + 9 * np.eye(8)
        koleo -= 0.1 * np.mean(np.log(distances.min(axis=1)))
    terms, _ = terms_and_rest(model, views)
    for name, expected in (("dino", dino), ("ibot", ibot), ("koleo", koleo)):
        assert float(terms[name]) == pytest.approx(expected, rel=1e-4), name


def test_softmax_centres_follow_the_images_and_the_hidden_patches():
    model = make("DINOv2", views=None, centering="softmax", momentum=1.0, mask_ratio=(0.1, 1.0))
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("DINOv2")
    *_, teacher, _, teacher_patches, mask = outputs(model, views)
    bare = (*views[:4], *[np.zeros_like(m) for m in views[4:]])
    for epoch, data in enumerate((views, bare)):
        model.fit(data, labels(8), batch_size=8, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
    # Without hidden patches their centre stays.
    np.testing.assert_allclose(numpy(model.patch_center), 0.1 * teacher_patches[mask].mean(axis=0), atol=1e-6)
    expected = (1 - 0.9**2) * np.concatenate(teacher).mean(axis=0)
    np.testing.assert_allclose(numpy(model.center), expected, atol=1e-6)


def test_of_many_hidden_patches_the_first_are_predicted():
    model = make("DINOv2", views=None, mask_ratio=(0.1, 0.25))
    model.compile()
    views = ready_views("DINOv2")
    crops, masks = views[:4], [np.arange(16)[None] % 2 < np.ones((8, 1)) for _ in range(2)]
    *_, patches, teacher_patches, mask = outputs(model, (*crops, *masks))
    first = [0, 2, 4, 6]
    targets = sinkhorn(teacher_patches[:, first].reshape(64, -1)).reshape(16, 4, -1)
    terms, _ = terms_and_rest(model, (*crops, *masks))
    assert float(terms["ibot"]) == pytest.approx(cross_entropy(targets, patches[:, first]).mean(), rel=1e-4)


def test_ready_made_masks_say_how_many_patches_are_predicted():
    views = kerassl.views.MaskedCrops(kerassl.views.preset("byol_cifar", 16), (4, 4), mask_ratio=(0.6, 0.7))
    assert make("DINOv2", views=views).arguments.mask_ratio == (0.6, 0.7)
