import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder, tiny_vit

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "iBOT": {
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


def fit(model, epochs=1, views=None, **kwargs):
    views = ready_views("iBOT") if views is None else views
    return model.fit(views, labels(8), batch_size=8, epochs=epochs, verbose=0, shuffle=False, **kwargs)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def tokens_of(encoder, images, mask=None, mask_token=None):
    return numpy(encoder.encode_tokens(encoder.embed_patches(images, mask=mask, mask_token=mask_token)))


@pytest.mark.parametrize("share_head", (True, False))
def test_the_terms_are_dino_of_masked_crops_and_the_hidden_patches(share_head):
    model = make("iBOT", views=None, share_head=share_head)
    model.mask_token.assign(np.linspace(-1, 1, 16))
    model.compile()
    views = ready_views("iBOT")
    crops, masks = views[:4], views[4:]
    assert 0 < masks[0].sum() < masks[0].size and not masks[0].all(axis=1).any()
    student = [tokens_of(model.encoder, v, m, model.mask_token) for v, m in zip(crops, masks, strict=False)]
    teacher = [tokens_of(model.teacher_encoder, v) for v in crops[:2]]
    assert (model.patch_head is model.head) == share_head

    images = [t[:, 0] for t in student] + [numpy(model.encoder(v)) for v in crops[2:]]
    logits = [numpy(model.head(x)).astype("float64") / 0.1 for x in images]
    targets = [softmax(numpy(model.teacher_head(t[:, 0])).astype("float64") / 0.04) for t in teacher]
    dino = [
        np.mean(-np.sum(t * np.log(softmax(s)), axis=1))
        for u, t in enumerate(targets)
        for v, s in enumerate(logits)
        if u != v
    ]
    ibot = []
    for s, t, mask in zip(student, teacher, masks, strict=True):
        for b in range(8):
            hidden = np.flatnonzero(mask[b])
            entropies = []
            for i in hidden:
                log_s = np.log(softmax(numpy(model.patch_head(s[b, 1 + i][None]))[0].astype("float64") / 0.1))
                p = numpy(model.teacher_patch_head(t[b, 1 + i][None]))[0].astype("float64")
                entropies.append(-np.sum(softmax(p / 0.04) * log_s))
            ibot.append(np.mean(entropies) if entropies else 0.0)
    terms, _ = terms_and_rest(model, views)
    assert float(terms["dino"]) == pytest.approx(np.mean(dino), rel=1e-4)
    assert float(terms["ibot"]) == pytest.approx(np.mean(ibot), rel=1e-4)


def test_without_masks_it_is_dino():
    views = ready_views("iBOT")
    bare = (*views[:4], *[np.zeros_like(mask) for mask in views[4:]])
    model, dino = make("iBOT", views=None), make("DINO", views=None)
    dino.encoder.set_weights(model.encoder.get_weights())
    dino.head.set_weights(model.head.get_weights())
    dino.teacher_encoder.set_weights(model.encoder.get_weights())
    dino.teacher_head.set_weights(model.head.get_weights())
    for each in (model, dino):
        each.compile(keras.optimizers.SGD(0.0))
    terms, _ = terms_and_rest(model, bare)
    expected, _ = terms_and_rest(dino, views[:4])
    assert float(terms["ibot"]) == 0
    assert float(terms["dino"]) == pytest.approx(float(expected["dino"]), rel=1e-5)


def test_hidden_pixels_reach_the_teacher_alone():
    model = make("iBOT", views=None)
    model.compile()
    views = ready_views("iBOT", n=1)
    masks = tuple(np.arange(16)[None] < 4 for _ in range(2))
    hidden = [crop.copy() for crop in views[:2]]
    for crop in hidden:
        crop[:, :4] = 9.0
    _, first = terms_and_rest(model, (*views[:4], *masks))
    _, second = terms_and_rest(model, (*hidden, *views[2:4], *masks))
    for a, b in zip(first["features"], second["features"], strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
    assert np.abs(numpy(first["teacher_logits"]) - numpy(second["teacher_logits"])).max() > 1e-3


def test_both_centres_follow_the_means_of_all_images_and_of_all_patches():
    model = make("iBOT", views=None, momentum=1.0)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("iBOT")
    tokens = np.concatenate([tokens_of(model.teacher_encoder, v) for v in views[:2]])
    of_images = numpy(model.teacher_head(tokens[:, 0])).mean(axis=0)
    of_patches = numpy(model.teacher_head(tokens[:, 1:].reshape(-1, 16))).mean(axis=0)
    before, _ = terms_and_rest(model, views)
    history = fit(model).history
    for term in ("dino", "ibot"):
        assert history[term][0] == pytest.approx(float(before[term]), rel=1e-5)
    fit(model, epochs=3, initial_epoch=1)
    np.testing.assert_allclose(numpy(model.center), (1 - 0.9**3) * of_images, atol=1e-6)
    np.testing.assert_allclose(numpy(model.patch_center), (1 - 0.9**3) * of_patches, atol=1e-6)
    assert np.abs(of_images - of_patches).max() > 1e-3


@pytest.mark.parametrize("share_head", (True, False))
def test_the_mask_token_and_both_heads_learn_and_the_teacher_follows(share_head):
    model = make("iBOT", views=None, share_head=share_head, momentum=0.5)
    model.compile(keras.optimizers.SGD(1.0))
    heads = ("head", "teacher_head", "patch_head", "teacher_patch_head")
    before = {name: [numpy(v) for v in getattr(model, name).weights] for name in heads}
    fit(model, epochs=2)
    assert np.abs(numpy(model.mask_token)).max() > 0
    for name in heads:
        after = [numpy(v) for v in getattr(model, name).weights]
        assert max(np.abs(a - b).max() for a, b in zip(after, before[name], strict=True)) > 1e-4, name
    assert all(not v.path.endswith("mask_token") for v in model.encoder.weights)


def test_prototypes_rest_for_the_first_epoch():
    model = make("iBOT", views=None, share_head=False, freeze_last_layer_epochs=1)
    model.compile(keras.optimizers.SGD(1.0))
    start = [numpy(head.prototypes) for head in (model.head, model.patch_head)]
    fit(model)
    for head, prototypes in zip((model.head, model.patch_head), start, strict=True):
        np.testing.assert_array_equal(numpy(head.prototypes), prototypes)
    fit(model, epochs=2, initial_epoch=1)
    for head, prototypes in zip((model.head, model.patch_head), start, strict=True):
        assert np.abs(numpy(head.prototypes) - prototypes).max() > 0


def test_weights_scale_the_terms():
    views = ready_views("iBOT")
    one, _ = terms_and_rest(make("iBOT", views=None), views)
    other, _ = terms_and_rest(make("iBOT", views=None, cls_weight=0.0, patch_weight=3.0), views)
    assert float(other["dino"]) == 0
    assert float(other["ibot"]) == pytest.approx(3 * float(one["ibot"]), rel=1e-5)


def test_any_crops_get_masks():
    for views in ("default", "byol_cifar", kerassl.views.preset("dino_cifar", 16, num_local_crops=1)):
        model = kerassl.methods.iBOT(tiny_vit(), views=views, num_prototypes=8, hidden_dim=8)
        assert isinstance(model.views, kerassl.views.MaskedCrops)
        assert (model.views.grid, model.views.num_global_crops) == ((4, 4), 2)
    masked = kerassl.views.MaskedCrops(kerassl.views.preset("byol_cifar", 16), (4, 4), mask_probability=1.0)
    assert kerassl.methods.iBOT(tiny_vit(), views=masked, num_prototypes=8, hidden_dim=8).views is masked


def test_bad_arguments():
    with pytest.raises(ValueError, match="iBOT hides patches of an image.*Use an encoder with the token"):
        kerassl.methods.iBOT(tiny_encoder())
    model = make("iBOT", views=None)
    with pytest.raises(ValueError, match=r"a mask \(batch, patches\) of each of the 2 global ones"):
        terms_and_rest(model, ready_views("iBOT")[:4])
