import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_vit

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DINO": {
        "encoder": "tokens",
        "arguments": {
            "num_prototypes": 16,
            "hidden_dim": 16,
            "bottleneck_dim": 8,
            "freeze_last_layer_epochs": 0,
        },
        "views": ("dino_cifar", {"num_local_crops": 1}),
        "sizes": (16, 16, 8, 8),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def fit(model, epochs=1, **kwargs):
    return model.fit(
        ready_views("DINO"), labels(8), batch_size=8, epochs=epochs, verbose=0, shuffle=False, **kwargs
    )


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_the_loss_pairs_each_global_crop_with_all_other_crops():
    model = make("DINO", views=None)
    model.compile()
    views = ready_views("DINO")
    student = [numpy(model.head(model.encoder(v))).astype("float64") for v in views]
    teacher = [numpy(model.teacher_head(model.teacher_encoder(v))).astype("float64") for v in views[:2]]
    terms = []
    for u, t in enumerate(teacher):
        for v, s in enumerate(student):
            if u != v:
                log_s = np.log(softmax(s / 0.1))
                terms.append(np.mean([-np.sum(softmax(t / 0.04)[i] * log_s[i]) for i in range(len(s))]))
    assert len(terms) == 2 * (len(views) - 1)
    loss, _ = terms_and_rest(model, views)
    assert float(loss["dino"]) == pytest.approx(np.mean(terms), rel=1e-5)


def test_the_centre_is_used_before_it_moves_and_follows_the_closed_form():
    model = make("DINO", views=None, momentum=1.0)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("DINO")
    logits = [numpy(model.teacher_head(model.teacher_encoder(v))) for v in views[:2]]
    mean = np.concatenate(logits).astype("float64").mean(0)
    before, _ = terms_and_rest(model, views)
    history = fit(model)
    assert history.history["loss"][0] == pytest.approx(float(before["dino"]), rel=1e-5)
    np.testing.assert_allclose(numpy(model.center), 0.1 * mean, atol=1e-6)
    fit(model, epochs=3, initial_epoch=1)
    np.testing.assert_allclose(numpy(model.center), (1 - 0.9**3) * mean, atol=1e-6)


def test_prototypes_rest_for_the_first_epoch_and_then_move():
    model = make("DINO", views=None, freeze_last_layer_epochs=1)
    model.compile(keras.optimizers.SGD(1.0, momentum=0.9))
    start = numpy(model.head.prototypes)
    mlp = numpy(model.head.mlp.trainable_variables[0])
    fit(model)
    np.testing.assert_array_equal(numpy(model.head.prototypes), start)
    assert np.abs(numpy(model.head.mlp.trainable_variables[0]) - mlp).max() > 0
    fit(model, epochs=2, initial_epoch=1)
    assert np.abs(numpy(model.head.prototypes) - start).max() > 0


def test_prototypes_act_by_direction_only():
    head = kerassl.heads.DINOHead(8, num_prototypes=5, hidden_dim=8, bottleneck_dim=4)
    x = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    before = numpy(head(x))
    head.prototypes.assign(3.0 * head.prototypes)
    np.testing.assert_allclose(numpy(head(x)), before, atol=1e-6)
    assert np.abs(before).max() <= 1 + 1e-6
    assert [v.path.split("/")[-1] for v in head.trainable_variables].count("prototypes") == 1


def test_the_head_is_finite_for_zero_features():
    head = kerassl.heads.DINOHead(4, num_prototypes=3, hidden_dim=4, bottleneck_dim=2)
    assert np.isfinite(numpy(head(np.zeros((2, 4), "float32")))).all()


def test_locals_never_reach_the_teacher():
    model = make("DINO", views=None)
    model.compile()
    views = ready_views("DINO")
    changed = (*views[:2], views[2] + 1, views[3] - 1)
    _, rest = terms_and_rest(model, views)
    _, other = terms_and_rest(model, changed)
    np.testing.assert_array_equal(numpy(rest["teacher_logits"]), numpy(other["teacher_logits"]))
    assert tuple(rest["teacher_logits"].shape) == (16, 16)


def test_the_teacher_temperature_warms_up():
    model = make(
        "DINO", views=None, warmup_teacher_temperature=0.04, teacher_temperature=0.07,
        warmup_teacher_temperature_epochs=2,
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(0.0))
    assert float(model.teacher_temperature()) == pytest.approx(0.04)
    fit(model)
    assert float(model.teacher_temperature()) == pytest.approx(0.055)
    fit(model, epochs=3, initial_epoch=1)
    assert float(model.teacher_temperature()) == pytest.approx(0.07)
    assert make("DINO", views=None).teacher_temperature() == 0.04


def test_the_teacher_has_no_drop_path_and_is_what_is_exported():
    model = kerassl.methods.DINO(tiny_vit(drop_path=0.3), views=None, num_prototypes=8, hidden_dim=8)
    assert model.encoder.drop_path == 0.3 and model.teacher_encoder.drop_path == 0.0
    assert model.embedding_encoder is model.teacher_encoder


def test_one_view_is_refused():
    model = make("DINO", views=None)
    model.compile()
    with pytest.raises(ValueError, match="needs at least two, got 1"):
        terms_and_rest(model, ready_views("DINO")[:1])
