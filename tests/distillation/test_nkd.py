import keras
import numpy as np
import pytest
from tiny import images, labels, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.distillation import NKD

pytestmark = pytest.mark.backends("torch")

TINY = {
    "NKD": {"teacher": "Classifier", "arguments": {"temperature": 2.0}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def classifier(views="default"):
    keras.utils.set_random_seed(1)
    return kerassl.classifiers.Classifier(tiny_encoder(6), views=views, num_classes=3)


def test_the_terms_are_those_of_the_losses_and_the_teacher_gives_its_logits():
    teacher = classifier(None)
    model = NKD(teacher, tiny_encoder(3), views=None, gamma=3.0, temperature=2.0)
    (view,), known = ready_views("NKD"), labels(8)
    known[:3] = -1
    taught = teacher.features_and_logits(view, False)[1]
    np.testing.assert_allclose(numpy(model.teacher.outputs(model, view)), numpy(taught), atol=1e-5)
    own = model.features_and_logits(view, True)[1]
    terms, rest = terms_and_rest(model, (view,), keras.ops.convert_to_tensor(known))
    expected = kerassl.losses.nkd(own, taught, known, 3.0, 2.0)
    assert float(terms["nkd"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(terms["cross_entropy"]) == pytest.approx(
        float(kerassl.losses.cross_entropy(own, known)), rel=1e-5
    )
    np.testing.assert_allclose(numpy(rest["logits"]), numpy(own), atol=1e-6)


def test_the_teacher_is_frozen_and_keeps_its_own_preprocessing():
    view = kerassl.views.FusedAugmentation(
        16, mean=0.0, std=1.0, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0
    )
    teacher = classifier()
    model = NKD(teacher, tiny_encoder(3), views=view)
    pictures = images(4)
    seen = view(pictures, seed=kerassl.engine.StepSeed(0, 0))
    taught = keras.ops.softmax(model.teacher.outputs(model, seen))
    np.testing.assert_allclose(numpy(taught), teacher.classify(pictures), atol=1e-4)
    before = model.teacher.get_weights()
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(images(8), labels(8), batch_size=8, verbose=0)
    for old, new in zip(before, model.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert teacher.trainable_variables, "the caller's model stays trainable"


def test_any_network_to_logits_may_teach():
    encoder = tiny_encoder(6)
    network = keras.Model(encoder.input, keras.layers.Dense(5)(encoder.output))
    model = NKD(network, tiny_encoder(3), views=None)
    assert model.num_classes == 5
    (view,) = ready_views("NKD")
    np.testing.assert_allclose(
        numpy(model.teacher.outputs(model, view)), numpy(network(view, training=False)), atol=1e-6
    )


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="The teacher gives 3 logits, but num_classes is 5: NKD needs"):
        NKD(classifier(), tiny_encoder(3), num_classes=5)
