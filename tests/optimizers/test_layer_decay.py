"""The layer-wise decay of the learning rate, by hand after one step."""

import keras
import numpy as np
import pytest
from optimizer_helpers import MODES, make_apply

import kerassl
from kerassl.optimizers import LARS, SGD, AdamW, layerwise_factors


def vit(depth=3):
    return kerassl.backbones.vit((8, 8, 1), patch_size=4, hidden_dim=8, depth=depth, num_heads=2, name="vit")


def resnet():
    return kerassl.backbones.ResNet((8, 8, 1), depths=(1, 2), width=4, stem="small", name="resnet")


def expected_factor(path, decay):
    """The rule of BEiT, read off the names."""
    part = path.split("/")[1]
    if path.startswith("vit"):
        depth = 3
        number = int(part[5:]) if part.startswith("block") else 0
        return 1.0 if part == "final_norm" else decay ** (depth + 1 - number)
    number = int(part[5]) if part.startswith("stage") else 0
    return decay ** (3 - number)


@pytest.mark.parametrize("make", [vit, resnet])
def test_factors_fall_with_the_depth(make):
    encoder = make()
    factors = layerwise_factors(encoder, 0.5)
    for variable in encoder.trainable_variables:
        assert factors.get(variable.path, 1.0) == expected_factor(variable.path, 0.5), variable.path
    assert set(factors) <= {v.path for v in encoder.trainable_variables}
    assert set(layerwise_factors(encoder, 1.0).values()) == {1.0}


def test_what_has_no_depth_is_refused():
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mine")
    with pytest.raises(ValueError, match="mine is a Sequential. Fine-tune it with a decay of 1"):
        layerwise_factors(dense, 0.5)
    for decay in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"must be in \(0, 1\], but"):
            layerwise_factors(vit(1), decay)
    with pytest.raises(ValueError, match="rate_factors must be at least 0, but {'w': -1.0} came"):
        SGD(0.1, rate_factors={"w": -1.0})
    optimizer = AdamW(0.1, rate_factors=layerwise_factors(vit(1), 0.5))
    with pytest.raises(ValueError, match="rate_factors name none of the variables that are trained"):
        optimizer.build(resnet().trainable_variables)


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


def test_fit_moves_a_vit_by_the_factors():
    encoder = vit(2)
    model = kerassl.classifiers.Classifier(encoder, "unaugmented", num_classes=2)
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables}
    model.compile(AdamW(0.1, 0.0, rate_factors=layerwise_factors(encoder, 0.5)))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
    model.fit(images, np.array([0, 1, 0, 1]), batch_size=4, epochs=1, verbose=0)
    moved = {v.path: np.abs(keras.ops.convert_to_numpy(v) - before[v.path]).max() for v in encoder.variables}
    # Adam's first step is as long as its rate wherever there is a gradient.
    for path, rate in {"patch_embedding": 0.0125, "block1/attention_norm": 0.025, "block2/qkv": 0.05}.items():
        found = [value for name, value in moved.items() if name.startswith(f"vit/{path}")]
        assert max(found) == pytest.approx(rate, rel=1e-2), path
    assert moved["vit/final_norm/gamma"] == pytest.approx(0.1, rel=1e-2)
