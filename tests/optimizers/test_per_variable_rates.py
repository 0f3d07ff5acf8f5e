"""Factors of the learning rate and constants in its place, by hand after some steps."""

import keras
import numpy as np
import pytest
from optimizer_helpers import MODES, make_apply

import kerassl
from kerassl.optimizers import LARS, SGD, AdamW

OPTIMIZERS = {
    # By one step from weights of w with gradients of g, for a rate of r.
    "adamw": (lambda **kw: AdamW(0.1, 0.5, **kw), lambda w, g, r: w - r * 0.5 * w - r * np.sign(g)),
    "sgd": (lambda **kw: SGD(0.1, weight_decay=0.5, **kw), lambda w, g, r: w - r * (g + 0.5 * w)),
    "nesterov": (
        lambda **kw: SGD(0.1, 0.9, weight_decay=0.5, nesterov=True, **kw),
        lambda w, g, r: w - r * 1.9 * (g + 0.5 * w),
    ),
    "lars": (
        lambda **kw: LARS(0.1, weight_decay=0.5, trust_coefficient=0.2, **kw),
        lambda w, g, r: w - r * 0.2 * (g + 0.5 * w) * np.linalg.norm(w) / np.linalg.norm(g + 0.5 * w),
    ),
    "lars, rate in the momentum": (
        lambda **kw: LARS(0.1, trust_coefficient=0.2, lr_in_momentum=True, **kw),
        lambda w, g, r: w - r * 0.2 * g * np.linalg.norm(w) / np.linalg.norm(g),
    ),
}


@pytest.mark.parametrize("compiled", MODES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_step_is_that_of_the_smaller_rate(name, compiled):
    make, step = OPTIMIZERS[name]
    rng = np.random.default_rng(0)
    start, gradient = rng.normal(size=(2, 3, 4))
    names, factors = ("deep", "middle", "head"), {"deep": 0.25, "middle": 0.5}
    variables = [keras.Variable(start, name=n, dtype="float32") for n in names]
    optimizer = make(rate_factors=factors)
    make_apply(optimizer, variables, compiled)([gradient] * 3)
    for variable in variables:
        expected = step(start, gradient, 0.1 * factors.get(variable.name, 1.0))
        found = keras.ops.convert_to_numpy(variable.value)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=variable.name)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.rate_factors == factors
    if name == "adamw":
        assert optimizer.weight_decay == 0.5


@pytest.mark.parametrize("compiled", MODES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_step_is_that_of_the_constant_rate(name, compiled):
    make, step = OPTIMIZERS[name]
    start, gradient = np.random.default_rng(1).normal(size=(2, 3, 4))
    variables = [keras.Variable(start, name=n, dtype="float32") for n in ("predictor", "encoder")]
    optimizer = make(constant_rates={"predictor": 0.03})
    make_apply(optimizer, variables, compiled)([gradient] * 2)
    for variable, rate in zip(variables, (0.03, 0.1), strict=True):
        found = keras.ops.convert_to_numpy(variable.value)
        np.testing.assert_allclose(found, step(start, gradient, rate), rtol=1e-4, atol=1e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.constant_rates == {"predictor": 0.03}


@pytest.mark.parametrize("name", ("rate_factors", "constant_rates"))
def test_what_fits_no_variable_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 0, got {{'w': -1.0}}"):
        SGD(0.1, **{name: {"w": -1.0}})
    with pytest.raises(ValueError, match=f"{name} name none of the variables .*'mine', but 'yours' and"):
        AdamW(0.1, **{name: {"yours": 0.5}}).build([keras.Variable([1.0], name="mine")])


def test_simsiams_predictor_keeps_its_rate():
    """After the schedule has come to 0, it alone moves."""
    encoder = kerassl.backbones.resnet18((8, 8, 1), stem="small", width=4)
    model = kerassl.methods.SimSiam(encoder, views="digits", projection_dim=8, prediction_hidden_dim=4)
    rates = {v.path: 0.05 for v in model.predictor.trainable_variables}
    assert len(rates) == 5
    model.compile(SGD(kerassl.schedules.Linear(0.05, 0.0, total_steps=1), constant_rates=rates))
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype("uint8")
    model.fit(images, batch_size=8, verbose=0)
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables}
    model.fit(images, batch_size=8, verbose=0)
    after = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    moved = {path for path, value in after.items() if np.abs(value - before[path]).max() > 0}
    assert moved and moved <= set(rates)
