import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.losses import nt_xent
from kerassl.views import distant_permutations, nine_pieces, quarter_turns

pytestmark = pytest.mark.backends("torch")

TINY = {
    "ScatSimCLR": {"arguments": {"projection_dim": 8}, "without_chance": {"dropout": 0.0}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def cross_entropy(logits, answers):
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_probabilities[np.arange(len(answers)), answers].mean()


def relu(x):
    return np.maximum(numpy(x), 0)


def test_rotations_of_the_first_view_are_told_apart():
    model = make("ScatSimCLR", views=None, dropout=0.0, pretext_weight=0.7)
    views = ready_views("ScatSimCLR")
    z1, z2 = np.split(numpy(model.projector(model.encoder(np.concatenate(views), training=True))), 2)
    turned = numpy(quarter_turns(views[0])).reshape(32, 16, 16, 3)
    hidden = relu(model.pretext_hidden1(numpy(model.encoder(turned, training=True))))
    logits = numpy(model.pretext_classifier(relu(model.pretext_hidden2(hidden))))
    terms, rest = terms_and_rest(model, views)
    assert float(terms["nt_xent"]) == pytest.approx(float(nt_xent(z1, z2, 0.5)), rel=1e-5)
    expected = 0.7 * cross_entropy(logits, np.tile(np.arange(4), 8))
    assert float(terms["pretext"]) == pytest.approx(expected, rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)

    model.pretext_classifier.set_weights([np.zeros((128, 4)), np.zeros(4)])
    terms, _ = terms_and_rest(model, views)
    assert float(terms["pretext"]) == pytest.approx(0.7 * np.log(4), rel=1e-6)


def test_orders_of_the_pieces_are_told_apart_and_drawn_anew_in_each_step():
    model = make("ScatSimCLR", views=None, pretext="jigsaw", dropout=0.0)
    view = ready_views("ScatSimCLR")[0]
    logits, orders = model.jigsaw(view, True, model.clock.seed("pretext", True))
    orders = numpy(orders)
    assert len(set(orders)) > 2 and 0 <= orders.min() and orders.max() < 35
    pieces = numpy(nine_pieces(view))
    shuffled = np.stack([pieces[i, distant_permutations(35)[order]] for i, order in enumerate(orders)])
    features = numpy(model.encoder(shuffled.reshape(72, 16, 16, 3), training=True))
    hidden = relu(model.pretext_hidden1(features)).reshape(8, 9 * 512)
    expected = numpy(model.pretext_classifier(relu(model.pretext_hidden2(hidden))))
    np.testing.assert_allclose(numpy(logits), expected, atol=1e-4)
    _, again = model.jigsaw(view, True, model.clock.seed("pretext", True))
    np.testing.assert_array_equal(numpy(again), orders)
    model.clock.step.assign(1)
    _, other = model.jigsaw(view, True, model.clock.seed("pretext", True))
    assert (numpy(other) != orders).any()


def test_dropout_leaves_out_its_share_in_training_alone():
    model = make("ScatSimCLR", views=None, dropout=0.25)
    hidden = keras.ops.ones((8 * 4, 512))

    def drop(training):
        return numpy(model.drop(hidden, 8, training, model.clock.seed("pretext", training)))

    dropped = drop(True)
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(drop(True), dropped)
    np.testing.assert_array_equal(drop(False), numpy(hidden))


def test_it_trains_compiled_on_the_papers_network():
    encoder = kerassl.backbones.scatnet((16, 16, 3), num_orientations=2, width=4)
    model = kerassl.methods.ScatSimCLR(encoder, views=None, projection_dim=8)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=keras.backend.backend() != "torch")
    before = numpy(encoder.get_layer("stem_conv").kernel)
    history = model.fit(ready_views("ScatSimCLR"), batch_size=8, verbose=0).history
    assert history["pretext"][0] > 0 and np.isfinite(history["loss"][0])
    assert np.abs(numpy(encoder.get_layer("stem_conv").kernel) - before).max() > 0


def test_the_head_and_defaults_are_the_official_ones():
    model = kerassl.methods.ScatSimCLR(tiny_encoder())
    shapes = [tuple(v.shape) for v in model.projector.weights]
    assert shapes == [(16, 16), (16,), (16, 128), (128,)]
    assert (model.arguments.temperature, model.arguments.pretext_weight, model.arguments.dropout) == (
        0.5,
        0.3,
        0.5,
    )
