import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder, tiny_vit

import kerassl
from kerassl.methods.self_distillation.random_teacher import move_from_teacher

pytestmark = pytest.mark.backends("torch")

TINY = {
    "RandomTeacher": {
        "arguments": {"locality": 0.3, "output_dim": 16, "hidden_dim": 16, "bottleneck_dim": 8},
        "sizes": (16,),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def fit(model, epochs=1):
    return model.fit(ready_views("RandomTeacher"), labels(8), batch_size=8, epochs=epochs, verbose=0)


def test_the_loss_is_the_divergence_from_the_teacher():
    model = make("RandomTeacher", views=None)
    model.compile()
    (view,) = ready_views("RandomTeacher")
    s = softmax(numpy(model.head(model.encoder(view, training=True))).astype("float64"))
    t = softmax(numpy(model.teacher_head(model.teacher_encoder(view, training=False))).astype("float64"))
    terms, rest = terms_and_rest(model, (view,))
    expected = np.mean(np.sum(t * np.log(t / s), axis=1))
    assert expected > 1e-4
    assert float(terms["kd"]) == pytest.approx(expected, rel=1e-3)
    assert tuple(rest["features"].shape) == (8, 16) and model.embedding_encoder is model.encoder


def test_without_batch_norm_a_student_that_starts_as_its_teacher_learns_nothing():
    moved = {}
    for locality in (0.0, 0.3):
        model = kerassl.methods.RandomTeacher(
            tiny_vit(), views=None, locality=locality, output_dim=16, hidden_dim=16, bottleneck_dim=8
        )
        model.compile(keras.optimizers.SGD(1.0))
        before = [numpy(v) for v in model.trainable_variables]
        loss = fit(model).history["loss"][0]
        assert (abs(loss) < 1e-6) == (locality == 0)
        moved[locality] = max(
            np.abs(numpy(v) - b).max() for v, b in zip(model.trainable_variables, before, strict=True)
        )
    # But for rounding errors, which the head's division by a small norm makes larger.
    assert moved[0.0] < 1e-3 * moved[0.3]


def test_the_teacher_stays_and_the_student_approaches_it():
    model = make("RandomTeacher", views=None)
    model.compile(keras.optimizers.Adam(1e-2))
    networks = (model.teacher_encoder, model.teacher_head)
    fixed = [v for network in networks for v in network.weights]
    before = [numpy(v) for v in fixed]
    losses = fit(model, epochs=20).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    for variable, start in zip(fixed, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), start)


@pytest.mark.parametrize("locality", (0.01, 0.5, 1.0))
def test_the_start_is_mixed_and_keeps_its_variance(locality):
    keras.utils.set_random_seed(0)
    student = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(64), keras.layers.LayerNormalization()]
    )
    teacher = numpy(student.trainable_variables[0]).copy()
    move_from_teacher(student, locality)
    kernel, bias, gamma, beta = map(numpy, student.trainable_variables)
    assert kernel.std() == pytest.approx(teacher.std(), rel=0.03)
    expected = (1 - locality) / np.sqrt(locality**2 + (1 - locality) ** 2)
    assert np.corrcoef(kernel.ravel(), teacher.ravel())[0, 1] == pytest.approx(expected, abs=0.04)
    assert not bias.any() and not beta.any() and (gamma == 1).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="the same view; got 2 views"):
        terms_and_rest(make("RandomTeacher", views=None), ready_views("RandomTeacher") * 2)
    drawn = keras.initializers.GlorotUniform(seed=3)
    same = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, kernel_initializer=drawn)])
    with pytest.raises(ValueError, match="the same weights each time that it is made"):
        move_from_teacher(same, 0.5)


def test_the_default_view_is_the_image():
    model = kerassl.methods.RandomTeacher(tiny_encoder(), output_dim=8, hidden_dim=8, bottleneck_dim=4)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype("uint8")
    np.testing.assert_allclose(
        numpy(model.views(images)[0]), numpy(model.views.preprocess(images)), atol=1e-4
    )
