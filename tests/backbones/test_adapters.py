import keras
import numpy as np
import pytest
from keras import layers

from kerassl.backbones import AdaptedEncoder, adapt

_numpy = keras.ops.convert_to_numpy


def _images(size=32, seed=0):
    return np.random.default_rng(seed).normal(size=(2, size, size, 3)).astype("float32")


def _hub_resnet(**kwargs):
    import keras_hub

    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        **{"image_shape": (32, 32, 3), **kwargs},
    )


def _hub_vit(**kwargs):
    import keras_hub

    return keras_hub.models.ViTBackbone(
        (32, 32, 3), (8, 8), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, **kwargs
    )


def _hub_dino(version):
    import keras_hub

    cls = getattr(keras_hub.models, f"DINOV{version}Backbone")
    return cls(
        patch_size=8,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        image_shape=(32, 32, 3),
        num_register_tokens=2,
    )


def _cv_resnet(include_rescaling=False):
    import keras_cv

    return keras_cv.models.ResNetBackbone(
        stackwise_filters=[64],
        stackwise_blocks=[1],
        stackwise_strides=[1],
        include_rescaling=include_rescaling,
        input_shape=(32, 32, 3),
        block_type="basic_block",
    )


def _mobilenet(**kwargs):
    return keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, **kwargs)


_BACKBONES = {
    "keras-hub ResNet": (_hub_resnet, 64),
    "keras-hub ViT": (_hub_vit, 8),
    "keras-hub DINOv2": (lambda: _hub_dino(2), 8),
    "keras-hub DINOv3": (lambda: _hub_dino(3), 8),
    "keras-cv ResNet": (_cv_resnet, 64),
    "keras.applications MobileNet": (lambda: _mobilenet(include_top=False), 256),
}


@pytest.mark.filterwarnings("error:The structure of `inputs`")
@pytest.mark.parametrize("name", _BACKBONES)
def test_real_backbones_give_features_copies_and_files(name, tmp_path):
    make, dim = _BACKBONES[name]
    encoder = adapt(make())
    assert encoder.output_shape == (None, dim)
    features = _numpy(encoder(_images()))
    assert features.shape == (2, dim) and np.isfinite(features).all()
    with keras.name_scope("teacher"):
        copy = encoder.__class__.from_config(encoder.get_config())
    paths = [w.path for w in encoder.weights + copy.weights]
    assert len(set(paths)) == len(paths)
    copy.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(_numpy(copy(_images())), features)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert isinstance(loaded, AdaptedEncoder)
    np.testing.assert_array_equal(_numpy(loaded(_images())), features)


def test_feature_map_is_averaged():
    backbone = _mobilenet(include_top=False)
    expected = _numpy(backbone(_images())).mean(axis=(1, 2))
    np.testing.assert_allclose(_numpy(adapt(backbone)(_images())), expected, atol=1e-6)


def test_feature_map_may_stay_as_it_is():
    backbone = _mobilenet(include_top=False)
    encoder = adapt(backbone, pool=None)
    np.testing.assert_array_equal(_numpy(encoder(_images())), _numpy(backbone(_images())))
    assert AdaptedEncoder.from_config(encoder.get_config()).output_shape == backbone.output_shape
    with pytest.raises(ValueError, match='no feature map: take pool="auto"'):
        adapt(_mobilenet(include_top=False, pooling="avg"), pool=None)


@pytest.mark.parametrize(
    "make, prefix", [(_hub_vit, 1), (lambda: _hub_dino(2), 3), (lambda: _hub_dino(3), 3)]
)
def test_tokens_give_the_class_token_or_the_mean_of_the_patches(make, prefix):
    backbone = make()
    name = getattr(backbone.input, "keys", lambda: [None])()
    key = next(iter(name))
    tokens = _numpy(backbone(_images() if key is None else {key: _images()}))
    assert tokens.shape == (2, 16 + prefix, 8)
    np.testing.assert_allclose(_numpy(adapt(backbone)(_images())), tokens[:, 0], atol=1e-6)
    mean = _numpy(adapt(backbone, pool="mean")(_images()))
    np.testing.assert_allclose(mean, tokens[:, prefix:].mean(axis=1), atol=1e-6)


def test_tokens_without_class_token_are_averaged():
    backbone = _hub_vit(use_class_token=False)
    tokens = _numpy(backbone(_images()))
    assert tokens.shape == (2, 16, 8)
    np.testing.assert_allclose(_numpy(adapt(backbone)(_images())), tokens.mean(axis=1), atol=1e-6)
    with pytest.raises(ValueError, match='no class token that could be found: take pool="mean"'):
        adapt(backbone, pool="cls")


