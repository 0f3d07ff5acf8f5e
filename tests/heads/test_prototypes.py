import keras
import numpy as np
import pytest

import kerassl
from kerassl.heads import PrototypeHead


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def embeddings(n=5, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype("float32")


def test_logits_are_cosines():
    head = PrototypeHead(4, 3, temperature=0.5)
    z, prototypes = embeddings(), numpy(head.prototypes)
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=0), 1, atol=1e-5)
    expected = z / np.linalg.norm(z, axis=1, keepdims=True) @ prototypes / 0.5
    np.testing.assert_allclose(numpy(head(z)), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(head(7 * z)), expected, atol=1e-5)
    assert np.isfinite(numpy(head(np.zeros((2, 4), "float32")))).all()


@pytest.mark.parametrize("optimizer", ("adamw", "lars", "sgd"))
@pytest.mark.parametrize("normalize_gradient", (False, True))
def test_prototypes_stay_unit_vectors_whatever_moves_them(optimizer, normalize_gradient):
    optimizer = {
        "adamw": kerassl.optimizers.AdamW(0.1, weight_decay=0.5),
        "lars": kerassl.optimizers.LARS(0.5),
        "sgd": keras.optimizers.SGD(1.0, momentum=0.9),
    }[optimizer]
    head = PrototypeHead(4, 3, normalize_gradient, temperature=0.1)
    start = numpy(head.prototypes)
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(embeddings(8), np.arange(8) % 3, epochs=3, verbose=0)
    after = numpy(head.prototypes)
    np.testing.assert_allclose(np.linalg.norm(after, axis=0), 1, atol=1e-5)
    assert np.abs(after - start).max() > 1e-3


def test_decay_and_lars_leave_prototypes_alone():
    head = PrototypeHead(4, 3)
    dense = keras.layers.Dense(2)
    dense.build((None, 4))
    variables = [*head.trainable_variables, *dense.trainable_variables]
    assert [v.name for v in kerassl.optimizers.decayed_variables(variables)] == ["kernel"]


def test_a_frozen_head_gets_no_gradient():
    head = PrototypeHead(4, 3)
    for frozen, moves in ((True, False), (False, True)):
        inputs = keras.Input((4,))
        model = keras.Model(inputs, head(inputs, frozen=keras.ops.convert_to_tensor(frozen)))
        model.compile(keras.optimizers.SGD(1.0), loss="mse")
        start = numpy(head.prototypes)
        model.fit(embeddings(), np.ones((5, 3), "float32"), verbose=0)
        assert (np.abs(numpy(head.prototypes) - start).max() > 1e-6) == moves


def test_the_gradient_of_a_weight_normalized_prototype_is_orthogonal_to_it():
    """A step of plain gradient descent makes it longer, by Pythagoras; otherwise it also moves along it."""
    lengths = []
    for normalize_gradient in (True, False):
        head = PrototypeHead(2, 1, normalize_gradient)
        head.prototypes.assign(np.array([[1.0], [0.0]]))
        head.prototypes.constraint = None
        model = keras.Sequential([keras.Input((2,)), head])
        # d(cos - 2)^2 / d(prototype) is 2 (cos - 2) z.
        model.compile(keras.optimizers.SGD(0.5), loss="mse")
        model.fit(np.array([[0.6, 0.8]], "float32"), np.array([[2.0]], "float32"), verbose=0)
        lengths.append(numpy(head.prototypes)[:, 0])
    step = 0.5 * 2 * (2 - 0.6)
    np.testing.assert_allclose(lengths[0], [1.0, step * 0.8], atol=1e-5)
    np.testing.assert_allclose(lengths[1], [1.0 + step * 0.6, step * 0.8], atol=1e-5)


def test_it_is_saved_with_its_settings(tmp_path):
    model = keras.Sequential([keras.Input((4,)), PrototypeHead(4, 3, True, 0.2)])
    model.save(tmp_path / "head.keras")
    loaded = keras.models.load_model(tmp_path / "head.keras")
    np.testing.assert_allclose(
        loaded.predict(embeddings(), verbose=0), model.predict(embeddings(), verbose=0)
    )
    assert loaded.layers[-1].arguments.normalize_gradient and not loaded.layers[-1].prototypes.is_decayed


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_prototypes must be >= 1, got 0"):
        PrototypeHead(4, 0)
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        PrototypeHead(4, 3, temperature=0)
