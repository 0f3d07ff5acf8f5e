import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

import kerassl
from kerassl import losses
from kerassl.distillation import SLA
from kerassl.views import color_permutations, quarter_turns

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SLA": {"arguments": {"self_distillation": True}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def joint_logits(model, view, training=False):
    """Logits (batch, M, C, M) of a loop over the transforms."""
    turned = numpy(model.transformed(view))
    rows = keras.ops.convert_to_tensor(turned.reshape(-1, *view.shape[1:]))
    joint = numpy(model.joint_classifier(model.encoder(rows, training=training)))
    return joint.reshape(len(view), model.num_transforms, 3, model.num_transforms)


@pytest.mark.parametrize(("transform", "number"), [("rotation", 4), ("color_permutation", 6)])
def test_the_answer_is_the_mean_over_transforms_each_by_its_own_labels(transform, number, tmp_path):
    model = make("SLA", self_distillation=False, transform=transform)
    pictures = images(5)
    view = numpy(model.preprocess(pictures))
    joint = joint_logits(model, view)
    mean = np.mean([joint[:, j, :, j] for j in range(number)], axis=0)
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.classify(pictures), expected, atol=1e-5)
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(pictures, verbose=0), expected, atol=1e-5)
    single = make("SLA", self_distillation=False, transform=transform, inference="single")
    np.testing.assert_allclose(
        numpy(single.features_and_logits(view, False)[1]), joint[:, 0, :, 0], atol=1e-5
    )


def test_the_loss_asks_class_and_rotation_of_each_image():
    model = make("SLA", views=None, self_distillation=False, joint_weight=4.0)
    (view,), known = ready_views("SLA"), labels(8)
    known[2] = -1
    joint = joint_logits(model, view, training=True).reshape(8, 4, 12)
    p = np.exp(joint) / np.exp(joint).sum(axis=-1, keepdims=True)
    each = [-np.log(p[b, j, known[b] * 4 + j]) for b in range(8) if known[b] >= 0 for j in range(4)]
    terms, _ = terms_and_rest(model, (view,), keras.ops.convert_to_tensor(known))
    assert list(terms) == ["joint"]
    assert float(terms["joint"]) == pytest.approx(4 * np.mean(each), rel=1e-5)


def test_transforms_that_change_nothing_in_the_answer_aggregate_to_any_of_them():
    model = make("SLA", views=None, self_distillation=False)
    block = np.random.default_rng(0).normal(size=(2, 1, 3)).astype("float32")
    # Every transform gives the class c the same logit at its own label.
    joint = np.random.default_rng(1).normal(size=(2, 4, 3, 4)).astype("float32")
    for j in range(4):
        joint[:, j, :, j] = block[:, 0]
    answer = numpy(model.aggregated(keras.ops.convert_to_tensor(joint.reshape(2, 4, 12))))
    np.testing.assert_allclose(answer, block[:, 0], atol=1e-6)


def test_self_distillation_teaches_a_second_classifier_that_answers_alone():
    model = make("SLA", views=None, temperature=2.0)
    (view,), known = ready_views("SLA"), labels(8)
    joint = joint_logits(model, view, training=True)
    aggregated = np.mean([joint[:, j, :, j] for j in range(4)], axis=0)
    # As they go through batch norm together with all transforms.
    turned = numpy(quarter_turns(view)).reshape(-1, 16, 16, 3)
    single = model.classifier(model.encoder(turned, training=True)[::4])
    terms, rest = terms_and_rest(model, (view,), keras.ops.convert_to_tensor(known))
    cross_entropy = losses.cross_entropy(single, known)
    assert float(terms["cross_entropy"]) == pytest.approx(float(cross_entropy), rel=1e-5)
    assert float(terms["kd"]) == pytest.approx(float(losses.kd(single, aggregated, 2.0)), rel=1e-4)
    np.testing.assert_allclose(numpy(rest["logits"]), numpy(single), atol=1e-5)
    assert model.inference == "single"
    np.testing.assert_allclose(
        numpy(model.features_and_logits(view, False)[1]),
        numpy(model.classifier(model.encoder(view, training=False))),
        atol=1e-5,
    )


def test_colors_are_permuted_and_what_cannot_be_is_named():
    x = np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype("float32")
    permuted = numpy(color_permutations(x))
    orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    for i, order in enumerate(orders):
        np.testing.assert_array_equal(permuted[:, i], x[..., order])
    gray = kerassl.backbones.resnet18((16, 16, 1), stem="small", width=4)
    with pytest.raises(ValueError, match="Colors can be permuted where there are three; .* have 1"):
        SLA(gray, num_classes=3, transform="color_permutation")
    wide = kerassl.backbones.resnet18((16, 12, 3), stem="small", width=4)
    with pytest.raises(ValueError, match="Only square images can be turned"):
        SLA(wide, views=None, num_classes=3)
