"""What is attached to a method: trained, saved, measured with it, and none of its own terms changed."""

import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, state

import kerassl
from kerassl.batch import Outputs
from kerassl.objectives import Objective, SwappedPrototypes

BACKEND = keras.backend.backend()


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def swapped(**kwargs):
    return SwappedPrototypes(**{"num_prototypes": 8, "projection_dim": 6, **kwargs})


def test_simclr_learns_prototypes_beside_its_contrast(tmp_path):
    model = make("SimCLR").attach(swapped(weight=0.5))
    model.compile(kerassl.optimizers.AdamW(1e-2))
    prototypes = model.objectives[0].prototypes.prototypes
    start = numpy(prototypes)
    history = model.fit(images(), labels(), batch_size=8, epochs=4, verbose=0).history
    for step in range(4):
        assert history["loss"][step] == pytest.approx(
            history["nt_xent"][step] + history["swapped_prototypes"][step], rel=1e-5
        )
        assert 0 < history["prototype_entropy"][step] <= np.log(8) + 1e-5
        assert 0 <= history["dead_prototypes"][step] < 8
    assert np.abs(numpy(prototypes) - start).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(numpy(prototypes), axis=0), 1, atol=1e-5)
    assert {"swapped_prototypes", "nt_xent", "prototype_entropy", "dead_prototypes"} < set(
        model.evaluate(images(), labels(), batch_size=8, verbose=0)
    )

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(images(), labels(), batch_size=8, epochs=5, initial_epoch=4, verbose=0)
    for (where, value), other in zip(state(model).items(), state(loaded).values(), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=where)


def test_its_term_is_swav_on_the_students_features():
    model = make("SimCLR", views=None).attach(swapped())
    model.compile()
    objective = model.objectives[0]
    _, record = model.forward_pass((ready_views("SimCLR"), labels(8)), training=True)
    features = [numpy(f) for f in record.outputs.features]
    assert [f.shape for f in features] == [(8, 16)] * 2
    z = numpy(objective.projector(np.concatenate(features), training=True)).astype("float64")
    scores = z / np.linalg.norm(z, axis=1, keepdims=True) @ numpy(objective.prototypes.prototypes)
    terms = []
    for own, other in ((scores[:8], scores[8:]), (scores[8:], scores[:8])):
        q = np.exp(own / 0.05)
        for _ in range(3):
            q = q / q.sum(axis=0)
            q = q / q.sum(axis=1, keepdims=True)
        p = np.exp(other / 0.1) / np.exp(other / 0.1).sum(axis=1, keepdims=True)
        terms.append(-np.mean(np.sum(q * np.log(p), axis=1)))
    assert float(numpy(record.terms[1])) == pytest.approx(np.mean(terms), rel=1e-3)


def test_prototypes_rest_while_frozen():
    model = make("SimCLR", views=None).attach(swapped(freeze_prototypes_updates=1))
    model.compile(keras.optimizers.SGD(1.0))
    start = numpy(model.objectives[0].prototypes.prototypes)
    kwargs = {"batch_size": 8, "verbose": 0}
    model.fit(ready_views("SimCLR"), labels(8), **kwargs)
    np.testing.assert_allclose(numpy(model.objectives[0].prototypes.prototypes), start, atol=1e-6)
    model.fit(ready_views("SimCLR"), labels(8), epochs=2, initial_epoch=1, **kwargs)
    assert np.abs(numpy(model.objectives[0].prototypes.prototypes) - start).max() > 1e-4


def test_an_objective_of_ones_own_has_state_that_moves_once_per_update():
    class Spread(Objective):
        def __init__(self):
            super().__init__(terms=("spread",), name="spread")
            self.mean = self.add_weight(name="mean", shape=(), initializer="zeros", trainable=False)

        def loss_terms(self, model, features, batch, training):
            size = keras.ops.mean(keras.ops.square(features[0]))
            return Outputs({"spread": 0.1 * size}, state={"size": keras.ops.stop_gradient(size)})

        def after_update(self, model, state):
            self.mean.assign(0.5 * self.mean + 0.5 * state["size"])

    model = make("BarlowTwins", views=None).attach(Spread())
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(ready_views("BarlowTwins"), labels(8), batch_size=8, epochs=2, verbose=0).history
    size = 10 * history["spread"][0]
    assert float(numpy(model.objectives[0].mean)) == pytest.approx(0.75 * size, rel=1e-4)


def test_the_first_nan_is_still_named():
    model = make("SimCLR", views=None).attach(swapped())
    model.compile(keras.optimizers.SGD(0.1))
    model.objectives[0].prototypes.prototypes.assign(np.full((6, 8), np.nan))
    with pytest.raises(FloatingPointError, match="'swapped_prototypes' became nan"):
        model.fit(ready_views("SimCLR"), labels(8), batch_size=8, verbose=0)


def test_what_cannot_be_attached():
    model = make("SimCLR").attach(swapped())
    with pytest.raises(ValueError, match="cannot be attached: the model has the objectives"):
        model.attach(swapped())
    model.attach(swapped(name="another"))
    assert sorted(model.step_metrics.usages) == ["another", "swapped_prototypes"]
    model.compile()
    with pytest.raises(ValueError, match="before compile"):
        model.attach(swapped())
