import keras
import numpy as np
import pytest
from tiny import images, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

TINY = {
    "SSLD": {"teacher": "SimCLR", "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("batch_statistics", (False, True))
def test_a_self_supervised_teacher_gives_standardized_features_as_logits(batch_statistics):
    model = make("SSLD", views=None, teacher_batch_statistics=batch_statistics)
    view = ready_views("SSLD")[0]
    t = numpy(model.teacher.network(view, training=batch_statistics)).astype("float64")
    t = log_softmax((t - t.mean(0)) / np.sqrt(t.var(0) + 1e-6))
    s = log_softmax(numpy(model.head(model.encoder(view, training=True))).astype("float64"))
    expected = np.mean(
        [0.5 * np.sum(np.exp(t[i]) * (t[i] - s[i]) + np.exp(s[i]) * (s[i] - t[i])) for i in range(8)]
    )
    terms, _ = terms_and_rest(model, view)
    assert float(terms["ssld"]) == pytest.approx(expected, rel=1e-5)


def test_a_classifier_teacher_is_matched_directly():
    def classifier(width):
        encoder = tiny_encoder(width)
        return keras.Model(encoder.input, keras.layers.Dense(5)(encoder.output))

    model = kerassl.distillation.SSLD(classifier(6), classifier(3), views=None)
    assert model.head is None and not model.arguments.standardize
    view = ready_views("SSLD")[0]
    t = log_softmax(numpy(model.teacher.network(view, training=True)).astype("float64"))
    s = log_softmax(numpy(model.encoder(view, training=True)).astype("float64"))
    expected = 0.5 * np.mean(np.sum((np.exp(t) - np.exp(s)) * (t - s), axis=1))
    terms, _ = terms_and_rest(model, view)
    assert float(terms["ssld"]) == pytest.approx(expected, rel=1e-5)


def test_the_teacher_is_a_frozen_copy():
    teacher = kerassl.methods.SimCLR(tiny_encoder(6), projection_dim=8)
    model = kerassl.distillation.SSLD(teacher, tiny_encoder(3), views=None)
    before = model.teacher.get_weights()
    for mine, its in zip(before, teacher.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(ready_views("SSLD"), batch_size=8, verbose=0)
    for variable, value in zip(model.teacher.weights, before, strict=True):
        # Batch norm follows the images, as in the official code.
        assert (numpy(variable) == value).all() == ("moving" not in variable.path), variable.path
    assert teacher.encoder.trainable_variables, "the caller's model stays trainable"


def test_the_teacher_keeps_its_own_preprocessing():
    views = kerassl.views.preset("simclr_cifar", 16)
    teacher = kerassl.methods.SimCLR(tiny_encoder(6), views=views, projection_dim=8)
    own = kerassl.views.FusedAugmentation(16, mean=0.0, std=1.0, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    model = kerassl.distillation.SSLD(teacher, tiny_encoder(3), views=own)
    batch = images(4)
    seen = model.teacher.as_it_expects(own(batch, seed=kerassl.engine.StepSeed(0, 0)), own)
    np.testing.assert_allclose(numpy(seen), numpy(views.preprocess(batch)), atol=1e-4)
