"""Ensembles of heads in DINO and MSN."""

import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest

import kerassl
from kerassl.heads import EnsembleHead

pytestmark = pytest.mark.backends("torch")

methods = pytest.mark.parametrize("name", ("DINO", "MSN without chance"))


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def repeat_heads(many, one):
    """Gives each of three heads the weights of a single one."""
    for variable, value in zip(many, map(numpy, one), strict=True):
        if len(variable.shape) == 1:
            variable.assign(np.tile(value, 3))
        else:
            of_one = [1 if size == 3 else size for size in variable.shape]
            variable.assign(np.broadcast_to(value.reshape(of_one), variable.shape))


def parts(model):
    """The weights of heads and teacher's heads, perceptrons before prototypes."""
    if isinstance(model, kerassl.methods.MSN):
        return [*model.head.weights, *model.teacher_projector.weights]
    found = []
    for head in (model.head, model.teacher_head):
        of_one = isinstance(head, kerassl.heads.DINOHead)
        found += [*head.mlp.weights, head.prototypes] if of_one else head.weights
    return found


def train(model):
    """The loss of one step, and the encoder after it."""
    model.compile(keras.optimizers.SGD(0.01))
    views = ready_views("MSN")
    logs = model.fit(views, labels(8), batch_size=8, verbose=0, shuffle=False).history
    return logs["loss"][0], [numpy(v) for v in model.encoder.trainable_variables]


@methods
def test_equal_heads_learn_as_one(name):
    single = make(name, views=None)
    results = []
    for weighting in ("uniform", "probability", "entropy"):
        model = make(name, views=None, num_heads=3, ensemble_weighting=weighting)
        model.encoder.set_weights(single.encoder.get_weights())
        model.teacher_encoder.set_weights(single.teacher_encoder.get_weights())
        repeat_heads(parts(model), parts(single))
        results.append(train(model))
    expected_loss, expected = train(single)
    for loss, weights in results:
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        for weight, other in zip(weights, expected, strict=True):
            np.testing.assert_allclose(weight, other, atol=1e-6)


@methods
def test_each_head_has_its_own_prototypes_in_state_and_metrics(name):
    model = make(name, views=None, num_heads=2, ensemble_weighting="entropy")
    assert isinstance(model.head, EnsembleHead)
    terms, rest = terms_and_rest(model, ready_views("MSN"))
    assert tuple(rest["assignments"].shape) == (8, 2)
    assigned = numpy(rest["assignments"])
    assert assigned[:, 0].max() < 16 <= assigned[:, 1].min() and assigned.max() < 32
    assert model.step_metrics.usages[None].num_prototypes == 32
    copy = type(model).from_config(model.get_config())
    assert [v.shape for v in copy.weights] == [v.shape for v in model.weights]
    assert copy.arguments.ensemble_weighting == "entropy"
    if name == "DINO":
        model.after_update(rest)
        logits = numpy(rest["teacher_logits"])
        assert logits.shape == (16, 2, 16)
        np.testing.assert_allclose(numpy(model.center), 0.1 * logits.mean(axis=0), atol=1e-6)


def test_targets_of_msn_are_balanced_head_by_head():
    model = make("MSN", views=None, num_heads=2, drop_ratio=0.0)
    views = ready_views("MSN")
    z = model.teacher_projector(model.teacher_encoder(views[0]), training=True)
    targets = kerassl.losses.msn_targets(model.head.prototypes(z))
    for head in range(2):
        alone = kerassl.losses.msn_targets(model.head.prototypes(z)[:, head])
        np.testing.assert_allclose(numpy(targets)[:, head], numpy(alone), atol=1e-5)
    _, rest = terms_and_rest(model, views)
    np.testing.assert_array_equal(numpy(rest["assignments"]), numpy(targets).argmax(-1) + [0, 16])


def test_the_temperature_of_the_weights_falls_over_the_first_epochs():
    model = make("DINO", views=None, num_heads=2, ensemble_weighting="entropy", ensemble_warmup_epochs=4)
    model.compile(keras.optimizers.SGD(0.0))
    seen = []
    ramp = model.clock.ramp
    model.clock.ramp = lambda *args: seen.append((args, ramp(*args))) or seen[-1][1]
    model.clock.steps_per_epoch.assign(1)
    for step, expected in ((0, 0.5), (2, 0.275), (4, 0.05), (9, 0.05)):
        model.clock.step.assign(step)
        terms_and_rest(model, ready_views("DINO"))
        assert float(next(v for args, v in reversed(seen) if args[0] == 0.5)) == pytest.approx(expected)
