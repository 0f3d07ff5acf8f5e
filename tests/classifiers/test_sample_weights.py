"""Weights of examples: `sample_weight`, `class_weight` and the third entry of `(x, y, w)`."""

import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views

import kerassl
from kerassl.classifiers import Classifier

CLASSES = np.array([0, 1, 2, -1, 0, 1, 2, 0])
WEIGHTS = np.array([1.0, 2.0, 0.0, 5.0, 0.5, 3.0, 1.0, 0.25], "float32")
CLASS_WEIGHTS = {0: 2.0, 1: 1.0, 2: 0.5}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


class Weighted(keras.utils.PyDataset):
    def __init__(self, view):
        super().__init__()
        self.view = view

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (self.view,), CLASSES, WEIGHTS


@pytest.fixture
def model():
    model = make("Classifier", views=None)
    model.compile(keras.optimizers.SGD(0.0))
    return model


@pytest.fixture(scope="module")
def view():
    (view,) = ready_views("Classifier")
    return view


def by_hand(model, view, weights, training=True):
    logits = numpy(model.features_and_logits(view, training)[1]).astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    each = -log_p[np.arange(8), CLASSES]
    labeled = CLASSES >= 0
    # Divided by the number of labeled examples, not by the sum of their weights.
    return (weights * each)[labeled].sum() / labeled.sum()


def test_losses_are_weighted_as_by_hand(model, view):
    options = {"batch_size": 8, "verbose": 0}
    expected = by_hand(model, view, WEIGHTS)
    loss = model.fit((view,), CLASSES, sample_weight=WEIGHTS, **options).history["loss"]
    assert loss == pytest.approx([expected], rel=1e-4)
    assert abs(expected - by_hand(model, view, np.ones(8))) > 0.05
    loss = model.fit(Weighted(view), verbose=0).history["loss"]
    assert loss == pytest.approx([expected], rel=1e-4)
    by_class = np.array([CLASS_WEIGHTS.get(k, 1.0) for k in CLASSES])
    loss = model.fit((view,), CLASSES, class_weight=CLASS_WEIGHTS, **options).history["loss"]
    assert loss == pytest.approx([by_hand(model, view, by_class)], rel=1e-4)
    loss = model.evaluate((view,), CLASSES, sample_weight=WEIGHTS, **options)["loss"]
    assert loss == pytest.approx(by_hand(model, view, WEIGHTS, training=False), rel=1e-4)


def test_weights_of_one_change_no_number_and_weights_of_zero_stop_learning(view):
    changes = []
    for weights in None, np.ones(8, "float32"), np.zeros(8, "float32"):
        model = make("Classifier", views=None)
        model.compile(keras.optimizers.SGD(0.1))
        before = numpy(model.trainable_variables[0])
        model.fit((view,), CLASSES, sample_weight=weights, batch_size=8, shuffle=False, verbose=0)
        changes.append(numpy(model.trainable_variables[0]) - before)
    np.testing.assert_allclose(changes[0], changes[1], atol=1e-7)
    assert not changes[2].any() and changes[0].any()


def test_raw_images_may_have_weights():
    model = make("Classifier")
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(images(16), labels(16), batch_size=8, class_weight=CLASS_WEIGHTS, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("options", [{"class_weight": CLASS_WEIGHTS}, {"sample_weight": WEIGHTS}])
@pytest.mark.parametrize("name", ["SimCLR", "NKD", "ProtoPNet"])
def test_methods_that_cannot_weigh_examples_refuse_at_the_start(name, options):
    model = make(name)
    with pytest.raises(ValueError, match=f"{name} has no loss of each example"):
        model.fit(images(8), labels(8), batch_size=8, verbose=0, **options)


def test_weights_in_the_data_are_refused_too():
    model = make("SimCLR")
    with pytest.raises(ValueError, match="SimCLR has no loss of each example"):
        model.fit(images(8), validation_data=(images(8), labels(8), WEIGHTS), verbose=0)

    class Triples(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return images(8), labels(8), WEIGHTS

    with pytest.raises(ValueError, match=r"and the third entry of \(inputs, labels, weights\)"):
        model.fit(Triples(), verbose=0)


def test_a_subclass_with_a_loss_of_its_own_says_whether_it_applies_weights():
    class Own(Classifier):
        def loss_terms(self, views, batch, training):
            return super().loss_terms(views, batch, training)

    class Applies(Own):
        supports_sample_weight = True

    class Same(Classifier):
        label = "same"

    assert (Own.supports_sample_weight, Applies.supports_sample_weight) == (False, True)
    assert Same.supports_sample_weight and Classifier.supports_sample_weight
    weighing = [
        name
        for room in (kerassl.methods, kerassl.classifiers, kerassl.distillation)
        for name in room.__all__
        if getattr(getattr(room, name), "supports_sample_weight", False)
    ]
    assert weighing == ["Classifier"]
