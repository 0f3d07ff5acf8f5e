import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MSN": {
        "encoder": "tokens",
        "arguments": {"num_prototypes": 16, "hidden_dim": 16, "projection_dim": 8, "momentum": 0.9},
        "views": ("msn_cifar", {"num_local_crops": 1}),
        "sizes": (16, 16, 8, 8),
        "without_chance": {},
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def fit(model, epochs=1, n=8, **kwargs):
    views = ready_views("MSN", n)
    return model.fit(views, labels(n), batch_size=8, epochs=epochs, verbose=0, shuffle=False, **kwargs)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def terms_of(model, views):
    terms, rest = terms_and_rest(model, views)
    return {name: float(value) for name, value in terms.items()}, rest


def test_anchors_have_the_target_of_the_teacher():
    model = make("MSN", views=None, drop_ratio=0.0, regularization_weight=0.5)
    model.teacher_encoder.set_weights([1.3 * w for w in model.teacher_encoder.get_weights()])
    views = ready_views("MSN")
    # Those of one size are normalized together.
    logits = [model.head(model.encoder(v), training=True) for v in (views[1], np.concatenate(views[2:]))]
    p = softmax(np.concatenate([numpy(part)[:, 0].astype("float64") for part in logits]) / 0.1)
    teacher = model.teacher_projector(model.teacher_encoder(views[0]), training=True)
    q = softmax(numpy(model.head.prototypes(teacher))[:, 0].astype("float64") / 0.025)
    for _ in range(3):
        q = q / q.sum(axis=0)
        q = q / q.sum(axis=1, keepdims=True)
    terms, _ = terms_of(model, views)
    expected = -np.mean(np.sum(np.tile(q, (3, 1)) * np.log(p), axis=1))
    assert terms["msn"] == pytest.approx(expected, rel=1e-4)
    mean = p.mean(axis=0)
    entropy = -np.sum(mean * np.log(mean))
    assert terms["prior_divergence"] == pytest.approx(0.5 * (np.log(16) - entropy), rel=1e-4)


def test_only_large_anchors_leave_out_patches():
    # Of 16 patches of 4 pixels it keeps the first 13.
    model = make("MSN without chance", views=None)
    views = ready_views("MSN")
    before, _ = terms_of(model, views)

    def with_last_patch_changed(view):
        size = views[view].shape[1]
        changed = views[view].copy()
        changed[:, size - 4 :, size - 4 :] += 1.0
        return terms_of(model, (*views[:view], changed, *views[view + 1 :]))[0]["msn"]

    assert with_last_patch_changed(1) == pytest.approx(before["msn"], rel=1e-6)
    for view in (0, 2):
        assert abs(with_last_patch_changed(view) - before["msn"]) > 1e-3


def test_each_image_and_step_keeps_patches_of_its_own():
    model = make("MSN", views=None, drop_ratio=0.5)
    crops = ready_views("MSN")[1]
    kept = numpy(model.visible_patches(2, crops, training=True))
    assert kept.shape == (2, 8, 8)
    rows = kept.reshape(16, 8)
    assert all(len(set(row)) == 8 for row in rows) and rows.min() >= 0 and rows.max() <= 15
    assert len({tuple(sorted(row)) for row in rows}) > 8
    np.testing.assert_array_equal(numpy(model.visible_patches(2, crops, training=True)), kept)
    model.clock.step.assign(1)
    assert (numpy(model.visible_patches(2, crops, training=True)) != kept).any()
    fewest = make("MSN", views=None, drop_ratio=0.99)
    assert fewest.visible_patches(1, crops, training=True).shape == (1, 8, 1)


def test_prototypes_learn_and_the_teacher_follows():
    model = make("MSN", views=None, momentum=0.5)
    model.compile(keras.optimizers.SGD(0.5))
    prototypes = numpy(model.head.prototypes.prototypes)
    student, teacher = (
        next(v for v in m.weights if "kernel" in v.path) for m in (model.encoder, model.teacher_encoder)
    )
    expected = numpy(student)
    # The line from a half to one ends after 1.25 runs of two updates.
    for update, momentum in enumerate((0.5, 0.7)):
        fit(model, epochs=update + 1, initial_epoch=update)
        expected = momentum * expected + (1 - momentum) * numpy(student)
        np.testing.assert_allclose(numpy(teacher), expected, atol=1e-6)
    assert np.abs(numpy(model.head.prototypes.prototypes) - prototypes).max() > 1e-4
    assert "prototypes" not in [v.name for v in model.teacher_projector.weights]
    assert model.embedding_encoder is model.teacher_encoder


def test_an_encoder_without_patches_learns_from_crops():
    small = {"num_prototypes": 8, "hidden_dim": 8, "projection_dim": 4}
    with pytest.raises(
        ValueError, match=r"cannot do\. Use an encoder with the token interface.* or drop_ratio=0"
    ):
        kerassl.methods.MSN(tiny_encoder(), views=None, **small)
    model = kerassl.methods.MSN(tiny_encoder(), views=None, drop_ratio=0, **small)
    terms, rest = terms_of(model, ready_views("MSN")[:2])
    assert np.isfinite(list(terms.values())).all()
    assert tuple(rest["embedding"].shape) == (8, 16)


def test_bad_arguments():
    model = make("MSN", views=None)
    with pytest.raises(ValueError, match="at least two views, a target and its anchors; got 1"):
        terms_and_rest(model, ready_views("MSN")[:1])
    with pytest.raises(ValueError, match="chunk_size=4 is not for MSN, which encodes parts of its inputs"):
        model.compile(chunk_size=4)
