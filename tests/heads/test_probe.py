import keras
import numpy as np
import pytest

from kerassl.heads import OnlineProbe, mlp


def clusters(n=90, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3).astype("int32")
    centres = rng.normal(size=(3, dim)) * 3 + 100
    return (centres[labels] + rng.normal(size=(n, dim))).astype("float32"), labels


def train(probe, features, labels, steps=200):
    for _ in range(steps):
        probe.update(keras.ops.convert_to_tensor(features), keras.ops.convert_to_tensor(labels))


@pytest.mark.parametrize("seed", (0, 1, 2))
def test_it_learns_separable_classes(seed):
    features, labels = clusters(seed=seed)
    probe = OnlineProbe(6, 3, learning_rate=0.03)
    train(probe, features, labels)
    prediction = keras.ops.convert_to_numpy(probe(features)).argmax(1)
    assert (prediction == labels).mean() > 0.97


def test_one_update_is_adam_on_the_gradient_of_the_cross_entropy():
    features, labels = clusters(12)
    probe = OnlineProbe(6, 3)
    kernel = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
    probe.kernel.assign(kernel)
    train(probe, features, labels, steps=1)
    x = (features - features.mean(0)) / np.sqrt(features.astype("float64").var(0) + 1e-6)
    x = np.concatenate([x, np.ones((12, 1))], axis=1)
    logits = x @ kernel
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    gradient = x.T @ (p - np.eye(3)[labels]) / 12
    expected = kernel - 3e-3 * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(probe.kernel), expected, atol=2e-5)


def test_unlabeled_rows_do_not_count():
    features, labels = clusters(12)
    hidden = labels.copy()
    hidden[6:] = -1
    probes = [OnlineProbe(6, 3) for _ in range(2)]
    poisoned = features.copy()
    train(probes[0], poisoned, hidden, steps=3)
    train(probes[1], poisoned, np.where(np.arange(12) < 6, labels, -5).astype("int32"), steps=3)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(probes[0].kernel), keras.ops.convert_to_numpy(probes[1].kernel)
    )
    assert np.abs(keras.ops.convert_to_numpy(probes[0].kernel)).max() > 0


def test_nothing_of_it_is_trainable():
    assert not OnlineProbe(4, 2).trainable_variables


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes must be >= 2"):
        OnlineProbe(4, 1)


def test_a_head_of_a_bad_width_is_refused():
    with pytest.raises(ValueError, match="hidden_dims must be a tuple whose entries are >= 1"):
        mlp(8, (0,), 4)
    with pytest.raises(ValueError, match="output_batch_norm"):
        mlp(8, (), 4, output_batch_norm="batch")


def test_batch_norm_has_the_fields_constants():
    head = mlp(8, (4,), 2, output_batch_norm="plain")
    norms = [layer for layer in head.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [(n.momentum, n.epsilon) for n in norms] == [(0.9, 1e-5)] * 2
    assert not norms[-1].weights[0].name.startswith("gamma")