def test_num_prefix_tokens_overrides_the_count():
    images = keras.Input((8, 8, 3))
    tokens = layers.Reshape((16, 4))(layers.Conv2D(4, 2, strides=2)(images))
    backbone = keras.Model(images, tokens)
    expected = _numpy(backbone(_images(8)))
    np.testing.assert_allclose(_numpy(adapt(backbone)(_images(8))), expected.mean(1), atol=1e-6)
    encoder = adapt(backbone, pool="mean", num_prefix_tokens=3)
    np.testing.assert_allclose(_numpy(encoder(_images(8))), expected[:, 3:].mean(1), atol=1e-6)


def test_pooled_features_pass_as_they_are():
    backbone = _mobilenet(include_top=False, pooling="avg")
    np.testing.assert_array_equal(_numpy(adapt(backbone)(_images())), _numpy(backbone(_images())))


@pytest.mark.parametrize("keys, chosen", [(("P2", "P3"), 1), (("pooled_output", "sequence_output"), 0)])
def test_dict_outputs(keys, chosen):
    images = keras.Input((8, 8, 3))
    outputs = {
        key: layers.GlobalAveragePooling2D()(layers.Conv2D(i + 2, 3)(images)) for i, key in enumerate(keys)
    }
    assert adapt(keras.Model(images, outputs)).output_shape == (None, chosen + 2)


def test_backbone_is_shared_and_sizes_may_vary():
    backbone = _hub_resnet(image_shape=(None, None, 3))
    encoder = adapt(backbone, input_shape=(32, 32, 3))
    assert encoder.backbone is backbone
    assert encoder(_images(32)).shape == encoder(_images(16)).shape == (2, 64)


def test_adapted_encoder_trains():
    encoder = adapt(_cv_resnet())
    before = _numpy(encoder.trainable_weights[0]).copy()
    encoder.compile("sgd", "mse")
    encoder.fit(_images(), np.ones((2, 64), "float32"), verbose=0)
    after = _numpy(encoder.trainable_weights[0])
    assert np.isfinite(after).all() and np.any(after != before)


@pytest.mark.backends("torch")  # The same on every backend, and quickest on torch.
def test_a_keras_hub_backbone_learns_in_a_method_and_leaves_in_8_bits(tmp_path):
    import kerassl

    model = kerassl.methods.SimCLR(adapt(_hub_vit()), projection_dim=4)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 36, 3)).astype("uint8")
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(pixels, batch_size=4, verbose=0)
    network = kerassl.export.exportable_encoder(model)
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(network.predict(pixels, verbose=0), expected, atol=1e-5)
    small = kerassl.export.quantized(network)
    small.save(tmp_path / "small.keras")
    features = keras.saving.load_model(tmp_path / "small.keras").predict(pixels, verbose=0)
    np.testing.assert_allclose(features, small.predict(pixels, verbose=0), atol=1e-5)
    assert 0 < np.abs(features - expected).max() < 0.1 * np.abs(expected).max()
    with pytest.raises(ValueError, match="does not take images of 24x24 pixels, for it was made for 32x32"):
        kerassl.export.resized(network, resize_to=24)


def test_a_rescaling_backbone_is_refused():
    with pytest.raises(ValueError, match="rescales its input itself .* include_rescaling=False"):
        adapt(_cv_resnet(include_rescaling=True))
    images = keras.Input((8, 8, 3))
    nested = keras.Sequential([layers.ZeroPadding2D(1), layers.Normalization(mean=0.5, variance=1.0)])
    with pytest.raises(ValueError, match="layer 'normalization.*include_preprocessing=False"):
        adapt(keras.Model(images, layers.Conv2D(2, 3)(nested(images))))


def test_a_rescaling_layer_after_the_first_weights_is_part_of_the_network():
    images = keras.Input((8, 8, 3))
    backbone = keras.Model(images, layers.Rescaling(0.5)(layers.Conv2D(2, 3)(images)))
    assert adapt(backbone).output_shape == (None, 2)


def test_a_classifier_is_refused():
    with pytest.raises(ValueError, match="'predictions': make it with include_top=False"):
        adapt(_mobilenet(include_top=True))
    with pytest.raises(ValueError, match="include_top=False"):
        adapt(_mobilenet(include_top=True, classifier_activation=None))


def test_a_task_model_is_refused():
    import keras_hub

    task = keras_hub.models.ImageClassifier(backbone=_hub_resnet(), num_classes=3, preprocessor=None)
    with pytest.raises(ValueError, match="pass its `.backbone`"):
        adapt(task)


def test_other_bad_backbones_are_explained():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="has 2 inputs"):
        adapt(keras.Model([a, b], layers.Add()([a, b])))
    with pytest.raises(ValueError, match="backbone must be a keras.Model"):
        adapt("resnet18")
    with pytest.raises(ValueError, match="pool must be 'auto', 'mean' or 'cls' or None"):
        adapt(_mobilenet(include_top=False), pool="max")
    with pytest.raises(ValueError, match='no tokens: take pool="auto"'):
        adapt(_mobilenet(include_top=False), pool="cls")
