"""The layer-wise decay of the learning rate, by hand after one step."""

import keras
import numpy as np
import pytest

import kerassl
from kerassl.optimizers import AdamW, layerwise_factors


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
        with pytest.raises(ValueError, match=r"must be in \(0, 1\], got"):
            layerwise_factors(vit(1), decay)


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
