"""MoCo v2 and v3."""

import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MoCoV2": {"arguments": {"projection_dim": 8, "queue_size": 20, "momentum": 0.9}},
    "MoCoV3": {"arguments": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9}, "encoder": "tokens"},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    x = numpy(x).astype("float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def query(model, view):
    return unit(model.projector(model.encoder(view, training=True), training=True))


def key(model, view):
    return unit(model.teacher_projector(model.teacher_encoder(view, training=True), training=True))


def cross_entropy(logits, target):
    return np.log(np.exp(logits).sum()) - logits[target]


@pytest.mark.parametrize("symmetric", [False, True])
def test_v2_finds_its_key_in_the_queue_as_it_was(symmetric):
    model = make("MoCoV2", views=None, symmetric=symmetric, temperature=0.3)
    views, queue = ready_views("MoCoV2"), numpy(model.queue.features).astype("float64")
    directions = ((0, 1), (1, 0)) if symmetric else ((0, 1),)
    expected, keys = 0.0, []
    for mine, other in directions:
        q, k = query(model, views[mine]), key(model, views[other])
        keys.append(k)
        logits = [np.concatenate([[q[i] @ k[i]], queue @ q[i]]) / 0.3 for i in range(8)]
        expected += np.mean([cross_entropy(row, 0) for row in logits])
    terms, rest = terms_and_rest(model, views)
    assert float(terms["info_nce"]) == pytest.approx(expected, rel=1e-5)
    for found, k in zip(rest["keys"], keys, strict=True):
        np.testing.assert_allclose(unit(found), k, atol=1e-5)


def test_v2_queue_holds_the_last_keys_in_order():
    model = make("MoCoV2", views=None)
    model.compile(keras.optimizers.SGD(0.05))
    keys = []
    for seed in range(3):
        views = ready_views("MoCoV2", seed=seed)
        keys.append(key(model, views[1]))
        model.fit(views, labels(8), batch_size=8, shuffle=False, verbose=0)
    # 24 keys in a queue of 20: the last four wrapped.
    flat = np.concatenate(keys)
    expected = np.concatenate([flat[20:], flat[4:20]])
    np.testing.assert_allclose(numpy(model.queue.features), expected, atol=1e-5)
    assert int(model.queue.position) == 4
    before = numpy(model.queue.features)
    model.evaluate(ready_views("MoCoV2"), labels(8), batch_size=8, verbose=0)
    np.testing.assert_array_equal(numpy(model.queue.features), before)


def test_v2_defaults_are_the_papers():
    model = kerassl.methods.MoCoV2(tiny_encoder())
    assert (model.arguments.temperature, model.arguments.momentum, model.arguments.queue_size) == (
        0.2,
        0.999,
        65536,
    )
    shapes = [tuple(v.shape) for v in model.projector.weights]
    assert shapes == [(16, 16), (16,), (16, 128), (128,)]


def test_v3_contrasts_both_views_with_the_keys_of_the_batch():
    model = make("MoCoV3", views=None, temperature=0.3)
    views = ready_views("MoCoV3")
    expected = 0.0
    for mine, other in ((0, 1), (1, 0)):
        z = model.projector(model.encoder(views[mine], training=True), training=True)
        q, k = unit(model.predictor(z, training=True)), key(model, views[other])
        expected += 2 * 0.3 * np.mean([cross_entropy(k @ q[i] / 0.3, i) for i in range(8)])
    terms, _ = terms_and_rest(model, views)
    assert float(terms["moco_v3"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("freeze", [True, False])
def test_v3_leaves_the_patch_embedding_as_it_was_drawn(freeze):
    model = make("MoCoV3", views=None, freeze_patch_embedding=freeze)
    model.compile(keras.optimizers.SGD(0.5))
    kernels = model.encoder.patch_embedding.kernel, model.teacher_encoder.patch_embedding.kernel
    before = [numpy(kernel) for kernel in kernels]
    model.fit(ready_views("MoCoV3"), labels(8), batch_size=8, epochs=2, verbose=0)
    moved = [np.abs(numpy(kernel) - old).max() > 0 for kernel, old in zip(kernels, before, strict=True)]
    assert moved == [not freeze] * 2


def test_v3_heads_are_those_of_the_kind_of_encoder():
    def kernels(head):
        return [tuple(v.shape) for v in head.weights if v.path.endswith("kernel")]

    vit, resnet = make("MoCoV3"), kerassl.methods.MoCoV3(tiny_encoder(), hidden_dim=16, projection_dim=8)
    assert kernels(vit.projector) == [(16, 16), (16, 16), (16, 8)]
    assert kernels(resnet.projector) == [(16, 16), (16, 8)]
    assert kernels(vit.predictor) == kernels(resnet.predictor) == [(8, 16), (16, 8)]
    norms = [sum("moving_mean" in v.path for v in model.predictor.weights) for model in (vit, resnet)]
    assert norms == [2, 1]
    assert not any(v.path.endswith("bias") for v in vit.projector.weights)
