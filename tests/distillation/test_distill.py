import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.distillation import RKD, SEED, Distill

TINY = {
    "RKD": {"teacher": "SimCLR", "sizes": (16,)},
    "SEED": {"teacher": "SimCLR", "arguments": {"queue_size": 20, "hidden_dim": 16}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def teacher():
    keras.utils.set_random_seed(1)
    return kerassl.methods.SimCLR(tiny_encoder(6), projection_dim=8)


def outputs(model, view):
    features = model.encoder(view, training=True)
    student = features if model.head is None else model.head(features, training=True)
    target = model.teacher.network(view, training=False)
    return numpy(student).astype("float64"), numpy(target).astype("float64")


@keras.saving.register_keras_serializable("tests")
def mean_gap(student, target):
    return keras.ops.mean(keras.ops.abs(student - target))


@pytest.mark.parametrize("loss", ("kd", mean_gap))
def test_any_loss_compares_student_and_teacher(loss, tmp_path):
    options = {"temperature": 2.0} if loss == "kd" else {}
    model = Distill(teacher(), tiny_encoder(3), num_classes=3, loss=loss, loss_options=options)
    model.compile(keras.optimizers.SGD(0.1))
    # Wider than the student, so a head there is.
    assert model.head.output_shape == (None, 24)
    view = ready_views("SSLD")[0]
    own = Distill(teacher(), tiny_encoder(3), views=None, loss=loss, loss_options=options)
    own.set_weights([v for v in own.get_weights()])
    terms, rest = terms_and_rest(own, (view,))
    s, t = outputs(own, view)
    if loss == "kd":
        p, q = (np.exp(x / 2) / np.exp(x / 2).sum(axis=1, keepdims=True) for x in (s, t))
        expected = 4 * np.mean(np.sum(q * np.log(q / p), axis=1))
    else:
        expected = np.abs(s - t).mean()
    assert list(terms) == ["kd" if loss == "kd" else "mean_gap"]
    assert float(next(iter(terms.values()))) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(numpy(rest["targets"]), t, atol=1e-5)

    before = model.teacher.get_weights()
    history = model.fit(images(), labels(), batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and "probe_accuracy" in history
    for old, new in zip(before, model.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(images(), labels(), batch_size=8, epochs=3, initial_epoch=2, verbose=0)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


def test_an_unknown_loss_is_named():
    with pytest.raises(ValueError, match="loss='nothing' is not in kerassl.losses"):
        Distill(teacher(), tiny_encoder(3), loss="nothing")


def test_rkd_compares_relations_whatever_the_widths():
    model = make("RKD", views=None, distance_weight=3.0, angle_weight=0.5, angle_images=5)
    model.compile()
    assert model.head is None
    view = ready_views("RKD")[0]
    s, t = outputs(model, view)
    terms, _ = terms_and_rest(model, (view,))
    distance, angle = kerassl.losses.rkd_distance(s, t), kerassl.losses.rkd_angle(s[:5], t[:5])
    assert float(terms["rkd_distance"]) == pytest.approx(3.0 * float(distance), rel=1e-4)
    assert float(terms["rkd_angle"]) == pytest.approx(0.5 * float(angle), rel=1e-4)


def test_seed_asks_the_queue_before_it_takes_the_batch():
    model = make("SEED", views=None)
    model.compile(keras.optimizers.SGD(0.0))
    view = ready_views("SEED")[0]
    queue = numpy(model.queue.features)
    s, t = outputs(model, view)
    expected = kerassl.losses.seed_distillation(s, t, queue, 0.2, 0.01)
    history = model.fit((view,), labels(8), batch_size=8, verbose=0, shuffle=False).history
    assert history["loss"][0] == pytest.approx(float(expected), rel=1e-4)
    new = numpy(model.queue.features)
    np.testing.assert_allclose(new[:8], t / np.linalg.norm(t, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_array_equal(new[8:], queue[8:])


def test_their_settings_are_saved(tmp_path):
    for model in (make("RKD", distance_weight=3.0), make("SEED", hidden_dim=5)):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
        assert type(loaded) in (RKD, SEED)
        config, again = model.get_config(), loaded.get_config()
        for name in set(config) - {"student", "teacher", "views", "teacher_preprocess"}:
            assert config[name] == again[name], name
