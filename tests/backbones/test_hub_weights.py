"""Weights of keras-hub backbones in ours: random ones, for none can be downloaded."""

import keras
import numpy as np
import pytest

from kerassl.backbones import load_keras_hub

# What is converted is NumPy; the forward passes are tested on every backend elsewhere.
pytestmark = pytest.mark.backends("tensorflow", "torch")  # Run on TensorFlow and torch.
_numpy = keras.ops.convert_to_numpy


def hub_vit(**kwargs):
    import keras_hub

    settings = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 32, **kwargs}
    return randomized(keras_hub.models.ViTBackbone((24, 24, 3), (8, 8), **settings))


def hub_resnet(**kwargs):
    import keras_hub

    settings = {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 128],
        "stackwise_num_blocks": [2, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": "basic_block",
        "image_shape": (32, 32, 3),
    }
    return randomized(keras_hub.models.ResNetBackbone(**{**settings, **kwargs}))


def randomized(model):
    """With other biases, scales and running statistics than those of a new model."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        value = rng.normal(scale=0.2, size=variable.shape)
        if "gamma" in variable.path or "variance" in variable.path:
            value = np.abs(1 + value)
        variable.assign(value)
    return model


def images(size):
    return np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")


@pytest.mark.parametrize(
    "kwargs", [{}, {"use_mha_bias": False, "use_mlp_bias": False, "use_patch_bias": False}]
)
def test_a_vit_gives_the_same_tokens(kwargs):
    backbone = hub_vit(**kwargs)
    tokens = _numpy(backbone(images(24)))
    encoder = load_keras_hub(backbone, name="mine")
    assert encoder.name == "mine" and encoder.num_heads == 2
    np.testing.assert_allclose(_numpy(encoder(images(24))), tokens[:, 0], atol=1e-4)
    patches = load_keras_hub(backbone, pool="mean")
    np.testing.assert_allclose(_numpy(patches(images(24))), tokens[:, 1:].mean(1), atol=1e-4)
    # Its tokens are there for masked modeling, and positions for other sizes.
    assert load_keras_hub(backbone, image_size=40).grid == (5, 5)


@pytest.mark.parametrize("make", (hub_vit, hub_resnet))
def test_a_preset_in_a_folder_becomes_an_encoder(make, tmp_path):
    """As a downloaded one: read by keras-hub from its configuration and weights, then converted."""
    import keras_hub

    backbone = make()
    backbone.save_to_preset(str(tmp_path))
    encoder = load_keras_hub(keras_hub.models.Backbone.from_preset(str(tmp_path)))
    direct = load_keras_hub(backbone)
    size = encoder.input_shape[1]
    np.testing.assert_array_equal(_numpy(encoder(images(size))), _numpy(direct(images(size))))
    assert np.ptp(_numpy(encoder(images(size)))) > 0


@pytest.mark.parametrize("block_type", ["basic_block", "bottleneck_block"])
def test_a_resnet_gives_the_same_map_and_its_mean(block_type):
    backbone = hub_resnet(block_type=block_type)
    feature_map = _numpy(backbone(images(32)))
    tolerance = 1e-4 * np.abs(feature_map).max()
    encoder = load_keras_hub(backbone, image_size=32)
    np.testing.assert_allclose(_numpy(encoder(images(32))), feature_map.mean((1, 2)), atol=tolerance)
    whole = load_keras_hub(backbone, image_size=32, pool=None)
    np.testing.assert_allclose(_numpy(whole(images(32))), feature_map, atol=tolerance)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.Sequential(name="mine"), "Sequential is not one of ViTBackbone, ResNetBackbone"),
        (
            lambda: hub_vit(use_class_token=False),
            "use_class_token=False and layer_norm_epsilon=1e-06",
        ),
        (lambda: hub_vit(layer_norm_epsilon=1e-5), "layer_norm_epsilon=1e-05; a class token and 1e-6"),
        (lambda: hub_vit(mlp_dim=16), "other widths of the MLP are not supported"),
        (lambda: hub_resnet(block_type="basic_block_vd"), "is not a ResNet as of 2015"),
        (lambda: hub_resnet(use_pre_activation=True), "is not a ResNet as of 2015"),
    ],
)
def test_what_has_no_place_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        load_keras_hub(make())
