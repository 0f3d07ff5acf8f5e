import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, state, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "PSKD": {"arguments": {"num_examples": 24}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def step(model, indices, epochs=1):
    views = ready_views("PSKD", indices=indices)
    return model.fit(views, labels(8), batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def test_what_is_remembered_is_the_prediction_of_the_step_itself():
    model = make("PSKD", views=None)
    model.compile(keras.optimizers.SGD(0.5))
    (view,) = ready_views("PSKD")["inputs"]
    predicted = softmax(numpy(model.features_and_logits(view, True)[1]))
    step(model, [3, 1, 20, 23, -1, 24, 7, 99])
    past = numpy(model.past.values)
    known = {3: 0, 1: 1, 20: 2, 23: 3, 7: 6}
    for row, image in known.items():
        np.testing.assert_allclose(past[row], predicted[image], atol=1e-5)
    assert not np.delete(past, list(known), axis=0).any()


def test_the_target_is_the_past_that_was_there_and_its_share_grows_by_epochs():
    model = make("PSKD", views=None, alpha=0.6)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("PSKD")
    (view,) = views["inputs"]
    known = keras.ops.convert_to_tensor(labels(8))
    rng = np.random.default_rng(0)
    past = softmax(rng.normal(size=(25, 3))).astype("float32")
    past[4] = 0
    model.past.values.assign(past)
    model.clock.steps_per_epoch.assign(2)
    model.clock.total_steps.assign(8)
    logits = model.features_and_logits(view, True)[1]
    for at, share in ((0, 0.15), (1, 0.15), (2, 0.3), (7, 0.6)):
        model.clock.step.assign(at)
        terms, _ = terms_and_rest(model, views, known)
        expected = kerassl.losses.ps_kd(logits, past[:8], known, share)
        assert float(terms["ps_kd"]) == pytest.approx(float(expected), rel=1e-5)
    # In evaluation it is the cross entropy, whatever is remembered.
    terms, _ = terms_and_rest(model, views, known, training=False)
    plain = kerassl.losses.cross_entropy(model.features_and_logits(view, False)[1], known)
    assert float(terms["ps_kd"]) == pytest.approx(float(plain), rel=1e-5)


def test_the_first_epoch_and_alpha_zero_are_cross_entropy():
    plain = make("Classifier", views=None)
    model = make("PSKD", views=None)
    without = make("PSKD", views=None, alpha=0.0)
    (view,), losses = ready_views("PSKD")["inputs"], []
    for each in (plain, model, without):
        each.compile(keras.optimizers.SGD(0.1))
    losses.append(plain.fit((view,), labels(8), batch_size=8, epochs=3, shuffle=False, verbose=0).history)
    losses += [step(each, range(8), epochs=3).history for each in (model, without)]
    of_plain, of_model, of_without = (history["loss"] for history in losses)
    np.testing.assert_allclose(of_without, of_plain, rtol=1e-5)
    # The target of the first batch is its label, that of the second is not.
    assert of_model[0] == pytest.approx(of_plain[0], rel=1e-6)
    assert of_model[1] != pytest.approx(of_plain[1], rel=1e-3)


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.at = step

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.clock.step) == self.at:
            raise Killed


def test_a_run_killed_within_an_epoch_goes_on_bit_for_bit(tmp_path):
    def fit(model, folder, **kwargs):
        model.compile(kerassl.optimizers.AdamW(1e-2))
        checkpoint = kerassl.callbacks.Checkpoint(tmp_path / folder, every_steps=1)
        callbacks = [checkpoint, *kwargs.pop("callbacks", [])]
        model.fit(images(), labels(), batch_size=8, epochs=3, callbacks=callbacks, verbose=0)

    whole, killed, resumed = (make("PSKD", seed=3) for _ in range(3))
    fit(whole, "whole")
    with pytest.raises(Killed):
        fit(killed, "killed", callbacks=[KillAt(5)])
    fit(resumed, "killed")
    assert int(resumed.clock.step) == 9 and np.count_nonzero(numpy(whole.past.values)) == 24 * 3
    for (path, value), other in zip(state(whole).items(), state(resumed).values(), strict=True):
        np.testing.assert_array_equal(other, value, err_msg=path)


def test_half_the_memory_and_what_does_not_fit():
    model = make("PSKD", views=None, memory_dtype="float16")
    model.compile(keras.optimizers.SGD(0.1))
    step(model, range(8), epochs=2)
    assert model.past.values.dtype == "float16"
    np.testing.assert_allclose(numpy(model.past.values)[:8].astype("float32").sum(axis=1), 1, atol=2e-3)
    with pytest.raises(ValueError, match="PSKD needs an update with every batch; take an optimizer without"):
        make("PSKD").compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match="PSKD remembers each example, so it must know which ones it sees"):
        data = ((ready_views("PSKD")["inputs"], labels(8)) for _ in range(1))
        model.fit(data, steps_per_epoch=1, verbose=0)
