import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DenseCL": {
        "arguments": {"projection_dim": 8, "queue_size": 20, "momentum": 0.9, "dense_warmup_updates": 0},
        "encoder": "feature map",
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def cells(encoder, view):
    return numpy(encoder(view, training=True)).reshape(8, 16, 16)


def project(projector, cells):
    return numpy(projector(cells.reshape(-1, 16))).reshape(8, 16, -1)


@pytest.mark.parametrize("symmetric", [False, True])
def test_both_terms_are_those_of_the_images_and_of_their_cells(symmetric):
    model = make("DenseCL", views=None, symmetric=symmetric, temperature=0.3, dense_weight=0.25)
    views, image_loss, cell_loss, dense_keys = ready_views("DenseCL"), 0.0, 0.0, []
    queue, dense_queue = numpy(model.queue.features), numpy(model.dense_queue.features)
    assert np.abs(queue - dense_queue).max() > 0.1
    for mine, other in ((0, 1), (1, 0)) if symmetric else ((0, 1),):
        q_cells, k_cells = cells(model.encoder, views[mine]), cells(model.teacher_encoder, views[other])
        q, k = model.projector(q_cells.mean(1)), model.teacher_projector(k_cells.mean(1))
        image_loss += float(losses.info_nce(q, k, queue, 0.3))
        q = project(model.dense_projector, q_cells)
        k = project(model.teacher_dense_projector, k_cells)
        cell_loss += float(losses.dense_info_nce(q, k, q_cells, k_cells, dense_queue, 0.3))
        dense_keys.append(k.mean(1))
    terms, rest = terms_and_rest(model, views)
    assert float(terms["info_nce"]) == pytest.approx(0.75 * image_loss, rel=1e-5)
    assert float(terms["dense_info_nce"]) == pytest.approx(0.25 * cell_loss, rel=1e-5)
    # Each view's by itself: gathered together, their order would depend on the number of devices.
    for found, expected in zip(rest["dense_keys"], dense_keys, strict=True):
        np.testing.assert_allclose(numpy(found), expected, atol=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_without_weight_it_is_moco_v2_and_with_it_all_state_moves():
    views, losses_of = ready_views("DenseCL"), {}
    for name, arguments in (("MoCoV2", {}), ("DenseCL", {"dense_weight": 0.0})):
        losses_of[name] = terms_and_rest(make(name, views=None, **arguments), views)[0]
    assert float(losses_of["DenseCL"]["dense_info_nce"]) == 0
    assert float(losses_of["DenseCL"]["info_nce"]) == pytest.approx(
        float(losses_of["MoCoV2"]["info_nce"]), rel=1e-6
    )

    model = make("DenseCL", views=None, dense_warmup_updates=1, momentum=0.5)
    model.compile(keras.optimizers.SGD(0.1))
    _, rest = terms_and_rest(model, views)
    keys, before = numpy(rest["dense_keys"][0]), model.dense_projector.get_weights()
    first = model.fit(views, labels(8), batch_size=8, shuffle=False, verbose=0).history
    assert first["dense_info_nce"] == [0.0] and first["info_nce"][0] > 0
    # Without the dense loss its head has not moved, but the queue has filled.
    for weight, old in zip(model.dense_projector.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    np.testing.assert_allclose(numpy(model.dense_queue.features)[:8], keys, atol=1e-5)
    second = model.fit(views, labels(8), batch_size=8, shuffle=False, verbose=0).history
    assert second["dense_info_nce"][0] > 0
    followed = zip(
        model.teacher_dense_projector.get_weights(), model.dense_projector.get_weights(), before, strict=True
    )
    for teacher, student, old in followed:
        np.testing.assert_allclose(teacher, (student + old) / 2, atol=1e-6)
        assert np.abs(student - old).max() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"gives \(None, 16\). Make the encoder without.*pool=None"):
        kerassl.methods.DenseCL(tiny_encoder(), queue_size=20)


def test_the_embedding_is_pooled():
    model = make("DenseCL", views=None)
    view = ready_views("DenseCL")[0]
    expected = numpy(model.encoder(view, training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(numpy(model(view)), expected, atol=1e-5)
