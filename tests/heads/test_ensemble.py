import keras
import numpy as np
import pytest

from kerassl.heads import DINOHead, EnsembleHead, mlp, multi_head_mlp

SMALL = {"num_prototypes": 5, "hidden_dim": 6, "bottleneck_dim": 4}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def features(n=7, dim=3):
    return np.random.default_rng(0).normal(size=(n, dim)).astype("float32")


def of_head(weight, h, num_heads):
    """Head h's part of a weight of several heads."""
    if weight.ndim == 1:
        return weight.reshape(num_heads, -1)[h]
    return weight[:, h] if weight.ndim == 3 and weight.shape[1] == num_heads else weight[h]


def test_heads_normalize_their_batch_by_themselves():
    together = multi_head_mlp(
        3, (6, 5), 4, num_heads=2, activation="gelu", hidden_batch_norm=True, name="together"
    )
    for variable in together.trainable_variables:
        shape = variable.shape
        variable.assign(np.random.default_rng(len(shape)).normal(size=shape))
    out = numpy(together(features(), training=True))
    for h in range(2):
        alone = mlp(3, (6, 5), 4, activation="gelu", hidden_bias=True, output_bias=True)
        for own, of_all in zip(alone.trainable_variables, together.trainable_variables, strict=True):
            own.assign(of_head(numpy(of_all), h, 2))
        np.testing.assert_allclose(numpy(alone(features(), training=True)), out[:, h], rtol=1e-4, atol=1e-5)


def test_one_head_is_a_dino_head():
    dino, ensemble = DINOHead(3, **SMALL), EnsembleHead(3, num_heads=1, **SMALL)
    for own, other in zip(ensemble.projector.weights, dino.mlp.weights, strict=True):
        own.assign(np.reshape(numpy(other), own.shape))
    ensemble.prototypes.prototypes.assign(numpy(dino.prototypes)[None])
    np.testing.assert_allclose(numpy(ensemble(features()))[:, 0], numpy(dino(features())), atol=1e-6)


def test_heads_are_drawn_apart_and_their_number_makes_no_more_layers():
    few, many = (EnsembleHead(3, num_heads=n, use_batch_norm=True, **SMALL) for n in (2, 4))
    assert len(few.weights) == len(many.weights)
    assert len(many._flatten_layers()) == len(few._flatten_layers())
    prototypes = numpy(many.prototypes.prototypes)
    assert prototypes.shape == (4, 4, 5)
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-5)
    logits = numpy(many(features()))
    assert logits.shape == (7, 4, 5) and np.abs(logits).max() <= 1 + 1e-6
    assert all(np.abs(logits[:, 0] - logits[:, h]).max() > 1e-2 for h in (1, 2, 3))
    copy = EnsembleHead.from_config(many.get_config())
    copy.set_weights(many.get_weights())
    np.testing.assert_array_equal(numpy(copy(features())), logits)


def test_prototypes_of_all_heads_stay_unit_vectors():
    head = EnsembleHead(3, num_heads=2, **SMALL)
    start = numpy(head.prototypes.prototypes)
    model = keras.Sequential([keras.Input((3,)), head])
    model.compile(keras.optimizers.SGD(1.0, momentum=0.9), loss="mse")
    model.fit(features(), np.ones((7, 2, 5), "float32"), epochs=3, verbose=0)
    after = numpy(head.prototypes.prototypes)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, atol=1e-5)
    assert np.abs(after - start).max() > 1e-3


def test_no_head_is_refused():
    with pytest.raises(ValueError, match="num_heads must be >= 1, got 0"):
        EnsembleHead(3, num_heads=0, **SMALL)
